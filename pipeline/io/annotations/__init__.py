"""What people wrote about scans: LIDC's database and XML, coordinates, nodule lists, folds."""
