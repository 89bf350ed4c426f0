"""Card: what a net is, on what it was taught and how good it is, for machines and for people.

A card is made of three things: the net's own record, facts that a person wrote (task, data with
their licences, limits), and scores that were measured. Nothing in it is written by hand twice, so
that a card and its net cannot drift apart.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lungseg.core.errors import DataError
from lungseg.core.fingerprint import digest_of_file
from lungseg.core.json_file import json_text, write_json, write_text
from lungseg.core.shown import many
from lungseg.model.model_record import ModelRecord, read_model_record

NOT_A_DEVICE = "Not a medical device: for research alone, never for the care of a patient."


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Data that a net was taught on.

    Attributes
    ----------
    name, url
        What it is called, and where it is.
    licence
        Under which terms it is given.
    citation
        How its makers ask to be named.
    """

    name: str
    url: str
    licence: str
    citation: str


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a person knows of a net, and its file does not tell.

    Attributes
    ----------
    title, summary
        A line, and a few sentences: what it finds in what.
    licence
        Of the net, as an SPDX name.
    task
        As Hugging Face calls it: ``image-segmentation`` or ``object-detection``.
    tags
        Words to find it by.
    recipe
        Commands that make it, in their order.
    usage
        A command that uses it.
    limits
        What it cannot do, a sentence each.
    data
        What it was taught on.
    """

    title: str
    summary: str
    licence: str
    task: str
    tags: list[str]
    recipe: list[str]
    usage: str
    limits: list[str]
    data: list[DataSet]


@dataclass(frozen=True, kw_only=True)
class Score:
    """One figure that was measured.

    Attributes
    ----------
    name
        ``Dice``, ``sensitivity at 4 false positives a scan``.
    of
        On what: ``113 X-rays of unseen patients``.
    value
        The figure.
    low, high
        Bounds of its 95 % interval; None where there is none.
    cases
        Number of cases.
    """

    name: str
    of: str
    value: float
    cases: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Figures that were measured, and of which net.

    Attributes
    ----------
    net
        Which net was scored, in a sentence: this one, or one of the same recipe that has not seen
        the cases.
    intervals
        How the intervals were made.
    measured
        The figures.
    """

    net: str
    intervals: str
    measured: list[Score]


def read_facts(path: Path) -> CardFacts:
    """Read facts from a TOML file.

    Raises
    ------
    DataError
        If it cannot be read, or does not have just the fields of `CardFacts` and `DataSet`.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as TOML ({error})") from error
    data = [DataSet(**_just(one, DataSet, path)) for one in raw.pop("data", [])]
    return CardFacts(**_just({**raw, "data": data}, CardFacts, path))


def read_scores(path: Path) -> Scores:
    """Read scores from a JSON file.

    Raises
    ------
    DataError
        If it cannot be read, or does not have just the fields of `Scores` and `Score`.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error})") from error
    return scores_of(raw, path)


def scores_of(raw: Any, path: Path) -> Scores:
    """Scores from what stands in the JSON file `path`, or in a card.

    Raises
    ------
    DataError
        If it does not have just the fields of `Scores` and `Score`.
    """
    told = _just(raw, Scores, path)
    return Scores(**{**told, "measured": [Score(**_just(s, Score, path)) for s in raw["measured"]]})


def _just(raw: Any, kind: Any, path: Path) -> dict[str, Any]:
    names = {spec.name for spec in fields(kind)}
    needed = names - {"low", "high"}
    found = set(raw) if isinstance(raw, dict) else set()
    if not needed <= found <= names:
        raise DataError(
            f"{path} has {', '.join(sorted(found)) or 'nothing'} where {kind.__name__} needs "
            f"{', '.join(sorted(names))}"
        )
    return dict(raw)


