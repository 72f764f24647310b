"""Why claims of the paper do not hold here, where they do not: what a document says below them."""

from __future__ import annotations

#: (figure, setting or "" for each of them, how the claim begins) -> why it does not hold there.
WHY: dict[tuple[str, str, str], str] = {}
