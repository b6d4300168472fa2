"""The written-out table of recipes by name. Listing the names imports none of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from ....core.errors import InputError

if TYPE_CHECKING:
    from .recipe import Recipe

RECIPES = ("blood_cells", "brain_tumour", "haemorrhage", "lung_boxes", "nuclei", "pneumonia", "vessels")


KINDS = "kind_of_picture"
"""The gate's model, which is no network: it has a recipe of its own, tools/gate/recipe.py."""


def check_name(name: str) -> None:
    """Raise InputError when there is no recipe called `name`."""
    if name not in RECIPES:
        raise InputError(
            expected="one of the recipes " + ", ".join(sorted((*RECIPES, KINDS))),
            got=repr(name),
            fix="name a recipe there is",
        )


def recipe(name: str) -> Recipe:
    """The recipe called `name`. Raises InputError when there is none."""
    check_name(name)
    return cast("Recipe", import_module(f"{__package__}.recipes.{name}").RECIPE)
