"""The predict stage: which slices the net sees, its input, and which patients are skipped."""

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lungseg.core.errors import DataError, ScanError, ScanSkipped
from lungseg.core.record import Record, write_record
from lungseg.io.sources.pseudonyms import KEY_FILE, pseudonym
from lungseg.io.volumes import volume_file
from lungseg.model import devices, inference
from lungseg.model.devices import quiet_keras
from lungseg.model.model_record import ModelRecord, write_model_record
from lungseg.model.training_heads import SLICE
from lungseg.stages.predict import HowToPredict, Predict, check_fits, probability_of, run
from lungseg.volume import Geometry, Volume

RECORD = ModelRecord(
    target="nodules", classes=["background", "nodules"], kind="ct", network={}, context=1,
    low=-1000.0, high=400.0, inside_lungs=False, crop_px=32, spacing_mm=[1.0, 1.0, 1.0],
    table_fingerprint="t", split_hash="s", train_patients=["a"], validation_patients=["b"],
    best_epoch=1,
)  # fmt: skip
GEOMETRY = Geometry((1.0, 1.0, 1.0), (-5.0, 3.0, 9.0))


class Middle:
    """A net that answers with its middle channel, and keeps what it saw."""

    def __init__(self):
        self.seen = []

    def predict_on_batch(self, x):
        self.seen.append(x.copy())
        middle = x[..., x.shape[-1] // 2]
        return np.stack([1 - middle, middle], -1)


@pytest.fixture
def scan():
    rng = np.random.default_rng(0)
    ct = rng.integers(-1000, 400, (9, 40, 50)).astype(np.int16)
    lungs = np.zeros((9, 40, 50), np.uint8)
    lungs[2:5, 10:30, 4:14] = 1
    lungs[2:7, 10:30, 20:30] = 2
    return Volume(ct, GEOMETRY), lungs


def test_predictions_lie_where_their_slices_lie(scan):
    ct, lungs = scan
    net = Middle()
    found, slices = probability_of(ct, lungs, net, RECORD, HowToPredict(2))
    assert slices == 5
    # the crop of 32 is centred on the lungs' box: rows 4 to 36, columns 1 to 33
    expected = np.zeros(ct.shape, np.float32)
    expected[2:7, 4:36, 1:33] = (ct.array[2:7, 4:36, 1:33] + 1000) / 1400
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_neighbouring_slices_are_those_of_the_table(scan):
    ct, lungs = scan
    net = Middle()
    probability_of(ct, lungs, net, RECORD, HowToPredict(5))
    shown = (ct.array[:, 4:36, 1:33] + 1000) / 1400
    (x,) = net.seen
    np.testing.assert_allclose(x[0], np.moveaxis(shown[[2, 2, 3]], 0, -1), atol=1e-6)
    np.testing.assert_allclose(x[4], np.moveaxis(shown[[5, 6, 6]], 0, -1), atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_neighbours_reach_over_batches_but_not_over_slices_without_lung(scan, batch_size):
    ct, lungs = scan
    lungs[4] = 0
    net = Middle()
    probability_of(ct, lungs, net, RECORD, HowToPredict(batch_size))
    shown = (ct.array[:, 4:36, 1:33] + 1000) / 1400
    expected = np.moveaxis(shown[[[2, 2, 3], [2, 3, 3], [5, 5, 6], [5, 6, 6]]], 1, -1)
    np.testing.assert_allclose(np.concatenate(net.seen)[:4], expected, atol=1e-6)


def test_a_net_of_lungs_alone_is_shown_lungs_alone(scan):
    ct, lungs = scan
    net = Middle()
    probability_of(ct, lungs, net, dataclasses.replace(RECORD, inside_lungs=True), HowToPredict(5))
    assert (net.seen[0][..., 1][lungs[2:7, 4:36, 1:33] == 0] == 0).all()


def test_lungs_that_do_not_fit_and_none_at_all_are_named(scan):
    ct, lungs = scan
    lungs[2, :, 3] = 1
    with pytest.raises(ScanError, match=r"do not fit .*; the net was trained on such crops"):
        probability_of(ct, lungs, Middle(), RECORD, HowToPredict())
    with pytest.raises(ScanError, match="lung mask is empty"):
        probability_of(ct, lungs * 0, Middle(), RECORD, HowToPredict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "lungs"}, "the net finds lungs in ct"),
        ({"kind": "pictures"}, "in pictures; predict needs one that finds nodules in ct"),
        ({"spacing_mm": [1.0, 0.7, 0.7]}, r"trained on voxels of \[1\.0, 0\.7, 0\.7\] mm"),
        ({"spacing_mm": [2.5, 1.0, 1.0]}, r"trained on voxels of \[2\.5, 1\.0, 1\.0\] mm"),
    ],
)
def test_a_net_that_does_not_fit_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        check_fits(dataclasses.replace(RECORD, **change), (1.0, 1.0, 1.0))


