"""Recipes for tests of training: `train`'s defaults, but for what a test names."""

from dataclasses import fields

from lungseg.model.training import Recipe
from lungseg.stages.train import Train


def recipe(network, **settings):
    """Recipe of `network`, in the caller's own thread unless `workers` is given."""
    params = Train(**{"workers": 0, **settings})
    names = [field.name for field in fields(Recipe) if field.name != "network"]
    return Recipe(network=network, **{name: getattr(params, name) for name in names})
