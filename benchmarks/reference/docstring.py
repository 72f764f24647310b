"""Reads a docstring of this package: what it says first, its sections, and the names that are explained in them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from textwrap import dedent

#: The sections that a docstring may have, in the order in which they are shown.
SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Warns", "Source", "Example")
_LISTS = ("Args", "Attributes", "Raises", "Warns")
_HEAD = re.compile(rf"({'|'.join(SECTIONS)}|Sources):(?: (.*))?")
_ITEM = re.compile(r"([\w.]+(?:, [\w.]+)*): (.*)")


@dataclass
class Docstring:
    """What a docstring says.

    Attributes:
        summary: its first paragraph.
        text: the paragraphs that follow, outside the sections; one of several lines is a table, or the like.
        lists: section -> (names, what is said of them), of those that list names; a line of its own in what is said,
            after the first, is an item of a list within.
        parts: section -> paragraphs, of the others; of "Example" its lines of code.
    """

    summary: str = ""
    text: list[str] = field(default_factory=list)
    lists: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)

    def named(self, section: str) -> list[str]:
        """The names that a section explains, one by one."""
        return [name for names, _ in self.lists.get(section, []) for name in names.split(", ")]


def read(text: str, names: Collection[str] = (), section: str = "Args") -> Docstring:
    """Reads a docstring from which the common indentation is taken (inspect.getdoc).

    Args:
        text: the docstring.
        names: what may be explained outside a section, by a line that begins with "name: ".
        section: where such a line belongs, "Args" or "Attributes".
    """
    found = Docstring()
    paragraphs: list[str] = []
    for head, body in _blocks(text.splitlines(), names):
        if head is None:
            paragraphs += [_paragraph(part) for part in re.split(r"\n\s*\n", body) if part.strip()]
        elif head == "":
            found.lists.setdefault(section, []).extend(_items(body))
        elif head in _LISTS:
            found.lists.setdefault(head, []).extend(_items(dedent(body)))
        elif head == "Example":
            found.parts[head] = dedent(body).strip("\n")
        else:
            found.parts[head] = _joined(body)
    found.summary = paragraphs[0] if paragraphs else ""
    found.text = paragraphs[1:]
    return found


def _blocks(lines: list[str], names: Collection[str]) -> list[tuple[str | None, str]]:
    """(section, its lines): None: plain paragraphs; "": names explained outside a section."""
    blocks: list[tuple[str | None, list[str]]] = [(None, [])]
    for line in lines:
        head, item = _HEAD.fullmatch(line), _ITEM.fullmatch(line)
        if head:
            blocks.append((head[1].removesuffix("s") if head[1] == "Sources" else head[1], [head[2] or ""]))
        elif item and set(item[1].split(", ")) <= set(names):
            blocks.append(("", [line]))
        elif line and not line[0].isspace() and not _goes_on(blocks[-1]):
            blocks.append((None, [line]))
        else:
            blocks[-1][1].append(line)
    return [(head, "\n".join(body)) for head, body in blocks]


def _goes_on(block: tuple[str | None, list[str]]) -> bool:
    """Whether a line that is not indented belongs to what came before: a paragraph, or a "Source: ..." of several."""
    head, body = block
    return head is None or (head not in _LISTS and head != "" and bool(body[0]) and bool(body[-1].strip()))


def _items(body: str) -> list[tuple[str, str]]:
    items: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        match = _ITEM.fullmatch(line)
        if match:
            items.append((match[1], [match[2]]))
        elif line.strip():
            if not items:
                items.append(("", []))
            within = line.strip()
            items[-1][1].append(f"\n{within}" if within.startswith("- ") else within)
    return [(names, re.sub(r" +\n", "\n", " ".join(said))) for names, said in items]


def _paragraph(text: str) -> str:
    """On one line; one that is indented throughout, or a table, keeps its lines."""
    lines = text.strip("\n").splitlines()
    if lines[0].startswith("=="):
        return "\n".join(line for line in lines if not line.startswith("=="))
    return dedent(text).strip("\n") if all(line.startswith("  ") for line in lines) else _joined(text)


def _joined(text: str) -> str:
    return " ".join(text.split())
