"""Nodule slices on disk: what is read, and what is left out with which words."""

import numpy as np
import pytest
from PIL import Image

from lungseg.core.errors import DataError
from lungseg.io.annotations.nodule_slices import COLUMNS, find_nodule_slices, read_bytes
from tests.io.annotations.slices_folder import SERIES, disc, nodule, write_slices


def only(found):
    assert found.left_out == ()
    (entry,) = found.nodules
    return entry


def change_line(folder, number, old, new):
    lines = (folder / "slices.csv").read_text().splitlines()
    assert old in lines[number - 1]
    lines[number - 1] = lines[number - 1].replace(old, new, 1)
    (folder / "slices.csv").write_text("\n".join(lines))


def test_a_nodule_comes_with_hu_and_the_masks_of_each_annotator(tmp_path):
    slopes = nodule(hu_slope=5.0, hu_offset=-1000.0)
    read = only(find_nodule_slices(write_slices(tmp_path, slopes))).read()
    assert (read.patient, read.series, read.nodule) == ("P1", SERIES, "1")
    assert read.hu.dtype == np.int16
    assert read.hu[1, 12, 12] == 0
    assert read.hu[0, 0, 0] == -500
    assert read.masks.shape == (2, 3, 24, 24)
    np.testing.assert_array_equal(read.masks, slopes["masks"])
    assert read.votes.max() == 2
    assert read.z_mm.tolist() == [10, 12, 14]
    assert (read.pixel_mm, read.first_yx) == (1.0, (100, 200))


def test_annotators_need_not_be_numbered_without_gaps(tmp_path):
    folder = write_slices(tmp_path, nodule(bits=[0, 3]))
    np.testing.assert_array_equal(only(find_nodule_slices(folder)).read().masks, nodule()["masks"])


def test_an_annotator_of_whom_nothing_lies_in_the_window_counts(tmp_path):
    masks = [disc(), np.zeros((3, 24, 24), bool)]
    read = only(find_nodule_slices(write_slices(tmp_path, nodule(masks)))).read()
    assert read.masks.sum(axis=(1, 2, 3)).tolist() == [disc().sum(), 0]


def test_the_digest_tells_every_change_of_pixels_and_lines(tmp_path):
    variants = [
        nodule(), nodule(pixel_mm=0.8), nodule(hu_offset=-1024), nodule([disc(), disc()]),
        nodule(grey=np.full((3, 24, 24), 7, np.uint8)), nodule(column0=201),
    ]  # fmt: skip
    digests = [
        only(find_nodule_slices(write_slices(tmp_path / str(k), each))).digest()
        for k, each in enumerate([*variants, nodule()])
    ]
    assert digests[0] == digests[-1]
    assert len(set(digests)) == len(variants)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"hu_slope": float("nan")}, r"slices.csv line 2: hu_slope is 'nan', not a finite number"),
        ({"hu_slope": 0}, "hu_slope is '0', not above 0"),
        ({"hu_offset": "inf"}, "hu_offset is 'inf', not a finite number"),
        ({"hu_offset": ""}, "hu_offset is '', not a number"),
        ({"pixel_mm": -1}, "line 2: pixel_mm is '-1', not above 0"),
        ({"row0": 1.5}, "row0 is '1.5', not a whole number"),
        ({"readers": 5}, "line 2: 5 annotators; a strip holds 1 to 4"),
        ({"readers": 1}, "nodule-bad_readers.png .*line 2.: 2 annotators drew, of 1"),
        ({"series": ""}, "line 2: patient, series or nodule is empty"),
        ({"z_mm": [3.0, 2.0, 4.0]}, "line 2: z_mm does not rise from row to row"),
        ({"z_mm": [1.0, 2.0]}, "image.webp has 72 x 24 pixels; .*line 2 tells of 2 slices"),
        ({"hu_slope": 500}, "line 2: slope and offset give 49000 to 99000 HU"),
    ],
)
def test_what_cannot_be_read_is_named_by_file_and_line_and_the_others_go_on(tmp_path, bad, words):
    folder = write_slices(tmp_path, nodule(nodule="bad", **bad), nodule(nodule="good"))
    found = find_nodule_slices(folder)
    assert [entry.nodule for entry in found.nodules] == ["good"]
    assert len(found.left_out) == 1
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found.left_out[0])
    assert found.left_out[0].startswith("P1 nodule bad: ")


