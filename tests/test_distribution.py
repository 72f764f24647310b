"""What goes into the sdist and the wheel, and what they ask for: read off without compiling anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
import torch

import zfcuda
from zfcuda import _extension

ROOT = Path(__file__).resolve().parent.parent
OURS = ("csrc/", "docs/", "zfcuda/")
WITH_THEM = {"CITATION.cff", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"}
BUILT = ("zfcuda/_C.cpython-311-x86_64-linux-gnu.so", "zfcuda/_built_for.py", "zfcuda/.built-.venv")
LEFT_OUT = (*BUILT, "zfcuda/__pycache__/x.cpython-311.pyc", "out/demo/index.html", "tests/test_mine.py")


def setup_py(folder: Path, *commands: str, wheel: bool = False) -> None:
    environment = {**os.environ, "ZFCUDA_CUDA": "0", "ZFCUDA_WHEEL": str(int(wheel))}
    command = [sys.executable, "setup.py", "--quiet", *commands]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """The files of the repository."""
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("not a clone")
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in files.split("\0") if name and (ROOT / name).exists()}


@pytest.fixture(scope="module")
def tree(tracked: set[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which things were built and run, its sdist in dist/ and its modules in modules/."""
    folder = tmp_path_factory.mktemp("tree")
    for name in tracked:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    for name in LEFT_OUT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    setup_py(folder, "sdist", "--formats", "tar", "build_py", "--build-lib", "modules")
    return folder


def archive(tree: Path) -> tuple[set[str], Message]:
    """The files in the sdist, and what it says of itself."""
    (path,) = (tree / "dist").iterdir()
    assert path.name == f"zfcuda-{zfcuda.__version__}.tar"
    with tarfile.open(path) as sdist:
        names = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
        about = sdist.extractfile(f"{path.stem}/PKG-INFO")
        assert about is not None
        return names, Parser().parsestr(about.read().decode())


def test_the_sdist_is_complete_and_has_no_more(tree: Path, tracked: set[str]) -> None:
    names, _ = archive(tree)
    made = {name for name in names if name.startswith("zfcuda.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert names - made == {name for name in tracked if name.startswith(OURS)} | WITH_THEM


def test_the_wheel_has_every_file_of_the_package(tree: Path, tracked: set[str]) -> None:
    modules = {str(path.relative_to(tree / "modules")) for path in (tree / "modules").rglob("*") if path.is_file()}
    # What an earlier build left is a module too; the build that follows, of the sdist, writes it anew.
    assert modules - {"zfcuda/_built_for.py"} == {name for name in tracked if name.startswith("zfcuda/")}


def test_whoever_has_the_sources_may_have_any_torch(tree: Path) -> None:
    _, about = archive(tree)
    assert about["Version"] == zfcuda.__version__ and "torch>=2.10" in about.get_all("Requires-Dist", [])


def test_a_wheel_for_others_names_its_torch(tree: Path, tmp_path: Path) -> None:
    """Also where it is built of an unpacked sdist, whose setup.cfg says that the version has no tag."""
    (tree / "setup.cfg").write_text("[egg_info]\ntag_build = \ntag_date = 0\n")
    setup_py(tree, "egg_info", "--egg-base", str(tmp_path), wheel=True)
    about = Parser().parsestr((tmp_path / "zfcuda.egg-info" / "PKG-INFO").read_text(encoding="utf-8"))
    release = str(torch.__version__).partition("+")[0]
    assert about["Version"] == f"{zfcuda.__version__}+torch{release}.cpu"
    needed = [line for line in about.get_all("Requires-Dist", []) if line.startswith("torch")]
    assert needed == [f"torch=={release}"]
    assert about.get_all("License-File", [])[0] == "LICENSE"


@pytest.mark.parametrize(
    ("built", "without_cuda", "found", "fits"),
    [
        ("2.13.0+cpu", "no nvcc", "2.13.0+cpu", True),
        ("2.13.0+cpu", "no nvcc", "2.13.0+cu130", True),
        ("2.13.0", "no nvcc", "2.13.0+cu130", True),
        ("2.13.0+cpu", "no nvcc", "2.13.1+cpu", False),
        ("2.13.0+cpu", "no nvcc", "2.14.0+cpu", False),
        ("2.13.0+cpu", "no nvcc", "2.13.0.dev20260101+cpu", False),
        ("2.13.0a0+1f2e", "no nvcc", "2.13.0a0+3d4c", False),
        ("2.13.0+cpu", "no nvcc", "2.13.0+mine", False),
        ("2.13.0+cu126", "", "2.13.0+cu130", False),
        ("2.13.0+cu130", "", "2.13.0+cu130", True),
    ],
)
def test_beside_which_torch_it_runs(
    built: str, without_cuda: str, found: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zfcuda._built_for

    monkeypatch.setattr(zfcuda._built_for, "TORCH", built)
    monkeypatch.setattr(zfcuda._built_for, "WITHOUT_CUDA", without_cuda)
    monkeypatch.setattr(torch, "__version__", found)
    if fits:
        assert _extension.load().__name__ == "zfcuda._C"
    else:
        with pytest.raises(ImportError) as error:
            _extension.load()
        assert f"built for torch {built}, found torch {found}: " in str(error.value)
        assert f"pip install torch=={built.partition('+')[0]}" in str(error.value)
