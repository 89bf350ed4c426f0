"""What a work folder keeps: read back as written, edited by hand, refused in a sentence."""

import pytest

from lungseg.core.errors import ConfigError
from lungseg.session.kept import FILE, Kept, read_kept, reset_kept, write_kept

KEPT = Kept("small", "/data/mine.toml", {"train": {"epochs": 5, "loss": "dice"}})


def test_nothing_is_kept_in_a_new_folder(tmp_path):
    assert read_kept(tmp_path) == Kept()


def test_what_is_written_is_read_back(tmp_path):
    write_kept(KEPT, tmp_path)
    assert read_kept(tmp_path) == KEPT
    write_kept(KEPT.with_value("resample", "spacing_mm", 2.0), tmp_path)
    assert read_kept(tmp_path).values == {**KEPT.values, "resample": {"spacing_mm": 2.0}}


def test_a_comment_written_by_hand_stays_when_more_is_kept(tmp_path):
    write_kept(KEPT, tmp_path)
    path = tmp_path / FILE
    path.write_text(path.read_text().replace("epochs = 5", "epochs = 6  # one more than usual"))
    write_kept(read_kept(tmp_path).with_value("train", "seed", 3), tmp_path)
    assert "epochs = 6  # one more than usual" in path.read_text()
    assert read_kept(tmp_path).values["train"] == {"epochs": 6, "loss": "dice", "seed": 3}


def test_a_value_of_another_type_is_written_although_python_calls_it_equal(tmp_path):
    write_kept(Kept("", "", {"train": {"x": 1}}), tmp_path)
    write_kept(Kept("", "", {"train": {"x": 1.0}}), tmp_path)
    assert type(read_kept(tmp_path).values["train"]["x"]) is float


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ("train.epochs", {"train": {"loss": "dice"}, "segment-lungs": {"rim_mm": 1.0}}),
        ("train", {"segment-lungs": {"rim_mm": 1.0}}),
        ("segment_lungs.rim_mm", {"train": {"epochs": 5, "loss": "dice"}}),
        ("", {}),
    ],
)
def test_a_reset_forgets_what_it_names_and_nothing_else(tmp_path, what, left):
    write_kept(KEPT.with_value("segment-lungs", "rim_mm", 1.0), tmp_path)
    reset_kept(tmp_path, what)
    assert read_kept(tmp_path).values == left
    assert read_kept(tmp_path).preset == ("small" if what else "")


@pytest.mark.parametrize("what", ["trian", "train.epoch"])
def test_a_reset_of_what_was_never_set_names_what_was(tmp_path, what):
    write_kept(KEPT, tmp_path)
    with pytest.raises(ConfigError, match=r"nothing was set for it; set are train\.epochs, train"):
        reset_kept(tmp_path, what)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train", r"settings\.toml is not valid TOML .* params --reset"),
        ("epochs = 5", "epochs = 5 stands outside a table"),
        ("preset = 5", "preset = 5 stands outside a table"),
        ("a = " + "[" * 3000, r"settings\.toml is not valid TOML"),
    ],
)
def test_a_damaged_file_is_refused_in_a_sentence_and_a_reset_helps(tmp_path, text, message):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_kept(tmp_path)
    reset_kept(tmp_path, "")
    assert read_kept(tmp_path) == Kept()
