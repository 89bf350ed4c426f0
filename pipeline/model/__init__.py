"""Networks, losses, data and training; the only importer of keras, inside functions."""