def card_of(net: Path, facts: CardFacts, scores: Scores) -> dict[str, Any]:
    """The card of the net in the file `net`, as it is kept as JSON."""
    record = read_model_record(net)
    return {
        "name": net.stem,
        **asdict(facts),
        "not_a_medical_device": NOT_A_DEVICE,
        "file": {
            "name": net.name,
            "bytes": net.stat().st_size,
            "sha256": digest_of_file(net),
        },
        "finds": record.target,
        "in": record.kind,
        "patients": {
            "train": len(record.train_patients),
            "validation": len(record.validation_patients),
        },
        "input": _input(record),
        "network": record.network,
        "training": {
            "params": record.params,
            "best_epoch": record.best_epoch,
            "split": record.split_hash,
            "table": record.table_fingerprint,
            "validation_scores": record.scores,
            "packages": record.packages,
        },
        "scores": asdict(scores),
    }


def _input(record: ModelRecord) -> dict[str, Any]:
    return {
        "pixels": record.crop_px,
        "slices": 2 * record.context + 1,
        "spacing_mm_zyx": record.spacing_mm,
        "low": record.low,
        "high": record.high,
        "inside_lungs": record.inside_lungs,
        "halvings": record.halvings,
    }


def read_card(net: Path) -> dict[str, Any]:
    """The card beside the net's file `net`; empty if there is none.

    Raises
    ------
    DataError
        If it is of another net, or cannot be read.
    """
    path = net.with_suffix(".json")
    if not path.is_file():
        return {}
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        # The record that training writes beside its net has the same name.
        if "train_patients" in card:
            return {}
        told = card["file"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no card of a net ({error!r})") from error
    if told != digest_of_file(net):
        raise DataError(f"{path} is the card of another net than {net.name}: their sha256 differ")
    return card


def write_card(card: Mapping[str, Any], folder: Path) -> None:
    """Write a card as ``NAME.json`` and ``NAME.md`` into `folder`."""
    name = card["name"]
    write_json(card, folder / f"{name}.json")
    write_text(as_markdown(card), folder / f"{name}.md")


def as_markdown(card: Mapping[str, Any]) -> str:
    """A card as a page for people, with the head that Hugging Face reads."""
    patients, file = card["patients"], card["file"]
    parts = [
        *_head(card),
        f"# {card['title']}",
        "",
        card["summary"],
        "",
        f"**{card['not_a_medical_device']}**",
        "",
        "```",
        card["usage"],
        "```",
        "",
        "## How good it is",
        "",
        *score_lines(card),
        "",
        f"{card['scores']['net']} {card['scores']['intervals']}",
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in card["limits"]),
        "",
        "## How it was made",
        "",
        "```",
        *card["recipe"],
        "```",
        "",
        f"Trained on {many(patients['train'], 'patient')}; the best epoch was chosen on "
        f"{many(patients['validation'], 'other')}. Their names are in the file itself. It finds "
        f"{card['finds']} in {card['in']}; {card['network'].get('network', 'a network')}, "
        f"{file['bytes'] / 1e6:.1f} MB, sha256 `{file['sha256']}`.",
        "",
        "## Data",
        "",
        *(f"- [{d['name']}]({d['url']}), {d['licence']}. {d['citation']}" for d in card["data"]),
    ]
    return "\n".join(parts) + "\n"


def score_lines(card: Mapping[str, Any]) -> Iterator[str]:
    """The scores of a card as lines of a Markdown table."""
    yield "| score | of | value | 95 % interval |"
    yield "|---|---|---|---|"
    for score in card["scores"]["measured"]:
        has_bounds = score["low"] is not None
        bounds = f"{score['low']:.3f} to {score['high']:.3f}" if has_bounds else ""
        yield f"| {score['name']} | {score['of']} | {score['value']:.3f} | {bounds} |"


def _head(card: Mapping[str, Any]) -> Iterator[str]:
    yield "---"
    yield f"license: {card['licence'].lower()}"
    yield "library_name: keras"
    yield f"pipeline_tag: {card['task']}"
    for name, words in (
        ("tags", card["tags"]),
        ("datasets", [one["name"] for one in card["data"]]),
        ("metrics", list(dict.fromkeys(s["name"] for s in card["scores"]["measured"]))),
    ):
        yield f"{name}:"
        # In JSON's quotes, which are YAML's, too: a name may hold a colon.
        yield from (f"- {json_text(word)}" for word in words)
    yield "---"
    yield ""
