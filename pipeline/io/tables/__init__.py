"""The HDF5 table of slices: its schema, reader and writer."""
