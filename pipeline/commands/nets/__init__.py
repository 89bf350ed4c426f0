"""Nets as files: what they are, whom they saw, their scores, and packing one to give away."""
