"""Commands of more than one call: from a work folder, or files, to what a person wants."""
