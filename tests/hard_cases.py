"""Cases of a list that `make test` leaves out: costly ones of a kind that a cheaper one shows."""

import pytest


def hard(*values):
    """A case for `pytest.mark.parametrize` that runs in `make test-hard` alone."""
    return pytest.param(*values, marks=pytest.mark.hard)
