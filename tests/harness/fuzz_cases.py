"""One fuzz case per integer: an operator of the CPU, drawn arguments, its twin's answer. Sizes are small and awkward.

What should be refused is decided here, anew and in Python's integers; all else has to be the twin's numbers, to the bit
where nothing is rounded, else within what rounding explains.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._prims_common import suggest_memory_format

from tests.ops import test_conv_patches as layers
from tests.ops import test_grouped_patches as in_groups
from tests.ops import test_pointwise_patches as pointwise
from tests.ops.tensors import DTYPES, laid_out, same, tables
from tests.ops.test_linear_rows import zero_outside
from zfcuda.ops import patches as patch_ops
from zfcuda.ops import reference

CPU = torch.device("cpu")
CHANNELS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 70]
LENGTHS = [1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 18, 31, 32, 33, 35]
LAYOUTS = ["contiguous", "channels_last", "strided", "channels_last_strided", "expanded", "permuted", "odd_start"]
# Numbers that a table, an origin or a size may hold by mistake.
EDGES = [0, 1, -1, 2, 3, 255, 256, 2**31 - 1, 2**31, -(2**31), 2**32, 2**62, -(2**62), 2**63 - 1, -(2**63)]
CASES: dict[str, Callable[[random.Random], None]] = {}


def case(run: Callable[[random.Random], None]) -> Callable[[random.Random], None]:
    CASES[run.__name__] = run
    return run


def run(seed: int) -> str:
    """Runs the case; AssertionError, or a sanitizer's end, where something is wrong. Returns the operator's name."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    name = rng.choice(list(CASES))
    threads = torch.get_num_threads()
    torch.set_num_threads(rng.choice([1] * 7 + [3]))
    try:
        CASES[name](rng)
    finally:
        torch.set_num_threads(threads)
    return name


def refused(call: Callable[[], Any], wrong: bool) -> Any:
    """What `call` gives; None where it is refused, as it has to be if and only if its arguments are `wrong`."""
    try:
        result = call()
    except (RuntimeError, ValueError) as error:
        assert wrong, f"refused, and should not be: {error}"
        return None
    assert not wrong, "not refused, and should be"
    return result


def in_format_of(x: Tensor, got: Tensor) -> None:
    assert got.stride() == torch.empty(got.shape, memory_format=suggest_memory_format(x)).stride()


# ---------------------------------------------------------------- what is drawn


