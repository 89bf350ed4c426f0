"""The report's files: what they tell of scans in every state, and what they keep to themselves."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner
from PIL import Image

from lungseg.cli import main
from lungseg.commands.report.collect import Remark, collect, page_names
from lungseg.commands.report.overview import grouped_remarks
from lungseg.commands.report.report import Wanted, write_report
from lungseg.commands.run_stages import how_to_run
from lungseg.core.errors import ConfigError, DamagedOutputError
from lungseg.io.volumes import volume_file
from lungseg.report.pages import OURS
from tests.commands.report import work_folder
from tests.commands.report.work_folder import (
    FAILED,
    GOOD,
    HOSTILE,
    LEFT_OUT,
    NAME,
    PATIENTS,
    REMEDY,
    WAITING,
    MadeUp,
    write_work,
)


class Page(HTMLParser):
    """What a page holds: its tags, scripts' texts, and all other text."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.scripts, self.words, self._in = [], [], [], ""
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._in = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._in = "" if tag == "script" else self._in

    def handle_data(self, data):
        if self._in == "script":
            self.scripts[-1] += data
        else:
            self.words.append(data)

    @property
    def data(self):
        (told,) = (text for text in self.scripts if text.strip())
        return json.loads(told)


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return write_work(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def written(session, tmp_path_factory):
    return write_report(session, Wanted(tmp_path_factory.mktemp("report") / "new", viewer=True))


@pytest.fixture(scope="module")
def out(written):
    return written.index.parent


@pytest.fixture(scope="module")
def names(session):
    return page_names(session.all_sources)


def test_every_scan_has_its_state_and_a_page(session, out, names):
    states = {one.scan: one.state for one in collect(session).scans}
    assert states == {GOOD: "done", HOSTILE: "not done", FAILED: "failed", WAITING: "not done"}
    rows = Page(out / "index.html").data["rows"]
    assert [row[1] for row in rows] == list(PATIENTS)
    for row in rows:
        assert (out / "scans" / row[0] / "index.html").is_file()
        assert row[0] == names[row[1]]


def test_the_table_has_the_columns_that_some_scan_has_and_their_values(out):
    told = Page(out / "index.html").data
    keys = ["page", "id", *(column["key"] for column in told["columns"])]
    good = dict(zip(keys, told["rows"][0], strict=True))
    assert good["lung_ml"] == 4322
    assert (good["nodules"], good["candidates"], good["dice"]) == (1, 2, 0.8)
    assert good["part"] == "test"
    hostile = dict(zip(keys, told["rows"][1], strict=True))
    assert hostile["verdict"] == "suspect"
    # Nobody looked for nodules: no count is no count of 0.
    assert hostile["nodules"] is None


def test_failures_and_suspects_come_first_with_reason_and_remedy(out):
    page = Page(out / "index.html")
    first = page.text.index("To look at first")
    assert first < page.text.index("Best nodules") < page.text.index("The split")
    assert "too-few-slices: … has 2 slices; a volume needs 3" in page.text
    assert REMEDY in page.text
    kinds = [a["class"] for _, a in page.tags if (a.get("class") or "").startswith("remark ")]
    assert kinds[:4] == ["remark failed", "remark failed", "remark suspect", "remark skipped"]
    assert "2 failed, 1 suspect, 1 skipped" in page.text
    assert (
        "4 scans of 4 patients, and beside them 2 that are no scan: "
        "6 expected = 1 done + 2 failed + 1 skipped + 2 not done."
    ) in page.text
    assert "Failed 2 1 of them no scan" in page.text


def test_scores_training_split_and_the_best_nodule_are_told(out):
    page = Page(out / "index.html")
    for words in (
        "CPM 0.786 (0.50 to 1.00)",
        "Dice 0.80",
        "The split, by patient",
        "best epoch 2 of 2",
    ):
        assert words in page.text
    labels = [a["aria-label"] for tag, a in page.tags if tag == "svg" and "aria-label" in a]
    assert "FROC: sensitivity over false positives per scan" in labels
    assert "Loss by epoch" in labels
    images = [a["src"] for tag, a in page.tags if tag == "img"]
    assert images == ["nodules/00.webp"]
    assert size_of(out / images[0]) == (192, 192)


def test_a_scans_page_has_planes_outlines_and_the_list_of_places(out, names):
    folder = out / "scans" / names[GOOD]
    data = Page(folder / "index.html").data
    assert [plane["name"] for plane in data["planes"]] == ["axial", "coronal", "sagittal"]
    for plane in data["planes"]:
        assert size_of(folder / plane["files"][0])[0] == plane["tileColumns"] * data["across"]
        assert len(plane["files"]) == -(-plane["count"] // data["perSheet"])
    on, faint = data["candidates"]
    assert (on["nodule"], on["mask"], faint["nodule"], faint["mask"]) == (1, True, None, False)
    assert (on["net"], on["reducer"], faint["reducer"]) == (0.8, 0.96, None)
    text = (folder / "outlines.js").read_text()
    outlines = json.loads(text[text.index("=") + 1 : text.rindex(";")])
    z = round(on["at"][0])
    for layer in ("right", "left", "votes3", "found"):
        assert outlines["axial"][layer]
    assert outlines["axial"]["found"][str(z)] == outlines["axial"]["votes1"][str(z)]
    told = Page(folder / "index.html").text
    for figure in ("4,322 ml", "-812.3 HU", "0.910"):
        assert figure in told
    assert "The lungs are measured on the working grid" in told
    assert data["nodules"][0]["ratings"] == {"texture": 5.0}


def test_a_scans_page_has_the_figures_of_the_list_of_lungs_where_there_is_one(tmp_path):
    own = MadeUp({"lung_ml": 4299.0, "right_ml": 2290.0, "left_ml": 2009.0, "mean_hu": -815.1})

    def made(stage, scan):
        return own if stage == "write-lungs" else work_folder.made(stage, scan)

    session = write_work(tmp_path / "work", {GOOD: PATIENTS[GOOD]}, made)
    write_report(session, Wanted(tmp_path / "report"))
    told = Page(tmp_path / "report" / "scans" / PATIENTS[GOOD] / "index.html").text
    for figure in ("4,299 ml", "2,290 ml", "2,009 ml", "-815.1 HU"):
        assert figure in told
    assert "measured on the scan's own grid, as in lungs.csv" in told


def test_the_list_of_candidates_has_the_calibrated_likelihood_where_the_net_knows_it(
    out, names, tmp_path, monkeypatch
):
    told = Page(out / "scans" / names[GOOD] / "index.html").text.split()
    header = told[told.index("#") :]
    assert header[:5] == ["#", "score", "calibrated", "mm", "where"]
    # The second is of a net that does not know.
    assert header[5:9] == ["1", "0.910", "0.620", "14"]
    assert header[header.index("0.250") + 1] == "\N{EN DASH}"
    unknown = [replace(one, calibrated=None) for one in work_folder.candidates()]
    monkeypatch.setattr(work_folder, "candidates", lambda: unknown)
    session = write_work(tmp_path / "work", {GOOD: PATIENTS[GOOD]})
    write_report(session, Wanted(tmp_path / "report"))
    page = Page(tmp_path / "report" / "scans" / PATIENTS[GOOD] / "index.html")
    assert "calibrated" not in page.text.split()


def test_ids_are_text_wherever_they_stand(out, names):
    assert re.fullmatch(r"[A-Za-z0-9._-]+", names[HOSTILE])
    for path in (out / "index.html", *(out / "scans").glob("*/*.html")):
        page = Page(path)
        assert not [a for _, a in page.tags if "onerror" in a], path
        assert not [text for text in page.scripts if "alert(1)" in text and "{" not in text[:1]], (
            path
        )
        assert "b" not in {tag for tag, _ in page.tags}, path
    assert "<script>alert(1)</script>" in Page(out / "scans" / names[HOSTILE] / "index.html").text


def test_nobodys_name_no_date_and_no_path_is_in_any_file(out):
    for path in out.rglob("*"):
        if path.suffix in {".html", ".json"} or path.name == "outlines.js":
            told = path.read_text(encoding="utf-8")
            for secret in (NAME, "2001-02-03", "/scans/"):
                assert secret not in told, path


def test_nothing_is_fetched_from_anywhere(out):
    for path in out.rglob("*.html"):
        for tag, attributes in Page(path).tags:
            for name in ("src", "href"):
                link = attributes.get(name) or ""
                assert not re.match(r"(https?:)?//", link), (path, tag, link)


def test_a_page_is_a_few_megabytes_and_the_viewers_volumes_are_whole(out, names):
    folder = out / "scans" / names[GOOD]
    shown = [p for p in folder.iterdir() if not p.name.startswith(("volume_", "viewer"))]
    assert sum(path.stat().st_size for path in shown) < 1_000_000
    assert {p.name for p in folder.glob("volume_*.js")} == {
        f"volume_{name}.js" for name in ("ct", "lungs", "drawn", "found")
    }


def test_pages_of_the_same_outputs_stay_and_those_of_others_go(session, out):
    (out / "scans" / "gone").mkdir()
    kept = json.loads((out / OURS).read_text())
    (out / OURS).write_text(json.dumps(kept | {"gone": {"of": "", "fault": ""}}))
    again = write_report(session, Wanted(out, viewer=True))
    assert (again.made, again.kept) == (0, 4)
    assert not (out / "scans" / "gone").exists()


def test_a_volume_that_cannot_be_read_costs_the_planes_alone(tmp_path, monkeypatch):
    session = write_work(tmp_path / "work", {GOOD: PATIENTS[GOOD]})

    def read(path):
        raise DamagedOutputError(f"{path.name} is torn")

    monkeypatch.setattr(volume_file, "read_hu", read)
    written = write_report(session, Wanted(tmp_path / "report"))
    (why,) = written.without_pictures.values()
    assert "(ct.h5 is torn); `lungseg-cli verify` says which are damaged" in why
    page = Page(tmp_path / "report" / "scans" / PATIENTS[GOOD] / "index.html")
    assert "No planes: its volumes cannot be read" in page.text
    assert "4,322 ml" in page.text


def test_a_volume_that_was_changed_since_is_said_to_be_so(tmp_path):
    session = write_work(tmp_path / "work", {GOOD: PATIENTS[GOOD]}, left_out=())
    folder = collect(session).scans[0].folder("resample")
    (folder / "ct.h5").write_bytes(b"damaged")
    write_report(session, Wanted(tmp_path / "report"))
    page = Page(tmp_path / "report" / "scans" / PATIENTS[GOOD] / "index.html")
    assert "No planes: resample is not done" in page.text


@pytest.mark.parametrize("last", ["ingest", "resample", "segment-lungs", "annotate-nodules"])
def test_a_half_done_folder_is_told_as_far_as_it_is(tmp_path, last):
    from tests.commands.report.work_folder import made

    order = ["ingest", "resample", "segment-lungs", "annotate-nodules"]
    upto = order[: order.index(last) + 1]

    def some(stage, scan):
        return made(stage, scan) if stage in upto else None

    session = write_work(tmp_path / "work", {GOOD: "A"}, some, left_out=(), net=False)
    written = write_report(session, Wanted(tmp_path / "report"))
    page = Page(written.index)
    assert "Nothing failed, and no scan is suspect." in page.text
    assert page.data["rows"][0][3] == "done"
    assert ("No planes" in Page(tmp_path / "report/scans/A/index.html").text) == (last == "ingest")


def test_a_folder_of_failures_alone_has_a_report(tmp_path):
    session = write_work(tmp_path / "work", {FAILED: "B"}, left_out=(), net=False)
    written = write_report(session, Wanted(tmp_path / "report", pages=False))
    assert (written.made, written.remarks) == (0, 1)
    assert "0 of 1" in Page(written.index).text


def test_each_drawn_nodule_outside_the_lungs_is_told_as_the_terminal_tells_it(tmp_path):
    """Most of what was drawn lies inside, and one small nodule does not."""
    told = "nodule 2 (5 mm, 3 annotators) at (1, 2, 3) mm: only 36 % of it lies inside the lungs"
    facts = {"truth": "contours", "nodules": 2, "share_in_lungs": 0.97}

    def some(stage, scan):
        if stage in {"predict", "build-tables"}:
            return None
        more = facts | {"verdict": "suspect", "reasons": told}
        return MadeUp(more if stage == "annotate-nodules" else {"verdict": "good"})

    session = write_work(tmp_path / "work", {GOOD: "A"}, some, left_out=LEFT_OUT[:1], net=False)
    written = write_report(session, Wanted(tmp_path / "report", pages=False))
    assert told in Page(written.index).text
    assert written.remarks == 1  # the scout that was left out is nothing to look at


def test_a_folder_with_other_things_is_left_alone(session, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no report; name another folder"):
        write_report(session, Wanted(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ConfigError, match="is a file; name a folder for the report"):
        write_report(session, Wanted(tmp_path / "mine.txt"))


def test_the_command_says_where_to_look(session, tmp_path):
    out = tmp_path / "r"
    arguments = ["report", "--work", str(session.work), "--out", str(out), "--no-pages", "--quiet"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert f"{out / 'index.html'} (4 scans" in done.output
    told = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert (told["report"], told["to_look_at"]) == (str(out / "index.html"), 3)


def test_with_a_viewer_there_is_a_report_too():
    options = dict.fromkeys(
        ("memory_limit", "time_limit", "scheduler", "tls_ca_file", "tls_cert", "tls_key")
    ) | {"jobs": 1, "quiet": True, "as_json": False, "dry_run": False, "memory_limit": "auto"}
    asked = [
        {}, {"with_report": True, "viewer": False}, {"with_report": False, "viewer": True},
    ]  # fmt: skip
    told = [how_to_run(options | more) for more in asked]
    assert [(how.report, how.viewer) for how in told] == [
        (False, False), (True, False), (True, True),
    ]  # fmt: skip


def test_reasons_that_several_scans_share_are_told_once_with_those_scans(tmp_path):
    ids = {f"1.2.826.9{k}": f"LIDC-IDRI-000{k}" for k in range(6)}

    session = write_work(tmp_path / "work", ids, lambda *_: None, left_out=(), net=False)
    entries = [
        replace(one, remarks=(Remark("failed", one.patient, "too few slices: 2", "", one.name),))
        for one in collect(session).scans
    ]
    (told,) = grouped_remarks([remark for one in entries for remark in one.remarks])
    assert [remark.whose for remark in told["those"]] == list(ids.values())
    assert (told["kind"], told["few"]) == ("failed", 4)


def test_a_work_folder_that_is_not_there_is_named(tmp_path):
    arguments = ["report", "--work", str(tmp_path / "none"), "--out", str(tmp_path / "r")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert "there is no such folder; name the work folder of a run" in done.output
