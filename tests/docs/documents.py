"""What a document is made of, for the tests: blocks of code with their markers, and code in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Every document that a user reads.
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "zfcuda").rglob("*.md")]
)
_FENCE = re.compile(r"(`{3,})([\w.+-]*)\s*")
_MARKER = re.compile(r"<!-- not run: (.+?) -->")


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        language: what stands behind the fence; "" where nothing does, or where the block is indented.
        code: its lines.
        line: the number of the first of them in the document, from 1.
        reason: why it is not run, from a comment ``<!-- not run: reason -->`` before it; "" where there is none.
    """

    language: str
    code: str
    line: int
    reason: str


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a document, in order.

    Raises:
        ValueError: a fence is not closed.
    """
    lines = text.splitlines()
    at, reason = 0, ""
    while at < len(lines):
        fence = _FENCE.fullmatch(lines[at])
        if fence:
            end = next((i for i in range(at + 1, len(lines)) if lines[i].rstrip() == fence[1]), None)
            if end is None:
                raise ValueError(f"line {at + 1}: the block is not closed")
            yield Block(fence[2], "\n".join(lines[at + 1 : end]), at + 2, reason)
            at, reason = end, ""
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            end = next((i for i in range(at, len(lines)) if lines[i] and not lines[i].startswith("    ")), len(lines))
            code = "\n".join(line[4:] for line in lines[at:end]).rstrip()
            yield Block("", code, at + 1, reason)
            at, reason = end - 1, ""
        elif marker := _MARKER.fullmatch(lines[at].strip()):
            reason = marker[1]
        elif lines[at].strip():
            reason = ""
        at += 1


def without_blocks(text: str) -> str:
    """The document with its fenced blocks emptied, line by line where it was."""
    kept, fence = [], ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if fence:
            fence = "" if line.rstrip() == fence else fence
            kept.append("")
        elif found:
            fence = found[1]
            kept.append("")
        else:
            kept.append(line)
    return "\n".join(kept)


def spans(text: str) -> Iterator[str]:
    """The code within the text of a document, on one line each."""
    for match in re.finditer(r"(?<!`)`([^`]+)`(?!`)", without_blocks(text)):
        yield " ".join(match[1].split())
