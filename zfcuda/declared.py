"""What the modules of a folder declare, read off their files, so that to list it nothing is imported."""

from __future__ import annotations

import ast
from pathlib import Path


def declared(folder: Path, variable: str) -> dict[str, str]:
    """The name of each thing -> the module of the folder that has it, in alphabetical order of the modules.

    A module declares a thing where it sets `variable` to a call with name=, a word in quotes.

    Raises:
        ValueError: a module sets it to something else.
    """
    found = {}
    for path in sorted(folder.glob("*.py")):
        for statement in ast.parse(path.read_text("utf-8")).body:
            if isinstance(statement, ast.Assign) and variable in map(ast.unparse, statement.targets):
                found[_name(statement.value, path, variable)] = path.stem
    return found


def _name(value: ast.expr, path: Path, variable: str) -> str:
    if isinstance(value, ast.Call):
        for keyword in value.keywords:
            if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
                return str(keyword.value.value)
    raise ValueError(f"{path}: {variable}: expected a call with name=, a word in quotes, got {ast.unparse(value)}")
