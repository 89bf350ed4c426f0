"""Nets' opinion on lungs: chests made ill to teach them, and what of it a mask takes."""
