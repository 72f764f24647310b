"""Building, loading and importing: what a user meets before the first operator runs."""

from __future__ import annotations

import os
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
    assert info["cuda"] is bool(info["cuda_architectures"])


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


def test_import_is_light() -> None:
    optional = "{'matplotlib', 'captum', 'torchvision', 'scipy', 'pandas'}"
    code = f"import sys, zfcuda; print(sorted({optional} & set(sys.modules)))"
    assert run(sys.executable, "-c", code).stdout.strip() == "[]"


def test_operators_are_touched_in_one_place() -> None:
    users = [p.name for p in (ROOT / "zfcuda").rglob("*.py") if "torch.ops.zfcuda\n" in p.read_text()]
    assert users == ["_common.py"]
    calls = [p.name for p in (ROOT / "zfcuda").rglob("*.py") if "torch.ops.zfcuda." in p.read_text()]
    assert calls == []
