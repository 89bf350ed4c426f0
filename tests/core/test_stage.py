"""Parameters: declared once, typed, in range."""

from dataclasses import dataclass

import pytest

from lungseg.core.errors import ConfigError
from lungseg.core.stage import Params, as_dict, param, types_of


@dataclass(frozen=True, kw_only=True)
class Example(Params):
    """Parameters."""

    close_mm: float = param(8.0, "radius", gt=0, le=30)
    air_below_hu: int = param(-320, "air", le=0)
    method: str = param("a", "which", choices=("a", "b"))
    limit: int = param(5, "at most this many", ge=1)
    on: bool = param(True, "whether")


def test_an_int_for_a_float_becomes_that_float():
    assert type(Example(close_mm=10).close_mm) is float
    assert Example(close_mm=10) == Example(close_mm=10.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"close_mm": 0.0}, r"close_mm must be > 0, not 0\.0"),
        ({"close_mm": 31.0}, r"close_mm must be <= 30, not 31"),
        ({"air_below_hu": 1}, r"air_below_hu must be <= 0, not 1"),
        ({"limit": 0}, r"limit must be >= 1, not 0"),
        ({"method": "c"}, r"method must be one of a, b; not 'c'"),
        ({"air_below_hu": -1.5}, r"air_below_hu must be int, not -1\.5 \(float\)"),
        ({"air_below_hu": True}, r"air_below_hu must be int, not True"),
        ({"on": 1}, r"on must be bool, not 1"),
        ({"close_mm": "wide"}, r"close_mm must be float, not 'wide'"),
        ({"limit": "all"}, r"limit must be int, not 'all'"),
    ],
)
def test_a_wrong_value_says_what_was_expected(values, message):
    with pytest.raises(ConfigError, match=message):
        Example(**values)


def test_bounds_themselves_are_allowed_where_they_are_inclusive():
    assert Example(close_mm=30.0, air_below_hu=0, limit=1).limit == 1


def test_the_types_and_values_are_readable():
    assert types_of(Example)["limit"] is int
    assert as_dict(Example())["method"] == "a"
