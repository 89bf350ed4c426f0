"""The nets that come with the package: whole, small, told of truly, as good as they should be."""

import io
import json
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from PIL import Image

from lungseg.cli import main
from lungseg.commands.segment_images import segment_images
from lungseg.core.fingerprint import digest_of_file
from lungseg.model.lung_net.opinion import ask
from lungseg.model.model_record import read_model_record
from lungseg.model.nets import TRAINED, shipped_nets
from lungseg.model.shipping.card import (
    as_markdown,
    card_of,
    read_card,
    read_facts,
    scores_of,
)
from lungseg.model.shipping.half_precision import SMALL
from lungseg.ops.lungs.bowel.gas import gas_doubts
from lungseg.ops.lungs.in_blocks import in_blocks
from lungseg.phantom.cases import case, organ
from lungseg.stages.segment_lungs import STAGE, SegmentLungs, segment
from tests.hard_cases import hard

NETS = shipped_nets()
MOST_MB = 12
# Each has learnt from so many at least; lungs are large and alike.
PATIENTS = {"nodules": 300, "xray-lungs": 300, "ct-lungs": 10, "ct-tumours": 8}
each_net = pytest.mark.parametrize("name", sorted(NETS))


def test_all_nets_together_are_small():
    assert sum(file.stat().st_size for file in NETS.values()) < MOST_MB * 1e6


@each_net
def test_a_net_is_kept_in_half_precision_without_an_optimiser(name):
    with zipfile.ZipFile(NETS[name]) as archive:
        assert archive.testzip() is None
        content = io.BytesIO(archive.read("model.weights.h5"))
    found = []
    with h5py.File(content) as weights:
        assert "optimizer" not in weights
        weights.visititems(
            lambda _, item: found.append(item) if getattr(item, "size", 0) > SMALL else None
        )
        assert found
        assert {item.dtype for item in found} == {np.dtype(np.float16)}


@each_net
def test_card_page_and_net_agree(name):
    card = read_card(NETS[name])
    scores = scores_of(card["scores"], NETS[name])
    made = card_of(NETS[name], read_facts(TRAINED / f"{name}.toml"), scores)
    assert json.loads(json.dumps(made)) == card
    assert NETS[name].with_suffix(".md").read_text("utf-8") == as_markdown(card)
    record = read_model_record(NETS[name])
    assert card["patients"]["train"] == len(set(record.train_patients)) >= PATIENTS[name]
    assert not set(record.train_patients) & set(record.validation_patients)


@each_net
def test_a_card_has_scores_limits_and_licences(name):
    card = read_card(NETS[name])
    assert card["scores"]["measured"]
    assert all(score["low"] <= score["value"] <= score["high"] for score in
               card["scores"]["measured"] if score["low"] is not None)  # fmt: skip
    assert len(card["limits"]) >= 3
    assert all(one["licence"] and one["citation"] for one in card["data"])
    assert "Not a medical device" in card["not_a_medical_device"]


@each_net
def test_no_place_of_the_machine_it_was_made_on_is_told(name):
    with zipfile.ZipFile(NETS[name]) as archive:
        text = archive.read("lungseg-cli.json").decode() + archive.read("config.json").decode()
    text += NETS[name].with_suffix(".json").read_text("utf-8")
    assert "/tmp" not in text
    assert "/home" not in text
    assert "/work/" not in text


def test_the_list_names_each_of_them():
    listed = CliRunner().invoke(main, ["models", "--json"]).output
    assert [row["name"] for row in json.loads(listed)["models"]] == sorted(NETS)
    assert not any(row["error"] for row in json.loads(listed)["models"])


def test_they_are_installed_with_the_package(monkeypatch):
    """What setuptools would put into a wheel, without making one."""
    from setuptools import Distribution

    monkeypatch.chdir(Path(__file__).parents[2])
    distribution = Distribution()
    distribution.parse_config_files(["pyproject.toml"])
    # Else it would look, and write, into what git knows.
    distribution.include_package_data = False
    built = distribution.get_command_obj("build_py")
    built.ensure_finalized()
    files = {name for package, _, _, names in built.data_files for name in names
             if package == "lungseg.trained"}  # fmt: skip
    wanted = {f"{name}.{kind}" for name in NETS for kind in ("keras", "json", "md", "toml")}
    assert wanted <= {Path(name).name for name in files}


