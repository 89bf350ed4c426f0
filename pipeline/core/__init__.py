"""Stages, cache and runner; knows nothing of CT."""
