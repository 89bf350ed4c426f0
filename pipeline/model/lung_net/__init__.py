"""The lung net: a small net in three dimensions that knows where lungs are, with air or without."""
