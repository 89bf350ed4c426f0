"""Any scans in, plain files out: `lungs` and `detect`."""
