"""Pseudonyms: one for a patient under one key, nowhere the name, the key for its owner alone."""

import json

import pytest

from lungseg.core.errors import ConfigError
from lungseg.io.sources.pseudonyms import (
    KEY_FILE,
    is_pseudonym,
    key_above,
    key_in,
    make_key,
    other_marks,
    pseudonym,
)
from lungseg.session import scans as of_folder
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import open_session
from tests.io.sources.trees import series
from tests.session.salted import leaks, salts_of, write_salted
from tests.test_flow import QUICK, lungseg

ON = CommandOptions(assignments=("ingest.pseudonyms=true",))


def sources_of(work, options=ON, roots=()):
    session = open_session(work, options, roots)
    session.keep()
    return session


def test_a_patient_has_one_pseudonym_and_two_have_two(tmp_path):
    for scan, patient in (("1.1", "Smith"), ("1.2", "Smith "), ("1.3", "smith")):
        series(tmp_path / "src" / scan, scan, PatientID=patient)
    found = sources_of(tmp_path / "work", roots=[tmp_path / "src"]).all_sources
    names = [found[scan].patient for scan in ("1.1", "1.2", "1.3")]
    assert names[0] == names[1] != names[2]
    assert all(is_pseudonym(name) for name in names)


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path):
    key = make_key(tmp_path)
    assert make_key(tmp_path) == key == key_in(tmp_path)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert key_above(tmp_path / "a" / "b") == key


@pytest.mark.parametrize("content", ["", "no key", "ab" * 31, "é"])
def test_a_damaged_key_is_said_and_not_replaced(tmp_path, content):
    (tmp_path / KEY_FILE).write_text(content)
    with pytest.raises(ConfigError, match=r"pseudonyms.key is not readable as a key of 32 bytes"):
        make_key(tmp_path)
    assert (tmp_path / KEY_FILE).read_text() == content


def test_another_key_gives_other_pseudonyms_and_shows_that_it_is_another(tmp_path):
    keys = [make_key(tmp_path / name) for name in "ab"]
    names = [pseudonym("Smith", key) for key in keys]
    assert names[0] != names[1]
    assert other_marks(names, keys[0]) == {names[1][5:11]}
    assert other_marks(["Smith", names[0]], keys[0]) == set()
    assert pseudonym(names[0], keys[1]) == names[0]


def test_turning_pseudonyms_on_looks_again_and_drops_the_true_names(tmp_path):
    series(tmp_path / "src", "1.1", PatientID="Smith")
    work = tmp_path / "work"
    before = sources_of(work, CommandOptions(), [tmp_path / "src"])
    assert before.all_sources["1.1"].patient == "Smith"
    now = sources_of(work)
    name = now.all_sources["1.1"].patient
    assert is_pseudonym(name)
    assert now.all_sources["1.1"].identity != before.all_sources["1.1"].identity
    assert not leaks([work], ["Smith"])
    # Kept for later commands, and looked up, not searched again.
    assert sources_of(work, CommandOptions()).all_sources["1.1"].patient == name
    for place, mode in (("sources", 0o700), ("sources.json", 0o600), (KEY_FILE, 0o600)):
        assert (work / place).stat().st_mode & 0o777 == mode


def test_scan_takes_the_true_name_and_the_pseudonym(tmp_path):
    for scan, patient in (("1.1", "Smith"), ("1.2", "Jones")):
        series(tmp_path / "src" / scan, scan, PatientID=patient)
    session = sources_of(tmp_path / "work", roots=[tmp_path / "src"])
    for word in ("Smith", session.all_sources["1.1"].patient):
        chosen = open_session(tmp_path / "work", CommandOptions(scans=(word,)))
        assert list(chosen.sources) == ["1.1"]


def test_two_patients_under_one_series_are_told_by_pseudonyms(tmp_path):
    series(tmp_path / "src" / "a", "1.1", PatientID="Smith")
    series(tmp_path / "src" / "b", "1.1", PatientID="Jones")
    (left,) = sources_of(tmp_path / "work", roots=[tmp_path / "src"]).left_out
    assert "have 2 PatientIDs (anon-" in left.reason
    assert "Smith" not in left.reason


def test_rules_that_change_are_looked_up_without_the_source_being_named(tmp_path):
    from tests.io.sources.test_series import two_breaths

    two_breaths(tmp_path / "src")
    work = tmp_path / "work"
    assert list(sources_of(work, CommandOptions(), [tmp_path / "src"]).all_sources) == ["1.2.3.4"]
    split = CommandOptions(assignments=("ingest.acquisitions=split",))
    assert list(sources_of(work, split).all_sources) == ["1.2.3.4_a1", "1.2.3.4_a2"]
    assert not of_folder.remembered_by(work, of_folder.SourceRules())


def test_what_is_left_out_is_said_with_the_setting_that_uses_it(tmp_path):
    series(tmp_path / "src", "1.1", SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    (left,) = sources_of(tmp_path / "work", CommandOptions(), [tmp_path / "src"]).left_out
    assert left.reason.endswith("; set ingest.secondary_capture=true to use them")


def test_nothing_that_tells_who_a_patient_is_is_written(tmp_path):
    patient = "Smith4711"
    write_salted(tmp_path / "src", patient, "1.2.826.1")
    (tmp_path / "src" / "notes.txt").write_text(patient)
    bad = tmp_path / "src" / "x" / "bad.dcm"
    series(bad.parent, "1.2.826.2", PatientID=patient, RescaleType="US")
    work = tmp_path / "work"
    told = lungseg(
        *("preprocess", "--src", tmp_path / "src", "--work", work, "--jobs", 1, "--json"),
        *("--set", "ingest.pseudonyms=true", *QUICK),
        status=1,
    )
    words = [patient, *salts_of(patient).values()]
    assert len(words) > 40
    assert leaks([work], words) == []
    assert not [word for word in words if word in told]
    failed = json.loads(told)
    assert "rescale-type: file 1 of 4 has" in json.dumps(failed)
    # Without pseudonyms PatientID alone is written.
    lungseg(
        *("preprocess", "--work", work, "--jobs", 1, "--set", "ingest.pseudonyms=false"), status=1
    )
    assert {word for _, word in leaks([work], words)} == {patient}
