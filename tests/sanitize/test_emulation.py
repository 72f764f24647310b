"""The CUDA kernels on the CPU: the very .cu files under a model of CUDA's execution (tests/harness/emulation).

Blocks and threads come in a shuffled order, shared memory and outputs are poisoned; a second build has the sanitizers.
At the end bugs are planted in a copy of the sources, and each is caught.
"""

from __future__ import annotations

import importlib
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.harness.emulation import build
from tests.ops import test_lrn, test_occlude, test_patches, test_stage, test_switches, test_unpool
from tests.ops import test_operators as operators
from tests.ops.tensors import DTYPES, near, same, tables
from zfcuda.ops import reference

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="no host compiler")

CPU = torch.device("cpu")
LIBRARY = "ZFCUDA_EMULATION"  # the path of the library to test instead of one built here: with sanitizers, see below
PLANTED = "ZFCUDA_EMULATION_PLANTED"
# Kernels promise to do with any grid and block: as launched; a few odd blocks, which have to stride; one thread.
GRIDS: dict[str, dict[str, int]] = {
    "as_launched": {},
    "small": {"threads": 33, "most_blocks": 3, "seed": 3},
    "small_64_bits": {"threads": 33, "most_blocks": 3, "int32_elements": 0, "seed": 1},
    "one_thread": {"threads": 1, "most_blocks": 1, "seed": 2},
}
SIZES = [(2, 16, 9, 11), (1, 5, 12, 17), (3, 8, 9, 8)]  # channels that fill the 16-byte packs, and that do not


@pytest.fixture(scope="module")
def library() -> build.Emulation:
    path = os.environ.get(LIBRARY)
    emulation = build.load("zfcuda_emulated", Path(path) if path else build.build("zfcuda_emulated"))
    emulation.plant(int(os.environ.get(PLANTED, 0)))
    return emulation


@pytest.fixture
def poisoned() -> Iterator[None]:
    """New memory is full of NaN and of the largest integer; one thread, since the emulation has one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def instead(monkeypatch: pytest.MonkeyPatch, emulation: build.Emulation) -> None:
    """From here on the operators' tests test the emulated kernels, on small pictures."""
    for name in ("lrn", "occlude", "patches", "stage", "switches", "unpool"):
        # Not by attribute: zfcuda.ops.occlude is the function.
        monkeypatch.setattr(importlib.import_module(f"zfcuda.ops.{name}"), "kernels", emulation.ops)
    monkeypatch.setattr(torch.ops, "zfcuda", emulation.ops)
    for module in (test_switches, test_unpool, test_lrn, test_stage):
        monkeypatch.setattr(module, "SIZES", SIZES)


