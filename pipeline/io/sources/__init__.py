"""Finding scans: the files below the folders named, their headers, which are one scan."""
