"""What holds of both of the CPU's own layers: schemas, threads, instruction sets, bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.ops.tensors import same, tables
from tests.ops.test_conv_patches import CPU, Conv, problem, random_windows, windows_of
from tests.ops.test_linear_rows import random_rectangles, zero_outside
from zfcuda.ops import patches as patch_ops


def samples() -> dict[str, tuple[Any, ...]]:
    x = torch.randn(1, 16, 9, 11)
    weight, bias = torch.randn(20, 16, 3, 3), torch.randn(20)
    have, _ = tables(CPU, (2, 3, 5, 6), (0, 0, 0, 0))
    want, rows = tables(CPU, (1, 2, 6, 7), (6, 10, 8, 11))
    before = (x, torch.randn(9, 16), have, want, rows)
    winograd = (patch_ops.pack_filters(weight), bias, torch.randn(rows, 20), 20, [3, 3], [1, 1], [1, 1], [1, 1], True)
    direct = (patch_ops.pack_filters(weight[:7], 2), None, None, 7, [3, 3], [2, 2], [4, 6], [1, 1], False)
    grouped = torch.ops.zfcuda.pack_grouped_filters(weight[:16, :4], 4)
    single = torch.ops.zfcuda.pack_grouped_filters(weight[:16, :1], 16)
    rectangle = torch.tensor([[0, 1, 2, 2, 0]] * 4)
    return {
        "pack_filters": (weight, [1, 1], [1, 1]),
        "pack_filters for small tiles": (weight, [1, 1], [1, 1], 2),
        "pack_filters of a stride": (weight, [2, 2], [1, 1]),
        "conv_patches": (*before, *winograd),
        "conv_patches of a stride": (*before, *direct),
        "pack_grouped_filters": (weight[:, :4], 4),
        "grouped_patches": (*before, grouped, None, None, 16, 4, [3, 3], [1, 1], [1, 1], [1, 1], True),
        "grouped_patches of single ones": (*before, single, None, None, 16, 16, [3, 3], [1, 1], [1, 1], [1, 1], False),
        "linear_rows": (torch.randn(4, 24), torch.randn(5, 24), torch.randn(5), rectangle, [2, 3]),
        "linear_rows of vectors": (torch.randn(4, 24), torch.randn(5, 24), None, None, [1, 1]),
    }


@pytest.mark.parametrize("name", samples())
def test_opcheck(name: str) -> None:
    torch.library.opcheck(getattr(torch.ops.zfcuda, name.split()[0]).default, samples()[name])


@pytest.mark.parametrize("name", samples())
def test_inference_mode(name: str) -> None:
    with torch.inference_mode():
        getattr(torch.ops.zfcuda, name.split()[0])(*samples()[name])


def test_deterministic_whatever_the_threads() -> None:
    threads = torch.get_num_threads()
    convs = [Conv(16, 33, size=(21, 17)), Conv(5, 33, (3, 3), (2, 1), size=(21, 17)), Conv(16, 17, size=(80, 30))]
    problems = [problem(conv, [*windows_of(conv), *random_windows(conv, 60, 9)], residual=True) for conv in convs]
    # One window, whose outputs the threads share.
    shared = [
        Conv(64, 100, size=(15, 14)),
        Conv(48, 200, (5, 4), (2, 1), (2, 1), size=(17, 10)),
        Conv(64, 8, size=(15, 14)),
    ]
    problems += [problem(conv, [((1, 2, 9, 7), (0, 0, *conv.map))], residual=True) for conv in shared]
    x, weight, bias = torch.randn(1100, 600), torch.randn(700, 600), torch.randn(700)
    have = random_rectangles(len(x), (6, 5))

    x = zero_outside(x, have, (6, 5))

    def run() -> list[Tensor]:
        linear = [patch_ops.linear_rows(x, weight, bias, *rest) for rest in ((), (have, (6, 5)))]
        linear += [patch_ops.linear_rows(x[:n], weight, bias) for n in (1, 5)]
        return [*(p.run() for p in problems), *linear]

    try:
        torch.set_num_threads(1)
        first, again = run(), run()
        torch.set_num_threads(2)
        two, two_again = run(), run()
    finally:
        torch.set_num_threads(threads)
    for others in (again, two, two_again):
        assert all(torch.equal(a, b) for a, b in zip(first, others, strict=True))


@pytest.mark.skipif(not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="one instruction set only")
@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_narrower_instruction_sets(isa: str) -> None:
    """Runs these tests again, in a process that may use less of this processor."""
    if os.environ.get("ZFCUDA_ISA"):
        pytest.skip("already in such a process")
    if isa == "avx2" and torch.backends.cpu.get_cpu_capability() == "AVX2":
        pytest.skip("avx2 is what runs anyway")
    left_out = "compiles or opcheck or inference or refused or named or narrower or kernels_of or 2048 or 1024"
    files = [
        str(Path(__file__).with_name(f"test_{name}.py"))
        for name in ("conv_patches", "pointwise_patches", "linear_rows", "cpu_layers")
    ]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-k", f"not ({left_out})", "-p", "no:cacheprovider", *files],
        env={**os.environ, "ZFCUDA_ISA": isa},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:]


# ---------------------------------------------------------------- bad input


# Two windows of 2 x 2 of a map 9 x 11; the output is as large.
HAVE = torch.tensor([[0, 0, 2, 2, 0], [7, 9, 9, 11, 4]])
BASE, PATCHES, WEIGHT = torch.zeros(1, 3, 9, 11), torch.zeros(8, 3), torch.zeros(5, 3, 3, 3)
WIDE = torch.zeros(32, 16, 3, 3)
HUGE = 2**31


def convolved(**changes: Any) -> Tensor:
    """conv_patches where all is well but `changes`."""
    arguments = {
        "base": BASE,
        "patches": PATCHES,
        "have": HAVE,
        "want": HAVE,
        "rows": 8,
        "filters": patch_ops.pack_filters(WEIGHT),
        "bias": torch.zeros(5),
        "residual": torch.zeros(8, 5),
        "channels": 5,
        "kernel_size": 3,
        "padding": 1,
    }
    return patch_ops.conv_patches(**{**arguments, **changes})


def wide(**changes: Any) -> Tensor:
    """conv_patches with Winograd's filters, where all is well but `changes`."""
    arguments = {
        "base": torch.zeros(1, 16, 9, 11),
        "patches": torch.zeros(8, 16),
        "filters": patch_ops.pack_filters(WIDE),
        "bias": None,
        "residual": None,
        "channels": 32,
    }
    return convolved(**{**arguments, **changes})


