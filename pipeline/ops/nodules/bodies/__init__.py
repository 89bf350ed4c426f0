"""From a map of probability to bodies: slices joined, large ones seen from afar, candidates."""
