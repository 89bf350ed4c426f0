"""The lung net and the tumour net: small, in three dimensions; lung with air or without."""
