"""Hard tests: thousands of faults, minutes long; `make test-hard` alone runs them."""
