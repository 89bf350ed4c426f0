"""Chests of all builds and illnesses, drawn by chance: for nets to learn from."""
