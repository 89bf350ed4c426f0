"""A digital thorax whose anatomy is known."""
