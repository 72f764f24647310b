"""Writes the pages of docs/api/: one for each public module, and README.md, which lists every name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.reference.docstring import SECTIONS, Docstring, read
from benchmarks.reference.names import MODULES, Name, explained, parts, public
from benchmarks.reference.prose import Links, prose, wrapped

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
NOTE = "<!-- Written by `python -m benchmarks.reference` from the docstrings; change those, and run it again. -->"
_WIDEST = 96  # columns of a signature on one line
_TITLES = {"Args": "Arguments", "Source": "Source", "Example": "Example"}
#: The groups of the names of ``zfcuda`` itself, by the room that they come from; the others stand under "At hand".
GROUPS = {
    "What matters": ("zfcuda.backward", "zfcuda.occlusion"),
    "What fires": ("zfcuda.features",),
    "What it wants": ("zfcuda.synthesis",),
    "At hand": ("",),
}


def pages() -> dict[str, str]:
    """The text of each file of docs/api/, by its path in docs/."""
    return {"api/README.md": _index(), **{f"api/{_file(module)}": _page(module) for module in MODULES}}


def signature(of: Name) -> str:
    """How a function is called, or a class made, on one line or on one for each parameter."""
    called = of.full if of.kind == "class" or "." not in of.name else of.name
    try:
        found = inspect.signature(of.value)
    except ValueError:
        return called
    given = [one for one in found.parameters.values() if one.name not in ("self", "cls")]
    shown: list[str] = []
    for before, one in zip([None, *given], given, strict=False):
        if one.kind is one.KEYWORD_ONLY and (before is None or before.kind is one.POSITIONAL_OR_KEYWORD):
            shown.append("*")
        shown.append(_parameter(one))
    known = of.kind != "class" and found.return_annotation is not found.empty
    returned = f" -> {_annotation(found.return_annotation)}" if known else ""
    line = f"{called}({', '.join(shown)}){returned}"
    if len(line) <= _WIDEST:
        return line
    return "\n".join([f"{called}(", *(f"    {one}," for one in shown), f"){returned}"])


def _parameter(one: inspect.Parameter) -> str:
    stars = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
    annotated = "" if one.annotation is one.empty else f": {_annotation(one.annotation)}"
    if one.default is one.empty:
        return f"{stars}{one.name}{annotated}"
    default = "..." if len(repr(one.default)) > 60 or "<" in repr(one.default) else repr(one.default)
    return f"{one.name}{annotated}{' = ' if annotated else '='}{default}"


def _annotation(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _file(module: str) -> str:
    return f"{module.rpartition('.')[2]}.md"


@cache
def _homes() -> Mapping[str, Name]:
    """Each public name by the identity of what it stands for, constants by their full name: where it is explained."""
    homes: dict[str, Name] = {}
    for module in MODULES:
        for one in public(module):
            homes.setdefault(_key(one), one)
    return homes


def _key(of: Name) -> str:
    return (
        f"{of.home}.{getattr(of.value, '__qualname__', of.name)}" if of.kind != "constant" else f"{of.home}.{of.name}"
    )


@cache
def links() -> Links:
    """Where each public name is explained, by what it may be called in a docstring."""
    found: dict[str, str] = {}
    for module in MODULES:
        taken: dict[str, int] = {}
        found[module] = _file(module)
        for one in _own(module):
            places = [one, *(parts(one) if one.kind == "class" else [])]
            for place in places:
                slug = re.sub(r"[^\w-]", "", place.name.lower())
                again = taken.get(slug, 0)
                taken[slug] = again + 1
                found[place.full] = f"{_file(module)}#{slug}{f'-{again}' if again else ''}"
    for module in MODULES:
        for one in public(module):
            home = found[_homes()[_key(one)].full]
            found.setdefault(one.full, home)
            found.setdefault(f"{one.home}.{one.name}", home)
    return Links(found)


def _own(module: str) -> list[Name]:
    """The names that the page of a module explains, in its order: methods by group, classes before functions."""
    own = [one for one in public(module) if _homes()[_key(one)] is one or _homes()[_key(one)] == one]
    if module == "zfcuda":
        return [one for group in GROUPS for one in own if _group(one) == group]
    return own


def _group(of: Name) -> str:
    return next(group for group, rooms in GROUPS.items() if any(of.home.startswith(room) for room in rooms))


def _said(of: Name) -> Docstring:
    return read(of.doc, explained(of), "Args" if of.kind == "function" else "Attributes")


def _index() -> str:
    lines = ["# API reference", "", NOTE, ""]
    lines += [
        "Every public name: what it takes, gives and refuses. An *image* is a tensor, a *picture* a PIL picture",
        "or a file. [methods.md](../methods.md) says what each method computes and what its picture can tell;",
        "[commands.md](../commands.md) has the command line.",
        "",
    ]
    for module in MODULES:
        lines += [f"## [{module}]({_file(module)})", ""]
        if module == "zfcuda":
            for group in GROUPS:
                lines += [f"### {group}", "", *_table([one for one in _own(module) if _group(one) == group]), ""]
        else:
            lines += [*wrapped(prose(read(_doc(module)).summary, links())), "", *_table(_own(module)), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(names: list[Name]) -> list[str]:
    rows = [f"| [`{one.name}`]({links().of[one.full]}) | {_first_sentence(one)} |" for one in names]
    return ["| name | what it is |", "| --- | --- |", *rows]


def _first_sentence(of: Name) -> str:
    summary = prose(_said(of).summary, links())
    first = re.split(r"(?<=[.;])(?<!al\.)(?<!Fig\.)\s(?=[A-Z])", summary)[0].rstrip(":")
    return first.replace("|", "\\|")


def _doc(module: str) -> str:
    from importlib import import_module

    return inspect.cleandoc(import_module(module).__doc__ or "")


def _page(module: str) -> str:
    said = read(_doc(module))
    lines = [f"# {module}", "", NOTE, "", *_paragraphs([said.summary, *said.text])]
    if "Example" in said.parts:
        lines += ["```python", said.parts["Example"], "```", ""]
    own = _own(module)
    other = [one for one in public(module) if one not in own]
    if other:
        names = ", ".join(f"[`{one.name}`]({links().of[one.full]})" for one in other)
        lines += [*wrapped(f"Explained elsewhere: {names}."), ""]
    if module == "zfcuda":
        for group in GROUPS:
            lines += [f"## {group}", ""]
            lines += [line for one in own if _group(one) == group for line in _entry(one, 3)]
    else:
        lines += [line for one in own for line in _entry(one, 2)]
    return "\n".join(lines).rstrip() + "\n"


def _entry(of: Name, level: int) -> list[str]:
    """What a page says of a name, and of the methods of a class."""
    said = _said(of)
    lines = [f"{'#' * level} {of.name}", ""]
    if of.kind in ("class", "function"):
        lines += ["```pyi", signature(of), "```", ""]
    elif of.kind == "constant":
        lines += ["```pyi", *_constant(of), "```", ""]
    lines += _paragraphs([said.summary, *said.text], of)
    for section in SECTIONS:
        if section in said.lists:
            lines += [f"**{_TITLES.get(section, section)}**", "", *_items(said.lists[section], of), ""]
        elif section == "Example" and section in said.parts:
            lines += ["**Example**", "", "```python", said.parts[section], "```", ""]
        elif section in said.parts:
            lines += [*wrapped(f"**{_TITLES.get(section, section)}:** {prose(said.parts[section], links(), of)}"), ""]
    if of.kind == "class":
        named = said.named("Attributes")
        for part in parts(of):
            if part.kind != "property" or part.name.rpartition(".")[2] not in named:
                lines += _entry(part, level + 1)
    if "." not in of.name:
        lines += [f"Defined in [{_path(of.home)}](../../{_path(of.home)}).", ""]
    return lines


def _paragraphs(texts: list[str], of: Name | None = None) -> list[str]:
    lines: list[str] = []
    for text in filter(None, texts):
        shown = ["```text", text, "```"] if "\n" in text else wrapped(prose(text, links(), of))
        lines += [*shown, ""]
    return lines


def _items(items: list[tuple[str, str]], of: Name) -> list[str]:
    lines = []
    for names, said in items:
        shown = ", ".join(f"`{name}`" for name in names.split(", ") if name)
        text, *within = (prose(line, links(), of) for line in said.split("\n"))
        lines += wrapped(f"- {shown}: {text}" if shown else f"- {text}", "  ")
        for line in within:
            lines += wrapped(line, "    ", "  ")
    return lines


def _constant(of: Name) -> list[str]:
    value = of.value
    if isinstance(value, Mapping):
        return [f"{of.full}  # {type(value).__name__}: {', '.join(map(str, value))}"]
    shown = repr(value)
    return [f"{of.full} = {shown}" if len(shown) < 400 and "<" not in shown else f"{of.full}"]


def _path(module: str) -> str:
    path = module.replace(".", "/")
    return f"{path}.py" if (DOCS.parent / f"{path}.py").exists() else f"{path}/__init__.py"
