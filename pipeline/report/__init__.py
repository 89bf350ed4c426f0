"""The report's pages: figures and volumes as files that any browser opens from disk."""
