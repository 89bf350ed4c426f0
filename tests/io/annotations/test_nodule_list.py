"""nodules.json, there and back."""

from dataclasses import replace

import pytest

from lungseg.core.errors import DamagedOutputError
from lungseg.io.annotations.nodule_list import (
    IgnoredPoint,
    Nodule,
    NoduleList,
    read_nodules,
    write_nodules,
)

LIST = NoduleList(
    scan="1.2",
    truth="contours",
    nodules=(
        Nodule(
            label=1,
            readers=4,
            truth="contours",
            centroid_xyz_mm=(1.0, -2.5, 3.125),
            diameter_mm=8.5,
            min_diameter_mm=7.0,
            max_diameter_mm=9.0,
            volume_mm3=321.0,
            voxels=321,
            share_in_lungs=1.0,
            ratings={"malignancy": 3.25},
            ratings_median={"malignancy": 3.5},
            readings=("84", "85"),
        ),
    ),
    points=(IgnoredPoint(kind="non-nodule", xyz_mm=(1.0, 2.0, 3.0), key="1/a"),),
    outside=("annotation 9: ...",),
    problems=("list.csv, line 3: ...",),
)


def test_a_list_is_read_as_it_was_written(tmp_path):
    write_nodules(LIST, tmp_path / "nodules.json")
    assert read_nodules(tmp_path) == LIST
    assert read_nodules(tmp_path / "nodules.json").readers == {1: 4}


def test_numbers_are_written_to_three_decimals(tmp_path):
    (nodule,) = LIST.nodules
    exact = replace(nodule, centroid_xyz_mm=(1.23456, -7.65432, 0.0004), diameter_mm=8.12349)
    write_nodules(replace(LIST, nodules=(exact,)), tmp_path / "nodules.json")
    (back,) = read_nodules(tmp_path).nodules
    assert back == replace(nodule, centroid_xyz_mm=(1.235, -7.654, 0.0), diameter_mm=8.123)


@pytest.mark.parametrize(
    ("share", "told"), [(0.8996, "only 89 % of it"), (0.0, "only 0 % of it"), (0.9, None)]
)
def test_a_nodule_less_than_nine_tenths_inside_is_told_and_never_as_nine_tenths(share, told):
    (nodule,) = LIST.nodules
    found = replace(LIST, nodules=(replace(nodule, share_in_lungs=share),)).left_out
    assert len(found) == (told is not None)
    assert all(told in one for one in found)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"nodules": [{}], "points": []}', "{}"])
def test_a_damaged_list_is_named(tmp_path, text):
    (tmp_path / "nodules.json").write_text(text)
    with pytest.raises(DamagedOutputError, match=r"nodules\.json is not a list of nodules"):
        read_nodules(tmp_path)
