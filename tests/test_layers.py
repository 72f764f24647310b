"""Imports go one way: the rooms of the package in their order, no circle among modules, no private name across folders.

The checks work on sources, path -> text, so that planted faults show that they find what they are there for.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

Sources = dict[str, str]

# A room may import those of the lines above it: of its own line, only what BESIDE names.
ORDER = [
    ["_C", "_built_for"],  # made by the build
    ["_extension", "_startup", "version", "files", "complaint", "declared", "memory", "answers", "fast_dtype"],
    ["ranks"],
    ["ops"],
    [
        "network",
        "independence",
        "data",
        "render",
        "web",
        "shown",
        "sheets",
        "cuda_graph",
        "class_names",
        "inputs",
        "batches",
        "misfit",
        "autograd",
    ],
    # The families take any nn.Module, and know neither models nor one another.
    ["models", "backward", "occlusion", "features", "synthesis"],
    ["method_names"],
    ["methods"],
    ["faithfulness"],
    ["command"],
    ["train"],
    ["report"],
    ["paper_names"],
    ["paper"],
    ["live"],
    ["__init__", "cli", "__main__"],
]
BESIDE = {
    ("inputs", "network"),
    ("inputs", "class_names"),
    ("inputs", "data"),
    ("batches", "inputs"),
    ("sheets", "render"),
    ("web", "render"),
    ("shown", "render"),
    ("shown", "sheets"),
    ("shown", "data"),
    ("inputs", "shown"),
    ("misfit", "network"),
    ("misfit", "data"),
    ("autograd", "network"),
    ("autograd", "misfit"),
    ("cuda_graph", "network"),
    ("cli", "__init__"),
    ("__main__", "cli"),
}
FLOOR = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}
BUILT = {f"zfcuda.{room}" for room in ORDER[0]}
# Folder -> the private names of other folders that it may use.
ALLOWED = {"zfcuda.ops": {"zfcuda._extension"}}


@functools.cache
def nodes(text: str) -> tuple[ast.AST, ...]:
    """The nodes that the checks look at, outer ones first."""
    return tuple(
        n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Import | ast.ImportFrom | ast.Call | ast.Attribute)
    )


@functools.cache
def chain(node: ast.Attribute) -> list[str]:
    """The parts of ``a.b.c``; empty where it begins with anything but a name."""
    parts, inner = [node.attr], node.value
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    return [inner.id, *reversed(parts)] if isinstance(inner, ast.Name) else []


def sources() -> Sources:
    root = Path(__file__).resolve().parent.parent
    return {str(path.relative_to(root)): path.read_text() for path in (root / "zfcuda").rglob("*.py")}


def module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def folder_name(path: str) -> str:
    return path.rpartition("/")[0].replace("/", ".")


class Package:
    def __init__(self, files: Sources) -> None:
        self.nodes = {path: nodes(text) for path, text in files.items()}
        self.packages = {module_name(path) for path in files if path.endswith("__init__.py")}
        self.modules = {module_name(path) for path in files} | BUILT
        # What a package offers under the name of a submodule, such as a function `explain` of report/explain.py.
        self.shadows = {
            f"{module_name(path)}.{bound}"
            for path in files
            if path.endswith("__init__.py")
            for base, name, bound in self.imports(path)
            if name is not None and f"{base}.{name}" != f"{module_name(path)}.{bound}"
        }

    def imports(self, path: str) -> Iterator[tuple[str, str | None, str]]:
        """(module, name or None, what it is called here) of every import of the package, late ones included."""
        for node in self.nodes[path]:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.name, None, alias.asname or ""
            elif isinstance(node, ast.ImportFrom):
                above = folder_name(path).split(".")
                parts = above[: len(above) - node.level + 1] if node.level else []
                base = ".".join(parts + ([node.module] if node.module else []))
                for alias in node.names:
                    yield base, alias.name, alias.asname or alias.name
            elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in ("import_module", "__import__"):
                    yield str(node.args[0].value), None, ""

    def targets(self, path: str) -> set[str]:
        """The modules that a file imports: a submodule rather than its package, where the name is one."""
        result = set()
        for base, name, _ in self.imports(path):
            is_module = name is not None and f"{base}.{name}" in self.modules
            if is_module:
                result.add(f"{base}.{name}")
            if not is_module or f"{base}.{name}" in self.shadows:
                result.add(base)
        return {module for module in result if module.split(".")[0] == "zfcuda"} - {module_name(path)}

    def names(self, path: str) -> Iterator[tuple[str, str]]:
        """(owner, name): what a file imports, and what it uses as an attribute of a module that it imported."""
        bound = {"zfcuda": "zfcuda"}
        for base, name, here in self.imports(path):
            parts = base.split(".") + ([name] if name else [])
            yield from ((".".join(parts[:i]), parts[i]) for i in range(1, len(parts)))
            bound[here] = ".".join(parts)
        for node in self.nodes[path]:
            if isinstance(node, ast.Attribute) and chain(node):
                first, *rest = chain(node)
                owner = bound.get(first, "")
                for attribute in rest:
                    if owner not in self.modules:
                        break
                    yield owner, attribute
                    owner = f"{owner}.{attribute}"


def room(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def wrong_ways(files: Sources) -> list[str]:
    package = Package(files)
    result = []
    for path in files:
        mine = room(module_name(path))
        for target in sorted(package.targets(path)):
            other = room(target)
            if mine != other and FLOOR[other] >= FLOOR[mine] and (mine, other) not in BESIDE:
                result.append(f"{path} imports {target}")
    return result


def circle(files: Sources) -> list[str]:
    package = Package(files)
    try:
        TopologicalSorter({module_name(path): package.targets(path) for path in files}).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def private_names(files: Sources) -> list[str]:
    """Names with a leading underscore that a file takes from another folder."""
    package = Package(files)
    result = set()
    for path in files:
        mine = folder_name(path)
        for owner, name in package.names(path):
            if owner.split(".")[0] != "zfcuda" or not name.startswith("_") or name.endswith("__"):
                continue
            is_folder = owner in package.packages
            if mine == (owner if is_folder else owner.rpartition(".")[0]):
                continue
            if f"{owner}.{name}" not in ALLOWED.get(mine, set()):
                result.add(f"{path} uses {owner}.{name}")
    return sorted(result)


def test_every_room_has_its_place() -> None:
    rooms = {room(module_name(path)) for path in sources()} | {room(module) for module in BUILT}
    assert rooms == set(FLOOR)


def test_imports_go_one_way() -> None:
    assert wrong_ways(sources()) == []


def test_no_circles() -> None:
    assert circle(sources()) == []


def test_private_names_stay_in_their_folder() -> None:
    assert private_names(sources()) == []


def planted(path: str, text: str) -> Sources:
    """The package with some more lines in one of its files, or with one more file."""
    files = sources()
    return files | {path: f"{files.get(path, '')}\n{text}\n"}


@pytest.mark.parametrize(
    ("path", "text", "target"),
    [
        ("zfcuda/ops/__init__.py", "import zfcuda", "zfcuda"),
        ("zfcuda/ops/new.py", "from zfcuda import backend", "zfcuda"),
        ("zfcuda/network/__init__.py", "import zfcuda.inputs", "zfcuda.inputs"),
        ("zfcuda/network/new.py", "from zfcuda import inputs as i", "zfcuda.inputs"),
        ("zfcuda/data/__init__.py", "from zfcuda.network import layers", "zfcuda.network"),
        ("zfcuda/backward/__init__.py", "from ..occlusion import OcclusionMap", "zfcuda.occlusion"),
        ("zfcuda/backward/new.py", "from .. import models", "zfcuda.models"),
        ("zfcuda/occlusion/__init__.py", "def late():\n    from zfcuda.backward import units", "zfcuda.backward"),
        ("zfcuda/occlusion/new.py", "class A:\n    def f(self):\n        import zfcuda.models as m", "zfcuda.models"),
        ("zfcuda/models/__init__.py", "import importlib\nimportlib.import_module('zfcuda.report')", "zfcuda.report"),
        ("zfcuda/train/__init__.py", "if TYPE_CHECKING:\n    from zfcuda.report import Folder", "zfcuda.report"),
        ("zfcuda/report/__init__.py", "from zfcuda.cli import main", "zfcuda.cli"),
    ],
)
def test_an_import_that_goes_up_is_found(path: str, text: str, target: str) -> None:
    [said] = wrong_ways(planted(path, text))
    assert said.startswith(f"{path} imports {target}")


SMALL = {"zfcuda/__init__.py": "from zfcuda import ops", "zfcuda/ops/__init__.py": "from zfcuda.ops.a import f"}


@pytest.mark.parametrize(
    ("files", "members"),
    [
        ({"zfcuda/ops/a.py": "from zfcuda.ops import b", "zfcuda/ops/b.py": "from zfcuda.ops.a import f"}, "a b"),
        ({"zfcuda/ops/a.py": "def f():\n    from . import b", "zfcuda/ops/b.py": "import zfcuda.ops.a"}, "a b"),
        ({"zfcuda/ops/a.py": "from zfcuda import ops"}, "ops a"),
        ({"zfcuda/ops/a.py": "from zfcuda.ops import f"}, "ops a"),
        # A function of the same name as the module that it is from: it is the package that is asked.
        ({"zfcuda/ops/__init__.py": "from .a import a", "zfcuda/ops/a.py": "from .b import g"}, ""),
        (
            {
                "zfcuda/ops/__init__.py": "from .a import a\nfrom .b import g",
                "zfcuda/ops/a.py": "",
                "zfcuda/ops/b.py": "from zfcuda.ops import a",
            },
            "ops b",
        ),
        ({"zfcuda/ops/a.py": "from zfcuda.ops import b", "zfcuda/ops/b.py": ""}, ""),
        (
            {
                "zfcuda/ops/a.py": "from zfcuda.ops import b",
                "zfcuda/ops/b.py": "from .c import h",
                "zfcuda/ops/c.py": "import zfcuda.ops.a",
            },
            "a b c",
        ),
    ],
)
def test_a_circle_is_found(files: Sources, members: str) -> None:
    assert {name.rpartition(".")[2] for name in circle(SMALL | files)} == set(members.split())


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        ("zfcuda/cli/explain.py", "from zfcuda.ops._common import kernels", "zfcuda.ops._common"),
        ("zfcuda/cli/explain.py", "def late():\n    from zfcuda.ops import _common", "zfcuda.ops._common"),
        ("zfcuda/report/__init__.py", "from zfcuda.inputs import _hidden", "zfcuda.inputs._hidden"),
        ("zfcuda/report/__init__.py", "import zfcuda\nzfcuda.network._hidden()", "zfcuda.network._hidden"),
        ("zfcuda/report/__init__.py", "from zfcuda import inputs as i\ni._hidden", "zfcuda.inputs._hidden"),
        ("zfcuda/report/__init__.py", "import zfcuda.inputs as i\ni._hidden.x(1)", "zfcuda.inputs._hidden"),
        (
            "zfcuda/occlusion/incremental/__init__.py",
            "from ..windows import _hidden",
            "zfcuda.occlusion.windows._hidden",
        ),
        ("zfcuda/occlusion/__init__.py", "from .incremental import _hidden", "zfcuda.occlusion.incremental._hidden"),
        ("zfcuda/network/__init__.py", "from zfcuda import _extension", "zfcuda._extension"),
    ],
)
def test_a_private_name_of_another_folder_is_found(path: str, text: str, name: str) -> None:
    assert private_names(planted(path, text)) == [f"{path} uses {name}"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("zfcuda/ops/new.py", "from zfcuda import _extension\n_extension.load()"),
        ("zfcuda/ops/new.py", "from zfcuda.ops import _common\nfrom zfcuda.ops.lrn import _hidden"),
        ("zfcuda/new.py", "from zfcuda.inputs import _hidden\nfrom zfcuda import _hidden"),
        ("zfcuda/report/new.py", "import zfcuda\nzfcuda.__name__\nzfcuda.network.Network._fields\nself._x"),
    ],
)
def test_a_private_name_of_the_same_folder_is_not(path: str, text: str) -> None:
    assert private_names(planted(path, text)) == []
