"""What a command says of scans: their patients beside their ids, and what nets run on."""

from dataclasses import replace

import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.core.plan import Action
from lungseg.core.record import Record
from lungseg.core.runner import Summary
from lungseg.core.worker import FAILED, RAN, Result
from lungseg.io.sources.index import Source
from lungseg.model import devices
from lungseg.session import messages

SOURCES = {
    "1.2.3": Source("1.2.3", "LIDC-IDRI-0003", "dicom", (), "x"),
    "case7": Source("case7", "case7", "nifti", (), "y"),
}
PATIENTS = {scan: source.patient for scan, source in SOURCES.items()}


def ran(stage, scan, **facts):
    record = Record(stage=stage, version=1, fingerprint="f", scan=scan, seconds=1.5, facts=facts)
    return Result(stage, scan, RAN, "f", record=record)


def test_progress_names_the_patient_beside_the_id(capsys):
    progress = messages.Progress(patients=PATIENTS)
    progress.begin("ingest", 2)
    progress.result(ran("ingest", "1.2.3"))
    progress.result(ran("ingest", "case7"))
    progress.result(Result("ingest", "1.2.3", FAILED, "f", "slices are missing"))
    progress.result(Result("build-tables", "", FAILED, "f", "no scans"))
    assert capsys.readouterr().err.splitlines() == [
        "ingest: 2 to do",
        "  ingest LIDC-IDRI-0003 1.2.3 1.5 s",
        "  ingest case7 1.5 s",
        "ingest failed on LIDC-IDRI-0003 1.2.3: slices are missing",
        "build-tables failed on the data set: no scans",
    ]


def test_suspects_and_failures_name_the_patient_beside_the_id():
    doubt = ran("segment-lungs", "1.2.3", verdict="suspect", reasons="one is small")
    results = {("segment-lungs", "1.2.3"): doubt,
               ("ingest", "case7"): Result("ingest", "case7", FAILED, "f", "broken")}  # fmt: skip
    text = messages.summary_text(Summary(results, 2, 1, 1, 0), SOURCES, [], 3.0)
    assert "suspect  LIDC-IDRI-0003 1.2.3\n         segment-lungs: one is small" in text
    assert "failed   case7\n         ingest: broken" in text


def test_prediction_says_what_it_runs_on_before_it_begins(capsys, monkeypatch):
    monkeypatch.setattr(devices, "runs_on", lambda: "the GPU X")
    messages.Progress().begin("predict", 3)
    assert capsys.readouterr().err.splitlines() == ["predict: 3 to do", "predict runs on the GPU X"]
    messages.Progress().begin("predict", 0)
    messages.Progress(quiet=True).begin("predict", 3)
    messages.Progress().begin("ingest", 1)
    assert capsys.readouterr().err == "ingest: 1 to do\n"


@pytest.mark.parametrize(
    "command",
    [["train"], ["postprocess"], ["run", "predict"], ["detect", ".", "--out", "x"],
     ["segment", ".", "a.png"]],
)  # fmt: skip
def test_a_gpu_where_there_is_none_ends_a_command_before_it_begins(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(devices, "gpus", list)
    done = CliRunner().invoke(main, [*command, "--device", "gpu"])
    assert done.exit_code == 2
    assert "device gpu: tensorflow sees no such GPU" in " ".join(done.output.split())
    assert not list(tmp_path.iterdir())


def test_status_tells_each_fact_of_a_scan_by_the_stage_whose_it_is():
    """Others have facts of the same name: slices that the net saw, a verdict on nodules."""
    facts = {
        "ingest": {"slices": 133},
        "segment-lungs": {"lung_ml": 4000.5, "verdict": "good"},
        "annotate-nodules": {"nodules": 2, "truth": "contours", "verdict": "suspect"},
        "predict": {"slices": 258},
        "reduce-false-positives": {"candidates": 90, "nodules": 7},
        "write-lungs": {"lung_ml": 4001.0},
    }
    actions = [
        Action(stage, "1.2.3", "reuse", "", "f", {}, ran(stage, "1.2.3", **told).record)
        for stage, told in facts.items()
    ]
    text = messages.status_text({"1.2.3": SOURCES["1.2.3"]}, [], actions)
    assert (
        text.splitlines()[-1]
        .split("  ", 1)[1]
        .strip()
        .endswith(
            "6 of its 6 stages  slices 133  lung_ml 4000.5  verdict good  truth contours  "
            "nodules 2  candidates 90"
        )
    )


def test_what_retry_can_help_is_told_and_what_was_skipped_on_purpose_is_not():
    skipped = Result("find-nodules", "1.2.3", "skipped", "f", "part is test", known=True)
    failed = Result("ingest", "case7", FAILED, "f", "broken", known=True)

    def told(*results):
        by_place = {(result.stage, result.scan): result for result in results}
        return messages.summary_text(Summary(by_place, 2, 0, 1, 1), SOURCES, [], 3.0)

    assert "known " not in told(skipped)
    assert "skipped  LIDC-IDRI-0003 1.2.3\n         part is test\n" in told(skipped)
    assert "known    failure of 1 scan, not tried again without --retry" in told(skipped, failed)


def test_doubts_that_an_earlier_command_told_are_named_and_not_told_in_full_again():
    ids = [f"1.2.{k}" for k in range(5)]
    sources = {scan: Source(scan, f"P{scan[-1]}", "dicom", (), "x") for scan in ids}
    before = {
        ("segment-lungs", scan): replace(
            ran("segment-lungs", scan, verdict="suspect", reasons="cut"), state="reused"
        )
        for scan in ids
    }

    def told(results):
        return messages.summary_text(Summary(results, 5, 5, 0, 0), sources, [], 3.0)

    assert told(before).count("segment-lungs: cut") == 5  # nothing ran: what there is
    new = ("annotate-nodules", "1.2.0")
    more = before | {new: ran(*new, verdict="suspect", reasons="nodule 2 outside")}
    text = told(more)
    assert "suspect  P0 1.2.0\n         annotate-nodules: nodule 2 outside" in text
    assert "segment-lungs: cut" not in text
    assert (
        "suspect  5 scans, as an earlier command told: P0 1.2.0, P1 1.2.1, P2 1.2.2 and 2 more"
    ) in text
