"""Building, loading and importing: what a user meets before the first operator runs."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import zfcuda
from zfcuda import _extension

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env={**os.environ, **environment}, cwd=cwd, capture_output=True, text=True)


def test_backend_tells_what_runs() -> None:
    info = zfcuda.backend()
    assert info["torch"] == torch.__version__
    assert info["instruction_set"] in ("avx512", "avx2", "baseline")
    assert info["openmp"] is True
    assert info["cuda"] is bool(info["cuda_architectures"]) is not bool(info["without_cuda"])


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_instruction_set_can_be_lowered(isa: str) -> None:
    code = "import zfcuda; print(zfcuda.backend()['instruction_set'])"
    assert run(sys.executable, "-c", code, ZFCUDA_ISA=isa).stdout.strip() in ("baseline", isa)


def test_another_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import zfcuda._built_for

    monkeypatch.setattr(zfcuda._built_for, "TORCH", "2.10.0+cu999")
    with pytest.raises(ImportError, match=rf"built for torch 2\.10\.0\+cu999, found torch {torch.__version__[:4]}"):
        _extension.load()


def test_not_built_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zfcuda._built_for", None)
    with pytest.raises(ImportError, match="not built: run `pip install --no-build-isolation"):
        _extension.load()


def test_without_torch_the_build_says_so(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch')\n")
    result = run(sys.executable, "setup.py", "--name", PYTHONPATH=str(tmp_path))
    assert result.returncode != 0
    assert "install torch >= 2.10 first" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("wish", "said"), [("7", "ZFCUDA_CUDA: expected 0 or 1, got '7'"), ("0", "CPU kernels alone (ZFCUDA_CUDA=0)")]
)
def test_cuda_wish(wish: str, said: str) -> None:
    assert said in run(sys.executable, "setup.py", "--name", ZFCUDA_CUDA=wish).stderr


@pytest.mark.skipif(torch.version.cuda is not None, reason="this torch has CUDA")
def test_cuda_demanded_of_a_torch_without() -> None:
    result = run(sys.executable, "setup.py", "--name", ZFCUDA_CUDA="1")
    assert result.returncode != 0 and "was built without CUDA" in result.stderr


NVCC = """#!/bin/sh
case "$*" in
  *--version*) echo "Cuda compilation tools, release 13.0, V13.0.88" ;;
  *--dryrun*) echo "#$ TOP={home}/bin/.."; echo '#$ LIBRARIES=  "-L{home}/bin/../lib/stubs" "-L{home}/bin/../lib"' ;;
  *--list-gpu-arch*) echo compute_90 ;;
esac
"""
LINKER = """#!/bin/sh
for x; do
  case "$x" in
    */libcudart.so.13) exit 0 ;;
    -L*) [ ! -e "${x#-L}/libcudart.so" ] || exit 0 ;;
  esac
done
echo "ld: cannot find -lcudart"
exit 1
"""
# A torch that was built for CUDA, as far as setup.py asks it, and what setup.py is about to build.
WITH_CUDA = """import setuptools, torch.version
from torch.utils import cpp_extension
torch.version.cuda, cpp_extension.CUDA_HOME = "13.0", "/wrong"
def setup(ext_modules, **others):
    for e in ext_modules:
        cuda = any(s.endswith(".cu") for s in e.sources)
        print("built:", cuda, cpp_extension.CUDA_HOME, e.libraries, e.extra_objects)
