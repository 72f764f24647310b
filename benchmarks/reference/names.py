"""What is public: the names in ``__all__`` of these modules, and what a program may use of each class."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

#: Each module that has a page, in the order of the index. A name that two have is explained where it comes first.
MODULES = (
    *("zfcuda", "zfcuda.occlusion", "zfcuda.synthesis", "zfcuda.faithfulness", "zfcuda.methods", "zfcuda.paper"),
    *("zfcuda.models", "zfcuda.train", "zfcuda.data", "zfcuda.network", "zfcuda.ops", "zfcuda.render"),
)
_HOOKS = {"extra_repr", "reset_parameters"}  # that torch calls


@dataclass(frozen=True)
class Name:
    """A public name.

    Attributes:
        module: the module that has it in ``__all__``.
        name: what it is called there; of a method CLASS.NAME.
        value: what it stands for: a class, a function, a property or a constant.
        home: the module that defines it.
        doc: its docstring, or the comment above a constant; "" where there is none.
    """

    module: str
    name: str
    value: Any
    home: str
    doc: str

    @property
    def full(self) -> str:
        """As a program writes it."""
        return f"{self.module}.{self.name}"

    @property
    def kind(self) -> str:
        """What it is: "class", "exception", "function", "property" or "constant"."""
        if inspect.isclass(self.value):
            return "exception" if issubclass(self.value, Exception) else "class"
        if isinstance(self.value, property):
            return "property"
        return "function" if inspect.isroutine(self.value) else "constant"


def public(module: str) -> list[Name]:
    """The public names of a module but for modules, sorted; those that an earlier page explains are there, too."""
    found = import_module(module)
    return [
        _name(module, name, value)
        for name in sorted(found.__all__, key=lambda name: (name.lower(), name))
        if not inspect.ismodule(value := getattr(found, name)) and not name.startswith("__")
    ]


def parts(of: Name) -> list[Name]:
    """The methods and properties of a class that a program may use, in the order of the source, a base's first."""
    found: dict[str, Name] = {}
    for base in reversed(of.value.__mro__):
        if not base.__module__.startswith("zfcuda"):
            continue
        for name, raw in vars(base).items():
            value = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
            if not (inspect.isfunction(value) or isinstance(value, property)):
                continue
            if name in _HOOKS or (name.startswith("_") and name != "__call__"):
                continue
            shown = value if isinstance(value, property) else getattr(of.value, name)
            found[name] = Name(of.module, f"{of.name}.{name}", shown, base.__module__, inspect.getdoc(value) or "")
    return list(found.values())


def explained(of: Name) -> list[str]:
    """The names that its docstring may explain: parameters of a function, parameters and fields of a class."""
    if of.kind not in ("class", "exception", "function"):
        return []
    names: list[str] = []
    if of.kind != "exception":
        names += inspect.signature(of.value).parameters
    if of.kind != "function":
        names += [field.name for field in fields(of.value)] if is_dataclass(of.value) else []
        names += re.findall(r"self\.(\w+)", _init_of(of.value))
    return names


def _name(module: str, name: str, value: Any) -> Name:
    if inspect.isclass(value) or inspect.isfunction(value):
        doc = value.__doc__ if inspect.isfunction(value) else value.__dict__.get("__doc__")
        return Name(module, name, value, value.__module__, inspect.cleandoc(doc or ""))
    return Name(module, name, value, *_constant(import_module(module), name))


def _init_of(of: type) -> str:
    return inspect.getsource(of.__init__) if "__init__" in vars(of) and not is_dataclass(of) else ""  # type: ignore[misc]


def _constant(module: ModuleType, name: str) -> tuple[str, str]:
    """The module that defines a constant, and the lines that begin with ``#:`` above it."""
    source = inspect.getsource(module)
    for node in _statements(source):
        if isinstance(node, ast.ImportFrom) and any((alias.asname or alias.name) == name for alias in node.names):
            return _constant(import_module(str(node.module)), name)
    lines = source.splitlines()
    for node in _statements(source):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            said: list[str] = []
            for line in reversed(lines[: node.lineno - 1]):
                if not line.startswith("#:"):
                    break
                said.insert(0, line.removeprefix("#:").strip())
            return module.__name__, "\n".join(said)
    return module.__name__, ""


@cache
def _statements(source: str) -> tuple[ast.stmt, ...]:
    """The statements of a module, those under ``if TYPE_CHECKING`` too."""
    return tuple(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt))
