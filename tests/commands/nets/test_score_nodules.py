"""models score: from strips of slices to scores per nodule, by a net that knows no doubt."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from lungseg.cli import main
from lungseg.commands.nets.score_nodules import HowToScore, drawn_of_others, score_nodules
from lungseg.core.errors import ConfigError, DataError
from lungseg.io.annotations.nodule_slices import COLUMNS
from lungseg.model.inference import load_net
from lungseg.model.model_record import copy_with_record, read_model_record
from lungseg.ops.nodules.windows import NoduleSlices
from lungseg.steps.predict_window import probability_in_window
from tests.commands.bright_net import write_bright_net

SLOPE, OFFSET = 5.0, -1000.0
PX, MM = 40, 0.8


def ball(radius_mm, z_mm, shift=0.0):
    """A ball around the window's middle and z = 0, on the slices' own pixels."""
    at = (np.arange(PX) - (PX - 1) / 2) * MM
    z, y, x = np.meshgrid(z_mm, at, at - shift, indexing="ij")
    return z**2 + y**2 + x**2 <= radius_mm**2


def write_slices(folder, nodules):
    """Strips and slices.csv of ``(patient, nodule, hu, masks, z_mm, first_yx)``."""
    lines = []
    for patient, nodule, hu, masks, z_mm, first_yx in nodules:
        (folder / patient).mkdir(parents=True, exist_ok=True)
        grey = np.rint((hu - OFFSET) / SLOPE).astype(np.uint8)
        bits = sum(mask.astype(np.uint8) * (16 << k) for k, mask in enumerate(masks))
        for name, strip in (("image", grey), ("readers", bits)):
            picture = Image.fromarray(strip.reshape(-1, PX))
            picture.save(folder / patient / f"nodule-{nodule}_{name}.png")
        lines += [
            (patient, f"1.2.{patient}", nodule, row, len(masks), z, MM, *first_yx, SLOPE, OFFSET)
            for row, z in enumerate(z_mm)
        ]
    with (folder / "slices.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *lines])


def nodule(patient, name, radius_mm, drawn_mm):
    """A bright ball in lung, and annotators who drew balls of these radii."""
    z = np.arange(-10, 10.1, 2.0)
    hu = np.where(ball(radius_mm, z), 0, -850)
    return patient, name, hu, [ball(r, z) for r in drawn_mm], z, (100, 120)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    folder = tmp_path_factory.mktemp("net")
    return write_bright_net(folder, inside_lungs=False, spacing_mm=[1.0, 1.0, 1.0])


def scored(net, folder, *words):
    done = CliRunner().invoke(
        main, ["models", "score", str(net), "--slices", str(folder), *map(str, words)]
    )
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def document(net, folder, *words):
    done = scored(net, folder, "--bootstraps", "20", "--json", *words)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_ball_is_found_as_it_was_drawn_in_its_own_pixels(net, tmp_path):
    write_slices(tmp_path, [nodule("p", "0", 7.0, (7.0, 7.0, 6.0))])
    found = document(net, tmp_path)
    # To 1 mm and back a ball of 14 mm loses little of its rim.
    assert found["all"]["dice"]["value"] > 0.95
    assert found["all"]["nodules"] == 1
    assert found["all"]["volume_ratio"]["value"] == pytest.approx(1, abs=0.06)
    assert list(found["by_size"]) == ["8 mm and more", "8 to 15 mm"]
    z = np.arange(-10, 10.1, 2.0)
    big, small = ball(7.0, z), ball(6.0, z)
    pair = 2 * (big & small).sum() / (big.sum() + small.sum())
    expected = (1 + 2 * pair) / 3
    assert found["all"]["annotators_with_annotators"]["value"] == pytest.approx(expected, abs=1e-6)


def test_what_the_net_is_nowhere_sure_of_is_left_out_whole(net, tmp_path):
    """At -250 HU it is sure by 0.8, at 0 HU wholly."""
    who, name, hu, masks, z, first = nodule("p", "0", 5.0, (5.0, 5.0))
    faint = ball(3.0, z, shift=12.0)
    write_slices(tmp_path, [(who, name, np.where(faint, -250, hu), masks, z, first)])
    precision = {
        sure: document(net, tmp_path, "--sure", sure)["all"]["precision"]["value"]
        for sure in (0, 0.7, 0.95)
    }
    assert precision[0] == precision[0.7] < 0.9
    assert precision[0.95] > 0.95
    # Without a word it is as the net's own record says.
    surer = tmp_path / "surer.keras"
    copy_with_record(net, replace(read_model_record(net), sure=0.95), surer)
    found = document(surer, tmp_path)
    assert (found["sure"], found["all"]["precision"]["value"]) == (0.95, precision[0.95])


def test_the_window_comes_back_to_its_own_slices(net, tmp_path):
    record = read_model_record(net)
    z = np.array([-6.0, -3.5, -1.0, 1.5, 4.0, 6.5])
    hu = np.where(ball(5.0, z, shift=4.0), 0, -850).astype(np.int16)
    window = NoduleSlices(
        patient="p", series="s", nodule="0", hu=hu, masks=hu[None] == 0, z_mm=z, pixel_mm=MM,
        first_yx=None,
    )  # fmt: skip
    likely = probability_in_window(window, load_net(net), record)
    assert likely.shape == hu.shape
    found, drawn = likely >= 0.5, hu == 0
    assert 2 * (found & drawn).sum() / (found.sum() + drawn.sum()) > 0.93
    for of in (found, drawn):
        assert np.argwhere(of).mean(axis=0)[2] == pytest.approx((PX - 1) / 2 + 4.0 / MM, abs=0.2)


def test_patients_that_the_net_has_seen_are_left_out_and_counted(net, tmp_path):
    write_slices(
        tmp_path,
        [nodule(who, "0", 6.0, (6.0, 6.0)) for who in ("taught", "chosen-on", "new", "newer")],
    )
    found = document(net, tmp_path)
    assert found["all"]["patients"] == 2
    assert found["left_out"] == {
        "of the net's part train": 1,
        "of the net's part validation": 1,
    }
    everybody = document(net, tmp_path, "--part", "all")
    assert everybody["parts"] == {"train": 1, "validation": 1, "test": 2}
    assert "no proof" in scored(net, tmp_path, "--part", "all", "--bootstraps", 5).output


@pytest.mark.parametrize("text", ["new\n", "patient,part\nnew,test\nnewer,train\n"])
def test_patients_can_be_named(net, tmp_path, text):
    write_slices(tmp_path, [nodule(who, "0", 6.0, (6.0, 6.0)) for who in ("new", "newer")])
    (tmp_path / "who.csv").write_text(text)
    found = document(net, tmp_path, "--patients", tmp_path / "who.csv")
    assert found["all"]["patients"] == 1
    assert found["left_out"] == {"not among the patients asked for": 1}


def test_a_list_of_patients_that_names_nobody_is_refused(net, tmp_path):
    write_slices(tmp_path, [nodule("new", "0", 6.0, (6.0, 6.0))])
    (tmp_path / "who.csv").write_text("patient\n")
    with pytest.raises(DataError, match="names nobody; expected ids of patients or scans"):
        score_nodules(str(net), tmp_path, HowToScore(patients=tmp_path / "who.csv"))


def test_no_nodule_to_score_says_why(net, tmp_path):
    write_slices(tmp_path, [nodule("taught", "0", 6.0, (6.0, 6.0))])
    with pytest.raises(ConfigError, match="is left to score: 1 of the net's part train"):
        score_nodules(str(net), tmp_path, HowToScore())
    assert scored(net, tmp_path).exit_code == 2


def test_another_nodule_in_the_window_is_no_false_positive(net, tmp_path):
    z = np.arange(-10, 10.1, 2.0)
    one, two = ball(5.0, z, shift=-8.0), ball(5.0, z, shift=8.0)
    hu = np.where(one | two, 0, -850)
    both = [
        ("p", "0", hu, [one, one], z, (100, 120)),
        ("p", "1", np.roll(hu, 3, axis=2), [np.roll(two, 3, axis=2)] * 2, z, (100, 117)),
    ]
    write_slices(tmp_path, both)
    assert document(net, tmp_path)["all"]["dice"]["value"] > 0.9
    write_slices(tmp_path, both[:1])
    assert document(net, tmp_path)["all"]["dice"]["value"] < 0.7


def test_what_others_drew_is_laid_where_their_window_lies():
    def window(first_yx, z_mm, drawn):
        masks = np.zeros((1, 2, 4, 4), bool)
        masks[(0, *drawn)] = True
        return NoduleSlices(
            patient="p", series="s", nodule="0", hu=np.zeros((2, 4, 4), np.int16), masks=masks,
            z_mm=np.asarray(z_mm, float), pixel_mm=1.0, first_yx=first_yx,
        )  # fmt: skip

    here = window((10, 20), (5, 6), (0, 0, 0))
    other = window((12, 19), (6, 7), (0, 1, 3))
    assert np.argwhere(drawn_of_others(here, [other])).tolist() == [[1, 3, 2]]
    assert not drawn_of_others(here, [window((40, 20), (5, 6), (0, 0, 0))]).any()
    assert not drawn_of_others(here, [window(None, (5, 6), (0, 0, 0))]).any()


def test_files_and_pictures_are_written(net, tmp_path):
    write_slices(
        tmp_path,
        [nodule("a", "0", 7.0, (7.0, 7.0)), nodule("b", "0", 4.0, (6.0, 7.0))],
    )
    done = scored(
        net, tmp_path, "--out", tmp_path / "out" / "s.json", "--pictures", tmp_path / "png",
        "--bootstraps", 10,
    )  # fmt: skip
    assert done.output.splitlines()[1].split()[:3] == ["all", "2", "2"]
    told = json.loads((tmp_path / "out" / "s.json").read_text())
    assert told["definitions"]["fifth_reader"]
    with (tmp_path / "out" / "s.csv").open() as file:
        rows = {row["patient"]: row for row in csv.DictReader(file)}
    assert float(rows["a"]["dice"]) > float(rows["b"]["dice"])
    assert rows["b"]["annotators"] == "2"
    names = sorted(path.name for path in (tmp_path / "png").iterdir())
    assert names == ["best.png", "median.png", "worst_01.png", "worst_02.png"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "lungs"}, "the net finds lungs in ct; expected one that finds nodules in CT"),
        ({"inside_lungs": True}, "inside lung masks, which windows lack"),
    ],
)
def test_a_net_of_something_else_is_refused(tmp_path, changes, message):
    changed = {"inside_lungs": False, "spacing_mm": [1.0, 1.0, 1.0], **changes}
    net = write_bright_net(tmp_path / "net", **changed)
    write_slices(tmp_path, [nodule("p", "0", 6.0, (6.0, 6.0))])
    with pytest.raises(DataError, match=message):
        score_nodules(str(net), tmp_path, HowToScore())


def test_a_window_too_large_for_a_net_of_one_size_is_refused(net, monkeypatch):
    record = read_model_record(net)
    monkeypatch.setattr("lungseg.model.inference.of_any_size", lambda _: None)
    window = NoduleSlices(
        patient="p", series="s", nodule="0", hu=np.zeros((1, 200, 200), np.int16),
        masks=np.ones((1, 1, 200, 200), bool), z_mm=np.zeros(1), pixel_mm=0.7, first_yx=None,
    )  # fmt: skip
    with pytest.raises(DataError, match="takes 96 x 96 pixels and the window has 140 x 140"):
        probability_in_window(window, load_net(net), record)
