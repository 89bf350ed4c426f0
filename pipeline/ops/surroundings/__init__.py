"""What lies around a candidate: vessels, ribs, the ends of the scan."""