def test_distance_of_slices_is_no_matter_to_a_net_of_single_slices():
    record = dataclasses.replace(RECORD, context=0, spacing_mm=[2.5, 1.0, 1.0])
    check_fits(record, (1.0, 1.0, 1.0))


@pytest.fixture
def folders(scan, tmp_path, monkeypatch):
    ct, lungs = scan
    inputs = {}
    for stage in ("resample", "segment-lungs"):
        inputs[stage] = tmp_path / stage
        inputs[stage].mkdir()
    volume_file.write(ct, inputs["resample"] / "ct.h5")
    volume_file.write(ct.like(lungs), inputs["segment-lungs"] / "lungs.h5")
    volume_file.write(ct.like(lungs != 0), inputs["segment-lungs"] / "region.h5")
    net = tmp_path / "nets" / "model.keras"
    net.parent.mkdir()
    with zipfile.ZipFile(net, "w"):
        pass
    write_model_record(dataclasses.replace(RECORD, train_scans=["1.9"]), net.parent)
    monkeypatch.setattr(inference, "load_net", lambda _: Middle())
    (tmp_path / "out").mkdir()

    def of(patient, scan="1.2"):
        record = Record(stage="resample", version=1, fingerprint="f", scan=scan, patient=patient)
        write_record(record, inputs["resample"] / "stage.json")
        return str(net), inputs, tmp_path / "out"

    return of


def test_it_writes_sixteen_bits_on_the_working_grid(folders, scan):
    net, inputs, out = folders("c")
    facts = run(Predict(model=net), inputs, out)
    found = volume_file.read(out / "probability.h5")
    expected, _ = probability_of(scan[0], scan[1], Middle(), RECORD, HowToPredict())
    assert found.array.dtype == np.uint16
    assert found.geometry == GEOMETRY
    np.testing.assert_allclose(found.array / 65535, expected, atol=1e-5)
    assert facts["slices"] == 5
    assert facts["part"] == "test"
    assert facts["max_probability"] == pytest.approx(expected.max(), abs=1e-4)
    assert json.loads((out / "net.json").read_text()) == {
        "sha256": hashlib.sha256(Path(net).read_bytes()).hexdigest(),
        "split_hash": "s", "table_fingerprint": "t", "best_epoch": 1,
        "precision": "float32", "calibration": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("patient", "part", "skipped"),
    [
        ("a", "test", True), ("b", "test", True), ("c", "test", False), ("a", "train", False),
        ("c", "validation", True), ("a", "all", False), ("x", "test", False),
    ],
)  # fmt: skip
def test_patients_of_other_parts_are_skipped(folders, patient, part, skipped):
    net, inputs, out = folders(patient)
    if skipped:
        with pytest.raises(ScanSkipped, match=f"predict.part is {part}"):
            run(Predict(model=net, part=part), inputs, out)
        assert not list(out.iterdir())
    else:
        run(Predict(model=net, part=part), inputs, out)
        assert (out / "probability.h5").is_file()


def test_a_scan_it_learnt_from_is_known_under_another_patients_name(folders):
    net, inputs, out = folders("renamed", scan="1.9")
    with pytest.raises(ScanSkipped, match="one of the net's train patients"):
        run(Predict(model=net), inputs, out)


def test_a_patient_who_cannot_be_compared_is_no_unseen_one(folders):
    """The net knows pseudonyms, and their key is not here: nobody may be scored as unseen."""
    net, inputs, out = folders("Smith")
    with zipfile.ZipFile(net, "w"):
        pass
    hashed = dataclasses.replace(RECORD, train_patients=[pseudonym("Smith", bytes(32))])
    write_model_record(hashed, Path(net).parent)
    for part in ("test", "train", "validation"):
        with pytest.raises(ScanSkipped, match=r"cannot be told .* set predict.part = unknown"):
            run(Predict(model=net, part=part), inputs, out)
    for part in ("unknown", "all"):
        assert run(Predict(model=net, part=part), inputs, out)["part"] == "unknown"
    (inputs["resample"].parent / KEY_FILE).write_text(bytes(32).hex())
    with pytest.raises(ScanSkipped, match="one of the net's train patients"):
        run(Predict(model=net), inputs, out)


