"""The methods by name: each module of this folder that has a METHOD brings one."""

from __future__ import annotations

from importlib import import_module

from zfcuda.method_names import homes, known
from zfcuda.methods.method import Method

#: Every method, by name, in alphabetical order.
METHODS: dict[str, Method] = {name: import_module(f"{__package__}.{module}").METHOD for name, module in homes().items()}


def method(name: str) -> Method:
    """The method of that name.

    Raises:
        ValueError: there is none; those that there are follow.
    """
    return METHODS[known(name)]
