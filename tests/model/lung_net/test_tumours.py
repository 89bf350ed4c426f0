"""The tumour net: what it is shown of a scan, and where its answer lies."""

import numpy as np
import pytest

from lungseg.core.errors import DataError
from lungseg.model.lung_net import tumours
from lungseg.model.lung_net.network import build
from lungseg.model.lung_net.tumours import ask, likely_lung
from lungseg.model.lung_net.weights import read_weights
from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.ops.lungs.opinion.close_up import ANSWERS, CHANNELS, channels, unfolded
from tests.commands.bright_net import write_bright_net


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A net as Keras has it, and as it is read without."""
    import keras

    keras.utils.set_random_seed(0)
    net = build((4, 6, 8), channels=CHANNELS, answers=ANSWERS)
    file = tmp_path_factory.mktemp("net") / "tumours.keras"
    net.save(file)
    return net, read_weights(file)


def test_a_scan_of_any_size_has_a_probability_in_each_block_as_keras_has_it(both):
    keras_net, net = both
    rng = np.random.default_rng(0)
    hu = rng.integers(-1000, 200, (17, 33, 20)).astype(np.int16)
    mask = rng.random(hu.shape) > 0.5
    likely = likely_lung(net, hu, mask)
    assert (likely.shape, likely.dtype) == (hu.shape, np.float32)
    room = [(0, -n % 8) for n in hu.shape]
    image = channels(np.pad(hu, room, constant_values=-1024), np.pad(mask, room))
    told = unfolded(keras_net.predict_on_batch(image[np.newaxis])[0])[:17, :33, :20, 0]
    np.testing.assert_allclose(likely, told, atol=2e-5)
    assert likely.std() > 0.001


def test_only_the_region_and_12_mm_around_it_are_shown(both, monkeypatch):
    shown = []

    def told(_, hu, mask):
        shown.append((hu.shape, int(mask.sum())))
        return np.ones(hu.shape, np.float32)

    monkeypatch.setattr(tumours, "likely_lung", told)
    monkeypatch.setattr(tumours, "checked_net", lambda *_: both[1])
    labels = np.zeros((40, 50, 60), np.uint8)
    labels[20, 20, 20], labels[0, 0, 0] = 1, 2
    seen = Blocks(np.zeros(labels.shape, np.int16), labels, (2.0, 2.0, 2.0))
    region = np.zeros(labels.shape, bool)
    region[18:22, 18:22, 2:30] = True
    likely = ask(seen, region)
    assert shown == [((16, 16, 36), 1)]
    assert likely[12:28, 12:28, :36].all()
    assert likely.sum() == 16 * 16 * 36
    # Where there is no region, nobody is asked.
    assert not ask(seen, np.zeros_like(region)).any()
    assert len(shown) == 1


def test_another_net_is_refused(tmp_path):
    seen = Blocks(np.zeros((4, 4, 4), np.int16), np.zeros((4, 4, 4), np.uint8), (2.0, 2.0, 2.0))
    with pytest.raises(DataError, match="finds nodules in ct; expected a tumour net"):
        ask(seen, np.ones((4, 4, 4), bool), write_bright_net(tmp_path))
