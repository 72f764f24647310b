"""Recipes of training: a file for each, with its RECIPE."""

from __future__ import annotations

import difflib
import pkgutil
from importlib import import_module

from zfcuda.train.recipes.recipe import Recipe

__all__ = ["OF_PARTS", "RECIPES", "USUAL", "Recipe", "recipe"]

_FILES = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "recipe")
_FOUND = [import_module(f"{__name__}.{name}").RECIPE for name in _FILES]
#: The recipes by name.
RECIPES: dict[str, Recipe] = {found.name: found for found in _FOUND}

#: Those that are taken where none is named: and for a ZFNet on Parts, whose defining part a random crop may cut off.
USUAL, OF_PARTS = "modern", "close_ups"


def recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        ValueError: there is none; those that there are, are named.
    """
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(str(name), RECIPES, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(f"recipe: expected one of {', '.join(RECIPES)}, got {name!r}{hint}")
