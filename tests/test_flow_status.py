"""Status, and notes that are told once, in a folder of several scans."""

from click.testing import CliRunner

from lungseg.cli import main
from lungseg.commands import run_stages
from lungseg.io.annotations import lidc_xml
from lungseg.io.annotations.nodule_segments import files_below, told_of
from lungseg.model.nets import current_net
from tests.io.annotations.segment_files import blob, write_segment
from tests.io.dicom.dicom_files import positions, write_series
from tests.io.standards.test_segmentation import HEADER, STORED, scan_in
from tests.test_flow import list_nodules, lungseg
from tests.test_flow_results import work

__all__ = ["work"]


def test_notes_on_the_list_of_nodules_are_told_once_and_by_status(work, tmp_path):
    listed = tmp_path / "more.csv"
    list_nodules(listed)
    listed.write_text(listed.read_text() + "9.9.9,1,2,3,5\n")
    more = ["--set", f"annotate-nodules.coordinates={listed}"]
    note = "note     more.csv, line 5: there is no scan 9.9.9 here (1 rows)"

    def told(*arguments):
        words = ["preprocess", "--work", work, "--quiet", "--jobs", 1, *arguments]
        return CliRunner().invoke(main, [str(word) for word in words]).stderr

    assert note in told(*more, "--dry-run")
    assert note in told(*more)
    assert note not in told()
    assert note in lungseg("status", "--work", work)
    listed.write_text(listed.read_text() + "9.9.8,1,2,3,5\n")
    again = told()
    assert "9.9.8" in again
    assert "9.9.9" not in again


def test_a_folder_without_readings_is_refused_before_the_run_and_not_kept(work, tmp_path):
    def told(folder):
        words = ["preprocess", "--work", work, "--quiet", "--jobs", 1]
        words += ["--set", f"annotate-nodules.xml={folder}", "--dry-run"]
        return CliRunner().invoke(main, [str(word) for word in words])

    before = (work / "settings.toml").read_bytes()
    folder = tmp_path / "xml"
    folder.mkdir()
    refused = told(folder)
    assert refused.exit_code == 2
    assert f"no XML file in {folder} or below it has a SeriesInstanceUid" in refused.stderr
    lidc_xml.files_by_series.cache_clear()
    for name in ("1.xml", "2.XML"):
        (folder / name).write_text("<x><SeriesInstanceUid>1.2</SeriesInstanceUid></x>")
    note = f"note     {folder} holds 2 readings; 0 are of 0 of the "
    assert note in told(folder).stderr
    assert (work / "settings.toml").read_bytes() == before


def test_segmentations_are_counted_again_only_when_the_folder_has_changed(
    work, tmp_path, monkeypatch
):
    write_series(tmp_path / "scan", STORED, positions(7), **HEADER)
    source, ct = scan_in(tmp_path / "scan")
    folder = tmp_path / "segments"
    mask = blob(ct, slice(1, 4), slice(2, 6), slice(1, 5))
    write_segment(folder / "1.dcm", source, mask, annotation="4503")
    counts = []

    def count(*arguments):
        counts.append(arguments)
        return told_of(*arguments)

    monkeypatch.setattr(run_stages, "told_of", count)

    def looked_at(command, *arguments):
        words = [command, "--work", work, *arguments]
        result = CliRunner().invoke(main, [str(word) for word in words])
        return len(counts), result.stdout + result.stderr

    more = ["--quiet", "--jobs", 1, "--set", f"annotate-nodules.segmentations={folder}"]
    note = f"note     {folder} holds {{}} segmentations; 0 of them are of 0 of the"
    times, told = looked_at("preprocess", *more)
    assert (times, note.format(1) in told) == (1, True)
    times, told = looked_at("status")
    assert (times, note.format(1) in told) == (1, True)
    files_below.cache_clear()
    write_segment(folder / "2.dcm", source, mask, annotation="7")
    times, told = looked_at("status")
    assert (times, note.format(2) in told) == (2, True)


def test_status_tells_net_settings_and_the_nodules_of_the_truth(done):
    told = lungseg("status", "--work", done)
    assert f"net      {current_net(done).file} (trained here)" in told
    assert "train.epochs=2" in told
    (one,) = [line for line in told.splitlines() if line.startswith("one ")]
    assert "nodules 1 " in one
