"""What other software reads: DICOM segmentations and structured reports, Slicer's markups."""
