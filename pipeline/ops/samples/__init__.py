"""From scans to what a net learns from: rows, splits, augmentation, weights."""
