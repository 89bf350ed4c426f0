"""LIDC's XML files: equal to the database, and safe to read."""

import numpy as np
import pytest

from lungseg.core.errors import ConfigError, ScanError
from lungseg.io.annotations import lidc_database, lidc_xml
from tests.readings import box_reading, xml_text


@pytest.fixture(autouse=True)
def _fresh():
    lidc_xml.files_by_series.cache_clear()


def write(folder, text, name="a/069.xml"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("prefix", ["", "ns0"])
def test_sessions_readings_and_marks(tmp_path, prefix):
    one, two = box_reading("n 1", [1.5, 4.0], 3, 3, 6, 6), box_reading("n 1", [1.5], 4, 3, 6, 6)
    sessions = [([one], [(7, 8, 2.5)], []), ([two], [], [(9, 10, 3.5)]), ([], [], [])]
    path = write(tmp_path, xml_text("1.2.3", sessions, prefix))
    scan = lidc_xml.read_scan("1.2.3", tmp_path)
    assert (scan.scan, scan.sessions) == ("1.2.3", 3)
    assert [reading.key for reading in scan.readings] == ["1/n 1", "2/n 1"]
    np.testing.assert_array_equal(scan.readings[0].contours[1].points_xy, one.contours[1].points_xy)
    assert scan.readings[0].ratings == one.ratings
    assert [(m.kind, m.key, m.pixel_xy, m.z_mm) for m in scan.marks] == [
        ("nodule < 3 mm", "1/s", (7, 8), 2.5),
        ("non-nodule", "2/n", (9, 10), 3.5),
    ]
    assert lidc_xml.read_scan("1.2.30", tmp_path) is None
    assert lidc_xml.read_file(path).scan == "1.2.3"


def test_a_hole_and_a_rating_left_out(tmp_path):
    text = xml_text("1.2", [([box_reading("a", [1.0], 3, 3, 6, 6)], [], [])])
    text = text.replace("TRUE", "false").replace("<margin>3</margin>", "<margin>0</margin>")
    write(tmp_path, text)
    (reading,) = lidc_xml.read_scan("1.2", tmp_path).readings
    assert not reading.contours[0].inclusion
    assert "margin" not in reading.ratings
    assert len(reading.ratings) == 8


def test_files_that_are_not_lidcs_are_left_out(tmp_path):
    write(tmp_path, xml_text("1.2", []))
    write(tmp_path, xml_text("1.2", []), "b/copy.xml")
    write(tmp_path, "<IdriReadMessage><CXRSeriesInstanceUid>1.5</CXRSeriesInstanceUid>", "x.xml")
    write(tmp_path, xml_text("1.2", [([], [], [])]), "._069.xml")  # what macOS leaves on a disk
    assert {uid: len(paths) for uid, paths in lidc_xml.files_by_series(tmp_path).items()} == {
        "1.2": 2
    }
    assert lidc_xml.read_scan("1.2", tmp_path).readings == ()


def test_two_files_that_differ_about_a_scan_are_named(tmp_path):
    write(tmp_path, xml_text("1.2", []))
    write(tmp_path, xml_text("1.2", [([], [], [])]), "b.xml")
    with pytest.raises(ScanError, match=r"2 XML files read the scan 1\.2 differently: .*b\.xml"):
        lidc_xml.read_scan("1.2", tmp_path)


def test_entities_cannot_make_a_small_file_endless(tmp_path):
    bomb = '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    path = write(tmp_path, xml_text("1.2", []).replace("\n<Lidc", f"\n{bomb}<Lidc"))
    with pytest.raises(ScanError, match=r"069\.xml declares a document type \(lolz\)"):
        lidc_xml.read_file(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</readingSession>", "", "not well-formed XML"),
        ("<imageZposition>1.000000 </imageZposition>", "", "<roi> lacks <imageZposition>"),
        ("<xCoord>2</xCoord>", "<xCoord>two</xCoord>", "incomplete|not a complete LIDC reading"),
        ("<noduleID>a</noduleID>", "", "<unblindedReadNodule> lacks <noduleID>"),
        ("SeriesInstanceUid>", "Other>", "<ResponseHeader> lacks <SeriesInstanceUid>"),
    ],
)
def test_a_damaged_file_is_named_with_what_it_lacks(tmp_path, old, new, message):
    text = xml_text("1.2", [([box_reading("a", [1.0], 3, 3, 6, 6)], [], [])])
    assert old in text
    with pytest.raises(ScanError, match=rf"069\.xml.* {message}"):
        lidc_xml.read_file(write(tmp_path, text.replace(old, new)))


def test_a_small_nodule_on_several_slices_is_marked_on_the_middle_one(tmp_path):
    text = xml_text("1.2", [([], [(1, 2, 3.0)], [])])
    roi = "<roi>" + text.partition("<roi>")[2].partition("</roi>")[0] + "</roi>"
    others = [roi.replace("3.000000", f"{z:.6f}").replace(">1<", f">{z}<") for z in (4, 5)]
    write(tmp_path, text.replace(roi, roi + "".join(others)))
    (mark,) = lidc_xml.read_scan("1.2", tmp_path).marks
    assert (mark.pixel_xy, mark.z_mm) == ((4, 2), 4.0)


def test_a_nodule_of_nothing_is_refused(tmp_path):
    text = xml_text("1.2", [([], [(1, 2, 3.0)], [])])
    head, _, rest = text.partition("<roi>")
    text = head + rest.partition("</roi>")[2]
    with pytest.raises(ScanError, match="nodule 1/s has neither a contour nor a point"):
        lidc_xml.read_file(write(tmp_path, text))


def test_a_missing_folder_and_a_folder_without_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match="none is not a folder; expected LIDC's XML files"):
        lidc_xml.read_scan("1", tmp_path / "none")
    with pytest.raises(ConfigError, match=r"no XML file in .* has a SeriesInstanceUid"):
        lidc_xml.read_scan("1", tmp_path)


@pytest.mark.data
def test_real_files_say_what_the_database_says(data):
    by_series = lidc_xml.files_by_series(data / "xml")
    assert len(by_series) == 4
    for uid in by_series:
        xml, database = lidc_xml.read_scan(uid, data / "xml"), lidc_database.read_scan(uid)
        assert xml.sessions == 4
        assert len(xml.readings) == len(database.readings)
        for one, other in zip(xml.readings, database.readings, strict=True):
            assert one.ratings == other.ratings
            assert signature(one) == signature(other)
        assert {mark.kind for mark in xml.marks} <= {"nodule < 3 mm", "non-nodule"}
        assert len(xml.marks) > 20


def signature(reading):
    return sorted((c.z_mm, c.inclusion, c.points_xy.tolist()) for c in reading.contours)
