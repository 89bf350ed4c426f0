"""Errors: what is said where the stage is known, and where it is not."""

import pickle
import traceback

from lungseg.core.errors import ScanError

TWO_WAYS = ScanError("slices are uneven", setting=("resample_uneven=true", "tolerance_mm higher"))


def test_the_stage_is_put_before_each_setting():
    assert TWO_WAYS.advised("ingest") == (
        "slices are uneven; set ingest.resample_uneven=true, or set ingest.tolerance_mm higher"
    )


def test_without_a_setting_the_message_is_all():
    assert ScanError("no slices").advised("ingest") == "no slices"


def test_without_a_stage_the_settings_are_notes_beside_the_message():
    assert str(TWO_WAYS) == "slices are uneven"
    shown = "".join(traceback.format_exception(TWO_WAYS))
    assert "set resample_uneven=true\nset tolerance_mm higher" in shown


def test_an_error_comes_whole_from_another_process():
    back = pickle.loads(pickle.dumps(TWO_WAYS))
    assert back.advised("ingest") == TWO_WAYS.advised("ingest")
    assert back.__notes__ == TWO_WAYS.__notes__
