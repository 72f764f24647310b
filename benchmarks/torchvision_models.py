"""torchvision's networks, to hold ours against, even where its compiled operators do not fit the torch in use."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType


@contextmanager
def torchvision_models() -> Iterator[ModuleType | None]:
    """torchvision.models for the time of a with statement; None where it is not installed or cannot be imported.

    Where torchvision itself refuses to be imported, its networks are, which are plain Python, in a package without its
    first lines. That is undone at the end, so that nobody else finds a torchvision that only seems to work.
    """
    spec = find_spec("torchvision")
    if spec is None:
        yield None
        return
    try:
        whole = importlib.import_module("torchvision.models")
    except (ImportError, RuntimeError):  # "operator torchvision::nms does not exist": built for another torch
        pass
    else:
        yield whole
        return
    before = dict(sys.modules)
    try:
        package = ModuleType("torchvision")
        package.__path__ = list(spec.submodule_search_locations or ())
        sys.modules["torchvision"] = package
        try:
            networks = importlib.import_module("torchvision.models")
        except (ImportError, RuntimeError, AttributeError):
            yield None
        else:
            yield networks
    finally:
        for name in set(sys.modules) - set(before):
            if name.partition(".")[0] == "torchvision":
                del sys.modules[name]
