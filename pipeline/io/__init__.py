"""Files in and out: the only importers of SimpleITK, pydicom, tables and sqlite3."""
