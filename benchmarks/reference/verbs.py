"""Writes docs/commands.md: what ``zfcuda VERB --help`` says of every verb, at one width. Needs no torch."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from unittest import mock

from zfcuda.cli import _parser

_COLUMNS = 112
_HEAD = """# The command line

<!-- Written by `python -m benchmarks.reference` from every verb's --help; change those, and run it again. -->

What `zfcuda VERB --help` says of each verb. A mistake is one line on stderr and exit code 2; Ctrl-C ends with 130,
SIGTERM with 143. [methods.md](methods.md) says what the methods compute, [training.md](training.md) how networks are
trained, and [the API reference](api/README.md) has the functions behind the verbs.

"""


def commands() -> str:
    """The whole page."""
    found = list(verbs())
    table = ["| verb | what it does |", "| --- | --- |"]
    table += [f"| [`zfcuda {name}`](#{_slug(name)}) | {said} |" for name, said, _ in found]
    sections = [f"## zfcuda {name}\n\n```text\n{shown(parser)}```\n" for name, _, parser in found]
    return _HEAD + "\n".join(table) + "\n\n" + "\n".join(sections)


def verbs() -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """(name, what it does in a line, its parser) of each verb, those of a verb behind it: "style", "style train"."""
    yield from _below(_parser(), "")


def shown(parser: argparse.ArgumentParser) -> str:
    """Its --help, as wide as this page has it, whatever the terminal."""
    with mock.patch.dict(os.environ, {"COLUMNS": str(_COLUMNS), "NO_COLOR": "1"}):
        return parser.format_help()


def _below(parser: argparse.ArgumentParser, before: str) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            said = {one.dest: one.help or "" for one in action._choices_actions}
            for name, child in action.choices.items():
                yield f"{before}{name}", said[name], child
                yield from _below(child, f"{before}{name} ")


def _slug(name: str) -> str:
    return re.sub(r"\W", "-", f"zfcuda {name}")
