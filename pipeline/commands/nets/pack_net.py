"""Pack a net: its file in half precision, and its card, to be shipped or given to others."""

from collections.abc import Iterator
from pathlib import Path

from lungseg.core.errors import ConfigError, DataError
from lungseg.model.nets import SUFFIX, TRAINED, find_net
from lungseg.model.shipping.card import (
    Scores,
    card_of,
    read_card,
    read_facts,
    read_scores,
    score_lines,
    scores_of,
    write_card,
)
from lungseg.model.shipping.half_precision import (
    FEW_SPARED,
    MOST_SPARED,
    NONE_SPARED,
    SOME_SPARED,
    largest_difference,
    write_half,
)

# A thousandth of the probability shows in no mask; kernels that lose more are no use as float16.
MOST_DIFFERENT = 0.002


def _scores_of_card(net: Path) -> Scores:
    card = read_card(net)
    if not card:
        raise ConfigError(f"{net} has no card with scores yet; name them with --scores")
    return scores_of(card["scores"], net.with_suffix(".json"))


def pack_net(
    net: str, name: str, scores: Path | None = None, facts: Path | None = None, out: Path = TRAINED
) -> Iterator[str]:
    """Write ``NAME.keras``, ``NAME.json`` and ``NAME.md`` into `out`; lines for a person.

    Parameters
    ----------
    net
        A name, a file, or a work folder.
    name
        What the net will be called.
    scores
        JSON file of `lungseg.model.shipping.card.Scores`; by default those of the net's own card,
        which is how a card is written anew after a change of its facts.
    facts
        TOML file of `lungseg.model.shipping.card.CardFacts`; by default ``NAME.toml`` in `out`.
    out
        Folder; by default that of the nets that come with the package.

    Raises
    ------
    ConfigError
        If there is no such net, or no scores of it.
    DataError
        If facts or scores are not complete, or half precision changes what the net finds.
    """
    source, target = find_net(net), out / f"{name}{SUFFIX}"
    told = read_facts(facts or out / f"{name}.toml")
    measured = read_scores(scores) if scores else _scores_of_card(source)
    out.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".partial{SUFFIX}")
    try:
        for sparing in (MOST_SPARED, SOME_SPARED, FEW_SPARED, NONE_SPARED):
            write_half(source, partial, sparing)
            different = largest_difference(source, partial)
            if different <= MOST_DIFFERENT:
                break
        else:
            raise DataError(
                f"{source} as float16 changes a probability by {different:.4f}, more than "
                f"{MOST_DIFFERENT:g}: it cannot be packed in half precision"
            )
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    card = card_of(target, told, measured)
    write_card(card, out)
    yield (
        f"{target}  {source.stat().st_size / 1e6:.1f} MB -> {target.stat().st_size / 1e6:.1f} MB, "
        f"probabilities differ by {different:.5f} at most"
    )
    yield from score_lines(card)
    yield f"card: {out / name}.md and {name}.json"
