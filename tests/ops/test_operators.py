"""What holds of every operator: schemas, gradients, empty batches, torch.compile, instruction sets, bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.ops.tensors import near, same, tables
from zfcuda import ops
from zfcuda.ops import patches as patch_ops
from zfcuda.ops import reference


def samples(
    device: torch.device, dtype: torch.dtype = torch.float64, size: tuple[int, int] = (9, 8)
) -> dict[str, tuple]:
    x = torch.randn(2, 6, *size, device=device, dtype=dtype)
    pooled, switches = ops.max_pool2d_with_switches(x, 3, 2, 1, relu=True)
    norm = (5, 0.3, 0.75, 2.0)
    changed = (x[:1], x.new_ones(9, 6), tables(device, (2, 3, 5, 6))[0], *tables(device, (1, 2, 6, 7)))
    return {
        "max_pool2d_with_switches": (x, [3, 3], [2, 2], [1, 1], False, True),
        "max_unpool2d": (torch.randn_like(pooled), switches, [3, 3], [2, 2], [1, 1], list(size), pooled),
        "gather_by_switch": (x, switches, [3, 3], [2, 2], [1, 1], pooled),
        "local_response_norm": (x, *norm),
        "local_response_norm_backward": (torch.randn_like(x), x, *norm),
        "relu_max_pool2d_lrn": (x, [3, 3], [2, 2], [1, 1], False, *norm, True),
        "occlude": (x[0], x[1], torch.tensor([[0, 0], [3, 5]], device=device), [4, 4]),
        "gather_patches": (
            x[:1],
            x.new_ones(9, 6),
            tables(device, (2, 3, 5, 6))[0],
            *tables(device, (-1, 2, 4, 9)),
            0.5,
        ),
        "unfold_patches": (*changed, [3, 3], [1, 1], [1, 1], [1, 1]),
        "pool_patches": (*changed, [3, 2], [1, 1], [1, 0], [1, 1], False),
    }


OPERATORS = list(samples(torch.device("cpu")))
OF_PATCHES = ("gather_patches", "unfold_patches", "pool_patches")
BATCHED = [name for name in OPERATORS if name not in OF_PATCHES]
DIFFERENTIABLE = [name for name in BATCHED if name != "occlude"]


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_opcheck(name: str, channels_last: bool, device: torch.device) -> None:
    def prepared(x: object, i: int) -> object:
        if not isinstance(x, Tensor):
            return x
        if channels_last and x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        # What is differentiated: the first argument, and the second of the LRN gradient.
        wants = name in DIFFERENTIABLE and (i == 0 or (i == 1 and name == "local_response_norm_backward"))
        return x.clone().requires_grad_() if wants else x

    args = tuple(prepared(x, i) for i, x in enumerate(samples(device)[name]))
    torch.library.opcheck(getattr(torch.ops.zfcuda, name).default, args)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_numerically(name: str, device: torch.device) -> None:
    args = list(samples(device, size=(5, 6))[name])  # what it takes grows with the square of the numbers
    x = args[0].clone().requires_grad_()

    def run(x: Tensor) -> tuple[Tensor, ...]:
        result = getattr(torch.ops.zfcuda, name)(x, *args[1:])
        return tuple(t for t in (result if isinstance(result, tuple) else (result,)) if t.is_floating_point())

    assert torch.autograd.gradcheck(run, (x,))
    assert torch.autograd.gradgradcheck(run, (x,))


@pytest.mark.parametrize("name", BATCHED)
def test_empty_batch(name: str, device: torch.device) -> None:
    args = samples(device)[name]
    args = tuple(x[:0] if isinstance(x, Tensor) and x.dim() != 3 else x for x in args)
    result = getattr(torch.ops.zfcuda, name)(*args)
    expected = getattr(reference, name)(*args)
    for a, b in zip(*((r if isinstance(r, tuple) else (r,)) for r in (result, expected)), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_whole(dynamic: bool, device: torch.device) -> None:
    def run(x: Tensor) -> Tensor:
        y, _ = ops.relu_max_pool2d_lrn(x, 3, 2, 1, size=5, alpha=0.3, k=2.0)
        z, switches = ops.max_pool2d_with_switches(ops.local_response_norm(y, 3), 2, relu=True)
        return ops.max_unpool2d(z * 2, switches, 2, output_size=y.shape[2:])

    compiled = torch.compile(run, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for size in ((2, 6, 17, 18), (3, 6, 21, 18)):
        a = torch.randn(size, device=device, requires_grad=True)
        b = a.detach().clone().requires_grad_()
        run(a).square().sum().backward()
        compiled(b).square().sum().backward()
        near(a.grad, b.grad)


def test_inference_mode(device: torch.device) -> None:
    for name, args in samples(device).items():
        with torch.inference_mode():
            getattr(torch.ops.zfcuda, name)(*args)


@pytest.mark.skipif(not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="one instruction set only")
@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_narrower_instruction_sets(isa: str) -> None:
    """The tests of single operators again, in a process that may use less of this processor."""
    if os.environ.get("ZFCUDA_ISA"):
        pytest.skip("already in such a process")
    if isa == "avx2" and torch.backends.cpu.get_cpu_capability() == "AVX2":
        pytest.skip("avx2 is what runs anyway")
    chosen = "(test_pool_is_torchs or test_unpool_adds or test_lrn_is or test_stage_is or corrupted) and not strided"
    here = Path(__file__).parent
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-k",
            chosen,
            "-m",
            "not cuda",
            "-p",
            "no:cacheprovider",
            *(str(here / f"test_{name}.py") for name in ("switches", "unpool", "lrn", "stage")),
        ],
        env={**os.environ, "ZFCUDA_ISA": isa},
        cwd=here.parents[1],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:]


def test_a_device_without_kernels_runs_the_twin() -> None:
    from zfcuda.ops import fallback

    fallback.warned.clear()
    run = fallback.falling_back("local_response_norm", reference.local_response_norm)
    x = torch.randn(1, 5, 2, 2)
    with pytest.warns(UserWarning, match="no compiled kernels for cpu"):
        same(run(x, 3, 0.1, 0.5, 1.0), reference.local_response_norm(x, 3, 0.1, 0.5, 1.0))
    fallback.warned.clear()


# ---------------------------------------------------------------- bad input


X = torch.zeros(1, 2, 8, 8)
S = torch.zeros(1, 2, 4, 4, dtype=torch.uint8)
BAD = {
    "input: expected .N,C,H,W., got 3": lambda: ops.max_pool2d_with_switches(X[0], 2),
    "input: expected float32.*got Long": lambda: ops.max_pool2d_with_switches(X.long(), 2),
    "kernel_size: expected at least 1, got .0, 0": lambda: ops.max_pool2d_with_switches(X, 0),
    "kernel_size: expected one or two.*1, 2, 3": lambda: ops.max_pool2d_with_switches(X, (1, 2, 3)),
    "kernel_size: a switch is one byte.*17, 16": lambda: ops.max_pool2d_with_switches(X, (17, 16)),
    "stride: expected at least 1, got .0, 1": lambda: ops.max_pool2d_with_switches(X, 2, (0, 1)),
    "stride: expected at most 2147483647, got .4294967296": lambda: ops.max_pool2d_with_switches(X, 2, 2**32),
    "padding: expected at most half.*got .4611686018427387904": lambda: ops.max_pool2d_with_switches(X, 3, 2, 2**62),
    "padding: expected at most half.*got .2, 2": lambda: ops.max_pool2d_with_switches(X, 3, 2, 2),
    "input: its height 8 is too small for kernel_size 9": lambda: ops.max_pool2d_with_switches(X, 9),
    "input: its width 8 is too small": lambda: ops.relu_max_pool2d_lrn(X, (8, 9), size=5),
    "switches: expected uint8, got Float": lambda: ops.max_unpool2d(X, X, 2, output_size=(16, 16)),
    "switches: expected input's shape .1, 2, 8, 8., got .1, 2, 4, 4": lambda: ops.max_unpool2d(
        X, S, 2, output_size=(8, 8)
    ),
    "output_size: .10, 8. does not pool to .4, 4.*from 7 to 9": lambda: ops.max_unpool2d(
        X[:, :, :4, :4], S, 2, output_size=(10, 8)
    ),
    "size: expected at least 1 channel, got 0": lambda: ops.local_response_norm(X, 0),
    "image: expected .C,H,W.": lambda: ops.occlude(X, X, torch.zeros(1, 2).long(), 2),
    "fill: expected a shape that broadcasts": lambda: ops.occlude(X[0], torch.zeros(5), torch.zeros(1, 2).long(), 2),
    "origins: expected int64 .n,2., got Float": lambda: ops.occlude(X[0], X[0], torch.zeros(1, 2), 2),
    "window: expected at least 1, got .0, 0": lambda: ops.occlude(X[0], X[0], torch.zeros(1, 2).long(), 0),
    "base: expected .N,C,H,W., got 3": lambda: gathered(base=X[0]),
    "base: expected float32.*got Long": lambda: gathered(base=X.long()),
    "base: expected one map.*got shape .2, 2, 8, 8": lambda: gathered(base=X.expand(2, -1, -1, -1)),
    "patches: expected .P,C. with base's 2 channels, got shape .4, 3": lambda: gathered(patches=torch.zeros(4, 3)),
    "patches: expected base's dtype and device, Float on cpu, got Half": lambda: gathered(
        patches=torch.zeros(4, 2).half()
    ),
    "have: expected int64 .n,5., got Int": lambda: gathered(have=T.int()),
    "want: expected int64 .n,5., got Long .2, 4": lambda: gathered(want=T[:, :4]),
    "have: expected want's 2 windows, got 1": lambda: gathered(have=T[:1]),
    "rows: expected at least 0, got -1": lambda: gathered(rows=-1),
    "fill: expected a value that Float can hold, got 1e.300": lambda: gathered(fill=1e300),
}
# Mistakes that a GPU could not see without waiting.
BAD_TABLES = {
    "have: window 1 holds positions -1, 0 to 2, 2, beyond base's 8 x 8": lambda: gathered(have=table(1, 0, -1)),
    "have: window 1 holds positions 0, -1 to": lambda: gathered(have=table(1, 1, -1)),
    "have: window 1 holds positions 0, 0 to 9, 2, beyond": lambda: gathered(have=table(1, 2, 9)),
    "have: window 0 holds positions 0, 0 to 2, 4611686018427387904, beyond": lambda: gathered(have=table(0, 3, 2**62)),
    "have: window 1 has 4 positions from row 5 of patches, which has 8": lambda: gathered(have=table(1, 4, 5)),
    "have: window 0 has 4 positions from row -1 of": lambda: gathered(have=table(0, 4, -1)),
    "have: window 0 has 4 positions from row 9223372036854775807": lambda: gathered(have=table(0, 4, 2**63 - 1)),
    "want: window 0 starts at row 1, expected 0": lambda: gathered(want=table(0, 4, 1)),
    "want: window 1 starts at row 3, expected 4": lambda: gathered(want=table(1, 4, 3)),
    "want: window 1 wants 2 x 3 positions from row 4 on, more than rows 8": lambda: gathered(want=table(1, 3, 3)),
    "want: window 1 wants 4611686018427387904 x 2 positions": lambda: gathered(want=table(1, 2, 2**62)),
    "want: window 0 wants 18446744073709551615 x 2 positions": lambda: gathered(want=EXTREME),
    "want: its 2 windows want 8 positions, rows is 9": lambda: gathered(rows=9),
    "want: its 0 windows want 0 positions, rows is 8": lambda: gathered(have=T[:0], want=T[:0]),
}
# Two windows of 2 x 2.
T = torch.tensor([[0, 0, 2, 2, 0], [0, 0, 2, 2, 4]])
EXTREME = torch.tensor([[-(2**63), 0, 2**63 - 1, 2, 0], [0, 0, 2, 2, 4]])


def table(window: int, column: int, value: int) -> Tensor:
    """T with one number replaced."""
    changed = T.clone()
    changed[window, column] = value
    return changed


def gathered(**changes: Any) -> Tensor:
    """gather_patches where all is well but `changes`."""
    return patch_ops.gather_patches(
        **{"base": X, "patches": torch.zeros(8, 2), "have": T, "want": T, "rows": 8, "fill": 0.0, **changes}
    )


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        BAD[message]()


@pytest.mark.parametrize("message", BAD_TABLES)
def test_bad_table_is_named(message: str) -> None:
    assert gathered().shape == (8, 2)
    with pytest.raises(RuntimeError, match=message):
        BAD_TABLES[message]()


def test_what_no_window_reads_is_not_checked() -> None:
    """An empty rectangle may say anything."""
    have = torch.tensor([[2**62, -5, -(2**62), 99, -1], [3, 99, 4, 99, 2**63 - 1]])
    same(gathered(have=have, base=X + 1), torch.ones(8, 2))
    want = torch.tensor([[2**63 - 1, 0, -(2**63), 2**62, 0], [-(2**63), 2**63 - 2, 2 - 2**63, 2**63 - 1, 0]])
    same(gathered(want=want, rows=2, fill=3), torch.full((2, 2), 3.0))


HUGE = 2**31
BAD_WINDOWS: dict[str, dict[str, Any]] = {
    "kernel_size: expected at least 1, got .3, 0": {"kernel_size": (3, 0)},
    "stride: expected at least 1, got .0, 0": {"stride": 0},
    "padding: expected at least 0, got .-1, 1": {"padding": (-1, 1)},
    "dilation: expected at most 2147483647, got .2147483648": {"dilation": HUGE},
    "kernel_size: .2147483647, 2147483647. makes .* numbers of one position": {"kernel_size": HUGE - 1},
    "padding: .2147483647, 2147483647. makes .* numbers of base's": {"padding": HUGE - 1},
    "rows: expected at least 0, got -1": {"rows": -1},
    "patches: expected base's dtype.*got Double": {"patches": torch.zeros(9, 2).double()},
    "want: window 1 wants positions 5, 0 to 7, 2, beyond the output's 6 x 7": {
        "want": torch.tensor([[0, 0, 2, 2, 0], [5, 0, 7, 2, 4]])
    },
    "want: its 2 windows want 8 positions, rows is 9": {"rows": 9},
    "have: window 0 holds positions 2, 3 to 5, 11, beyond base's 7 x 8": {
        "have": torch.tensor([[2, 3, 5, 11, 0], [0, 0, 0, 0, 0]])
    },
}


@pytest.mark.parametrize("operator", [patch_ops.unfold_patches, patch_ops.pool_patches])
@pytest.mark.parametrize("message", BAD_WINDOWS)
def test_bad_windows_over_patches_are_named(message: str, operator: Any) -> None:
    good: dict[str, Any] = {
        "base": torch.randn(1, 2, 7, 8),
        "patches": torch.zeros(9, 2),
        "rows": 8,
        "kernel_size": 3,
        "have": torch.tensor([[2, 3, 5, 6, 0], [0, 0, 0, 0, 0]]),
        "want": torch.tensor([[0, 0, 2, 2, 0], [2, 0, 4, 2, 4]]),
    }
    assert len(operator(**good)) == 8
    with pytest.raises(RuntimeError, match=message):
        operator(**good | BAD_WINDOWS[message])
