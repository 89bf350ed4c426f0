"""Hounsfield units: what scanners store, and what is padding."""
