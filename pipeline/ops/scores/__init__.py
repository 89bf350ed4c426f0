"""Scores and their definitions: voxels, segmentations, detections."""
