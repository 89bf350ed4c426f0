"""`models pack`: a small net with its card; and what `models show` tells of it."""

import dataclasses
import json

import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.commands.nets import pack_net as packing
from lungseg.commands.nets.pack_net import pack_net
from lungseg.core.errors import ConfigError, DataError
from lungseg.model.model_record import read_model_record
from lungseg.model.shipping.card import read_card
from lungseg.model.shipping.half_precision import MOST_SPARED, SOME_SPARED
from tests.commands.bright_net import RECORD, write_bright_net
from tests.model.shipping.test_card import SCORES, TOML


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    return write_bright_net(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def asked(tmp_path):
    """Facts and scores, where `pack_net` looks for them."""
    (tmp_path / "bright.toml").write_text(TOML)
    (tmp_path / "scores.json").write_text(json.dumps(dataclasses.asdict(SCORES)))
    return {"name": "bright", "scores": tmp_path / "scores.json", "out": tmp_path}


def test_a_net_is_packed_with_its_card_and_shown(bright, asked, tmp_path):
    told = CliRunner().invoke(
        main,
        ["models", "pack", str(bright.parent), "--name", "bright", "--out", str(tmp_path),
         "--scores", str(asked["scores"])],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert "| Dice | 7 scans | 0.812 | 0.700 to 0.900 |" in told.output
    net = tmp_path / "bright.keras"
    assert {path.name for path in tmp_path.iterdir()} == {
        "bright.keras", "bright.json", "bright.md", "bright.toml", "scores.json",
    }  # fmt: skip
    assert read_model_record(net) == RECORD
    assert read_card(net)["scores"] == dataclasses.asdict(SCORES)
    shown = CliRunner().invoke(main, ["models", "show", str(net)]).output.splitlines()
    for line in (
        "Bright things. Not a medical device: for research alone, never for the care of a patient.",
        "measured   Dice 0.812 (0.700 to 0.900), 7 scans",
        "measured   Dice 0.500, 2 more",
        "limit      Sees no dark things.",
        "data       Set: one, CC BY 3.0",
        f"licence    MIT; all of it: {tmp_path / 'bright.md'}",
    ):
        assert line in shown


def test_a_net_that_half_precision_changes_is_not_packed(bright, asked, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "largest_difference", lambda *_: 0.01)
    with pytest.raises(DataError, match=r"changes a probability by 0\.0100, more than 0\.002"):
        list(pack_net(str(bright), **asked))
    assert {path.name for path in tmp_path.iterdir()} == {"bright.toml", "scores.json"}


def test_as_many_bits_are_spared_as_the_net_bears(bright, asked, monkeypatch):
    tried = []
    monkeypatch.setattr(packing, "largest_difference", lambda *_: 0.01 if len(tried) < 2 else 0.001)
    written = packing.write_half

    def write(net, out, sparing):
        tried.append(sparing)
        written(net, out, sparing)

    monkeypatch.setattr(packing, "write_half", write)
    list(pack_net(str(bright), **asked))
    assert tried == [MOST_SPARED, SOME_SPARED]


def test_after_a_change_of_its_facts_a_net_is_packed_again_from_itself(bright, asked, tmp_path):
    list(pack_net(str(bright), **asked))
    net = tmp_path / "bright.keras"
    before, card = net.read_bytes(), read_card(net)
    (tmp_path / "bright.toml").write_text(TOML.replace("Bright things", "Shining things"))
    list(pack_net(str(net), **(asked | {"scores": None})))
    assert net.read_bytes() == before
    assert read_card(net) == card | {"title": "Shining things"}


def test_a_net_without_a_card_needs_scores(bright, asked):
    with pytest.raises(ConfigError, match="has no card with scores yet; name them with --scores"):
        list(pack_net(str(bright), **(asked | {"scores": None})))
