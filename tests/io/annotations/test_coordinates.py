"""Lists of nodule positions: three forms, and every row that cannot be used."""

import math

import pytest

from lungseg.core.errors import ConfigError
from lungseg.io.annotations.coordinates import read_coordinates, read_scan_list, unknown_scans
from tests.readings import box_reading, write_database

LUNA = "seriesuid,coordX,coordY,coordZ,diameter_mm\n"
PLAIN = "scan,x_mm,y_mm,z_mm,diameter_mm\n"
VIA = "id,case,scan,roi,volume,eq. diam.,x loc.,y loc.,slice no.,,nodIDs,,,\n"


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "list.csv"
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_luna16s_list_is_read(tmp_path, delimiter, encoding):
    text = LUNA + "1.2,-1.5,2,3e1,6.25\n\n1.2,10,20,30,8\n1.3,1,2,3,4\n"
    path = write(tmp_path, text.replace(",", delimiter), encoding)
    found = read_coordinates(path)
    assert not found.problems
    assert {scan: [f.line for f in rows] for scan, rows in found.findings.items()} == {
        "1.2": [2, 4],
        "1.3": [5],
    }
    first = found.findings["1.2"][0]
    assert first.xyz_mm == (-1.5, 2.0, 30.0)
    assert (first.min_diameter_mm, first.diameter_mm, first.max_diameter_mm) == (6.25,) * 3


def test_plain_with_two_diameters_and_readers(tmp_path):
    text = "z_mm,x_mm,y_mm,scan,min_diameter_mm,max_diameter_mm,readers,note\n3,1,2,a,4,9,2,hi\n"
    (finding,) = read_coordinates(write(tmp_path, text)).findings["a"]
    assert finding.xyz_mm == (1.0, 2.0, 3.0)
    assert (finding.min_diameter_mm, finding.diameter_mm, finding.max_diameter_mm) == (4, 6, 9)
    assert finding.readers == 2


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a,1,2,x,5", "line 3: z_mm is 'x', not a number"),
        ("a,1,2,nan,5", "line 3: z_mm is 'nan', not a finite number"),
        ("a,1,2", "line 3: diameter_mm|line 3: z_mm is '', not a number"),
        (",1,2,3,5", "line 3: scan is empty"),
        ("a,1,2,3,0.4", "line 3: a diameter of 0.4 mm; expected 1 to 100 mm"),
        ("a,1,2,3,1200", "line 3: a diameter of 1200 mm; expected 1 to 100 mm"),
        ("a,1,2,3,-5", "line 3: a diameter of -5 mm"),
        ("a,1,2,3,", "line 3: the diameter is unknown"),
        ("a,50.1,60.1,70.1,9", r"line 3: a duplicate of line 2 \(within 0.5 mm\)"),
    ],
)
def test_a_row_that_cannot_be_used_is_listed_with_its_line(tmp_path, row, problem):
    path = write(tmp_path, f"{PLAIN}a,50,60,70,5\n{row}\na,5,6,7,8\n")
    found = read_coordinates(path)
    assert [f.line for f in found.findings["a"]] == [2, 4]
    (listed,) = found.problems
    assert listed.text.startswith("list.csv, ")
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(listed.text)
    assert found.problems_of("a") == ((listed.text,) if listed.scan == "a" else ())


def test_a_row_near_another_is_a_nodule_of_its_own_beyond_half_a_millimetre(tmp_path):
    found = read_coordinates(write(tmp_path, f"{PLAIN}a,1,2,3,5\na,1,2,3.6,5\n"))
    assert (len(found.findings["a"]), found.problems) == (2, ())