def test_lines_of_one_nodule_must_agree_and_be_complete(tmp_path):
    folder = write_slices(tmp_path / "a", nodule())
    change_line(folder, 3, ",1.0,", ",0.9,")
    assert "line 2: pixel_mm is not the same" in find_nodule_slices(folder).left_out[0]
    folder = write_slices(tmp_path / "b", nodule())
    change_line(folder, 3, ",1,1,2,", ",1,5,2,")
    assert "line 2: its rows are not 0 to 2" in find_nodule_slices(folder).left_out[0]


def test_files_that_are_absent_damaged_or_do_not_match_are_named(tmp_path):
    folder = write_slices(tmp_path, *(nodule(nodule=str(k)) for k in range(5)))
    (folder / "P1" / "nodule-0_image.webp").unlink()
    (folder / "P1" / "nodule-1_readers.png").write_bytes(b"\x89PNG, but no more")
    wide = np.zeros((60, 20), np.uint8)
    Image.fromarray(wide).save(folder / "P1" / "nodule-2_readers.png")
    Image.fromarray(np.full((72, 24), 255, np.uint8)).save(folder / "P1" / "nodule-3_readers.png")
    found = find_nodule_slices(folder)
    assert [entry.nodule for entry in found.nodules] == ["4"]
    absent, damaged, narrow, other = found.left_out
    assert "nodule-0_image.webp cannot be read as a picture" in absent
    assert "nodule-1_readers.png cannot be read as a picture" in damaged
    assert "line 8: the windows of its two strips have 24 and 20 pixels" in narrow
    assert "nodule-3_readers.png" in other
    assert "4 annotators drew, of 2" in other


def test_a_table_without_a_column_is_refused(tmp_path):
    folder = write_slices(tmp_path, nodule(), columns=[c for c in COLUMNS if c != "z_mm"])
    with pytest.raises(DataError, match=r"slices.csv line 1: there is no column z_mm; it needs"):
        find_nodule_slices(folder)
    with pytest.raises(DataError, match="is not a file; expected a CSV of slices"):
        find_nodule_slices(tmp_path / "nowhere")


def test_pictures_with_colours_or_more_bits_are_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 60000]], np.uint16)).save(path)
    with pytest.raises(DataError, match=r"a.png is not a grey picture of 8 bits"):
        read_bytes(path)
    Image.fromarray(np.array([[True, False]])).save(path)
    assert read_bytes(path).tolist() == [[255, 0]]


@pytest.mark.data
@pytest.mark.hard
def test_all_real_nodules_are_read(data):
    if not (data / "nodules").is_dir():
        pytest.skip(f"NO REAL NODULES: {data / 'nodules'} is absent")
    found = find_nodule_slices(data / "nodules")
    assert len(found.nodules) == 1481
    assert found.left_out == ()
    assert len({entry.patient for entry in found.nodules}) == 635
    first = found.nodules[0].read()
    assert first.hu.shape == (5, 128, 128)
    assert first.masks.sum(axis=(1, 2, 3)).tolist() == [68, 93]
    assert first.z_mm.tolist() == [-220.0, -218.75, -217.5, -216.25, -215.0]
    assert first.first_yx == (131, 281)


def test_a_palette_is_read_by_its_colours(tmp_path):
    picture = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    picture.putpalette([255, 255, 255, 40, 40, 40])
    picture.save(tmp_path / "a.png")
    assert read_bytes(tmp_path / "a.png").tolist() == [[255, 40]]
