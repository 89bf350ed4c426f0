"""Teaching a reducer."""

import numpy as np
import pytest

from lungseg.core.errors import DataError
from lungseg.model.devices import quiet_keras
from lungseg.model.reducer import network, teaching
from lungseg.model.reducer.network import opinion
from lungseg.model.reducer.teaching import BATCH, MARGIN, WIDE, Examples, batch, teach, together
from lungseg.ops.samples.stacks import EDGE, SLICES


def made(n, nodule, seed):
    """Blobs of random place and size: of nodules smaller towards the ends, else alike in all."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((WIDE, WIDE)) - WIDE // 2
    hu = np.empty((n, SLICES, WIDE, WIDE), np.int16)
    for k in range(n):
        dy, dx, radius = *rng.uniform(-2, 2, 2), rng.uniform(2, 6)
        for z in range(SLICES):
            off = (z - SLICES // 2) / (SLICES / 2)
            r = radius * np.sqrt(1 - off**2) if nodule else radius
            hu[k, z] = np.where((y - dy) ** 2 + (x - dx) ** 2 <= r**2, 40, -850)
    target = np.full(n, 0.75 if nodule else 0.0, np.float32)
    return Examples(hu, target, (f"p{seed}",), (f"s{seed}",))


def test_parts_become_one_whole():
    whole = together([made(2, True, 1), made(3, False, 2), made(1, False, 2)])
    assert len(whole.hu) == 6
    assert (whole.nodules, whole.patients, whole.scans) == (2, ("p1", "p2"), ("s1", "s2"))
    assert whole.target.tolist() == [0.75, 0.75, 0, 0, 0, 0]
    assert together([]).hu.shape == (0, SLICES, WIDE, WIDE)


def test_half_of_a_batch_are_nodules_and_the_seed_decides_it():
    examples = together([made(9, True, 1), made(90, False, 2)])
    x, y = batch(examples, np.random.default_rng(3))
    assert x.shape == (BATCH, EDGE, EDGE, SLICES)
    assert y.shape == (BATCH, 1)
    assert (y > 0).sum() == BATCH // 2
    again, _ = batch(examples, np.random.default_rng(3))
    np.testing.assert_array_equal(x, again)
    other, _ = batch(examples, np.random.default_rng(4))
    assert not np.array_equal(x, other)


def test_shifts_stay_within_the_margin():
    """A frame of dense voxels just outside of the largest shift is never seen."""
    hu = np.full((8, SLICES, WIDE, WIDE), -1000, np.int16)
    edge = MARGIN - 3
    hu[:, :, :edge], hu[:, :, -edge:], hu[..., :edge], hu[..., -edge:] = (3000,) * 4
    examples = Examples(
        np.concatenate([hu, hu]), np.repeat([1.0, 0.0], 8).astype(np.float32), ("p",), ("s",)
    )
    x, _ = batch(examples, np.random.default_rng(1))
    assert x.max() < 0.5


@pytest.mark.usefixtures("quick_graphs")
def test_it_learns_what_comes_and_goes(monkeypatch):
    """Two levels of the net's four are enough for blobs, in fewer steps."""
    quiet_keras()
    monkeypatch.setattr(network, "LEVELS", (1, 2))
    monkeypatch.setattr(teaching, "STEPS", 70)
    heard = []
    net = teach(
        together([made(30, True, 1), made(30, False, 2)]), 2, 1, width=4,
        tell=lambda epoch, loss: heard.append((epoch, loss)),
    )  # fmt: skip
    inner = slice(MARGIN, -MARGIN)
    nodules, others = (
        opinion(net, made(10, kind, 3).hu[:, :, inner, inner]) for kind in (True, False)
    )
    assert nodules.min() > others.max()
    assert [epoch for epoch, _ in heard] == [1, 2]
    assert heard[1][1] < heard[0][1] < 0.7


@pytest.mark.parametrize(("nodules", "others"), [(7, 20), (20, 7), (0, 0)])
def test_too_few_examples_are_refused(nodules, others):
    examples = together([made(nodules, True, 1), made(others, False, 2)])
    with pytest.raises(DataError, match=f"{nodules} candidates that are nodules and {others} that"):
        teach(examples, 1, 1)