def test_beyond_the_scans_border_the_net_sees_air(scan):
    ct, lungs = scan
    narrow = Volume(ct.array[:, :, :20].copy(), GEOMETRY)
    net = Middle()
    found, _ = probability_of(narrow, lungs[:, :, :20], net, RECORD, HowToPredict(5))
    seen = net.seen[0]
    beyond = (seen == 0).all(axis=(0, 1, 3))
    assert beyond.sum() == 32 - 20
    assert found.shape == narrow.shape


def test_a_slices_own_probability_counts_to_its_power(folders, monkeypatch):
    class TwoHeads(Middle):
        def predict_on_batch(self, x):
            whole = np.full((len(x), 1), 0.5, np.float32)
            return {"mask": super().predict_on_batch(x), SLICE: whole}

    monkeypatch.setattr(inference, "load_net", lambda _: TwoHeads())
    net, inputs, out = folders("c")
    highest = [
        run(Predict(model=net, slice_power=p), inputs, out)["max_probability"]
        for p in (0.0, 1.0, 2.0)
    ]
    assert highest == pytest.approx([highest[0], highest[0] / 2, highest[0] / 4], abs=2e-4)


class SmallOnesOnly(Middle):
    """A net that takes bright discs of up to 12 pixels for nodules, and larger ones for wall."""

    def predict_on_batch(self, x):
        from scipy.ndimage import find_objects, label

        middle = x[..., x.shape[-1] // 2] > 0.5
        likely = np.zeros(middle.shape, np.float32)
        for one, answer in zip(middle, likely, strict=True):
            parts, _ = label(one)
            for k, box in enumerate(find_objects(parts), 1):
                if max(s.stop - s.start for s in box) <= 12:
                    answer[parts == k] = 0.9
        self.seen.append(x.copy())
        return np.stack([1 - likely, likely], -1)


@pytest.fixture
def masses():
    """A ball of 20 mm and one of 5 in lungs of air: HU, lungs."""
    ct = np.full((40, 60, 60), -900, np.int16)
    z, y, x = np.indices(ct.shape)
    for (cz, cy, cx), radius in (((20, 30, 25), 10), ((20, 12, 46), 2.5)):
        ct[(z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = 30
    lungs = np.zeros(ct.shape, np.uint8)
    lungs[2:38, 4:56, 4:56] = 1
    return Volume(ct, GEOMETRY), lungs


WIDER = dataclasses.replace(RECORD, crop_px=64)


def test_at_half_its_size_a_mass_is_found_that_is_too_large_for_the_net(masses):
    ct, lungs = masses
    body = ct.array > 0
    whole, slices = probability_of(ct, lungs, SmallOnesOnly(), WIDER, HowToPredict())
    # At full size the small ball alone, and the caps of the large one.
    assert whole[20, 12, 46] == np.float32(0.9)
    assert whole[20, 30, 25] == 0
    assert slices == 36
    found, again = probability_of(ct, lungs, SmallOnesOnly(), WIDER, HowToPredict(halvings=1))
    assert again == 36
    large = (found >= 0.5)[:, :, :38]
    drawn = body[:, :, :38]
    assert 2 * (large & drawn).sum() / (large.sum() + drawn.sum()) > 0.9
    np.testing.assert_array_equal(found[:, :, 40:], whole[:, :, 40:])


def test_a_scan_is_halved_until_nothing_of_the_lungs_is_left(masses):
    ct, lungs = masses
    lungs[:] = 0
    lungs[20, 28:32, 23:27] = 1
    net = SmallOnesOnly()
    probability_of(ct, lungs, net, WIDER, HowToPredict(8, halvings=3))
    # Half of a block must be lung: one slice of two, and not one of four.
    assert len(net.seen) == 2


@pytest.mark.parametrize(
    ("asked", "of_net", "done"), [(-1, 1, 1), (-1, 0, 0), (0, 1, 0), (2, 1, 2)]
)
def test_the_nets_file_says_how_often_unless_the_setting_does(asked, of_net, done):
    record = dataclasses.replace(RECORD, halvings=of_net)
    assert HowToPredict.by(Predict(halvings=asked), record).halvings == done


def test_spacing_may_differ_by_rounding_and_no_more():
    check_fits(RECORD, (1.0, 1.0005, 1.0))
    with pytest.raises(DataError, match="trained on voxels of"):
        check_fits(RECORD, (1.0, 1.002, 1.0))


@pytest.fixture(scope="module")
def keras_net():
    """A net of one convolution, built for squares of 32: 3 x 3 pixels of its middle channel."""
    quiet_keras()
    import keras

    image = keras.Input((32, 32, 3), name="image")
    edge = keras.layers.Conv2D(2, 3, padding="same", activation="softmax")
    net = keras.Model(image, edge(image))
    kernel = np.random.default_rng(3).normal(0, 1, (3, 3, 3, 2))
    edge.set_weights([kernel.astype(np.float32), np.zeros(2, np.float32)])
    return net


@pytest.mark.parametrize(
    "how", [("auto", True, "bfloat16"), ("auto", False, "float32"), ("none", True, "float32")]
)
def test_it_tells_in_which_precision_it_computed(folders, keras_net, monkeypatch, how):
    asked, amx, precision = how
    net, inputs, out = folders("c")
    monkeypatch.setattr(inference, "load_net", lambda _: keras_net)
    monkeypatch.setattr(devices, "_capability", lambda: None)
    monkeypatch.setattr(devices, "backend", lambda: "tensorflow")
    monkeypatch.setattr(devices, "has_amx", lambda: amx)
    assert run(Predict(model=net, mixed_precision=asked), inputs, out)["precision"] == precision
    assert json.loads((out / "net.json").read_text())["precision"] == precision
    exact, _ = probability_of(
        volume_file.read_hu(inputs["resample"] / "ct.h5"),
        volume_file.read(inputs["segment-lungs"] / "lungs.h5").array,
        keras_net, RECORD, HowToPredict(),
    )  # fmt: skip
    found = volume_file.read(out / "probability.h5").array / 65535
    difference = np.abs(found - exact).max()
    assert (difference > 1e-4) == (precision == "bfloat16")
    assert difference < 0.02


@pytest.fixture
def long_scan():
    """Lungs of 40 slices, which wander to the right and are wider than the net's square."""
    ct = np.random.default_rng(0).integers(-1000, 400, (40, 70, 120)).astype(np.int16)
    lungs = np.zeros(ct.shape, np.uint8)
    for z in range(1, 39):
        lungs[z, 20:60, 10 + z : 60 + z] = 1
    return Volume(ct, GEOMETRY), lungs


def test_a_net_of_any_size_sees_the_box_of_the_lungs_in_each_slab(keras_net, long_scan):
    ct, lungs = long_scan
    found, slices = probability_of(ct, lungs, keras_net, RECORD, HowToPredict(8))
    assert slices == 38
    # What a window of 3 x 3 sees does not depend on where the box ends.
    free = inference.of_any_size(keras_net)
    shown = np.moveaxis((ct.array[[5, 6, 7]].astype(np.float32) + 1000) / 1400, 0, -1)
    whole = inference.predict(free, np.pad(shown, ((0, 26), (0, 8), (0, 0)))[None], 1)[0]
    inner = lungs[6] != 0
    np.testing.assert_allclose(found[6][inner], whole[:70, :120][inner], atol=1e-5)
    boxes = [np.argwhere(found[z] > 0) for z in (6, 22)]
    size = [np.ptp(box, axis=0) + 1 for box in boxes]
    # Columns 11 to 76 and 24 more pixels: 96 wide; rows 20 to 60 and 24 more: 64.
    assert size[0].tolist() == [64, 96]
    assert boxes[0][:, 1].min() < boxes[1][:, 1].min()
    assert not found[0].any()


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_the_number_of_slices_at_a_time_changes_nothing(keras_net, long_scan, batch_size):
    expected, _ = probability_of(*long_scan, keras_net, RECORD, HowToPredict(8))
    found, _ = probability_of(*long_scan, keras_net, RECORD, HowToPredict(batch_size))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_mirrors_are_the_mean_of_four_answers(keras_net, long_scan):
    ct, lungs = long_scan
    found, _ = probability_of(ct, lungs, keras_net, RECORD, HowToPredict(8, mirrors=True))
    total = np.zeros(ct.shape, np.float64)
    for flips in ((), (1,), (2,), (1, 2)):
        flipped = Volume(np.flip(ct.array, flips).copy(), GEOMETRY)
        one, _ = probability_of(
            flipped, np.flip(lungs, flips).copy(), keras_net, RECORD, HowToPredict(8)
        )
        total += np.flip(one, flips)
    inner = lungs != 0
    np.testing.assert_allclose(found[inner], total[inner] / 4, atol=1e-5)


def test_no_lungs_are_named_by_a_net_of_any_size(keras_net, long_scan):
    ct, lungs = long_scan
    with pytest.raises(ScanError, match="lung mask is empty"):
        probability_of(ct, lungs * 0, keras_net, RECORD, HowToPredict())


def test_slices_and_box_are_those_of_the_search_region(keras_net, long_scan):
    ct, lungs = long_scan
    region = lungs != 0
    region[39, 30, 100] = region[38, 5:60, 30:110] = True
    found, slices = probability_of(ct, lungs, keras_net, RECORD, HowToPredict(8), region=region)
    assert slices == 39
    assert (found[39] > 0).any()
    assert (found[38][region[38]] > 0).all()
