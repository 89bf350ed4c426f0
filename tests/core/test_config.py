"""Configuration: layers, types, and what is said of a wrong name."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungseg.core import config
from lungseg.core.errors import ConfigError
from tests.core.stages import FLOW, Read, Upper


def test_later_layers_win(tmp_path):
    file = tmp_path / "lungseg.toml"
    file.write_text('[upper]\nmark = "?"\ngain = 3\n[read]\nrepeat = 2\n')
    layers = [
        *config.from_preset({"read.repeat": 5, "upper.gain": 1.0}, "p"),
        *config.from_toml(file),
        *config.from_assignments(["upper.gain=4.5"]),
    ]
    chosen = config.settings(FLOW, layers)
    assert chosen["upper"] == Upper(mark="?", gain=4.5)
    assert chosen["read"] == Read(repeat=2)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("uper.gain=1", r"--set uper.gain=1: there is no stage 'uper'; did you mean upper\?"),
        ("upper.gian=1", r"upper has no parameter 'gian'; did you mean gain\?"),
        ("upper.factor=2", r"upper has no parameter 'factor' any more: it is called gain now"),
        ("upper.gain=wide", r"upper\.gain: expected a number, found 'wide'"),
        ("upper.gain=11", r"--set upper\.gain=11: upper: gain must be <= 10, not 11"),
        ("upper.mark=x", r"mark must be one of !, \?; not 'x'"),
        ("gain=1", r"expected stage\.name=value"),
        ("upper.gain", r"expected stage\.name=value"),
        ("read.repeat=1.5", r"read\.repeat: expected a whole number, found '1\.5'"),
    ],
)
def test_a_wrong_setting_is_named_with_where_it_stands(assignment, message):
    with pytest.raises(ConfigError, match=message):
        config.settings(FLOW, config.from_assignments([assignment]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[upper", "is not valid TOML"),
        ("mark = 1", r"mark = 1 stands outside a table"),
        ("[upper]\ngain = 'a'", r"lungseg\.toml: upper: gain must be float, not 'a'"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, message):
    file = tmp_path / "lungseg.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        config.settings(FLOW, config.from_toml(file))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no configuration file"):
        config.from_toml(tmp_path / "none.toml")


@given(
    repeat=st.integers(1, 10**6),
    gain=st.floats(0, 10, exclude_min=True),
    table=st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=20),
)
def test_params_written_as_toml_read_back_equal(tmp_path_factory, repeat, gain, table):
    chosen = config.settings(FLOW, [])
    chosen |= {"read": Read(repeat=repeat, table=table), "upper": Upper(gain=gain)}
    file = tmp_path_factory.mktemp("toml") / "lungseg.toml"
    file.write_text(config.to_toml(FLOW, chosen), encoding="utf-8")
    assert config.settings(FLOW, config.from_toml(file)) == chosen


def test_the_toml_tells_help_and_range():
    text = config.to_toml(FLOW, config.settings(FLOW, []))
    assert "# a number (> 0, <= 10)\ngain = 2.0" in text
    assert "# what is put at the end (! | ?)" in text
    assert tomllib.loads(text)["read"]["repeat"] == 1


def test_of_several_settings_the_one_at_fault_is_named():
    said = config.from_assignments(["upper.gain=3", "upper.mark=x"])
    with pytest.raises(ConfigError, match=r"^--set upper\.mark=x: upper: mark "):
        config.settings(FLOW, said)


def test_every_kind_of_bound_has_its_sign():
    bounds = {"gt": 0, "ge": 1, "lt": 4.5, "le": 5}
    assert config.describe_range({"bounds": bounds}) == "> 0, >= 1, < 4.5, <= 5"
    assert config.describe_range({"choices": ("!", "?")}) == "! | ?"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("yes", bool, True),
        ("off", bool, False),
        ("7", int, 7),
        ("1e-3", float, 0.001),
        ("none", str, "none"),
    ],
)
def test_text_is_read_as_the_declared_type(text, kind, value):
    assert config.parse(text, kind) == value
