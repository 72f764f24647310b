"""Tries what `make wheel` has built, as somebody who gets it alone: `python -m tests.harness.try_wheel`.

In an empty environment pip installs the wheel beside the torch that it names, and the demo runs there. pip must refuse
another torch, and where it has been deceived, the import must say what is wrong. `--beside PYTHON`, an interpreter of
the same version with another torch, tries the last with that one; without it, torch is told to be another.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TORCH_LIBRARIES = re.compile(r"lib(torch|c10|gomp|mkl|cuda|cudnn)[^/]*\.so")
OTHERWISE = "import torch; torch.__version__ = '2.99.0'; import zfcuda"


def run(*command: str | Path, cwd: Path, fails: bool = False, **environment: str) -> str:
    """Everything that a command says, which must succeed, or must fail."""
    print("$", *command, flush=True)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "ZFCUDA"))}
    done = subprocess.run(command, cwd=cwd, env=clean | environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert bool(done.returncode) == fails, f"exit code {done.returncode}\n{said}"
    print("   ", "\n    ".join(said.strip().splitlines()[-3:]))
    return said


def check_wheel(path: Path) -> str:
    """Looks into the wheel. Returns the version of torch that it asks for."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(wheel.read(about).decode())
        (library,) = (name for name in names if name.endswith(".so"))
        binary = wheel.read(library)
    assert "-manylinux_" in path.name, f"{path.name}: expected a manylinux tag"
    assert not [name for name in names if TORCH_LIBRARIES.search(name)], "expected none of torch's libraries"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names), "expected the license"
    for folder in (ROOT, Path(sys.prefix), Path(sys.base_prefix), Path.home(), Path(tempfile.gettempdir())):
        if f"{folder}/".encode() in binary:
            raise AssertionError(f"{library}: names {folder}, a folder of the machine that it was built on")
    (torch,) = re.findall(r"^torch==([\d.]+)$", "\n".join(metadata.get_all("Requires-Dist")), re.MULTILINE)
    assert f"+torch{torch}.cpu" in metadata["Version"], metadata["Version"]
    return torch


def check_sdist(path: Path) -> None:
    """Looks into the sdist, of which the wheel was built."""
    with tarfile.open(path) as sdist:
        (about,) = (member for member in sdist.getmembers() if re.fullmatch(r"[^/]+/PKG-INFO", member.name))
        metadata = Parser().parsestr(sdist.extractfile(about).read().decode())
    assert "+" not in metadata["Version"] and "torch>=2.10" in metadata.get_all("Requires-Dist"), metadata


def try_out(wheel: Path, torch: str, beside: Path | None) -> None:
    """Installs and uses the wheel in a folder that goes, away from the sources."""
    with tempfile.TemporaryDirectory(prefix="zfcuda-wheel-") as folder:
        here = Path(folder)
        run(sys.executable, "-m", "venv", here / "env", cwd=here)
        python = here / "env" / "bin" / "python"
        pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--find-links", wheel.parent)
        (here / "other.txt").write_text(f"torch!={torch}\n")
        refused = run(*pip, "--constraint", here / "other.txt", f"zfcuda=={version(wheel)}", cwd=here, fails=True)
        assert "conflict" in refused and f"depends on torch=={torch}" in refused, refused
        run(*pip, f"zfcuda=={version(wheel)}", cwd=here)
        run(python, "-m", "pip", "check", cwd=here)
        run(here / "env" / "bin" / "zfcuda", "backend", cwd=here)
        run(here / "env" / "bin" / "zfcuda", "demo", cwd=here)
        assert (here / "out" / "demo" / "index.html").stat().st_size > 100_000
        names = f"zfcuda was built for torch {torch}"
        assert names in run(python, "-c", OTHERWISE, cwd=here, fails=True)
        if beside:
            run(*pip, "--no-deps", "--target", here / "deceived", wheel, cwd=here)
            said = run(beside, "-c", "import zfcuda", cwd=here, fails=True, PYTHONPATH=str(here / "deceived"))
            found = run(beside, "-c", "import torch; print(torch.__version__)", cwd=here).strip()
            assert names in said and f"found torch {found}:" in said


def version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "dist", nargs="?", type=Path, default=ROOT / "dist", help="where wheel and sdist lie (default: dist)"
    )
    parser.add_argument("--beside", type=Path, metavar="PYTHON", help="an interpreter with another torch")
    arguments = parser.parse_args()
    python = f"-cp{sys.version_info.major}{sys.version_info.minor}-"
    wheels = [path for path in arguments.dist.resolve().glob("zfcuda-*.whl") if python in path.name]
    assert wheels, f"{arguments.dist}: expected a wheel for this Python; run `make wheel`"
    for sdist in arguments.dist.glob("zfcuda-*.tar.gz"):
        check_sdist(sdist)
    for wheel in wheels:
        try_out(wheel, check_wheel(wheel), arguments.beside)
        print(f"{wheel.name}: good")


if __name__ == "__main__":
    main()