def numbers(rng: random.Random, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    x = torch.randn(*shape, dtype=torch.float64)
    kind = rng.choice(["noise", "noise", "ties", "special", "tiny", "huge", "negative", "zero"])
    if kind == "ties":
        x = (2 * x).round() / 2
    elif kind == "special":
        flat = x.view(-1)
        for value in (math.nan, math.inf, -math.inf, 0.0, -0.0):
            flat[rng.randrange(31) :: rng.randint(7, 31)] = value
    elif kind == "tiny":
        x *= torch.finfo(dtype).tiny * rng.choice([1e-3, 1.0, 1e3])
    elif kind == "huge":
        x = (x / 4).clamp(-1, 1) * torch.finfo(dtype).max
    elif kind == "negative":
        x = -x.abs()
    elif kind == "zero":
        x = torch.copysign(torch.zeros_like(x), x)
    return x.to(dtype)


def arranged(rng: random.Random, x: Tensor) -> Tensor:
    """Copies numbers [N,C,H,W] into memory of another layout."""
    layout = rng.choice(LAYOUTS)
    if layout == "expanded":
        side = rng.randrange(4)
        return x.narrow(side, 0, min(1, x.shape[side])).expand(x.shape) if x.numel() else x
    if layout == "permuted":
        order = rng.sample(range(4), 4)
        return x.permute(order).contiguous().permute([order.index(i) for i in range(4)])
    if layout == "odd_start":
        start = rng.randint(1, 3)
        return torch.empty(x.numel() + start, dtype=x.dtype)[start:].view(x.shape).copy_(x)
    return laid_out(x, layout)


def picture_shape(rng: random.Random) -> list[int]:
    shape = [rng.choice([1, 1, 2, 3]), rng.choice(CHANNELS), rng.choice(LENGTHS), rng.choice(LENGTHS)]
    if rng.random() < 0.1:
        shape[rng.randrange(2, 4)] = rng.randint(36, 400)
        shape[1] = min(shape[1], 17)
    if rng.random() < 0.05:
        shape[rng.randrange(2)] = 0
    return shape


def picture(rng: random.Random) -> Tensor:
    return arranged(rng, numbers(rng, picture_shape(rng), rng.choice(DTYPES)))


def pair(rng: random.Random, values: Sequence[int]) -> list[int]:
    a = rng.choice(values)
    return [a, a if rng.random() < 0.5 else rng.choice(values)]


def window(rng: random.Random) -> tuple[list[int], list[int], list[int]]:
    """kernel, stride, padding, now and then not to be had."""
    kernel = pair(rng, [1, 2, 2, 3, 3, 3, 4, 5, 7, 16])
    stride = pair(rng, [1, 2, 2, 2, 3, 4, 5, 19, 2**31 - 1])
    padding = [rng.randint(0, k // 2) for k in kernel]
    if rng.random() < 0.05:
        rng.choice([kernel, stride, padding])[rng.randrange(2)] = rng.choice(EDGES)
    return kernel, stride, padding


def wrong_window(kernel: list[int], stride: list[int], padding: list[int]) -> bool:
    return (
        min(kernel) < 1
        or kernel[0] * kernel[1] > 256
        or not all(1 <= s < 2**31 for s in stride)
        or not all(0 <= 2 * p <= k for p, k in zip(padding, kernel, strict=True))
    )


def pooled_length(length: int, kernel: int, stride: int, padding: int, ceil: bool) -> int:
    """0 where no window fits."""
    span = length + 2 * padding - kernel + (stride - 1 if ceil else 0)
    if length < 1 or span < 0:
        return 0
    outputs = span // stride + 1
    return outputs - 1 if ceil and (outputs - 1) * stride >= length + padding else outputs


def twins_stride(stride: list[int]) -> list[int]:
    """A shorter step that no picture here tells from it, where torch would count in 32 bits."""
    return [min(s, 100_000) for s in stride]


# ---------------------------------------------------------------- pooling


@case
def max_pool2d_with_switches(rng: random.Random) -> None:
    x, (kernel, stride, padding), ceil, relu = picture(rng), window(rng), rng.random() < 0.5, rng.random() < 0.5
    wrong = wrong_window(kernel, stride, padding) or not all(
        pooled_length(x.shape[2 + i], kernel[i], stride[i], padding[i], ceil) for i in (0, 1)
    )
    got = refused(lambda: torch.ops.zfcuda.max_pool2d_with_switches(x, kernel, stride, padding, ceil, relu), wrong)
    if got is not None and x.numel():
        expected = reference.max_pool2d_with_switches(x, kernel, twins_stride(stride), padding, ceil, relu)
        for a, b in zip(got, expected, strict=True):
            same(a, b)
            in_format_of(x, a)


def pooled(rng: random.Random) -> tuple[tuple[Tensor, Tensor, Tensor | None], tuple[Any, ...], list[int], bool]:
    """(values, switches, gate) of a pooling that need not have been, its window, its picture's size; whether wrong."""
    values = picture(rng)
    kernel, stride, padding = window(rng)
    area = min(256, max(1, kernel[0] * kernel[1]))
    switches = torch.randint(0, rng.choice([area, area, 256]), values.shape).to(torch.uint8)
    gate = arranged(rng, numbers(rng, values.shape, values.dtype)) if rng.random() < 0.5 else None
    exact = [(n - 1) * s + k - 2 * p for n, k, s, p in zip(values.shape[2:], kernel, stride, padding, strict=True)]
    size = [e + rng.randint(1 - min(s, 9), min(s, 9) - 1) if s > 0 else e for e, s in zip(exact, stride, strict=True)]
    if rng.random() < 0.8:
        # Else the picture would be too large, or not there.
        size = [max(1, min(z, 500)) for z in size]
    wrong = wrong_window(kernel, stride, padding) or not all(
        n > 0 and z > 0 and e - s < z < e + s for n, z, e, s in zip(values.shape[2:], size, exact, stride, strict=True)
    )
    if not wrong and max(1, values.shape[0] * values.shape[1]) * size[0] * size[1] > 3_000_000:
        return pooled(rng)  # more than a case is worth
    return (values, arranged(rng, switches), gate), (kernel, stride, padding), size, wrong


@case
def max_unpool2d(rng: random.Random) -> None:
    (values, switches, gate), (kernel, stride, padding), size, wrong = pooled(rng)
    args = (values, switches, kernel, stride, padding, size, gate)
    got = refused(lambda: torch.ops.zfcuda.max_unpool2d(*args), wrong)
    if got is not None:
        # Steps beyond the picture: all windows but the first add nothing, and the twin would need memory for them.
        shown = [1 if s >= z + p else n for n, s, z, p in zip(values.shape[2:], stride, size, padding, strict=True)]
        first = [None if x is None else x[:, :, : shown[0], : shown[1]] for x in (values, switches, gate)]
        same(got, reference.max_unpool2d(first[0], first[1], kernel, stride, padding, size, first[2]))
        in_format_of(values, got)


@case
def gather_by_switch(rng: random.Random) -> None:
    (values, switches, gate), (kernel, stride, padding), size, wrong = pooled(rng)
    if wrong and not all(0 <= z < 200 for z in size):
        return  # of a picture of this size there is nothing
    x = arranged(rng, numbers(rng, [*values.shape[:2], *size], values.dtype))
    got = refused(lambda: torch.ops.zfcuda.gather_by_switch(x, switches, kernel, stride, padding, gate), wrong)
    if got is not None:
        expected = reference.gather_by_switch(x, switches, kernel, stride, padding, gate)
        same(got, expected)
        in_format_of(switches, got)


# ---------------------------------------------------------------- local response normalisation


def norm(rng: random.Random) -> tuple[int, float, float, float]:
    size = rng.choice([1, 2, 3, 4, 5, 5, 5, 9, 64, 10**12])
    if rng.random() < 0.7:
        return size, rng.choice([1e-4, 5e-4, 0.1, 1.0]), rng.choice([0.75, 0.75, 0.5, 1.0, 0.3]), rng.choice([1.0, 2.0])
    return (
        size,
        rng.choice([0.0, 1e-8, 1e8, -0.1]),
        rng.choice([0.75, 0.5, 1.0, 0.0, 2.0, 10.0, -0.75]),
        rng.choice([0.0, 1.0, 0.5, -1.0, 1e-20, 1e10]),
    )


def around(x: Tensor, before: int, after: int) -> Tensor:
    before, after = min(before, x.shape[1]), min(after, x.shape[1])
    return F.pad(x, (0, 0, 0, 0, before, after)).unfold(1, before + 1 + after, 1).sum(-1)


class Normed:
    """What LRN computes, in float64, and how far rounding in float32 (or float64) may carry it."""

    def __init__(self, x: Tensor, size: int, alpha: float, beta: float, k: float) -> None:
        self.x, self.scale, self.beta = x.double(), alpha / size, beta
        self.before, self.after = size // 2, (size - 1) // 2
        self.double = x.dtype == torch.float64
        squares = around(self.x**2, self.before, self.after)
        self.sums = k + self.scale * squares
        # A power multiplies the relative error of its base, which is large where the base's terms cancel.
        self.terms = 4 + (1 + abs(beta)) * (abs(k) + abs(self.scale) * squares) / self.sums.abs() * (
            4 + min(size, x.shape[1])
        )
        # Where numbers leave their range on the way, or a term is lost below it, double says nothing of them.
        least, most, half = (1e-280, 1e300, 1e150) if self.double else (1e-30, 1e37, 1e18)
        largest = squares.maximum((self.scale * squares).abs()).maximum(self.x.abs())
        lost = ((largest > most) & largest.isfinite()) | ((squares < least) & (squares > 0) & (abs(k) < 1e-10))
        wide = self.sums.abs().pow(-beta).maximum(self.sums.abs().pow(-beta - 1))
        narrow = self.sums.abs().pow(-beta).minimum(self.sums.abs().pow(-beta - 1))
        self.unsure = lost | ((wide > half) & (self.sums != 0)) | ((narrow < 1 / half) & self.sums.isfinite())
        # Square roots make NaN of a base of -infinity, powers do not.
        self.unsure |= self.sums == -torch.inf
        # A base of which nothing is left but rounding.
        self.unsure |= self.sums.abs() < 1e-5 * (abs(k) + abs(self.scale) * squares)

    def forward(self) -> Tensor:
        return self.x / self.sums**self.beta

    def backward(self, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradient, the magnitude of what it sums, and where it is not sure."""
        g = grad.double()
        own = g * self.sums**-self.beta
        shared = own * self.x / self.sums
        factor = 2 * self.scale * self.beta * self.x
        result = own - factor * around(shared, self.after, self.before)
        magnitude = own.abs() + (factor * around(shared.abs(), self.after, self.before)).abs()
        lost = torch.zeros_like(own, dtype=torch.bool)
        for part in (own, shared, factor):
            lost |= (part.abs() > 1e18) & part.isfinite()
        # What is rounded below the normal numbers may be multiplied up again.
        least = 1e-280 if self.double else 1e-30
        for part in (own, shared):
            lost |= (part.abs() < least) & (part != 0)
        unsure = around((self.unsure | lost).double(), self.after, self.before) > 0
        return result, magnitude, unsure


def ordinary(*inputs: Tensor) -> bool:
    """Whether no product of a few of these leaves their range in one order of multiplying, and not in another."""
    magnitudes = [x.double().abs() for x in inputs]
    return all(bool(((m == 0) | (m > 1e-9) & (m < 1e9) | ~m.isfinite()).all()) for m in magnitudes)


def close(got: Tensor, expected: Tensor, error: Tensor, unsure: Tensor, inputs: Sequence[Tensor]) -> None:
    """error: what is allowed beside the rounding of got's dtype, float64."""
    info = torch.finfo(got.dtype)
    assert got.shape == expected.shape
    error = error + info.eps * expected.abs() + 4 * info.tiny
    # Neither NaN, nor on the border of infinity.
    plain = ~unsure & error.isfinite() & expected.isfinite()
    inside = plain & (expected.abs() + error < info.max)
    off = ((got.double() - expected).abs() / error)[inside]
    assert not off.numel() or float(off.nan_to_num(torch.inf).max()) <= 1, (
        f"{float(off.max()):.3g} times what is allowed"
    )
    if ordinary(*inputs):
        strange = ~unsure & ~expected.isfinite()
        same(got[strange], expected[strange].to(got.dtype))


def precision(x: Tensor) -> float:
    """The rounding of the numbers that x is computed in."""
    return 2.0**-52 if x.dtype == torch.float64 else 2.0**-23


@case
def local_response_norm(rng: random.Random) -> None:
    x, settings = picture(rng), norm(rng)
    got = torch.ops.zfcuda.local_response_norm(x, *settings)
    if x.numel():
        twin = Normed(x, *settings)
        expected = twin.forward()
        close(got, expected, precision(x) * twin.terms * expected.abs(), twin.unsure, [x])
        in_format_of(x, got)


@case
def local_response_norm_backward(rng: random.Random) -> None:
    x, settings = picture(rng), norm(rng)
    grad = arranged(rng, numbers(rng, x.shape, x.dtype))
    got = torch.ops.zfcuda.local_response_norm_backward(grad, x, *settings)
    if x.numel():
        twin = Normed(x, *settings)
        expected, magnitude, unsure = twin.backward(grad)
        worst = twin.terms[twin.terms.isfinite()].max() if twin.terms.isfinite().any() else torch.tensor(torch.inf)
        close(got, expected, precision(x) * 2 * worst * magnitude, unsure, [x, grad])


@case
def relu_max_pool2d_lrn(rng: random.Random) -> None:
    x, (kernel, stride, padding), ceil, settings = picture(rng), window(rng), rng.random() < 0.5, norm(rng)
    keep = rng.random() < 0.5
    wrong = wrong_window(kernel, stride, padding) or not all(
        pooled_length(x.shape[2 + i], kernel[i], stride[i], padding[i], ceil) for i in (0, 1)
    )
    args = (x, kernel, stride, padding, ceil, *settings, keep)
    got = refused(lambda: torch.ops.zfcuda.relu_max_pool2d_lrn(*args), wrong)
    if got is not None and x.numel():
        output, switches, winners = got
        expected = reference.max_pool2d_with_switches(x, kernel, twins_stride(stride), padding, ceil, True)
        same(switches, expected[1])
        if keep:
            same(winners, expected[0])
        else:
            assert winners.numel() == 0
        twin = Normed(expected[0], *settings)
        close(output, twin.forward(), precision(x) * twin.terms * twin.forward().abs(), twin.unsure, [x])


# ---------------------------------------------------------------- occlusion


@case
def occlude(rng: random.Random) -> None:
    x = numbers(rng, [1, *picture_shape(rng)[1:]], rng.choice(DTYPES))
    image = arranged(rng, x)[0]
    # Each side has the image's length or 1, and the first ones may be missing.
    sides = [rng.choice([1, n]) for n in image.shape][rng.randrange(4) :]
    fill = numbers(rng, sides, x.dtype) if sides else torch.tensor(0.5, dtype=x.dtype)
    origins = [
        [rng.choice(EDGES) if rng.random() < 0.2 else rng.randint(-n - 1, 2 * n + 1) for n in image.shape[1:]]
        for _ in range(rng.randint(0, 9))
    ]
    args = (image, fill, torch.tensor(origins, dtype=torch.int64).reshape(-1, 2), pair(rng, [1, 2, 5, 16, 2**62]))
    same(torch.ops.zfcuda.occlude(*args), reference.occlude(*args))


# ---------------------------------------------------------------- tables of rectangles

Line = list[int]


def corners(rng: random.Random, height: int, width: int, margin: int, most: int = 9) -> tuple[int, int, int, int]:
    """Draws a rectangle in a map and a margin around it, now and then an empty one."""
    top, left = rng.randint(-margin, height + margin), rng.randint(-margin, width + margin)
    bottom, right = min(height + margin, top + rng.randint(0, most)), min(width + margin, left + rng.randint(0, most))
    return (top, left, bottom, right) if rng.random() < 0.95 else (bottom, left, top, right)


def area(line: Line) -> int:
    return max(0, line[2] - line[0]) * max(0, line[3] - line[1])


def corrupt(rng: random.Random, table: Tensor) -> Tensor:
    """With some numbers replaced."""
    table = table.clone()
    for _ in range(rng.randint(1, 3)):
        if table.numel():
            i, j = rng.randrange(table.shape[0]), rng.randrange(5)
            old = int(table[i, j])
            new = rng.choice([old + 1, old - 1, *EDGES])
            table[i, j] = max(-(2**63), min(2**63 - 1, new))
    return table


def wrong_tables(have: list[Line], want: list[Line], size: tuple[int, int], patches: int, rows: int) -> bool:
    start = 0
    for h, w in zip(have, want, strict=True):
        inside = h[0] >= 0 and h[1] >= 0 and h[2] <= size[0] and h[3] <= size[1] and 0 <= h[4] <= patches - area(h)
        if (area(h) and not inside) or w[4] != start:
            return True
        start += area(w)
    return start != rows


def plain(table: Tensor) -> Tensor:
    """Where a rectangle is empty, what else its line says is of no matter to an operator; to its twin it is."""
    lines = [
        [0, 0, 0, 0, line[4] if abs(line[4]) < 2**31 else 0] if not area(line) else line for line in table.tolist()
    ]
    return torch.tensor(lines, dtype=torch.int64).reshape(-1, 5)


def drawn_tables(
    rng: random.Random, size: tuple[int, int], wanted: tuple[int, int], margin: int
) -> tuple[Tensor, Tensor, int, int]:
    """have, want, rows of patches, rows wanted; now and then corrupted."""
    n = rng.choice([0, 1, 2, 5, 9, 12])
    have, kept = tables(CPU, *(corners(rng, *size, 0) for _ in range(n)))
    want, rows = tables(CPU, *(corners(rng, *wanted, margin) for _ in range(n)))
    if rng.random() < 0.3:
        have = corrupt(rng, have)
    if rng.random() < 0.3:
        want = corrupt(rng, want)
    if rng.random() < 0.05:
        rows = max(0, rows + rng.choice([-1, 1]))
    return have, want, kept + rng.choice([0, 0, 3]), rows


@case
def gather_patches(rng: random.Random) -> None:
    channels, height, width = picture_shape(rng)[1:]
    base = arranged(rng, numbers(rng, [1, channels, height, width], rng.choice(DTYPES)))
    have, want, kept, rows = drawn_tables(rng, (height, width), (height, width), rng.choice([0, 2, 9]))
    patches, fill = numbers(rng, [kept, channels], base.dtype), rng.choice([0.0, -2.5, math.inf, math.nan])
    wrong = wrong_tables(have.tolist(), want.tolist(), (height, width), kept, rows)
    got = refused(lambda: patch_ops.gather_patches(base, patches, have, want, rows, fill), wrong)
    if got is not None:
        same(got, reference.gather_patches(base, patches, plain(have), plain(want), rows, fill))


def spoil(rng: random.Random, *tensors: Tensor | None) -> bool:
    """Now and then NaN and infinities in them."""
    if rng.random() < 0.8:
        return False
    for x in tensors:
        if x is not None and x.numel():
            x.view(-1)[rng.randrange(x.numel()) :: rng.randint(40, 200)] = rng.choice([math.nan, math.inf, -math.inf])
    return True


def near(got: Tensor, expected: Tensor, magnitudes: Tensor, tolerance: float, *, spreads: bool) -> None:
    """spreads: NaN may be found where the twin has none."""
    strange = ~expected.isfinite()
    assert got.shape == expected.shape and got.dtype == torch.float32
    assert got[expected.isnan()].isnan().all()
    if not spreads:
        same(got[strange], expected[strange].float())
    plain = ~strange & got.isfinite() if spreads else ~strange
    scale = magnitudes[magnitudes.isfinite()]
    error = (got.double() - expected).abs()[plain]
    allowed = tolerance * float(scale.max()) + 1e-38 if scale.numel() else math.inf
    assert not error.numel() or float(error.nan_to_num(torch.inf).max()) <= allowed, f"{float(error.max()):.2e}"


def layer_of_windows(rng: random.Random) -> tuple[layers.Conv, tuple[int, int]]:
    """A convolution, also where another layer has its windows; the positions of its output."""
    size = (rng.choice(LENGTHS[:13]), rng.choice(LENGTHS[:13]))
    kernel = [3, 3] if rng.random() < 0.5 else pair(rng, [1, 2, 3, 4, 5, 7, 11])
    stride = [1, 1] if rng.random() < 0.5 else pair(rng, [1, 2, 3, 4])
    dilation = [1, 1] if rng.random() < 0.7 else pair(rng, [1, 2, 3])
    padding = pair(rng, [0, 1, 1, 2, 4])
    inputs, outputs = rng.choice(CHANNELS), rng.choice(CHANNELS)
    # One line of padding more after the map, as padding="same" may have it.
    spans = [size[i] + 2 * padding[i] + 1 - (dilation[i] * (kernel[i] - 1) + 1) for i in (0, 1)]
    height, width = (span // step + 1 if span >= 0 else 0 for span, step in zip(spans, stride, strict=True))
    kernel_, stride_, padding_, dilation_ = ((v[0], v[1]) for v in (kernel, stride, padding, dilation))
    return layers.Conv(inputs, outputs, kernel_, stride_, padding_, dilation_, size), (height, width)


def beyond(want: list[Line], limit: tuple[int, int]) -> bool:
    """Whether a rectangle reaches beyond a map."""
    return any(area(w) and not (w[0] >= 0 and w[1] >= 0 and w[2] <= limit[0] and w[3] <= limit[1]) for w in want)


def windows_over_patches(rng: random.Random) -> tuple[tuple[Any, ...], tuple[Any, ...], bool]:
    """Arguments of unfold_patches and pool_patches, those of the twin; whether they are wrong."""
    conv, limit = layer_of_windows(rng)
    have, want, kept, rows = drawn_tables(rng, conv.size, limit, 0)
    base = arranged(rng, numbers(rng, [1, conv.inputs, *conv.size], rng.choice(DTYPES)))
    patches = numbers(rng, [kept, conv.inputs], base.dtype)
    wrong = wrong_tables(have.tolist(), want.tolist(), conv.size, kept, rows) or beyond(want.tolist(), limit)
    geometry = tuple(list(v) for v in (conv.kernel, conv.stride, conv.padding, conv.dilation))
    return (
        (base, patches, have, want, rows, *geometry),
        (base, patches, plain(have), plain(want), rows, *geometry),
        wrong,
    )


@case
def unfold_patches(rng: random.Random) -> None:
    args, twins, wrong = windows_over_patches(rng)
    got = refused(lambda: torch.ops.zfcuda.unfold_patches(*args), wrong)
    if got is not None:
        same(got, reference.unfold_patches(*twins))


@case
def pool_patches(rng: random.Random) -> None:
    args, twins, wrong = windows_over_patches(rng)
    add = rng.random() < 0.5
    got = refused(lambda: torch.ops.zfcuda.pool_patches(*args, add), wrong)
    if got is None or not add:
        if got is not None:
            same(got, reference.pool_patches(*twins, False))
        return
    base, patches, *others = twins
    expected = reference.pool_patches(base.double(), patches.double(), *others, True)
    # Made small, so that it is infinite only where an input is.
    small = reference.pool_patches(base.double().abs() / 1024, patches.double().abs() / 1024, *others, True)
    largest = 1e37 if base.dtype != torch.float64 else 1e307
    error = precision(base) * others[3][0] * others[3][1] * 1024 * small
    close(got, expected, error, (small > largest / 1024) & small.isfinite(), [base, patches])


@case
def conv_patches(rng: random.Random) -> None:
    conv, limit = layer_of_windows(rng)
    size = conv.size
    have, want, kept, rows = drawn_tables(rng, size, limit, 0)
    scale = rng.choice([1.0, 1.0, 1e-15, 1e15])
    base = arranged(rng, scale * torch.randn(1, conv.inputs, *size))
    patches, weight = scale * torch.randn(kept, conv.inputs), torch.randn(conv.outputs, conv.inputs, *conv.kernel)
    bias = torch.randn(conv.outputs) if rng.random() < 0.5 else None
    residual = torch.randn(rows, conv.outputs) if rng.random() < 0.5 else None
    spoilt = spoil(rng, patches, residual)
    wrong = wrong_tables(have.tolist(), want.tolist(), size, kept, rows) or beyond(want.tolist(), limit)
    p = layers.Problem(conv, base, patches, have, want, rows, weight, bias, residual, rng.random() < 0.5)
    p.ceiling = rng.choice([None, None, 0.5, 6.0])
    got = refused(p.run, wrong)
    if got is not None and rows:
        p.have, p.want = plain(have), plain(want)
        tolerance = layers.WINOGRAD if conv.winograd else layers.DIRECT
        near(got, p.twin(), p.twin(torch.abs), tolerance, spreads=spoilt and conv.winograd)


@case
def pointwise_patches(rng: random.Random) -> None:
    size = (rng.randint(1, 12), rng.randint(1, 12))
    stride = rng.choice([(1, 1), (1, 1), (2, 2), (1, 3)])
    limit = tuple((length - 1) // step + 1 for length, step in zip(size, stride, strict=True))
    have, want, kept, rows = drawn_tables(rng, size, (limit[0], limit[1]), 0)
    channels = [rng.choice(CHANNELS) for _ in range(rng.choice([1, 1, 2, 3, 6]))]
    # Of all parts but the first the windows change what is drawn for each.
    haves, held = [have], [kept]
    for _ in channels[1:]:
        other, count = tables(CPU, *(corners(rng, *size, 0) for _ in range(len(want))))
        haves.append(corrupt(rng, other) if rng.random() < 0.1 else other)
        held.append(count)
    p = pointwise.Problem(
        [arranged(rng, torch.randn(1, c, *size)) for c in channels],
        [torch.randn(count, c) for count, c in zip(held, channels, strict=True)],
        haves,
        want,
        rows,
        torch.randn(rng.choice(CHANNELS), sum(channels), 1, 1),
        stride=stride,
    )
    outputs = len(p.weight)
    p.bias = torch.randn(outputs) if rng.random() < 0.5 else None
    p.residual = torch.randn(rows, outputs) if rng.random() < 0.5 else None
    if rng.random() < 0.5:
        p.scale, p.shift = torch.randn(sum(channels)), torch.randn(sum(channels))
    p.before_relu, p.relu, p.ceiling = rng.random() < 0.5, rng.random() < 0.5, rng.choice([None, None, 0.5, 6.0])
    spoil(rng, *p.patches, p.residual)
    wrong = beyond(want.tolist(), (limit[0], limit[1]))
    for table, count in zip(haves, held, strict=True):
        wrong = wrong or wrong_tables(table.tolist(), want.tolist(), size, count, rows)
    got = refused(p.run, wrong)
    if got is not None and rows:
        p.haves, p.want = [plain(table) for table in haves], plain(want)
        near(got, p.twin(), p.magnitudes(), layers.DIRECT, spreads=False)


@case
def grouped_patches(rng: random.Random) -> None:
    conv, limit = layer_of_windows(rng)
    groups = rng.choice([1, 2, 3, 7, 16, 33])
    inputs, outputs = (1, 1) if rng.random() < 0.5 else (rng.choice([1, 2, 4, 5, 8]), rng.choice([1, 3, 4, 8, 20]))
    conv = replace(conv, inputs=groups * inputs, outputs=groups * outputs)
    have, want, kept, rows = drawn_tables(rng, conv.size, limit, 0)
    base = arranged(rng, torch.randn(1, conv.inputs, *conv.size))
    patches, weight = torch.randn(kept, conv.inputs), torch.randn(conv.outputs, inputs, *conv.kernel)
    bias = torch.randn(conv.outputs) if rng.random() < 0.5 else None
    residual = torch.randn(rows, conv.outputs) if rng.random() < 0.5 else None
    spoil(rng, patches, residual)
    wrong = wrong_tables(have.tolist(), want.tolist(), conv.size, kept, rows) or beyond(want.tolist(), limit)
    of = layers.Problem(conv, base, patches, have, want, rows, weight, bias, residual, rng.random() < 0.5)
    of.ceiling = rng.choice([None, None, 0.5, 6.0])
    p = in_groups.Grouped(of, groups)
    got = refused(p.run, wrong)
    if got is not None and rows:
        of.have, of.want = plain(have), plain(want)
        near(got, p.twin(), p.twin(torch.abs), layers.DIRECT, spreads=False)


@case
def linear_rows(rng: random.Random) -> None:
    size = (1, 1) if rng.random() < 0.4 else (rng.randint(1, 6), rng.randint(1, 7))
    inputs = size[0] * size[1] * rng.choice([*CHANNELS, 512, 513])
    outputs, n = rng.choice([*CHANNELS, 100, 130]), rng.choice([0, 1, 2, 5, 6, 7, 13, 14, 15, 28, 29, 100])
    if rng.random() < 0.02:
        n = 1100
    x, weight = torch.randn(n, inputs), torch.randn(outputs, inputs)
    bias = torch.randn(outputs) if rng.random() < 0.5 else None
    have = None
    if rng.random() < 0.6:
        lines = [[*corners(rng, *size, 2), rng.choice(EDGES)] for _ in range(n)]
        have = torch.tensor(lines, dtype=torch.int64).reshape(-1, 5)
        if rng.random() < 0.3:
            have = corrupt(rng, have)
        x = zero_outside(x, have, size) if n else x
    if have is None:
        spoil(rng, x)
    got = patch_ops.linear_rows(x, weight, bias, have, size)
    if n and outputs:
        x, weight, bias = x.double(), weight.double(), None if bias is None else bias.double()
        magnitudes = reference.linear_rows(x.abs(), weight.abs(), None if bias is None else bias.abs(), None, size)
        near(got, reference.linear_rows(x, weight, bias, have, size), magnitudes, layers.LINEAR, spreads=False)
