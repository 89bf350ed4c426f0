"""Fixtures of the nets' tests: whether Keras makes graphs, and how."""

import pytest

from tests.model.graphs import eagerly, graphs_as_they_are


@pytest.fixture(scope="module")
def eager():
    """From here on a module's nets learn and answer without a graph."""
    with eagerly():
        yield


@pytest.fixture
def with_graphs():
    """As users have it, in a module that is `eager`."""
    with eagerly(False):
        yield


@pytest.fixture
def quick_graphs():
    with graphs_as_they_are():
        yield
