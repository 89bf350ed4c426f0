"""Which candidates the first page shows where there are no scores."""

from types import SimpleNamespace

from lungseg.commands.report.nodule_gallery import _likeliest


def scan(name, part, *probabilities):
    found = [
        SimpleNamespace(
            probability=p, calibrated=None if p == 0.5 else p / 4, around=None,
            xyz_mm=(0.0, 0.0, 0.0), diameter_mm=8.0,
        )
        for p in probabilities
    ]  # fmt: skip
    return SimpleNamespace(name=name, facts=lambda stage: {"part": part}, candidates=lambda: found)


def test_what_the_net_remembers_comes_last_and_is_marked_and_chances_are_told():
    scans = [scan("a", "train", 1.0, 0.9), scan("b", "test", 0.5), scan("c", "unknown", 0.8)]
    ((title, _, picks),) = _likeliest(SimpleNamespace(scans=scans))
    assert title == "Likeliest candidates"
    assert [pick.entry.name for pick in picks] == ["c", "b", "a", "a"]
    assert [pick.head for pick in picks[:3]] == [
        "Score 0.80, 20 % of such are nodules",
        "Score 0.50",
        "Score 1.00, 25 % of such are nodules",
    ]
    assert [pick.told.endswith(", seen by the net") for pick in picks] == [False, False, True, True]


def test_without_candidates_there_are_none():
    assert list(_likeliest(SimpleNamespace(scans=[scan("a", "test")]))) == []
