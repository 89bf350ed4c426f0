"""What a work folder holds, as files for other software: volumes, DICOM objects, markups."""
