"""Status, and notes that are told once, in a folder of several scans."""

from click.testing import CliRunner

from lungseg.cli import main
from lungseg.model.nets import current_net
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


def test_status_tells_net_settings_and_the_nodules_of_the_truth(done):
    told = lungseg("status", "--work", done)
    assert f"net      {current_net(done).file} (trained here)" in told
    assert "train.epochs=2" in told
    (one,) = [line for line in told.splitlines() if line.startswith("one ")]
    assert "nodules 1 " in one
