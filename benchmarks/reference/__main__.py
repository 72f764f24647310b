"""Writes docs/api/ and docs/commands.md anew; a test holds that they are what this would write."""

from __future__ import annotations

import sys

from benchmarks.reference.pages import DOCS, pages
from benchmarks.reference.verbs import commands


def main() -> int:
    written = {**pages(), "commands.md": commands()}
    for left in set((DOCS / "api").glob("*.md")) - {DOCS / name for name in written}:
        left.unlink()
    for name, text in written.items():
        path = DOCS / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
