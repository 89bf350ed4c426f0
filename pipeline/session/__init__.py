"""A work folder between commands: its scans, settings and presets, and what a command says."""
