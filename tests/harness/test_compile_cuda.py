"""How compile_cuda.py reads setup.py and ptxas, and what it complains of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import compile_cuda

SOURCE = """
enum class Exponent { three_quarters, half, one, any };
template <Exponent E, class T, class I>
struct Forward { };
template <class T, int N = 4, bool Sum = false>
struct Pool { };
template <class I, class Body>
__global__ void __launch_bounds__(kThreads) each_kernel(I n, Body body) {}
template <class T>
__global__ void __launch_bounds__(largest(2), 3) stage_kernel(T* x) {}
"""
SPACE = "zfcuda::cuda::(anonymous namespace)::"
FORWARD = f"{SPACE}Forward<({SPACE}Exponent)2, c10::Half, long>"
POOL = f"{SPACE}Pool<zfcuda::cuda::Pack<unsigned long, 2>, 8, true>"
NAMES = {
    f"void zfcuda::cuda::each_kernel<int, {FORWARD} >(int, {FORWARD})": (
        "Forward",
        ("one",),
        ("T = float16", "I = int64"),
    ),
    f"void zfcuda::cuda::each_kernel<long, {POOL} >(long, {POOL})": (
        "Pool",
        ("N = 8", "Sum = true"),
        ("T = Pack<uint64, 2>",),
    ),
    f"void {SPACE}stage_kernel<float>(float*)": ("stage_kernel", (), ("T = float32",)),
    f"void {SPACE}unknown<3, double>(double)": ("unknown", ("#1 = 3",), ("#2 = float64",)),
    "plain_kernel(int*)": ("plain_kernel", (), ()),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_read(name: str) -> None:
    assert compile_cuda.describe(name, SOURCE) == NAMES[name]


SAID = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z12plain_kernelPi' for 'sm_90'
ptxas info    : Function properties for _Z12plain_kernelPi
    16 bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 1024 bytes smem, 428 bytes cmem[0]
ptxas info    : Compiling entry function '_Z12plain_kernelPi' for 'sm_100a'
ptxas info    : Function properties for helper
    8 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads
ptxas info    : Function properties for _Z12plain_kernelPi
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers
"""


def kernels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stores: int = 0, loads: int = 0
) -> list[compile_cuda.Kernel]:
    monkeypatch.setattr(compile_cuda, "demangle", lambda names, nvcc: ["plain_kernel(int*)"] * len(names))
    source = tmp_path / "some.cu"
    source.write_text(SOURCE)
    return compile_cuda.kernels_in(SAID.format(stores=stores, loads=loads), source, "nvcc")


def test_numbers_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = [
        (k.source, k.row, k.architecture, k.registers, k.stack, k.spilled, k.shared)
        for k in kernels(monkeypatch, tmp_path, 12, 8)
    ]
    assert found == [("some.cu", "plain_kernel", 90, 40, 16, 20, 1024), ("some.cu", "plain_kernel", 100, 255, 0, 0, 0)]


def test_complaints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = tmp_path / "kernels.md"
    monkeypatch.setattr(compile_cuda, "ROOT", tmp_path)
    monkeypatch.setattr(compile_cuda, "TABLE", listed)
    row = "| some.cu | `plain_kernel` | - | 40 | 255 | 0 | 0 | 0 |"
    assert "some.cu" in str(compile_cuda.complaints(kernels(monkeypatch, tmp_path), row))
    listed.write_text(row.replace("40", "41"))
    assert compile_cuda.complaints(kernels(monkeypatch, tmp_path), row) == []  # numbers may differ
    (spills,) = compile_cuda.complaints(kernels(monkeypatch, tmp_path, stores=4), row)
    assert spills.startswith("sm_90: some.cu plain_kernel") and "4 bytes" in spills
    listed.write_text(row.replace("plain", "other"))
    lacks, superfluous, _ = compile_cuda.complaints(kernels(monkeypatch, tmp_path), row)
    assert "lacks some.cu | `plain_kernel`" in lacks and "no source has some.cu | `other_kernel`" in superfluous


@pytest.mark.parametrize(
    "text", ['f(x={"cxx": host, "nvcc": ["-O3", "-Xcompiler"]})', 'NVCC = ["-O3", "-Xcompiler"]\nf(x={"nvcc": NVCC})']
)
def test_flags_are_those_of_setup(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "-O3" in compile_cuda.setup_flags()  # of this repository
    (tmp_path / "setup.py").write_text(text)
    monkeypatch.setattr(compile_cuda, "ROOT", tmp_path)
    assert compile_cuda.setup_flags() == ["-O3", "-Xcompiler"]
    (tmp_path / "setup.py").write_text("f()")
    with pytest.raises(LookupError, match="nvcc"):
        compile_cuda.setup_flags()
