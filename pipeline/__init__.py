"""Chest CT to scored nodules: read pipeline.flow first."""
