"""What the modules of a folder declare, read off their files, so that to list it nothing is imported."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Declaration:
    """A call that a module sets a variable to.

    Attributes:
        path: of the module.
        variable: what is set.
        call: to what.
    """

    path: Path
    variable: str
    call: ast.expr

    def text(self, keyword: str) -> str:
        """What a keyword of the call says, a word or sentence in quotes.

        Raises:
            ValueError: it says something else, or is missing.
        """
        value = self.value(keyword)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
        said = ast.unparse(self.call)
        raise ValueError(f"{self.path}: {self.variable}: expected a call with {keyword}=, a word in quotes, got {said}")

    def value(self, keyword: str) -> ast.expr | None:
        """What stands after a keyword of the call; None where it is missing."""
        given = self.call.keywords if isinstance(self.call, ast.Call) else []
        return next((each.value for each in given if each.arg == keyword), None)


def declarations(folder: Path, variable: str) -> dict[str, Declaration]:
    """What each module of a folder sets a variable to, by name=, in alphabetical order of the modules.

    Raises:
        ValueError: a module sets it to something else than a call with name=, a word in quotes.
    """
    found = {}
    for path in sorted(folder.glob("*.py")):
        for statement in ast.parse(path.read_text("utf-8")).body:
            if isinstance(statement, ast.Assign) and variable in map(ast.unparse, statement.targets):
                declaration = Declaration(path, variable, statement.value)
                found[declaration.text("name")] = declaration
    return found


def declared(folder: Path, variable: str) -> dict[str, str]:
    """The name of each thing -> the module of the folder that has it, in alphabetical order of the modules.

    Raises:
        ValueError: as :func:`declarations`.
    """
    return {name: each.path.stem for name, each in declarations(folder, variable).items()}
