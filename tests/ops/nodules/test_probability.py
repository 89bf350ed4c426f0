"""Probabilities in 16 bits."""

import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import arrays

from lungseg.ops.nodules.probability import ONE, from_stored, to_stored


@given(arrays(np.uint16, (7,)))
def test_what_is_stored_is_read_and_stored_alike(stored):
    read = from_stored(stored)
    assert read.dtype == np.float32
    assert ((read >= 0) & (read <= 1)).all()
    np.testing.assert_array_equal(to_stored(read), stored)


def test_certainty_is_the_highest_number_that_fits():
    assert to_stored(np.array([0.0, 0.5, 1.0])).tolist() == [0, 32768, ONE]
    assert np.iinfo(np.uint16).max == ONE
