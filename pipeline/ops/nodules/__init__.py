"""Nodules: contours, clusters, consensus, masks from coordinates, candidates."""