@pytest.mark.parametrize(
    ("row", "sizes", "problem"),
    [("4,9,7", (4, 7, 9), None), ("4,9,", (4, 6, 9), None), ("0.5,50,", None, "of 0.5 mm")],
)
def test_of_three_diameters_each_is_kept_and_checked(tmp_path, row, sizes, problem):
    header = "scan,x_mm,y_mm,z_mm,min_diameter_mm,max_diameter_mm,diameter_mm\n"
    found = read_coordinates(write(tmp_path, f"{header}a,1,2,3,{row}\n"))
    if problem:
        assert problem in found.problems[0].text
        return
    (f,) = found.findings["a"]
    assert (f.min_diameter_mm, f.diameter_mm, f.max_diameter_mm) == sizes


def test_a_problem_of_luna16s_list_is_that_of_its_scan(tmp_path):
    found = read_coordinates(write(tmp_path, LUNA + "1.2,1,2,x,5\n"))
    assert found.problems_of("1.2") == ("list.csv, line 2: coordz is 'x', not a number",)


def test_diameters_the_wrong_way_round(tmp_path):
    text = "scan,x_mm,y_mm,z_mm,min_diameter_mm,max_diameter_mm\na,1,2,3,9,4\n"
    (problem,) = read_coordinates(write(tmp_path, text)).problems
    assert "min_diameter_mm 9 is above max_diameter_mm 4" in problem.text


def test_marks_to_ignore_need_no_size(tmp_path):
    path = write(tmp_path, LUNA + "1.2,1,2,3,-1\n")
    assert len(read_coordinates(path).problems) == 1
    (mark,) = read_coordinates(path, unknown_size=True).findings["1.2"]
    assert math.isnan(mark.diameter_mm)


@pytest.fixture
def database(tmp_path):
    z_mm = tuple(float(z) for z in range(10))
    scans = [
        ("1.1", "LIDC-IDRI-0007", 1.0, 0.7, z_mm, [box_reading("n1", z_mm[:1], 1, 1, 2, 2)]),
        ("2.1", "LIDC-IDRI-0132", 1.0, 0.7, z_mm, [box_reading("a", z_mm[:1], 1, 1, 2, 2)]),
        ("2.2", "LIDC-IDRI-0132", 1.0, 0.7, z_mm, [box_reading("b", z_mm[:1], 1, 1, 2, 2)]),
    ]
    return write_database(tmp_path / "own.sqlite", scans)


def test_vias_list_counts_from_one_and_from_the_head(tmp_path, database):
    rows = "1,7,30,1,52.3,4.64,317,367,3,,n1,n2,,\n2,132,31,1,52.3,4.64,5,6,10,,b,,,\n"
    found = read_coordinates(write(tmp_path, VIA + rows), database=database)
    assert not found.problems
    (one,), (two,) = found.findings["1.1"], found.findings["2.2"]
    assert (one.pixel_xy, one.z_mm, one.readers, one.xyz_mm) == ((316, 366), 7.0, 2, None)
    assert one.diameter_mm == 4.64
    assert (two.z_mm, two.readers) == (0.0, 1)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("1,8,30,1,52.3,4.64,317,367,3,,n1", "0 scans of LIDC-IDRI-0008"),
        ("1,132,30,1,52.3,4.64,317,367,3,,", r"0 scans of LIDC-IDRI-0132 .* \(none named\)"),
        ("1,7,30,1,52.3,4.64,317,367,11,,n1", "slice no. is 11; LIDC-IDRI-0007 has slices 1 to 10"),
        ("1,7,30,1,52.3,4.64,317,367,0,,n1", "slice no. is 0; LIDC-IDRI-0007 has slices 1 to 10"),
    ],
)
def test_vias_rows_that_fit_no_scan_are_listed(tmp_path, database, row, problem):
    (listed,) = read_coordinates(write(tmp_path, VIA + row), database=database).problems
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(listed.text)


def test_vias_names_are_asked_only_where_a_patient_has_two_scans(tmp_path, database):
    rows = "1,7,30,1,52.3,4.64,317,367,3,,n9\n2,7,30,1,52.3,4.64,317,367,4,,n9\n"
    found = read_coordinates(write(tmp_path, VIA + rows), database=database)
    # One place on two slices is two nodules.
    assert ([f.z_mm for f in found.findings["1.1"]], found.problems) == ([7.0, 6.0], ())