def table(window: int, column: int, value: int) -> Tensor:
    """HAVE with one number replaced."""
    changed = HAVE.clone()
    changed[window, column] = value
    return changed


def lined(**changes: Any) -> Tensor:
    """linear_rows where all is well but `changes`."""
    arguments = {"input": torch.zeros(2, 12), "weight": torch.zeros(5, 12), "bias": torch.zeros(5), "have": HAVE}
    return patch_ops.linear_rows(**{**arguments, "size": (2, 3), **changes})


BAD = {
    "weight: expected .O,C,kh,kw., got shape .5, 3, 3": lambda: patch_ops.pack_filters(WEIGHT[..., 0]),
    "weight: expected .O,C,kh,kw., got shape .0, 3, 3, 3": lambda: patch_ops.pack_filters(WEIGHT[:0]),
    "weight: expected float32, got Double": lambda: patch_ops.pack_filters(WEIGHT.double()),
    "stride: expected at least 1, got .1, 0": lambda: patch_ops.pack_filters(WEIGHT, (1, 0)),
    "dilation: expected one or two integers, got .1, 2, 3": lambda: patch_ops.pack_filters(WEIGHT, 1, (1, 2, 3)),
    "base: expected .N,C,H,W., got 3": lambda: convolved(base=BASE[0]),
    "base: expected float32.*got Long": lambda: convolved(base=BASE.long()),
    "base: expected float32, got Double": lambda: convolved(base=BASE.double(), patches=PATCHES.double()),
    "base: expected float32, got Half": lambda: convolved(base=BASE.half(), patches=PATCHES.half()),
    "base: expected one map, .1,C,H,W., got shape .2, 3": lambda: convolved(base=BASE.expand(2, -1, -1, -1)),
    "base: expected at least one channel, got shape .1, 0": lambda: convolved(base=BASE[:, :0], patches=PATCHES[:, :0]),
    "patches: expected .P,C. with base's 3 channels, got shape .8, 2": lambda: convolved(patches=PATCHES[:, :2]),
    "patches: expected base's dtype.*got Double": lambda: convolved(patches=PATCHES.double()),
    "have: expected int64 .n,5., got Int": lambda: convolved(have=HAVE.int()),
    "want: expected int64 .n,5., got Long .2, 4": lambda: convolved(want=HAVE[:, :4]),
    "have: expected want's 2 windows, got 1": lambda: convolved(have=HAVE[:1]),
    "rows: expected at least 0, got -1": lambda: convolved(rows=-1),
    "channels: expected at least 1, got 0": lambda: convolved(channels=0),
    "kernel_size: expected at least 1, got .3, 0": lambda: convolved(kernel_size=(3, 0)),
    "stride: expected at least 1, got .0, 0": lambda: convolved(stride=0),
    "padding: expected at least 0, got .-1, 1": lambda: convolved(padding=(-1, 1)),
    "dilation: expected at least 1, got .0, 1": lambda: convolved(dilation=(0, 1)),
    "kernel_size: expected at most 2147483647, got .2147483648": lambda: convolved(kernel_size=HUGE),
    "stride: expected at most 2147483647, got .1, 2147483648": lambda: convolved(stride=(1, HUGE)),
    "padding: expected at most 2147483647, got .2147483648": lambda: convolved(padding=HUGE),
    "dilation: expected at most 2147483647, got .2147483648": lambda: convolved(dilation=HUGE),
    # Sizes whose product int64 does not hold.
    "kernel_size: .2147483647, 2147483647. makes .* numbers of one position": lambda: convolved(kernel_size=HUGE - 1),
    "kernel_size: .3, 3. makes .* weights for 9223372036854775807 channels": lambda: convolved(channels=2**63 - 1),
    "padding: .2147483647, 2147483647. makes .* numbers of base's .1, 3, 9, 11": lambda: convolved(padding=HUGE - 1),
    # Filters of another kind.
    "filters: expected .* float32 numbers from pack_filters, got Float .5, 3, 3, 3": lambda: convolved(filters=WEIGHT),
    "filters: expected .* numbers from pack_filters, got Double": lambda: convolved(
        filters=patch_ops.pack_filters(WEIGHT).double()
    ),
    "filters: expected 8192 float32 numbers.*got Float .4608": lambda: wide(filters=patch_ops.pack_filters(WIDE, 2)),
    "tile: expected 2 or 4, got 3": lambda: patch_ops.pack_filters(WIDE, tile=3),
    "filters: expected 4608 float32 numbers.*got Float .18432": lambda: wide(stride=2),
    "filters: expected 4608 .*got Float .18432": lambda: wide(dilation=(1, 2)),
    "filters: expected 2048 float32 numbers.*got Float .18432": lambda: wide(kernel_size=2),
    "bias: expected float32 .5., got Float .4": lambda: convolved(bias=torch.zeros(4)),
    "bias: expected float32 .5., got Double .5": lambda: convolved(bias=torch.zeros(5).double()),
    "residual: expected float32 .8, 5., got Float .7, 5": lambda: convolved(residual=torch.zeros(7, 5)),
    "residual: expected float32 .8, 5., got Half .8, 5": lambda: convolved(residual=torch.zeros(8, 5).half()),
    # Tables.
    "have: window 1 holds positions -1, 9 to 9, 11, beyond base's 9 x 11": lambda: convolved(have=table(1, 0, -1)),
    "have: window 1 holds positions 7, 9 to 9, 12, beyond": lambda: convolved(have=table(1, 3, 12)),
    "have: window 1 has 4 positions from row 5 of patches, which has 8": lambda: convolved(have=table(1, 4, 5)),
    "have: window 0 has 4 positions from row -1 of": lambda: convolved(have=table(0, 4, -1)),
    "have: window 0 has 4 positions from row 9223372036854775807": lambda: convolved(have=table(0, 4, 2**63 - 1)),
    "want: window 0 starts at row 1, expected 0": lambda: convolved(want=table(0, 4, 1)),
    "want: window 1 wants 4611686018427387895 x 2 positions": lambda: convolved(want=table(1, 2, 2**62 - 2)),
    "want: its 2 windows want 8 positions, rows is 9": lambda: convolved(rows=9, residual=None),
    "want: window 0 wants positions -1, 0 to 1, 2, beyond the output's 10 x 12": lambda: convolved(
        want=moved(0, -1, 0)
    ),
    "want: window 0 wants positions 0, -5 to 2, -3, beyond": lambda: convolved(want=moved(0, 0, -5)),
    "want: window 1 wants positions 9, 9 to 11, 11, beyond": lambda: convolved(want=moved(1, 2, 0)),
    "want: window 1 wants positions 7, 11 to 9, 13, beyond": lambda: convolved(want=moved(1, 0, 2)),
    "want: window 1 wants positions 9223372036854775805, 9 to 9223372036854775807": lambda: convolved(
        want=moved(1, 2**63 - 10, 0)
    ),
    "want: window 1 wants positions 7, 9 to 9, 11, beyond the output's 5 x 12": lambda: convolved(
        want=HAVE, stride=(2, 1)
    ),
    "want: window 0 wants positions .* beyond the output's 0 x 2": lambda: convolved(padding=0, dilation=(5, 5)),
    "input: expected .n,K., got shape .12": lambda: lined(input=torch.zeros(12)),
    "input: expected float32, got Double": lambda: lined(input=torch.zeros(2, 12).double()),
    "weight: expected float32, got Half": lambda: lined(weight=torch.zeros(5, 12).half()),
    "weight: expected .O,12., got shape .5, 11": lambda: lined(weight=torch.zeros(5, 11)),
    "weight: expected .O,12., got shape .12": lambda: lined(weight=torch.zeros(12)),
    "size: expected at least 1, got .0, 3": lambda: lined(size=(0, 3)),
    "size: expected one or two integers, got .1, 2, 3": lambda: lined(size=(1, 2, 3)),
    "size: .5, 1. positions do not divide input's 12": lambda: lined(size=(5, 1)),
    # A height and a width whose product is 0 in int64.
    "size: expected at most 2147483647, got .4294967296": lambda: lined(size=2**32),
    "bias: expected float32 .5., got Float .6": lambda: lined(bias=torch.zeros(6)),
    "bias: expected float32 .5., got Long .5": lambda: lined(bias=torch.zeros(5).long()),
    "have: expected int64 .n,5., got Long .2, 3": lambda: lined(have=HAVE[:, :3]),
    "have: expected input's 2 rows, got 1": lambda: lined(have=HAVE[:1]),
}


def moved(window: int, down: int, right: int) -> Tensor:
    """HAVE with one rectangle elsewhere."""
    changed = HAVE.clone()
    changed[window] += torch.tensor([down, right, down, right, 0])
    return changed


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message: str) -> None:
    assert convolved().shape == (8, 5) and wide().shape == (8, 32) and lined().shape == (2, 5)
    with pytest.raises(RuntimeError, match=message):
        BAD[message]()


def test_what_no_window_reads_is_not_checked() -> None:
    """An empty rectangle may say anything."""
    anything = torch.tensor([[2**62, -5, -(2**62), 99, -1], [3, 99, 4, 99, 2**63 - 1]])
    for run in (convolved, wide):
        same(run(have=anything), run())
    wants = torch.tensor([[2**63 - 1, 0, -(2**63), 2**62, 0], [3, 99, 4, 99, 0]])
    assert convolved(want=wants, rows=0, residual=None).shape == (0, 5)
