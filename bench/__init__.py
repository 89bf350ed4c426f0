"""What is measured: `make bench` runs all of it, `python -m bench.NAME` one part."""
