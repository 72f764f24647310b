"""torchvision's networks, which are plain Python, even where its compiled operators do not fit the torch in use."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec
from types import ModuleType

_one_at_a_time = threading.RLock()
_package: list[ModuleType] = []  # the package without its first lines, once it was needed


@contextmanager
def plain_torchvision() -> Iterator[None]:
    """Makes `import torchvision.models`, and timm, possible for the time of a with statement.

    Nothing happens where torchvision can be imported, or is not installed. Where its compiled operators were built for
    another torch ("operator torchvision::nms does not exist"), a package stands in that has all its modules and lacks
    its first lines, which register those operators. At the end that package is taken away again, so that nobody else
    who asks for torchvision finds one that only seems to work. Its modules stay where torch.compile and torch.export
    look for the source of the networks that were made.
    """
    with _one_at_a_time:
        package = _needed()
        if package is None:
            yield
            return
        sys.modules["torchvision"] = package
        try:
            yield
        finally:
            del sys.modules["torchvision"]


@contextmanager
def torchvision_models() -> Iterator[ModuleType | None]:
    """torchvision.models for the time of a with statement; None where it is not installed or cannot be imported."""
    with plain_torchvision():
        try:
            networks = importlib.import_module("torchvision.models")
        except (ImportError, RuntimeError, AttributeError):
            yield None
            return
        yield networks


def _needed() -> ModuleType | None:
    """The package that has to stand in; None where torchvision needs none, or is not there."""
    if "torchvision" in sys.modules:
        return None
    spec = find_spec("torchvision")
    if spec is None:
        return None
    if not _package:
        try:
            importlib.import_module("torchvision")
        except Exception:  # RuntimeError where it was built for another torch, ImportError, and what else there may be
            _package.append(module_from_spec(spec))
        else:
            return None
    return _package[0]
