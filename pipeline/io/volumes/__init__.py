"""3-D volumes in files: the cache's own, MetaImage, NIfTI and NRRD."""
