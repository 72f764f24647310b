"""Turns the prose of a docstring into Markdown: code, links to other names, and what Markdown would misread escaped."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.reference.names import Name

_PIECE = re.compile(r":(?:func|meth|class|mod|data|attr):`~?\.?([^`]+)`|``(.+?)``|`([^`]+)`|\b(zfcuda(?:\.\w+)+)\b")
_BEGINS_ANEW = re.compile(r"([-+*#>=|]|\d+[.)])")  # what would be a list or the like at the start of a line
_WIDEST = 120  # columns


@dataclass(frozen=True, eq=False)
class Links:
    """Where each public name is explained: "zfcuda.project" -> "zfcuda.md#project"."""

    of: Mapping[str, str]

    def find(self, name: str, within: Name | None) -> str | None:
        """The place of a name as a docstring writes it, in full or as seen from where it stands; None: nowhere."""
        called = name.removesuffix("()")
        tried = [called, f"zfcuda.{called}"]
        if within is not None:
            tried[:0] = [f"{within.module}.{within.name.partition('.')[0]}.{called}", f"{within.module}.{called}"]
        return next((self.of[one] for one in tried if one in self.of), None)


def prose(text: str, links: Links, within: Name | None = None) -> str:
    """The text as Markdown. within: the name whose docstring it is of, from which short names are seen."""
    done, at = [], 0
    for match in _PIECE.finditer(text):
        done.append(_plain(text[at : match.start()]))
        role, double, single, dotted = match.groups()
        name = role or dotted
        code = f"`{name or double or single}`"
        place = links.find(name, within) if name else None
        done.append(f"[{code}]({place})" if place else code)
        at = match.end()
    return "".join([*done, _plain(text[at:])])


def wrapped(text: str, indent: str = "", first: str = "") -> list[str]:
    """Lines of a paragraph of Markdown, so that a change is seen in a diff.

    Args:
        indent: what stands before all lines but the first.
        first: what stands before that one.
    """
    lines: list[str] = []
    for line in textwrap.wrap(
        text, _WIDEST, initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ):
        if lines and _BEGINS_ANEW.match(line.strip()):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return lines


def _plain(text: str) -> str:
    """Text in which <, *, | and _ stand for themselves."""
    return re.sub(r"(?<!\w)([*_])(?=\w)|(<)", lambda match: "\\" + match[0], text)
