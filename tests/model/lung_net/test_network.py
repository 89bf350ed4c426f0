"""The lung net: what it answers on chests of any size."""

import numpy as np
import pytest

from lungseg.core.errors import DataError
from lungseg.model.lung_net.network import build, likely_lungs
from lungseg.model.lung_net.opinion import ask
from lungseg.ops.lungs.in_blocks import Blocks
from tests.commands.bright_net import write_bright_net


@pytest.fixture(scope="module")
def net():
    import keras

    keras.utils.set_random_seed(0)
    return build((4, 4, 4, 4, 4))


@pytest.mark.parametrize("shape", [(16, 16, 16), (17, 33, 20), (3, 5, 7)])
def test_a_chest_of_any_size_has_a_probability_in_each_block(net, shape):
    hu = np.random.default_rng(0).integers(-1000, 200, shape).astype(np.int16)
    likely = likely_lungs(net, hu)
    assert likely.shape == (2, *shape)
    assert likely.dtype == np.float32
    assert ((likely >= 0) & (likely <= 1)).all()


def test_padding_is_air_and_no_less(net):
    hu = np.full((16, 16, 16), 40, np.int16)
    padded = hu.copy()
    padded[0] = -3024
    known = hu.copy()
    known[0] = -1024
    assert np.array_equal(likely_lungs(net, padded), likely_lungs(net, known))


def test_another_net_is_refused(tmp_path):
    seen = Blocks(np.zeros((4, 4, 4), np.int16), np.zeros((4, 4, 4), np.uint8), (4.0, 4.0, 4.0))
    with pytest.raises(DataError, match="finds nodules in ct; expected a lung net"):
        ask(seen, write_bright_net(tmp_path))
