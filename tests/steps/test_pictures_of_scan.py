"""One PNG per scan, and candidates, on the phantom: what is drawn lies where it should."""

import re
import shutil

import numpy as np
import pytest

from lungseg.core.record import Record, write_record
from lungseg.io.annotations.nodule_list import NoduleList, write_nodules
from lungseg.io.results.candidate_list import read_detections
from lungseg.io.volumes import volume_file
from lungseg.ops.grid.resample import labels_to_grid
from lungseg.ops.overlay import BY_VOTES, DETECTED, LEFT_LUNG, RIGHT_LUNG
from lungseg.phantom.small_chest import chest
from lungseg.stages import find_nodules, reduce_false_positives, resample
from lungseg.steps import pictures_of_scan
from lungseg.steps.pictures_of_scan import write_picture_of_scan
from tests.commands.bright_net import write_bright_net
from tests.hard_cases import hard
from tests.io.pictures.picture_files import read_rgb


@pytest.fixture(scope="module", params=[("", 0.0), ("zx", 0.0), hard(("y", 12.0))])
def scan(request, tmp_path_factory):
    """A phantom, run through resample and find-nodules with its own nodules as probability."""
    flip, tilt = request.param
    phantom = chest((2.5, 1.5, 1.5), z_range_mm=(-60.0, 80.0), flip=flip, tilt_deg=tilt)
    root = tmp_path_factory.mktemp("scan")
    folders = {}
    for name in ("ingest", "resample", "segment-lungs", "predict", "annotate-nodules",
                 "find-nodules", "reduce-false-positives"):  # fmt: skip
        folders[name] = root / name
        folders[name].mkdir()
        record = Record(
            stage=name, version=1, fingerprint="0", scan="1.2.3", patient="PHANTOM",
            facts={"verdict": "good", "candidates": 4, "nodules": 4, "threshold": 0.5},
        )  # fmt: skip
        write_record(record, folders[name] / "stage.json")
    volume_file.write(phantom.ct, folders["ingest"] / "ct.h5", padding_hu=float("nan"))
    resample.STAGE.run(resample.Resample(), folders, folders["resample"])
    shape, grid = volume_file.read_geometry(folders["resample"] / "ct.h5")
    lungs = labels_to_grid(phantom.lungs, shape, grid)
    nodules = labels_to_grid(phantom.nodules, shape, grid)
    volume_file.write(lungs, folders["segment-lungs"] / "lungs.h5")
    volume_file.write(nodules, folders["annotate-nodules"] / "nodules.h5")
    votes = nodules.like((nodules.array > 0).astype(np.uint8) * np.uint8(4))
    volume_file.write(votes, folders["annotate-nodules"] / "votes.h5")
    known = NoduleList(scan="1.2.3", truth="contours")
    write_nodules(known, folders["annotate-nodules"] / "nodules.json")
    p = nodules.like((nodules.array > 0).astype(np.uint16) * np.uint16(60000))
    volume_file.write(p, folders["predict"] / "probability.h5")
    (folders["predict"] / "net.json").write_text("{}")
    find_nodules.STAGE.run(find_nodules.FindNodules(), folders, folders["find-nodules"])
    net = write_bright_net(root / "net")
    reduce = reduce_false_positives.ReduceFalsePositives(model=str(net))
    reduce_false_positives.STAGE.run(reduce, folders, folders["reduce-false-positives"])
    return phantom, folders


def test_candidates_are_within_a_millimetre_of_the_phantoms_nodules(scan):
    phantom, folders = scan
    labels = [k for k in np.unique(phantom.nodules.array) if k]
    truth = [
        phantom.ct.geometry.to_world(np.argwhere(phantom.nodules.array == k).mean(axis=0))
        for k in labels
    ]
    found = np.array(
        [d.xyz_mm for d in read_detections(folders["find-nodules"] / "candidates.csv")]
    )
    assert len(found) == len(truth) == 4
    for centre in truth:
        assert np.linalg.norm(found - centre, axis=1).min() < 1.0


def test_a_picture_shows_lungs_votes_and_detections(scan, tmp_path):
    _, folders = scan
    write_picture_of_scan(folders, tmp_path / "a.png")
    picture = read_rgb(tmp_path / "a.png")
    for colour in (RIGHT_LUNG, LEFT_LUNG, DETECTED):
        assert np.count_nonzero((picture == colour).all(axis=-1)) > 50
    # The right lung lies at the left in the first panel.
    column = {
        c: np.argwhere((picture[:, :370] == c).all(axis=-1))[:, 1].mean()
        for c in (RIGHT_LUNG, LEFT_LUNG)
    }
    assert column[RIGHT_LUNG] < column[LEFT_LUNG]


def test_a_picture_needs_no_more_than_the_resampled_scan(scan, tmp_path):
    _, folders = scan
    write_picture_of_scan({"resample": folders["resample"]}, tmp_path / "a.png")
    picture = read_rgb(tmp_path / "a.png")
    assert not (picture == BY_VOTES[0]).all(axis=-1).any()
    assert picture.shape[1] > 1000


def test_a_picture_cuts_the_largest_known_nodule_and_tells_the_lungs_volume(
    scan, tmp_path, monkeypatch
):
    phantom, folders = scan
    told = {}
    draw = pictures_of_scan.sheet
    monkeypatch.setattr(
        pictures_of_scan,
        "sheet",
        lambda ct, lines, **how: told.update(how) or draw(ct, lines, **how),
    )
    monkeypatch.setattr(
        pictures_of_scan, "write_sheet", lambda _rows, title, _path: told.update(title=title)
    )
    write_picture_of_scan(folders, tmp_path / "a.png")
    nodules = volume_file.read(folders["annotate-nodules"] / "nodules.h5").array
    assert nodules[told["focus"]] == np.bincount(nodules[nodules > 0]).argmax()
    ml = np.count_nonzero(phantom.lungs.array) * phantom.ct.voxel_ml
    said = float(re.search(r"lungs (\d+) ml, good", told["title"])[1])
    assert said == pytest.approx(ml, rel=0.02)
    # What was detected is cut only where nothing is known, and then the likeliest.
    only = {name: folder for name, folder in folders.items() if name != "annotate-nodules"}
    write_picture_of_scan(only, tmp_path / "a.png")
    found = volume_file.read(folders["find-nodules"] / "nodules.h5").array
    assert found[told["focus"]] == found[found > 0].min()


def test_known_nodules_are_cut_before_detected_ones(scan, tmp_path, monkeypatch):
    _, folders = scan
    told = {}
    draw = pictures_of_scan.sheet
    monkeypatch.setattr(
        pictures_of_scan,
        "sheet",
        lambda ct, lines, **how: told.update(how) or draw(ct, lines, **how),
    )
    known = volume_file.read(folders["annotate-nodules"] / "nodules.h5")
    elsewhere = known.like(np.zeros_like(known.array))
    elsewhere.array[3, 4, 5] = 1
    other = tmp_path / "annotate-nodules"
    shutil.copytree(folders["annotate-nodules"], other)
    volume_file.write(elsewhere, other / "nodules.h5")
    write_picture_of_scan({**folders, "annotate-nodules": other}, tmp_path / "a.png")
    assert told["focus"] == (3, 4, 5)