setuptools.setup = setup
exec(compile(open("setup.py").read(), "setup.py", "exec"), {"__file__": "setup.py", "__name__": "__main__"})
"""


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("how", "library"), [("link", "toolkit"), ("script", "wheel"), ("home", "toolkit"), ("link", "nowhere")]
)
def test_toolkit_behind_a_link_is_found_and_tried_first(tmp_path: Path, how: str, library: str) -> None:
    home = tmp_path / "toolkit"
    nvcc = script(home / "bin" / "nvcc", NVCC.replace("{home}", str(home)))
    seen = script(tmp_path / "seen" / "nvcc", f'#!/bin/sh\nexec {nvcc} "$@"\n')
    if how == "link":
        seen.unlink()
        seen.symlink_to(nvcc)
    packages = tmp_path / "packages"
    wheel = packages / "nvidia" / "cu13" / "lib" / "libcudart.so.13"
    for file in {"toolkit": [home / "lib" / "libcudart.so"], "wheel": [wheel], "nowhere": []}[library]:
        script(file, "")
    environment = {
        "PATH": f"{seen.parent}:{os.environ['PATH']}",
        "CUDA_HOME": str(home) if how == "home" else "",
        "CUDA_PATH": "",
        "CXX": str(script(tmp_path / "linker", LINKER)),
        "PYTHONPATH": str(packages),
        "ZFCUDA_CUDA": "",
        "TORCH_CUDA_ARCH_LIST": "",
    }
    if library != "toolkit" and importlib.util.find_spec("nvidia"):
        pytest.skip("this torch brings CUDA's libraries itself")
    result = run(sys.executable, "-c", WITH_CUDA, **environment)
    assert result.returncode == 0, result.stderr
    built = result.stdout.splitlines()[-1]
    if library == "nowhere":
        assert built.startswith("built: False")
        line = result.stderr.strip().splitlines()[-1]
        why = f"nvcc 13.0 in {home}: ld: cannot find -lcudart; set CUDA_HOME to the folder of a toolkit of CUDA 13.0"
        assert line == f"zfcuda: building the CPU kernels alone ({why})"
        demanded = run(sys.executable, "-c", WITH_CUDA, **environment | {"ZFCUDA_CUDA": "1"})
        assert demanded.returncode == 1 and demanded.stdout == ""
        assert demanded.stderr.strip().splitlines()[-1].endswith(f"the CUDA kernels cannot be built: {why}")
    else:
        assert built.startswith(f"built: True {home} ") and "zfcuda:" not in result.stderr
        assert ("'cudart'" in built) is (library == "toolkit")
        assert (str(wheel) in built) is (library == "wheel")


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_an_environment_for_each_torch(tmp_path: Path) -> None:
    inherited = ("PYTHON", "TORCH", "VENV", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
    environment = {key: value for key, value in os.environ.items() if key not in inherited}

    def make(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "--dry-run", *arguments]
        return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)

    assert make("test").stdout.splitlines()[-1].startswith(".venv/bin/python -m pytest")
    other = make("test", "TORCH=torch==2.11.0").stdout.splitlines()
    assert other[-1].startswith(".venv-torch-2.11.0/bin/python -m pytest")
    both = make("compat").stdout
    assert ".venv-torch-2.10.0/bin/python -m pytest" in both and ".venv-torch-2.11.0/bin/python -m pytest" in both
    script(tmp_path / "bin" / "python", "#!/bin/sh\necho 3.1\n")
    assert make("test", f"VENV={tmp_path}").returncode == 0
    refused = make("test", f"VENV={tmp_path}", f"PYTHON={sys.executable}")
    assert refused.returncode != 0
    assert f"PYTHON: expected Python 3.1, which {tmp_path} was made with, got {sys.executable}" in refused.stderr


def test_what_is_cited_is_this_version() -> None:
    assert f"version: {zfcuda.__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()


def test_import_is_light() -> None:
    optional = "{'matplotlib', 'captum', 'torchvision', 'timm', 'skimage', 'sklearn', 'scipy', 'pandas'}"
    code = f"import sys, zfcuda; print(sorted({optional} & set(sys.modules)))"
    assert run(sys.executable, "-c", code).stdout.strip() == "[]"


def test_operators_are_touched_in_one_place() -> None:
    users = [p.name for p in (ROOT / "zfcuda").rglob("*.py") if "torch.ops.zfcuda\n" in p.read_text()]
    assert users == ["_common.py"]
    calls = [p.name for p in (ROOT / "zfcuda").rglob("*.py") if "torch.ops.zfcuda." in p.read_text()]
    assert calls == []
