"""The lung net: what it answers on chests of any size, without Keras and as with it."""

import numpy as np
import pytest

from lungseg.core.errors import DataError
from lungseg.model.lung_net import opinion
from lungseg.model.lung_net.network import build
from lungseg.model.lung_net.opinion import ask, ask_of_the_image, likely_lungs
from lungseg.model.lung_net.weights import read_weights
from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.ops.lungs.opinion.forward import answer
from tests.commands.bright_net import write_bright_net


def written(folder, widths):
    """A net with batch normalisation as after training, and what is read of its file."""
    import keras

    keras.utils.set_random_seed(0)
    net = build(widths)
    rng = np.random.default_rng(0)
    net.set_weights(
        [one + (one.ndim == 1) * rng.uniform(0, 0.3, one.shape) for one in net.get_weights()]
    )
    file = folder / f"{len(widths)}.keras"
    net.save(file)
    return net, read_weights(file)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return written(tmp_path_factory.mktemp("net"), (4, 4, 4, 4, 4))[1]


@pytest.mark.parametrize("widths", [(3, 5), (3, 4, 6, 5)])
def test_numpy_answers_as_keras_does(tmp_path, widths):
    keras_net, net = written(tmp_path, widths)
    image = np.random.default_rng(1).normal(size=(16, 32, 48, 3)).astype(np.float32)
    told = keras_net.predict_on_batch(image[np.newaxis])[0]
    assert told.std() > 0.01
    np.testing.assert_allclose(answer(net, image), told, atol=2e-5)


def test_only_the_chest_is_shown_and_elsewhere_is_no_lung(net, monkeypatch):
    hu = np.full((60, 50, 50), -1000, np.int16)
    hu[:, 15:35, 12:40] = 40
    hu[:, 15:35, 0] = 40
    labels = np.zeros(hu.shape, np.uint8)
    labels[20:30, 20:25, 15:20] = 1
    shown = []

    def told(_, part):
        shown.append(part.shape)
        return np.ones((2, *part.shape), np.float32)

    monkeypatch.setattr(opinion, "likely_lungs", told)
    monkeypatch.setattr(opinion, "read_weights", lambda file: net)
    likely = ask(Blocks(hu, labels, (4.0, 4.0, 4.0)))
    assert shown == [(30, 28, 44)]
    assert likely[:, 10:40, 11:39, :44].all()
    assert likely.sum() == 2 * 30 * 28 * 44


def test_the_mirror_image_of_a_scan_has_the_answer_of_the_scan(net, monkeypatch):
    monkeypatch.setattr(opinion, "read_weights", lambda file: net)
    hu = np.random.default_rng(3).integers(-900, 100, (16, 32, 32)).astype(np.int16)
    labels = np.ones(hu.shape, np.uint8)
    grid = (4.0, 4.0, 4.0)
    of_image = ask_of_the_image(Blocks(hu, labels, grid))
    image = Blocks(np.ascontiguousarray(hu[:, :, ::-1]), labels, grid)
    np.testing.assert_allclose(of_image, ask(image)[::-1, :, :, ::-1])
    # The left of the image is the right of the scan.
    assert not np.allclose(of_image, ask(Blocks(hu, labels, grid)))


def test_a_file_without_such_weights_is_no_lung_net(tmp_path):
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"nothing")
    for file in (broken, write_bright_net(tmp_path)):
        with pytest.raises(DataError, match=rf"{file.name} holds no lung net that can be read"):
            read_weights(file)


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
