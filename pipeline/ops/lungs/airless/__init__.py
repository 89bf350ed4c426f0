"""Lung without air: no mask holds it, but the other lung and the ribs tell that it is there."""
