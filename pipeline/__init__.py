"""Chest CT to scored nodules: read lungseg.flow first."""
