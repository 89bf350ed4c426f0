"""One count of what became of scans and files, and lines that many of one reason share."""

from lungseg.commands.own_scans.hand_out import Outcome
from lungseg.commands.own_scans.report import notes
from lungseg.core.record import Record
from lungseg.core.runner import Summary
from lungseg.core.worker import FAILED, RAN, Result
from lungseg.io.sources.index import LeftOut, Source
from lungseg.session.messages import summary_text
from lungseg.session.tally import Tally, Trouble, lines_of, tally


def test_files_beside_the_scans_count_as_failed_or_skipped():
    beside = [LeftOut("a", "cut short", fault=True), LeftOut("b", "an X-ray", fault=False)]
    count = tally(["done", "done", "skipped", "not done"], beside)
    assert count == Tally(done=2, failed=1, skipped=2, not_done=1)
    assert count.as_dict() == {
        "expected": 6, "done": 2, "failed": 1, "skipped": 2, "not_done": 1,
    }  # fmt: skip
    assert str(count) == "6 expected = 2 done + 1 failed + 2 skipped + 1 not done"


def test_two_of_one_reason_are_told_one_by_one_and_three_together():
    two = [Trouble("failed", name, "it is empty") for name in ("a.nii", "b.nii")]
    assert list(lines_of(two)) == [
        "failed   a.nii\n         it is empty",
        "failed   b.nii\n         it is empty",
    ]
    three = [
        *two,
        Trouble("skipped", "x", "it is empty"),
        Trouble("failed", "c.nii", "it is empty"),
    ]
    assert list(lines_of(three)) == [
        "failed   3 files; first: a.nii\n         it is empty",
        "skipped  x\n         it is empty",
    ]


def test_reasons_that_differ_in_the_files_own_name_alone_are_one():
    told = [Trouble("failed", f"/s/{n}.dcm", f"truncated: /s/{n}.dcm ends") for n in range(14)]
    assert list(lines_of(told)) == [
        "failed   14 files; first: /s/0.dcm\n         truncated: /s/0.dcm ends"
    ]


def test_files_whose_names_are_not_to_be_told_have_none():
    assert list(lines_of([Trouble("failed", "", "it is empty")] * 3)) == [
        "failed   3 files\n         it is empty"
    ]


def test_files_of_a_scan_that_were_not_used_are_always_noted():
    facts = [
        {"duplicate_slices": 1, "broken_copies": ""},
        {"duplicate_slices": 0, "broken_copies": "truncated: a.dcm ends before its pixels"},
        {"duplicate_slices": 0},
        {},
    ]
    sources = {f"1.{n}": Source(f"1.{n}", f"P{n}", "dicom", (), "x") for n in range(len(facts))}
    results = {}
    for (scan, _), found in zip(sources.items(), facts, strict=True):
        record = Record(stage="ingest", version=1, fingerprint="f", scan=scan, facts=found)
        results["ingest", scan] = Result("ingest", scan, RAN, "f", record=record)
    told = summary_text(Summary(results, 4, 4, 0, 0), sources, (), 1.0)
    noted = [
        "note     P0 1.0\n         ingest: a copy of a slice, equal in every pixel, is left out\n",
        "note     P1 1.1\n         ingest: broken copies of slices are left out, intact ones are "
        "used: truncated: a.dcm ends before its pixels\n",
    ]
    assert all(line in told for line in noted)
    assert told.count("note ") == 2
    outcomes = [
        Outcome(scan, one.patient, f"/s/{scan}", "done", facts={"ingest": found})
        for (scan, one), found in zip(sources.items(), facts, strict=True)
    ]
    lines = "".join(f"{line}\n" for line in notes(outcomes))
    assert lines == "".join(noted).replace("P0 ", "P0 /s/").replace("P1 ", "P1 /s/")


def test_scans_of_one_reason_are_named_up_to_ten_of_them():
    sources = {f"1.{n}": Source(f"1.{n}", f"P{n}", "dicom", (), "x") for n in range(12)}
    results = {
        ("ingest", scan): Result("ingest", scan, FAILED, "f", "2 slices") for scan in sources
    }
    beside = [LeftOut(f"{n}.nii", "empty", fault=True) for n in range(3)]
    told = summary_text(Summary(results, 15, 0, 15, 0), sources, beside, 1.0)
    names = "; ".join(f"P{n} 1.{n}" for n in range(10))
    assert f"failed   12 scans: {names}; and 2 more\n         ingest: 2 slices\n" in told
    assert "failed   3 files; first: 0.nii\n         empty\n" in told
    assert told.endswith("15 expected = 0 done + 15 failed + 0 skipped; 1.0 s")
