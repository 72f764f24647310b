"""The search for a texture's pixels against NumPy, tree and all; corrupted tables."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zfcuda.ops import reference
from zfcuda.ops.texture import texture_pixels

Problem = dict[str, Any]


def problem(height: int, width: int, channels: int, radius: int, *, two: bool = True, seed: int = 0) -> Problem:
    """A level of random bytes, few of them so that distances are often equal, and one leaf."""
    random = np.random.default_rng(seed)
    side, n = 2 * radius + 1, 70
    size = channels * (radius * side + radius + (side * side if two else 0))
    windows = np.zeros((n, -(-size // 64) * 64), np.uint8)
    windows[:, :size] = random.choice([0, 7, 255], (n, size))
    windows[n // 2 :] = windows[: n - n // 2]  # each twice: the first is taken
    order = random.permutation(n)
    level = random.choice([0, 7, 255], (height, width, channels)).astype(np.uint8)
    half = random.choice([0, 7, 255], (-(-height // 2), -(-width // 2), channels)).astype(np.uint8)
    return {
        "output": torch.from_numpy(level),
        "chosen": torch.full((height, width), -1),
        "coarser": torch.from_numpy(half) if two else None,
        "values": torch.from_numpy(random.choice([0, 7, 255], (n, channels)).astype(np.uint8)),
        "windows": torch.from_numpy(windows),
        "order": torch.from_numpy(order),
        "centres": torch.zeros(1, windows.shape[1], dtype=torch.uint8),
        "nodes": torch.tensor([[0, 0, 0, n]]),
        "radius": radius,
        "leaves": 1,
        "first": 0,
        "last": height * width,
    }


def made(p: Problem, **changes: Any) -> tuple[Tensor, Tensor]:
    """The output and what was chosen."""
    p = {key: value.clone() if isinstance(value, Tensor) else value for key, value in (p | changes).items()}
    output, chosen = p["output"], p["chosen"]
    texture_pixels(**p)
    return output, chosen


def by_numpy(p: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Pixel by pixel, in integers of 64 bits, all neighbourhoods."""
    output, chosen = p["output"].numpy().copy(), p["chosen"].numpy().copy()
    coarser = None if p["coarser"] is None else p["coarser"].numpy()
    (height, width, _), r = output.shape, p["radius"]
    windows, order = p["windows"].numpy().astype(np.int64), p["order"].numpy()
    for at in range(p["first"], p["last"]):
        y, x = divmod(at, width)
        square = [(v, u) for v in range(-r, r + 1) for u in range(-r, r + 1)]
        seen = [output[(y + v) % height, (x + u) % width] for v, u in square if (v, u) < (0, 0)]
        if coarser is not None:
            seen += [coarser[(y // 2 + v) % coarser.shape[0], (x // 2 + u) % coarser.shape[1]] for v, u in square]
        window = np.concatenate(seen).astype(np.int64)
        distances = ((windows[:, : len(window)] - window) ** 2).sum(1)
        best = order[distances == distances.min()].min()
        chosen[y, x], output[y, x] = best, p["values"].numpy()[best]
    return output, chosen


SHAPES = [
    (9, 13, 1, 2, True),
    (8, 10, 3, 1, True),
    (7, 5, 2, 3, False),  # a window wider than the level
    (1, 1, 1, 2, True),
    (1, 6, 3, 4, True),
    (6, 1, 4, 1, False),
]


@pytest.mark.parametrize(("height", "width", "channels", "radius", "two"), SHAPES)
def test_one_leaf_is_exhaustive_search(height: int, width: int, channels: int, radius: int, two: bool) -> None:
    p = problem(height, width, channels, radius, two=two)
    output, chosen = made(p)
    expected = by_numpy(p)
    np.testing.assert_array_equal(chosen.numpy(), expected[1])
    np.testing.assert_array_equal(output.numpy(), expected[0])


def forest(n: int, pitch: int, depth: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A tree whose nodes divide their windows in two or three, with centres that have nothing to do with them."""
    nodes, waiting = [[0, 0, 0, n]], [(0, depth)]
    while waiting:
        node, left = waiting.pop(0)
        begin, end = nodes[node][2:]
        parts = int(random.integers(2, 4))
        if not left or end - begin < parts:
            continue
        cuts = [begin, *sorted(random.choice(np.arange(begin + 1, end), parts - 1, replace=False).tolist()), end]
        nodes[node][:2] = [len(nodes), parts]
        for low, high in itertools.pairwise(cuts):
            waiting.append((len(nodes), left - 1))
            nodes.append([0, 0, low, high])
    centres = np.zeros((len(nodes), pitch), np.uint8)
    centres[:, :30] = random.choice([0, 7, 255], (len(nodes), 30))
    return torch.tensor(nodes), torch.from_numpy(centres)


@pytest.mark.parametrize("leaves", [1, 2, 5, 1000])
@pytest.mark.parametrize(("height", "width", "channels", "radius", "two"), SHAPES)
def test_its_twin_in_plain_torch(height: int, width: int, channels: int, radius: int, two: bool, leaves: int) -> None:
    p = problem(height, width, channels, radius, two=two)
    n, pitch = p["windows"].shape
    p["nodes"], p["centres"] = forest(n, pitch, 4, np.random.default_rng(height * leaves))
    p["leaves"] = leaves
    expected = {key: value.clone() if isinstance(value, Tensor) else value for key, value in p.items()}
    reference.texture_pixels(**expected)
    output, chosen = made(p)
    assert torch.equal(chosen, expected["chosen"]) and torch.equal(output, expected["output"])
    if leaves == 1000:  # all of them
        np.testing.assert_array_equal(chosen.numpy(), by_numpy(p)[1])


def test_some_of_the_pixels() -> None:
    p = problem(5, 7, 1, 2) | {"first": 9, "last": 23}
    output, chosen = made(p)
    expected = by_numpy(p)
    np.testing.assert_array_equal(chosen.numpy(), expected[1])
    np.testing.assert_array_equal(output.numpy(), expected[0])
    assert (chosen.flatten()[:9] == -1).all() and (chosen.flatten()[23:] == -1).all()


def test_more_than_is_measured_at_once() -> None:
    p = problem(4, 4, 1, 1)
    n = 700
    random = np.random.default_rng(1)
    p |= {
        "values": torch.from_numpy(random.integers(0, 256, (n, 1), np.uint8)),
        "windows": torch.nn.functional.pad(torch.from_numpy(random.integers(0, 3, (n, 13), np.uint8)), (0, 51)),
        "order": torch.from_numpy(random.permutation(n)),
        "nodes": torch.tensor([[0, 0, 0, n]]),
    }
    np.testing.assert_array_equal(made(p)[1].numpy(), by_numpy(p)[1])


def test_turns_go_to_the_nearest_branch_left_aside() -> None:
    """Three leaves along a line, a root of two children; the window of the only pixel is all zeros but one byte."""
    p = problem(1, 1, 1, 1, two=False)
    windows = torch.zeros(3, 64, dtype=torch.uint8)
    windows[:, 0] = torch.tensor([30, 10, 50])
    centres = torch.zeros(5, 64, dtype=torch.uint8)
    centres[:, 0] = torch.tensor([0, 40, 12, 30, 50])  # the root; the branch of two leaves; a leaf; its two leaves
    p |= {
        "output": torch.zeros(1, 1, 1, dtype=torch.uint8),
        "values": torch.tensor([[1], [2], [3]], dtype=torch.uint8),
        "windows": windows[[0, 2, 1]],
        "order": torch.tensor([0, 2, 1]),
        "centres": centres,
        "nodes": torch.tensor([[1, 2, 0, 3], [3, 2, 0, 2], [0, 0, 2, 3], [0, 0, 0, 1], [0, 0, 1, 2]]),
    }
    # The window is zeros. Lying centres: the nearest leaf is found last.
    centres[1, 0], centres[2, 0] = 12, 40
    assert [int(made(p, leaves=leaves)[1]) for leaves in (1, 2, 3, 4)] == [0, 1, 1, 1]
    centres[2, 0] = 200
    assert [int(made(p, leaves=leaves)[1]) for leaves in (1, 2, 3, 4)] == [0, 0, 1, 1]


BAD: dict[str, Problem] = {
    "output: expected .H,W,C.": {"output": torch.zeros(3, 3, dtype=torch.uint8)},
    "output: expected at most 4 channels": {"output": torch.zeros(3, 3, 5, dtype=torch.uint8)},
    "output: expected Byte": {"output": torch.zeros(4, 5, 1)},
    "chosen: expected Long": {"chosen": torch.zeros(4, 5)},
    "coarser: expected .h,w,C.": {"coarser": torch.zeros(2, 0, 1, dtype=torch.uint8)},
    "coarser: expected Byte .2, 3, 1.": {"coarser": torch.zeros(2, 3, 2, dtype=torch.uint8)},
    "values: expected Byte .70, 1.": {"values": torch.zeros(69, 1, dtype=torch.uint8)},
    "windows: expected 37 values, up to a multiple of 64, got 128": {
        "windows": torch.zeros(70, 128, dtype=torch.uint8),
        "centres": torch.zeros(1, 128, dtype=torch.uint8),
    },
    "order: expected less than 70, got 70": {"order": torch.arange(1, 71)},
    "order: expected less than 70, got -1": {"order": torch.arange(-1, 69)},
    "centres: expected Byte .1, 64.": {"centres": torch.zeros(2, 64, dtype=torch.uint8)},
    "nodes: node 0 of 1 has 2 children at 0": {"nodes": torch.tensor([[0, 2, 0, 70]])},
    "nodes: node 0 of 1 has 1 children at 1": {"nodes": torch.tensor([[1, 1, 0, 70]])},
    "nodes: node 0 of 1 has -1 children": {"nodes": torch.tensor([[1, -1, 0, 70]])},
    "nodes: node 0 of 1 has 9223372036854775807 children": {"nodes": torch.tensor([[1, 2**63 - 1, 0, 70]])},
    "nodes: node 0 has windows 0 to 71": {"nodes": torch.tensor([[0, 0, 0, 71]])},
    "nodes: node 0 has windows 3 to 3": {"nodes": torch.tensor([[0, 0, 3, 3]])},
    "radius: expected 1 to 63, got 0": {"radius": 0},
    "leaves: expected at least 1, got 0": {"leaves": 0},
    "first, last: expected pixels of 20, got 0, 21": {"last": 21},
    "first, last: expected pixels of 20, got -1, 20": {"first": -1},
}


@pytest.mark.parametrize("said", BAD)
def test_corrupted_tables_are_refused(said: str) -> None:
    p = problem(4, 5, 1, 2)
    with pytest.raises(RuntimeError, match=said):
        made(p, **BAD[said])


def test_opcheck() -> None:
    p = problem(4, 5, 1, 2)
    torch.library.opcheck(torch.ops.zfcuda.texture_pixels.default, tuple(p.values()))


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_narrower_instruction_sets(isa: str) -> None:
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        __file__,
        "-k",
        "exhaustive or some or measured",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(words, env=os.environ | {"ZFCUDA_ISA": isa}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