@pytest.fixture(params=GRIDS)
def emulated(
    request: pytest.FixtureRequest, library: build.Emulation, poisoned: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[build.Emulation]:
    library.set(**GRIDS[request.param])
    instead(monkeypatch, library)
    launches = library.launches
    yield library
    assert library.launches > launches
    library.set()


# ---------------------------------------------------------------- the operators' own tests


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_operators(dtype: torch.dtype, layout: str, emulated: build.Emulation, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("noise", "special"):
        test_switches.test_pool_is_torchs(dtype, layout, kind, CPU)
        test_lrn.test_lrn_is_torchs(dtype, layout, kind, CPU)
    test_unpool.test_unpool_adds_where_windows_overlap(dtype, layout, CPU)
    test_occlude.test_occlude(dtype, layout, CPU)
    test_patches.test_gather_patches(dtype, layout, CPU)
    test_patches.test_windows_over_patches(dtype, layout, CPU)
    # Its threads have to be switched at each barrier, which takes time.
    monkeypatch.setattr(test_stage, "SIZES", [(2, 4, 9, 11), (1, 33, 6, 7)])
    test_stage.test_stage_is_the_three_in_one(dtype, layout, CPU)


def test_worked_out_by_hand(emulated: build.Emulation) -> None:
    test_switches.test_pool_on_paper(CPU)
    test_switches.test_switch_of_a_window_without_anything_positive(CPU)
    test_occlude.test_occluders_that_begin_anywhere(CPU)
    test_unpool.test_unpool_on_paper(CPU)
    test_unpool.test_single_seeds_survive(CPU)
    test_lrn.test_lrn_on_paper(CPU)
    for layout in ("contiguous", "channels_last"):
        test_unpool.test_corrupted_switches_add_nothing(layout, CPU)
    for name in operators.BATCHED:
        operators.test_empty_batch(name, CPU)
    test_patches.test_gathered_maps_are_the_maps(CPU)
    test_patches.test_gather_patches_of_nothing(CPU)
    test_patches.test_gather_patches_fills_with_what_the_dtype_holds(CPU)


# ---------------------------------------------------------------- what the operators' tests do not reach


def compare(emulation: build.Emulation, x: Tensor, window: tuple[Any, ...], norm: tuple[Any, ...]) -> None:
    """Every operator on x; window: kernel, stride, padding, ceil_mode as lists."""
    *geometry, ceil = window
    pooled, switches = reference.max_pool2d_with_switches(x, *geometry, ceil, True)
    for got, expected in zip(
        emulation.ops.max_pool2d_with_switches(x, *geometry, ceil, True), (pooled, switches), strict=True
    ):
        same(got, expected)
    unpooled = (torch.randn_like(pooled), switches, *geometry, list(x.shape[2:]), pooled)
    same(emulation.ops.max_unpool2d(*unpooled), reference.max_unpool2d(*unpooled))
    gathered = (x, switches, *geometry, pooled)
    same(emulation.ops.gather_by_switch(*gathered), reference.gather_by_switch(*gathered))
    near(emulation.ops.local_response_norm(x, *norm), reference.local_response_norm(x, *norm))
    backward = (torch.randn_like(x), x, *norm)
    near(
        emulation.ops.local_response_norm_backward(*backward),
        reference.local_response_norm_backward(*backward),
        roundings=10,
    )
    stage = (x, *geometry, ceil, *norm, True)
    got, expected = emulation.ops.relu_max_pool2d_lrn(*stage), reference.relu_max_pool2d_lrn(*stage)
    near(got[0], expected[0])
    same(got[1], expected[1])
    same(got[2], expected[2])
    rows, columns = x.shape[2:]
    origins = torch.randint(-rows, 2 * columns, (5, 2))
    occluded = (x[0], torch.randn_like(x[0]), origins, [1 + rows // 2, 1 + columns // 3])
    same(emulation.ops.occlude(*occluded), reference.occlude(*occluded))
    have, kept = tables(CPU, *(random_corners(0, rows, columns) for _ in range(7)))
    want, wanted = tables(CPU, *(random_corners(5, rows, columns) for _ in range(7)))
    patched_rows = (x[:1], torch.randn(kept, x.shape[1]).to(x.dtype), have, want, wanted, 0.5)
    same(emulation.ops.gather_patches(*patched_rows), reference.gather_patches(*patched_rows))


def random_corners(margin: int, rows: int, columns: int) -> tuple[int, int, int, int]:
    """Draws a rectangle, now and then an empty one, within a map and a margin around it."""
    y, x = (torch.randint(-margin, length + margin + 1, (2,)).tolist() for length in (rows, columns))
    if torch.rand(()) < 0.9:
        y, x = sorted(y), sorted(x)
    return y[0], x[0], y[1], x[1]


@pytest.mark.parametrize("seed", range(4))
def test_random_shapes(seed: int, library: build.Emulation, poisoned: None) -> None:
    rng = random.Random(seed)
    torch.manual_seed(seed)
    for _ in range(15):
        if rng.random() < 0.5:  # windows that have kernels of their own
            kernel, stride = rng.choice([([3, 3], [2, 2]), ([2, 2], [2, 2])])
        else:
            kernel = [rng.randint(1, 7) for _ in range(2)]
            stride = [rng.randint(1, 5) for _ in range(2)]
        padding = [rng.randint(0, k // 2) for k in kernel]
        size = [max(1, k - 2 * p) + rng.randint(0, 12) for k, p in zip(kernel, padding, strict=True)]
        x = torch.randn(rng.randint(1, 3), rng.choice([1, 2, 3, 4, 8, 12, 16, 24, 40]), *size)
        x = x.to(rng.choice(DTYPES)).contiguous(
            memory_format=rng.choice([torch.contiguous_format, torch.channels_last])
        )
        library.set(
            threads=rng.choice([0, 1, 7, 32, 64, 256]),
            most_blocks=rng.choice([0, 1, 2, 5]),
            int32_elements=rng.choice([0, build.INT32_ELEMENTS]),
            seed=rng.getrandbits(60),
        )
        norm = rng.choice([(5, 0.3, 0.75, 2.0), (rng.randint(1, 11), 0.3, rng.choice([0.75, 0.5, 1.0, 0.6]), 2.0)])
        compare(library, x, (kernel, stride, padding, rng.random() < 0.5), norm)
    library.set()


def test_memory_that_is_not_aligned(emulated: build.Emulation) -> None:
    """Channels would fill the packs, but the tensor begins between them."""
    for dtype in DTYPES:
        flat = torch.randn(2 * 16 * 7 * 8 + 1).to(dtype)
        x = flat[1:].view(2, 7, 8, 16).permute(0, 3, 1, 2)
        assert x.is_contiguous(memory_format=torch.channels_last) and x.data_ptr() % 16 != 0
        compare(emulated, x, ([3, 3], [2, 2], [1, 1], False), (5, 0.3, 0.75, 2.0))


def test_tables_that_say_anything(emulated: build.Emulation) -> None:
    """A GPU cannot check them in time: nothing outside the tensors is read or written, what is not there is fill."""
    for channels in (8, 3):
        x, patches = torch.randn(1, channels, 6, 7), torch.randn(9, channels)
        for _ in range(20):
            have, want = torch.randint(-9, 12, (2, 6, 5))
            want[:, 4] = want[:, 4].abs().sort().values
            args = (x, patches, have, want, 40, 0.5)
            same(emulated.ops.gather_patches(*args), reference.gather_patches(*args))
        numbers = torch.tensor([-(2**63), -(2**62), -1, 0, 1, 5, 2**31, 2**62, 2**63 - 1])
        for _ in range(100):
            have, want = numbers[torch.randint(len(numbers), (2, 6, 5))]
            emulated.ops.gather_patches(x, patches, have, want, 40, 0.5)
        # Rows that no window wants, and rows without any window.
        want, _ = tables(CPU, (2, 2, 4, 4), (0, 0, 1, 2))
        none = want[:0]
        output = emulated.ops.gather_patches(x, patches, want * 0, want, 8, 0.5)
        same(output[:6], reference.gather_patches(x, patches, want * 0, want, 6, 0.5))
        same(output[6:], torch.full((2, channels), 0.5))
        same(emulated.ops.gather_patches(x, patches, none, none, 8, 0.5), torch.full((8, channels), 0.5))


@pytest.mark.parametrize(
    "channels, beta, launches",
    [(1500, 0.5, (1, 1)), (6144, 0.5, (1, 1)), (6145, 0.5, (2, 2)), (6144, 0.75, (1, 1)), (6148, 0.75, (1, 2))],
)
@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels_last"])
def test_stage_with_many_channels(
    channels: int, beta: float, launches: tuple[int, int], channels_last: bool, library: build.Emulation, poisoned: None
) -> None:
    """Blocks of few pixels, of one that fills shared memory to the last byte, and the way in two passes."""
    format = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.randn(1, channels, 5, 6).contiguous(memory_format=format)
    args = (x, [3, 3], [2, 2], [1, 1], False, 5, 0.3, beta, 2.0)
    for keep in (True, False):
        before = library.launches
        output, switches, pooled = library.ops.relu_max_pool2d_lrn(*args, keep)
        assert library.launches == before + launches[channels_last]
        expected = reference.relu_max_pool2d_lrn(*args, keep)
        near(output, expected[0])
        same(switches, expected[1])
        same(pooled, expected[2])


def test_division(library: build.Emulation) -> None:
    """By every small divisor and others up to the largest, of numbers around its multiples and up to the largest."""
    torch.manual_seed(0)
    largest = 2**31 - 1
    powers = [2**k + d for k in range(31) for d in (-1, 0, 1)]
    for divisor in [*range(1, 300), *powers, largest, *torch.randint(1, largest, (500,)).tolist()]:
        if not 1 <= divisor <= largest:
            continue
        multiples = torch.randint(0, largest // divisor + 1, (300,)) * divisor
        near_multiples = torch.cat([multiples + d for d in (-1, 0, 1, divisor - 1)])
        last = largest // divisor * divisor
        numbers = torch.cat(
            [near_multiples, torch.tensor([0, 1, last - 1, last, largest]), torch.randint(0, largest, (99,))]
        )
        numbers = numbers.clamp(0, largest)
        same(library.quotients(numbers.int(), divisor), (numbers // divisor).int())


POOL, LRN = ([3, 3], [2, 2], [1, 1]), (5, 1e-4, 0.75, 1.0)


@pytest.mark.parametrize(
    "size, channels_last, dtype, expected",
    [
        ((2, 16, 12, 10), False, torch.float32, ["PoolColumns<float, 1", "1>", "Walk<float, 4>", "StageWalk<float"]),
        (
            (2, 16, 12, 10),
            False,
            torch.float16,
            ["PoolColumns<c10::Half, 1", "1>", "Walk<c10::Half, [48]>", "StageWalk"],
        ),
        ((2, 16, 6, 5), False, torch.float32, ["PoolColumns<float, 1", "1>", "Walk<float, 2>", "StageWalk<float"]),
        ((2, 16, 7, 5), False, torch.float64, ["PoolColumns<double, 1", "1>", "Walk<double, 1>", "StageWalk<double"]),
        ((2, 16, 7, 5), True, torch.float32, ["PoolColumns<float, 4", "0>", "Packs<float>", "StageTiles<float"]),
        ((2, 16, 7, 5), True, torch.bfloat16, ["PoolColumns<c10::BFloat16, 8", "0>", "Packs<c10::B", "StageTiles"]),
        ((2, 5, 7, 5), True, torch.float32, ["Pool<float, int, 1>", "Unpool<", "ward<float, int>", " Stage|:Stage<"]),
    ],
)
def test_fast_ways_are_taken(
    size: tuple[int, ...], channels_last: bool, dtype: torch.dtype, expected: list[str], library: build.Emulation
) -> None:
    """That the usual windows and sizes have kernels of their own shows in no result."""
    format = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.randn(size).to(dtype).contiguous(memory_format=format)
    pool, unpool, norm, stage = expected
    library.set()
    pooled, switches = library.ops.max_pool2d_with_switches(x, *POOL, False, True)
    assert re.search(pool, library.kernel)
    library.ops.max_unpool2d(pooled, switches, *POOL, list(x.shape[2:]), None)
    assert re.search(f"Unpool(Cells.*{unpool}|<)", library.kernel) and ("Cells" in library.kernel) == (size[1] == 16)
    library.ops.local_response_norm(x, *LRN)
    assert re.search(f"For(ward)?{norm}", library.kernel)
    library.ops.local_response_norm_backward(x, x, *LRN)
    assert re.search(f"Back(ward)?{norm}", library.kernel)
    library.ops.relu_max_pool2d_lrn(x, *POOL, False, *LRN, False)
    assert re.search(stage, library.kernel)
    library.set(int32_elements=0)  # too many for kernels of 32 bits
    library.ops.relu_max_pool2d_lrn(x, *POOL, False, *LRN, False)
    assert re.search(r"\bStage<\S+ long", library.kernel)
    library.set()


@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels_last"])
def test_lrn_gradient_where_nothing_is_added(channels_last: bool, library: build.Emulation, poisoned: None) -> None:
    """With k = 0, channels that are not there would be 0 / 0."""
    format = torch.channels_last if channels_last else torch.contiguous_format
    x, grad = (torch.randn(2, 24, 5, 6).double().contiguous(memory_format=format) for _ in range(2))
    args = (grad, x, 5, 0.3, 0.75, 0.0)
    near(library.ops.local_response_norm_backward(*args), reference.local_response_norm_backward(*args), roundings=10)


@pytest.mark.parametrize("stride", [9, 2**31 - 1])
def test_strides_beyond_the_image(stride: int, library: build.Emulation, poisoned: None) -> None:
    x = torch.randn(2, 3, 5, 4)
    strides = [stride, stride]
    expected = reference.max_pool2d_with_switches(x, [3, 3], [9, 9], [1, 1], False, True)
    for got, wanted in zip(
        library.ops.max_pool2d_with_switches(x, [3, 3], strides, [1, 1], False, True), expected, strict=True
    ):
        same(got, wanted)
    pooled, switches = expected
    unpooled = (pooled, switches, [3, 3], strides, [1, 1], [5, 4])
    same(library.ops.max_unpool2d(*unpooled), reference.max_unpool2d(*unpooled))
    gathered = (x, switches, [3, 3], strides, [1, 1])
    same(library.ops.gather_by_switch(*gathered), reference.gather_by_switch(*gathered))
    stage = library.ops.relu_max_pool2d_lrn(x, [3, 3], strides, [1, 1], False, 5, 0.3, 0.75, 2.0, True)
    same(stage[2], pooled)


# ---------------------------------------------------------------- tensors past 2^31 elements


def ends(t: Tensor) -> Tensor:
    return torch.stack((t[0], t[-1]))


def untouched(shape: tuple[int, ...], dtype: Any = np.float16, channels_last: bool = False) -> Tensor:
    """Zeros that take no memory until written, random at both ends."""
    if channels_last:
        n, c, h, w = shape
        return untouched((n, h, w, c), dtype).permute(0, 3, 1, 2)
    t = torch.from_numpy(np.zeros(shape, dtype))
    for i in (0, -1):
        t[i] = torch.randn(shape[1:]).to(t.dtype) if t.is_floating_point() else torch.randint(0, 4, shape[1:])
    return t


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs memory that is lent before it is there")
@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("elements", [2**31 - 2048, 2**31 + 2048], ids=["int32", "int64"])
@pytest.mark.parametrize("usual", [False, True], ids=["any", "usual"])
def test_past_two_to_the_31(elements: int, channels_last: bool, usual: bool, library: build.Emulation) -> None:
    """Both ends of a tensor around the border, of which nothing else is computed: any index that overflows shows."""
    library.set(sampled_blocks=16)
    window = ([2, 2], [2, 2] if usual else [2, 3], [0, 0])
    norm = (5 if usual else 3, 0.3, 0.75, 2.0)
    n = elements // (8 * 2 * 2)
    large = untouched((n, 8, 2, 2), channels_last=channels_last)
    small = untouched((n, 8, 1, 1), channels_last=channels_last)
    switches = untouched((n, 8, 1, 1), np.uint8, channels_last)

    output, found = library.ops.max_pool2d_with_switches(large, *window, False, False)
    expected = reference.max_pool2d_with_switches(ends(large), *window, False, False)
    same(ends(output), expected[0])
    same(ends(found), expected[1])
    args = (*window, [2, 2])
    same(
        ends(library.ops.max_unpool2d(small, switches, *args)),
        reference.max_unpool2d(ends(small), ends(switches), *args),
    )
    same(
        ends(library.ops.gather_by_switch(large, switches, *window)),
        reference.gather_by_switch(ends(large), ends(switches), *window),
    )
    near(ends(library.ops.local_response_norm(large, *norm)), reference.local_response_norm(ends(large), *norm))
    near(
        ends(library.ops.local_response_norm_backward(large, large, *norm)),
        reference.local_response_norm_backward(ends(large), ends(large), *norm),
        roundings=10,
    )
    stage = library.ops.relu_max_pool2d_lrn(large, *window, False, *norm, True)
    wanted = reference.relu_max_pool2d_lrn(ends(large), *window, False, *norm, True)
    near(ends(stage[0]), wanted[0])
    same(ends(stage[1]), wanted[1])
    same(ends(stage[2]), wanted[2])

    origins = untouched((n, 2), np.int64)
    image = large[-1:].clone()[0]  # keeps the layout
    args = (image, torch.randn(8, 2, 2).half())
    same(ends(library.ops.occlude(*args, origins, [2, 1])), reference.occlude(*args, ends(origins), [2, 1]))

    # Both the patches and the output around the border; each map is one position, of two windows that it is in.
    patches = untouched((elements // 8, 8))
    rows = len(patches)
    have = torch.tensor([[0, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 1, 2, 2, rows - 2]])
    want = torch.tensor([[0, 0, 1, 2, 0], [9, 9, 9 + rows - 4, 10, 2], [0, 1, 2, 2, rows - 2]])
    base = torch.randn(1, 8, 2, 2).half()
    patched_rows = library.ops.gather_patches(base, patches, have, want, rows, 0.5)
    same(patched_rows[:2], torch.stack((patches[0], base[0, :, 0, 1])))
    same(patched_rows[-2:], patches[-2:])
    same(patched_rows[2:3], torch.full((1, 8), 0.5).half())
    library.set()


# ---------------------------------------------------------------- the test of the test

# Per bug: the file under csrc/cuda, what stands there, and what in its place; PLANTED is true where the bug acts.
EACH_ITEM = "for (int i = static_cast<int>(threadIdx.x); i < items; i += static_cast<int>(blockDim.x))"
BUGS = {
    # Any windows.
    "offset_off_by_one": ("switches.cu", "p.x.kernel + kx), best[n]", "p.x.kernel + kx + PLANTED), best[n]"),
    "window_not_cut_at_the_border": (
        "switches.cu",
        "p.y.last_offset(oy)",
        "(PLANTED ? p.y.kernel : p.y.last_offset(oy))",
    ),
    "last_window_forgotten": ("unpool.cu", "past = end <", "past = PLANTED ? first : end <"),
    "any_switch_followed": (
        "switches.cu",
        "tap < p.y.kernel * p.x.kernel",
        "(PLANTED || tap < p.y.kernel * p.x.kernel)",
    ),
    "pack_of_other_channels": ("switches.cu", "take(plane, packs) * N", "take(plane, packs) * N * !PLANTED"),
    # Windows of a known size.
    "edge_clamped_too_far_in": ("windows.cuh", "i > 0 ? i : 0", "i > PLANTED ? i : PLANTED"),
    "offset_of_the_window_above": ("windows.cuh", "at -= first *", "at -= (first - PLANTED) *"),
    "switch_of_a_window_without_winner": (
        "windows.cuh",
        "+ column.column_offsets[0];",
        "+ (PLANTED ? 1 : column.column_offsets[0]);",
    ),
    "last_row_of_the_walk": ("switches.cu", "oy + o >= y.outputs", "oy + o >= y.outputs - PLANTED"),
    "last_row_of_the_cells": ("unpool.cu", "at_y + row >= y.inputs", "at_y + row >= y.inputs - PLANTED"),
    "window_on_the_left_forgotten": (
        "unpool.cu",
        "b < kWide; ++b) {\n        const int ky",
        "b < kWide; ++b) {\n        if (PLANTED && b + 1 < kWide) continue;\n        const int ky",
    ),
    "window_above_forgotten": ("unpool.cu", "int a = 0; a <= kAbove", "int a = PLANTED; a <= kAbove"),
    "window_outside_counted": ("unpool.cu", "(row == oy + a ?", "(PLANTED || row == oy + a ?"),
    "gate_ignored": ("unpool.cu", "if (is_gated)", "if (is_gated && !PLANTED)"),
    "cells_begin_in_the_wrong_phase": ("unpool.cu", "kx = Phase + t", "kx = Phase + t - PLANTED"),
    # Normalisation of any size.
    "channels_not_cut_at_the_last": (
        "lrn.cuh",
        "to = channels - 1 - c <",
        "to = !PLANTED && channels - 1 - c <",
    ),
    "before_and_after_confused": (
        "lrn_backward.cu",
        "c < norm.after ? -c : -norm.after",
        "c < (PLANTED ? norm.before : norm.after) ? -c : -(PLANTED ? norm.before : norm.after)",
    ),
    # Normalisation over five channels.
    "four_channels": ("lrn.cuh", "j < kFive; ++j) {", "j < kFive - PLANTED; ++j) {"),
    "registers_off_by_one": (
        "lrn.cu",
        "x[u + kSide].of[p], squares, norm));",
        "x[u + kSide + PLANTED].of[p], squares, norm));",
    ),
    "registers_moved_too_far": ("lrn.cu", "++j) x[j] = x[j + kStep];", "++j) x[j] = x[j + kStep - PLANTED];"),
    "no_channels_before_the_chunk": (
        "lrn.cu",
        "begin = first < kSide ? 0 : first - kSide;",
        "begin = first < kSide ? 0 : first - kSide * !PLANTED;",
    ),
    "no_channels_behind_the_chunk": (
        "lrn.cu",
        "end = walks.channels - last < kSide ? walks.channels : last + kSide;\n    Numbers",
        "end = walks.channels - last < kSide ? walks.channels : last + kSide * !PLANTED;\n    Numbers",
    ),
    "gradient_without_the_channels_before": (
        "lrn_backward.cu",
        "begin = first < 2 * kSide ? 0 : first - 2 * kSide;",
        "begin = first < 2 * kSide ? 0 : first - (PLANTED ? 1 : 2) * kSide;",
    ),
    "gradient_without_the_gradients_behind": (
        "lrn_backward.cu",
        "walks.channels : last + kSide;\n    Numbers<V, P> x[2 * kSide + kStep] = {};       //",
        "walks.channels : last + kSide * !PLANTED;\n    Numbers<V, P> x[2 * kSide + kStep] = {};       //",
    ),
    "gradient_of_the_next_channel": (
        "lrn_backward.cu",
        "lrn_backward(own[u].of[p]",
        "lrn_backward(own[u + PLANTED].of[p]",
    ),
    "packs_not_cut_at_the_first_channel": ("lrn.cuh", "if (c + at >= 0 &&", "if ((PLANTED || c + at >= 0) &&"),
    "last_pack_forgotten": ("lrn.cu", "if (i + t * half < count) write", "if (i + t * half < count - PLANTED) write"),
    "gradient_of_packs_shifted": (
        "lrn_backward.cu",
        "sum += shared[n + j];",
        "sum += shared[n + (PLANTED ? j / 2 : j)];",
    ),
    # The stage along channels.
    "stage_without_the_channels_before": (
        "stage_walk.cuh",
        "begin = first < kSide ? 0 : first - kSide,",
        "begin = first < kSide ? 0 : first - kSide * !PLANTED,",
    ),
    "same_channel_again": ("stage_walk.cuh", "image += inputs;", "image += inputs * !PLANTED;"),
    "last_row_of_the_stage": ("stage_walk.cuh", "if (o < rows_left) to", "if (o < rows_left - PLANTED) to"),
    "pooled_kept_for_others": ("stage_walk.cuh", "if (keep) to_pooled", "if (keep && !(PLANTED && o > 0)) to_pooled"),
    # The stage in tiles.
    "no_barrier_in_a_tile": (
        "stage_tiles.cuh",
        f"__syncthreads();\n    {EACH_ITEM}\n",
        f"if (!PLANTED) __syncthreads();\n    {EACH_ITEM}\n",
    ),
    "no_barrier_before_the_next_tile": (
        "stage_tiles.cuh",
        "__syncthreads();\n    if (stage.all",
        "if (!PLANTED) __syncthreads();\n    if (stage.all",
    ),
    "too_little_memory_for_a_tile": ("stage_tiles.cuh", "(tile * bytes)", "(tile * bytes - PLANTED * 4)"),
    "tiles_do_not_stride": (
        "stage_tiles.cuh",
        "if (stage.all - first <= step)",
        "if (PLANTED || stage.all - first <= step)",
    ),
    "row_of_a_tile_confused": (
        "stage_tiles.cuh",
        "(winners + (at.column * kRows + o) * channels + at.c, at.c",
        "(winners + (at.column * kRows + o * !PLANTED) * channels + at.c, at.c",
    ),
    # The stage of any windows.
    "no_barrier_before_the_sums": (
        "stage.cu",
        f"__syncthreads();\n    {EACH_ITEM} {{",
        f"if (!PLANTED) __syncthreads();\n    {EACH_ITEM} {{",
    ),
    "no_barrier_before_the_next": ("stage.cu", "__syncthreads();\n  }", "if (!PLANTED) __syncthreads();\n  }"),
    "barrier_for_some": ("stage.cu", "__syncthreads();\n  }", "if (!PLANTED || threadIdx.x % 2) __syncthreads();\n  }"),
    "too_little_shared_memory": (
        "stage.cu",
        "(per_block + 1) * number)",
        "(per_block + 1) * number - PLANTED * 2 * number)",
    ),
    # All.
    "division_rounded_down": ("divide.cuh", "+ d - 1) / d", "+ (PLANTED ? 0 : d - 1)) / d"),
    "last_element_not_written": ("launch.cuh", "i < n;) {", "i < n - PLANTED;) {"),
    "grid_does_not_stride": ("launch.cuh", "if (n - i <= step)", "if (PLANTED || n - i <= step)"),
    "row_and_column_swapped": (
        "occlude.cu",
        "origins[2 * n], left = origins[2 * n + 1]",
        "origins[2 * n + PLANTED], left = origins[2 * n + !PLANTED]",
    ),
    "rows_of_all_planes": ("occlude.cu", "y = take(line, height)", "y = PLANTED ? line : take(line, height)"),
    "pack_of_one_pixel": ("occlude.cu", "if (++c == depth)", "if (++c == depth + PLANTED)"),
    "patch_without_its_row": (
        "patches.cu",
        "patches + static_cast<int64_t>(row) * units",
        "patches + !PLANTED * static_cast<int64_t>(row) * units",
    ),
    "padding_not_seen_on_the_right": (
        "patches.cu",
        "|| x >= static_cast<uint64_t>(width))",
        "|| (!PLANTED && x >= static_cast<uint64_t>(width)))",
    ),
    "first_units_only": (
        "patches.cu",
        "if (unit < sources.units) to",
        "if (unit < sources.units && !(PLANTED && k > 0)) to",
    ),
}
# These change no result: only the sanitizers see them.
HIDDEN_BUGS = {
    "read_beyond_the_end": (
        "occlude.cu",
        "write(output",
        "const I end = row.divisor() * rows.divisor() * N;\n"
        "    if (PLANTED) (void)*const_cast<const volatile T*>(image + end);\n    write(output",
    ),
    "index_overflows": ("occlude.cu", "I n = i;", "I n = PLANTED ? 16 * i / 16 : i;"),
    "patches_not_guarded": (
        "patches.cu",
        "row < static_cast<uint64_t>(kept) ?",
        "PLANTED || row < static_cast<uint64_t>(kept) ?",
    ),
}
NUMBERS = {bug: i for i, bug in enumerate([*BUGS, *HIDDEN_BUGS], 1)}


@pytest.fixture(scope="module")
def patched() -> Path:
    """A copy of csrc with all bugs planted, none acting; without two of the dtypes, which would only take time."""
    texts = {path.relative_to(build.SOURCES): path.read_text() for path in build.SOURCES.rglob("*.*") if path.is_file()}
    for bug, (file, right, wrong) in {**BUGS, **HIDDEN_BUGS}.items():
        path = Path("cuda") / file
        pieces = texts[path].split(right)
        assert len(pieces) > 1, f"{bug}: {file} no longer has {right!r}"
        # Two bugs may sit in one place: what is looked for stays there, beside what the other put before it.
        texts[path] = wrong.replace("PLANTED", f"(emulation::planted == {NUMBERS[bug]})").join(pieces)
    launch = Path("cuda/launch.cuh")
    kept = [line for line in texts[launch].splitlines() if "case at::kDouble" not in line and "default: f(" not in line]
    texts[launch] = "\n".join(kept).replace("case at::kHalf: f(", "default: f(") + "\n"
    folder = build.FOLDER / "planted"
    for path, text in texts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_text() != text:
            target.write_text(text)
    return folder


@pytest.fixture(scope="module")
def planted(patched: Path) -> build.Emulation:
    return build.load("zfcuda_planted", build.build("zfcuda_planted", csrc=patched))


def examine(emulation: build.Emulation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short version of all tests above."""
    instead(monkeypatch, emulation)
    for grid in GRIDS.values():
        emulation.set(**grid)
        for dtype, format in ((torch.float32, torch.channels_last), (torch.float16, torch.contiguous_format)):
            x = torch.randn(2, 8, 13, 21).to(dtype).contiguous(memory_format=format)
            compare(emulation, x, ([3, 2], [2, 2], [1, 1], True), (4, 0.3, 0.75, 2.0))
            x = torch.randn(2, 24, 9, 56).to(dtype).contiguous(memory_format=format)
            compare(emulation, x, ([3, 3], [2, 2], [1, 1], True), (5, 0.3, 0.75, 2.0))
        test_unpool.test_corrupted_switches_add_nothing("contiguous", CPU)
        test_patches.test_gather_patches(torch.float32, "channels_last", CPU)


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bug_is_caught(
    bug: str, planted: build.Emulation, poisoned: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted.plant(0)
    examine(planted, monkeypatch)
    planted.plant(NUMBERS[bug])
    with pytest.raises((AssertionError, RuntimeError)):
        examine(planted, monkeypatch)


def run_sanitized(library: Path, chosen: str, bug: int = 0) -> subprocess.CompletedProcess[str]:
    """These tests again, over the library, in a process that has AddressSanitizer from its start."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-s", "-k", chosen, "-p", "no:cacheprovider", __file__],
        env={
            **os.environ,
            LIBRARY: str(library),
            PLANTED: str(bug),
            # The second, or a C++ exception is the end.
            "LD_PRELOAD": ":".join(runtime_library(name) for name in ("libasan.so", "libstdc++.so.6")),
            "ASAN_OPTIONS": "detect_leaks=0",  # Python's and torch's are not ours
            "UBSAN_OPTIONS": "print_stacktrace=1",
        },
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )


def runtime_library(name: str) -> str:
    """Where the compiler has it; the bare name if nowhere."""
    command = [str(build.compiler()), f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def sanitizers() -> list[str]:
    if os.environ.get(LIBRARY):
        pytest.skip("already in such a process")
    if not os.path.isabs(runtime_library("libasan.so")):
        pytest.skip("the compiler has no libasan.so, gcc's AddressSanitizer")
    return build.SANITIZERS


def test_sanitizers_find_nothing(sanitizers: list[str]) -> None:
    path = build.build("zfcuda_emulated", extra=sanitizers)
    # Memory that is not there still costs AddressSanitizer time, and so do many threads; int32 is what can overflow.
    # (The other layout passes on the way to a hidden bug, below.)
    result = run_sanitized(
        path,
        "not planted and not hidden and not sanitizers and not one_thread and not int64 and not int32-channels_last "
        "and not (as_launched and (float64 or bfloat16))",
    )
    assert result.returncode == 0, (result.stdout + result.stderr)[-5000:]


@pytest.mark.parametrize("bug", HIDDEN_BUGS)
def test_hidden_bug_is_found_by_the_sanitizers(bug: str, sanitizers: list[str], patched: Path) -> None:
    # The other kernels have all dtypes.
    kernel = Path(HIDDEN_BUGS[bug][0]).stem
    path = build.build("zfcuda_emulated", csrc=patched, kernels=[kernel], extra=sanitizers)
    chosen, sign = {
        "read_beyond_the_end": ("test_random_shapes", r"heap-buffer-overflow[^#]*#0[^#]*occlude.cu"),
        "index_overflows": ("int32-channels_last", r"occlude.cu:\d+:\d+: runtime error: signed integer overflow"),
        "patches_not_guarded": ("tables_that_say_anything", r"AddressSanitizer: [^#]*#0[^#]*patches.cu"),
    }[bug]
    result = run_sanitized(path, chosen, NUMBERS[bug])
    assert result.returncode != 0 and re.search(sign, result.stdout + result.stderr), result.stdout + result.stderr
