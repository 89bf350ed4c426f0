"""DICOM files: headers, slice positions, pixels, the process that decodes them, and a writer."""