@pytest.mark.data
@pytest.mark.skipif("xray-lungs" not in NETS, reason="NO NET: xray-lungs is not there yet")
def test_the_lungs_of_x_rays_are_found_turned_and_inverted_too(data, tmp_path):
    names = sorted(path.stem for path in (data / "xray" / "images").iterdir())[::100]
    films = {name: Image.open(data / "xray" / "images" / f"{name}.png").convert("L")
             for name in names}  # fmt: skip
    masks = {name: Image.open(data / "xray" / "masks" / f"{name}.png").convert("L")
             for name in names}  # fmt: skip
    changes = {
        "as they are": (lambda film: film, lambda mask: mask, 0.95),
        "negatives": (lambda film: film.point(lambda grey: 255 - grey), lambda mask: mask, 0.93),
        "turned": (lambda film: film.rotate(90), lambda mask: mask.rotate(90), 0.93),
    }
    for what, (of_film, of_mask, least) in changes.items():
        folder = tmp_path / what
        folder.mkdir()
        for name, film in films.items():
            of_film(film).save(folder / f"{name}.png")
        done = segment_images(
            NETS["xray-lungs"], sorted(folder.iterdir()), tmp_path / f"{what} out"
        )
        dices = []
        for name, one in zip(names, done, strict=True):
            found = np.asarray(Image.open(one.files["mask"])) > 0
            truth = np.asarray(of_mask(masks[name])) > 0
            dices.append(2 * np.count_nonzero(found & truth) / (found.sum() + truth.sum()))
        assert np.mean(dices) > least, what


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif("nodules" not in NETS, reason="NO NET: nodules is not there yet")
@pytest.mark.parametrize("within_mm", [13.0, hard(1000.0)], ids=["part", "whole"])
def test_the_nodule_of_a_scan_is_the_likeliest_candidate_in_its_size(data, tmp_path, within_mm):
    scan = tmp_path / "scan"
    scan.mkdir()
    for file in (data / "LIDC-IDRI" / "LIDC-IDRI-0314").rglob("*.dcm"):
        slice_mm = pydicom.dcmread(file, stop_before_pixels=True).ImagePositionPatient[2]
        if abs(slice_mm + 520.359) <= within_mm:
            (scan / file.name).symlink_to(file)
    done = CliRunner().invoke(main, ["detect", str(scan), "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["net"] == str(NETS["nodules"])
    # As LUNA16's annotations.csv has it: 15.5 mm wide.
    place, radius = np.array([-57.439, 131.233, -520.359]), 7.7
    best = max(told["candidates"], key=lambda one: one["probability"])
    at = np.array([best["coordX"], best["coordY"], best["coordZ"]])
    assert np.linalg.norm(at - place) < radius / 4
    assert best["diameter_mm"] == pytest.approx(2 * radius, rel=0.1)
    assert best["calibrated"] > 0.9


def test_masks_of_another_lung_net_are_of_another_version():
    """`segment-lungs` does not fingerprint the package's net: after 0.3.0 a new one raises it."""
    made_by = {2: "7a08f8b652243bcf"}
    assert digest_of_file(NETS["ct-lungs"])[:16] == made_by[STAGE.version]


@pytest.mark.skipif("ct-lungs" not in NETS, reason="NO NET: ct-lungs is not there yet")
@pytest.mark.parametrize(
    ("name", "least"),
    [
        hard("consolidation-right-lower", 0.8),
        hard("consolidation-left-upper", 0.8),
        ("collapse-right-upper", 0.6),
    ],
)  # fmt: skip
def test_a_lobe_without_air_is_lung_and_heart_and_liver_are_not(name, least):
    phantom = case(name, seed=9)
    labels, verdict = segment(phantom.ct, None, SegmentLungs())
    assert (labels.array > 0)[phantom.airless.array > 0].mean() >= least
    # The goal is 0.03 of each; a left upper lobe lies on the heart, and shows no edge there.
    for part, most in (("heart", 0.08), ("liver", 0.03)):
        assert (labels.array > 0)[organ(phantom, part)].mean() < most
    assert any("the lung net added about" in reason for reason in verdict.reasons)


@pytest.mark.skipif("ct-lungs" not in NETS, reason="NO NET: ct-lungs is not there yet")
@pytest.mark.parametrize("name", ["gas-right-1", hard("gas-left-5")])
def test_gas_of_the_bowel_in_a_mask_is_told_with_the_lung_nets_leave(name):
    phantom = case(name)
    gas = organ(phantom, "gas")
    side = name.split("-")[1]
    of_side = np.uint8(1 if side == "right" else 2)
    labels = np.where(gas, of_side, phantom.lungs.array)
    seen = in_blocks(phantom.ct, phantom.lungs.like(labels))
    (told,) = gas_doubts(seen, -450.0, ask(seen, NETS["ct-lungs"]).max(axis=0))
    assert told.endswith(f"below the {side} lung may be bowel")


@each_net
def test_a_broken_file_is_noticed(name, tmp_path):
    for kind in ("keras", "json"):
        shutil.copy(NETS[name].with_suffix(f".{kind}"), tmp_path)
    content = bytearray((tmp_path / f"{name}.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / f"{name}.keras").write_bytes(content)
    told = CliRunner().invoke(main, ["models", "show", str(tmp_path / f"{name}.keras")])
    assert told.exit_code == 1
    assert "is the card of another net" in " ".join(told.output.split())
