"""The reducer's network and its opinion."""

import numpy as np

from lungseg.model.devices import quiet_keras
from lungseg.model.reducer.network import build, opinion, shown
from lungseg.ops.samples.stacks import EDGE, SLICES, stack
from tests.model.reducer.hand_made import by_hand, scene


def random_stacks(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(-1000, 400, (n, SLICES, EDGE, EDGE)).astype(np.int16)


def test_hu_become_channels_from_0_to_1():
    stacks = np.full((1, SLICES, EDGE, EDGE), -300, np.int16)
    stacks[0, 0], stacks[0, 1] = -3000, 3000
    x = shown(stacks)
    assert x.shape == (1, EDGE, EDGE, SLICES)
    assert x[0, 5, 5].tolist() == [0, 1, *[0.5] * 5]


def test_the_network_is_as_small_as_the_docs_say():
    quiet_keras()
    assert build().count_params() == 82_165
    assert build(4).output_shape == (None, 1)


def test_an_opinion_does_not_depend_on_how_the_patient_lies():
    quiet_keras()
    import keras

    keras.utils.set_random_seed(1)
    net = build(2)
    stacks = random_stacks(3)
    said = opinion(net, stacks)
    assert len(set(said.round(6).tolist())) == 3
    for turned in (stacks[..., ::-1], stacks[:, :, ::-1], np.rot90(stacks, 1, (2, 3))):
        np.testing.assert_allclose(opinion(net, np.ascontiguousarray(turned)), said, atol=1e-6)


def test_opinions_of_many_are_those_of_each():
    net = by_hand()
    stacks = random_stacks(5)
    together = opinion(net, stacks, batch_size=2)
    np.testing.assert_allclose(
        together, [opinion(net, stacks[k : k + 1])[0] for k in range(5)], atol=1e-6
    )
    assert opinion(net, stacks[:0]).shape == (0,)


def test_a_ball_comes_and_goes_and_a_tube_does_not():
    hu, likely = scene()
    ball, tube = (stack(hu, likely, (20, c, c)) for c in (20, 40))
    said = opinion(by_hand(), np.stack([ball, tube]))
    assert said[0] > 0.9
    assert said[1] < 0.2
