"""A net's opinion on lungs: how chests are made ill to teach it, and what of it a mask takes."""
