"""Which source of annotations is used for a scan."""

import math

import pytest

from lungseg.core.errors import ConfigError
from lungseg.steps.truth import TruthSources, known_truth
from tests.readings import box_reading, write_database, xml_text

Z = (0.0, 2.0, 4.0)


@pytest.fixture
def sources(tmp_path):
    one = box_reading("n", Z, 3, 3, 6, 6)
    database = write_database(
        tmp_path / "own.sqlite",
        [("1.1", "P1", 2.5, 0.7, Z, [one]), ("1.2", "P2", 2.5, 0.7, Z, [])],
    )
    folder = tmp_path / "xml"
    folder.mkdir()
    (folder / "a.xml").write_text(xml_text("1.1", [([one, one], [(1, 2, 3.0)], [])]))
    (folder / "b.xml").write_text(xml_text("1.5", [([], [], [(1, 2, 3.0)])]))
    table = tmp_path / "points.csv"
    table.write_text(
        "scan,x_mm,y_mm,z_mm,diameter_mm\n1.1,1,2,3,5\n1.3,1,2,3,5\n1.3,9,9,9,999\n1.4,1,2,3,999\n"
    )
    read = tmp_path / "read.csv"
    read.write_text("1.3\n1.4\n1.6\n")
    return {"database": database, "xml": folder, "coordinates": table, "scans_read": read}


@pytest.mark.parametrize(
    ("scan", "prefer", "use", "kind"),
    [
        ("1.1", "auto", "database coordinates", "contours"),
        ("1.1", "coordinates", "database coordinates", "coordinates"),
        ("1.2", "auto", "database coordinates", "none"),
        ("1.3", "auto", "database coordinates", "coordinates"),
        ("1.3", "contours", "database coordinates", "unannotated"),
        ("1.3", "auto", "database", "unannotated"),
        ("1.5", "auto", "database", "unannotated"),
        ("1.5", "auto", "database xml", "none"),
        ("1.6", "auto", "database coordinates", "unannotated"),
        ("1.6", "auto", "database coordinates scans_read", "none"),
        # its only row cannot be used: that is not a scan without nodules
        ("1.4", "auto", "database coordinates scans_read", "unannotated"),
    ],
)
def test_contours_stand_before_coordinates_and_silence_is_no_negative(
    sources, scan, prefer, use, kind
):
    chosen = {name: sources[name] for name in use.split()}
    assert known_truth(scan, TruthSources(prefer=prefer, **chosen)).kind == kind


def test_xml_stands_before_the_database_and_brings_its_marks(sources):
    plain = known_truth("1.1", TruthSources(database=sources["database"]))
    both = known_truth("1.1", TruthSources(database=sources["database"], xml=sources["xml"]))
    assert [len(truth.readings) for truth in (plain, both)] == [1, 2]
    assert [len(truth.marks) for truth in (plain, both)] == [0, 1]
    assert (both.tolerance_mm, both.pixel_mm) == (2.5, 0.7)
    alone = known_truth("1.5", TruthSources(database=sources["database"], xml=sources["xml"]))
    assert math.isnan(alone.tolerance_mm)


def test_rows_that_cannot_be_used_come_along(sources):
    truth = known_truth(
        "1.3", TruthSources(database=sources["database"], coordinates=sources["coordinates"])
    )
    assert len(truth.findings) == 1
    assert "line 4: a diameter of 999 mm" in truth.problems[0]


def test_coordinates_without_a_file_are_a_mistake(sources):
    with pytest.raises(
        ConfigError, match=r"no file of coordinates is named\nset coordinates=FILE.csv"
    ):
        known_truth("1.1", TruthSources(prefer="coordinates", database=sources["database"]))
