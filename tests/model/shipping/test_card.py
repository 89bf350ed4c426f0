"""Cards: made of the net's record, a person's facts and measured scores, and of nothing else."""

import dataclasses
import json

import pytest

from lungseg.core.errors import DataError
from lungseg.core.fingerprint import digest_of_file
from lungseg.model.shipping.card import (
    CardFacts,
    DataSet,
    Score,
    Scores,
    as_markdown,
    card_of,
    read_card,
    read_facts,
    read_scores,
    write_card,
)
from tests.commands.bright_net import RECORD, write_bright_net

FACTS = CardFacts(
    title="Bright things", summary="Finds what is bright.", licence="MIT",
    task="image-segmentation", tags=["ct"], recipe=["do this", "then that"], usage="use it so",
    limits=["Sees no dark things."],
    data=[DataSet(name="Set: one", url="https://example.org", licence="CC BY 3.0",
                  citation="Someone 2011.")],
)  # fmt: skip
SCORES = Scores(
    net="This net.", intervals="Of bootstrap samples.",
    measured=[Score(name="Dice", of="7 scans", value=0.8125, cases=7, low=0.7, high=0.9),
              Score(name="Dice", of="2 more", value=0.5, cases=2)],
)  # fmt: skip
TOML = """
title = "Bright things"
summary = "Finds what is bright."
licence = "MIT"
task = "image-segmentation"
tags = ["ct"]
recipe = ["do this", "then that"]
usage = "use it so"
limits = ["Sees no dark things."]
[[data]]
name = "Set: one"
url = "https://example.org"
licence = "CC BY 3.0"
citation = "Someone 2011."
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return write_bright_net(tmp_path_factory.mktemp("card"))


def test_a_card_tells_the_file_the_people_the_input_and_the_scores(net):
    card = card_of(net, FACTS, SCORES)
    assert card["file"] == {
        "name": "model.keras",
        "bytes": net.stat().st_size,
        "sha256": digest_of_file(net),
    }
    assert card["patients"] == {"train": 1, "validation": 1}
    assert card["input"] == {
        "pixels": 96, "slices": 1, "spacing_mm_zyx": [4.0, 4.0, 4.0], "low": -1000.0,
        "high": 400.0, "inside_lungs": True, "halvings": 0,
    }  # fmt: skip
    assert card["training"]["params"] == RECORD.params
    assert card["training"]["best_epoch"] == 3
    assert card["scores"]["measured"][0] == {
        "name": "Dice", "of": "7 scans", "value": 0.8125, "cases": 7, "low": 0.7, "high": 0.9,
    }  # fmt: skip
    assert (card["finds"], card["in"], card["licence"]) == ("nodules", "ct", "MIT")
    assert "taught" not in json.dumps(card), "names of patients are in the net alone"


def test_the_page_has_the_head_of_hugging_face_and_all_that_a_person_asks(net):
    page = as_markdown(card_of(net, FACTS, SCORES))
    _, head, text = page.split("---\n", 2)
    assert head.splitlines() == [
        "license: mit", "library_name: keras", "pipeline_tag: image-segmentation",
        "tags:", '- "ct"', "datasets:", '- "Set: one"', "metrics:", '- "Dice"',
    ]  # fmt: skip
    for line in (
        "# Bright things",
        "**Not a medical device: for research alone, never for the care of a patient.**",
        "| Dice | 7 scans | 0.812 | 0.700 to 0.900 |",
        "| Dice | 2 more | 0.500 |  |",
        "- Sees no dark things.",
        "then that",
        "- [Set: one](https://example.org), CC BY 3.0. Someone 2011.",
    ):
        assert line in text.splitlines()
    assert "Trained on 1 patient; the best epoch was chosen on 1 other." in text
    assert digest_of_file(net) in text


def test_a_card_stands_beside_its_net_and_is_read_back(net):
    card = card_of(net, FACTS, SCORES)
    write_card(card, net.parent)
    assert read_card(net) == card
    assert net.with_suffix(".md").read_text() == as_markdown(card)


def test_a_net_without_a_card_has_an_empty_one(tmp_path):
    assert read_card(tmp_path / "a.keras") == {}


def test_the_card_of_another_net_is_refused(tmp_path):
    net = write_bright_net(tmp_path)
    card = card_of(net, FACTS, SCORES)
    write_bright_net(tmp_path, best_epoch=4)
    write_card(card, tmp_path)
    with pytest.raises(DataError, match=r"is the card of another net than model\.keras"):
        read_card(net)


def test_the_record_that_training_writes_beside_a_net_is_no_card(tmp_path):
    assert read_card(write_bright_net(tmp_path)) == {}


def test_a_damaged_card_is_named(tmp_path):
    net = write_bright_net(tmp_path)
    net.with_suffix(".json").write_text("{}")
    with pytest.raises(DataError, match=r"model\.json is no card of a net"):
        read_card(net)


def test_facts_and_scores_are_read_as_they_were_written(tmp_path):
    (tmp_path / "a.toml").write_text(TOML)
    assert read_facts(tmp_path / "a.toml") == FACTS
    (tmp_path / "s.json").write_text(json.dumps(dataclasses.asdict(SCORES)))
    assert read_scores(tmp_path / "s.json") == SCORES


@pytest.mark.parametrize("change", [("title", "name"), ("citation", "cited"), ("url =", "# url =")])
def test_facts_that_lack_something_or_have_more_are_refused(tmp_path, change):
    (tmp_path / "a.toml").write_text(TOML.replace(*change))
    with pytest.raises(DataError, match=r"where (CardFacts|DataSet) needs"):
        read_facts(tmp_path / "a.toml")


@pytest.mark.parametrize("raw", [{}, [], {"net": "", "intervals": "", "measured": [{"name": "a"}]}])
def test_scores_that_lack_something_are_refused(tmp_path, raw):
    (tmp_path / "s.json").write_text(json.dumps(raw))
    with pytest.raises(DataError, match=r"where Scores? needs"):
        read_scores(tmp_path / "s.json")


def test_what_is_no_toml_or_no_json_is_named(tmp_path):
    (tmp_path / "a").write_text("{")
    with pytest.raises(DataError, match="cannot be read as TOML"):
        read_facts(tmp_path / "a")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_scores(tmp_path / "a")