def test_vias_first_row_is_the_nodule_of_0001(tmp_path):
    row = "1,1,3000566,1,6459.75,23.107,317,367,43,,IL057_127364,Nodule 001,MI014_12127,0\n"
    found = read_coordinates(write(tmp_path, VIA + row)).findings
    uid = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"
    assert (found[uid][0].z_mm, found[uid][0].readers) == (-115.0, 4)


@pytest.mark.parametrize("header", ["x,y,z", "", "scan,x_mm,y_mm,z_mm,max_diameter_mm"])
def test_a_file_of_another_form_is_refused(tmp_path, header):
    with pytest.raises(ConfigError, match=r"list\.csv has the columns .*expected LUNA16's"):
        read_coordinates(write(tmp_path, header + "\n1,2,3\n"))


def test_a_file_that_is_no_csv_further_down_is_refused(tmp_path):
    path = write(tmp_path, PLAIN + "a,1,2,3,5\n" + "x" * 200_000 + "\n")
    with pytest.raises(ConfigError, match=r"list\.csv, line 3: field larger than .*expected a CSV"):
        read_coordinates(path)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.csv is not a file; expected a CSV"):
        read_coordinates(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match=r"none\.csv is not a file; expected a list of scan ids"):
        read_scan_list(tmp_path / "none.csv")


def test_scans_that_are_not_here_are_listed(tmp_path):
    found = read_coordinates(write(tmp_path, PLAIN + "a,1,2,3,5\nb,1,2,3,5\nb,9,2,3,5\n"))
    assert unknown_scans(found, {"a"}, "list.csv") == [
        "list.csv, line 3: there is no scan b here (2 rows)"
    ]


@pytest.mark.parametrize("header", ["seriesuid\n", "Scan\n", ""])
def test_a_list_of_scans_is_read(tmp_path, header):
    assert read_scan_list(write(tmp_path, f"{header}1.2\n\n1.3,x\n")) == {"1.2", "1.3"}


@pytest.mark.data
def test_luna16s_own_lists(data):
    folder = data / "luna16"
    found = read_coordinates(folder / "annotations.csv")
    assert sum(map(len, found.findings.values())) == 1186
    assert not found.problems
    assert len(found.findings) == 601
    scans = read_scan_list(folder / "seriesuids.csv")
    assert len(scans) == 888
    assert not unknown_scans(found, scans, "annotations.csv")
    excluded = read_coordinates(folder / "annotations_excluded.csv", unknown_size=True)
    assert sum(map(len, excluded.findings.values())) + len(excluded.problems) == 35192
    assert all(
        "a duplicate" in problem.text or "diameter" in problem.text for problem in excluded.problems
    )


def test_decimal_commas_are_read_where_semicolons_separate(tmp_path):
    text = LUNA.replace(",", ";") + "1.2;-1,5;2;30;6,25\n"
    (finding,) = read_coordinates(write(tmp_path, text)).findings["1.2"]
    assert (finding.xyz_mm, finding.diameter_mm) == ((-1.5, 2.0, 30.0), 6.25)


def test_a_row_with_too_many_cells_is_listed_and_not_shifted(tmp_path):
    (problem,) = read_coordinates(write(tmp_path, LUNA + "1.2,-1,5,2,0,30,6,25\n")).problems
    assert problem.scan == "1.2"
    assert problem.text.startswith("list.csv, line 2: 8 cells, the header has 5 (a comma for the")


def test_other_letters_are_refused_and_not_guessed(tmp_path):
    with pytest.raises(ConfigError, match=r"line 2 has the byte 0xfc, which is not UTF-8"):
        read_coordinates(write(tmp_path, PLAIN + "M\u00fcller,1,2,3,5\n", "latin-1"))


def test_a_list_of_scans_may_have_a_heading_in_any_column(tmp_path):
    assert read_scan_list(write(tmp_path, "n;scan\n1;1.2\n2;1.3\n")) == {"1.2", "1.3"}
