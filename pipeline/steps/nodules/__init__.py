"""What stages tell of nodules: their entries in the list, and their scores by groups."""
