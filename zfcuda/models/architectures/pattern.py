"""Networks from the pattern that most follow: INPUT -> [[CONV -> RELU]*N -> POOL?]*M -> [FC -> RELU]*K -> FC."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from torch import nn

from zfcuda.models.architectures.local import LocallyConnected2d
from zfcuda.models.architectures.stages import FusedSequential
from zfcuda.models.checks import checked_size

MOST_LAYERS, DEEPEST = 2000, 100
_SEARCHED = 512  # pixels more or fewer, for image sizes that would fit


class PatternError(ValueError):
    """What is wrong with a pattern, the place in the text marked by a line of carets.

    text: the pattern. start, end: the part of it that is meant.
    """

    def __init__(self, reason: str, text: str, start: int, end: int, advice: str = "") -> None:
        self.text, self.start, self.end = text, start, end
        line_start = text.rfind("\n", 0, start) + 1
        line_end = (text + "\n").index("\n", start)
        line, width = text[line_start:line_end], max(1, min(end, line_end) - start)
        marked = f"    {line}\n    {' ' * (start - line_start)}{'^' * width}"
        super().__init__(f"text: {reason}\n{marked}" + (f"\n{advice}" if advice else ""))


def from_pattern(text: str, input_size: Sequence[int], *, round: str | None = None) -> nn.Sequential:
    """Builds a network from its pattern (CS231n notes, "Layer Patterns"): "[[conv64 relu]*2 pool]*2 fc256 relu fc10".

    Layers, separated by blanks or "->", upper or lower case:

        conv64              64 maps, 3x3, stride 1, padding that keeps the size: (kernel - 1) / 2
        conv96/11x11s4p0    kernel 11x11, stride 4, padding 0; then d2: dilation 2, g2: groups 2. Options in any order,
                            the kernel first; each is one number or rows x columns: conv64/3, conv64/s2, conv64/1x7p0x3
        local32/3s1p1       as conv, with weights of its own at every position (LocallyConnected2d)
        pool, avgpool       2x2, stride 2; pool/3s2p1: kernel 3, stride 2, padding 1; pool/3: the stride is the kernel
        gap                 the mean of each map
        relu sigmoid tanh   lrn or lrn5: local response normalisation over 5 channels, with AlexNet's constants
        bn                  batch norm
        fc256               fully connected; the maps are flattened before the first
        dropout dropout0.3  a half if nothing is said
        softmax             last

    [ ... ] groups, *3 repeats what stands before it, groups nest, and a leading INPUT means nothing.

    Args:
        text: the pattern.
        input_size: (C, H, W) of the image.
        round: what happens where (N + 2P - m) / S + 1 is not whole. None: PatternError. "down": the last pixels are not
            read, as torch does. "up": the last pooling window reaches over the border (ceil_mode, as Caffe pools);
            convolutions, which cannot, round down.

    Returns:
        An nn.Sequential of named torch.nn layers: conv1_1, relu1_1, conv1_2, ... pool1, conv2_1, ...; a new number
        after each pooling, and fully connected layers count on (VGG's fc6). Weights are He's (normal, variance 2 over
        the fan-in), biases 0. Where relu, pool and lrn follow each other, they run as one operator.

    Raises:
        PatternError: (a ValueError) a text that is no pattern, or a layer that does not fit what comes before it; the
            message marks the place, and says which images, paddings, strides or kernels would fit.
        ValueError: for an input_size that is not three positive integers, or a round other than those above.
    """
    size = checked_size(input_size)
    if round not in (None, "down", "up"):
        raise ValueError(f'round: expected None, "down" or "up", got {round!r}')
    if not isinstance(text, str):
        raise ValueError(f"text: expected a pattern, got {text!r}")
    builder = _Builder(text, size, round)
    for layer in _Parser(text).layers():
        builder.add(layer)
    return builder.network()


# ---------------------------------------------------------------- from text to layers


@dataclass(frozen=True)
class _Layer:
    """One layer as written.

    word: "conv", ... number: maps, units, or a share; None if absent. The windows are (rows, columns).
    """

    word: str
    number: float | None
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    start: int
    end: int


_TOKEN = re.compile(r"->|[\[\]*?]|[^\s\[\]*?>-]+|.", re.DOTALL)
_WORD = re.compile(r"([a-z]+?)(\d+(?:\.\d+)?)?(?:/(.*))?")
_OPTION = re.compile(r"([spdg])(\d+)(?:x(\d+))?")
# The number after the word: "needed" and "maybe" an integer, "share" an optional share, "" none.
_NUMBERS = {
    "conv": "needed",
    "local": "needed",
    "fc": "needed",
    "lrn": "maybe",
    "dropout": "share",
    "pool": "",
    "avgpool": "",
    "gap": "",
    "relu": "",
    "sigmoid": "",
    "tanh": "",
    "bn": "",
    "softmax": "",
}
_OPTIONS = {"conv": "spdg", "local": "sp", "pool": "sp", "avgpool": "sp"}
_OTHER_NAMES = {"maxpool": "pool", "linear": "fc", "norm": "lrn", "batchnorm": "bn", "drop": "dropout"}


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [
            (m.group().lower(), m.start(), m.end()) for m in _TOKEN.finditer(text) if not m.group().isspace()
        ]
        self.place = 0

    def layers(self) -> list[_Layer]:
        if self.tokens and self.tokens[0][0] == "input":
            self.place = 1
        sequence = self.sequence(opened=None, depth=0)
        if not sequence:
            raise PatternError("no layer in it", self.text, 0, len(self.text))
        return sequence

    def sequence(self, opened: int | None, depth: int) -> list[_Layer]:
        """What stands up to the bracket that closes, or the end."""
        layers: list[_Layer] = []
        while self.place < len(self.tokens):
            token, start, end = self.tokens[self.place]
            self.place += 1
            if token == "->":
                continue
            if token == "]":
                if opened is None:
                    self.fail("this bracket closes none", start, end)
                return layers
            if token == "[":
                if depth == DEEPEST:
                    self.fail(f"groups in each other, deeper than {DEEPEST}", start, end)
                group = self.sequence(start, depth + 1)
                if not group:
                    self.fail("a group without layers", start, self.tokens[self.place - 1][2])
            elif token in ("*", "?"):
                self.fail(f"{token!r} without a layer before it", start, end)
            else:
                group = [self.layer(token, start, end)]
            layers += self.repeated(group, start)
            if len(layers) > MOST_LAYERS:
                self.fail(f"more than {MOST_LAYERS} layers", start, end)
        if opened is not None:
            self.fail("this bracket is never closed", opened, opened + 1)
        return layers

    def repeated(self, group: list[_Layer], start: int) -> list[_Layer]:
        times = 1
        while self.place < len(self.tokens) and self.tokens[self.place][0] in ("*", "?"):
            token, sign, sign_end = self.tokens[self.place]
            self.place += 1
            if token == "?":
                self.fail("'?' leaves it open whether the layer is there: write it, or leave it out", sign, sign_end)
            number, number_start, end = (
                self.tokens[self.place] if self.place < len(self.tokens) else ("", sign, sign_end)
            )
            if not re.fullmatch(r"[0-9]{1,6}", number) or int(number) == 0:
                self.fail("expected how often after '*', a positive number such as *2", number_start, end)
            self.place += 1
            times *= int(number)
            if times * len(group) > MOST_LAYERS:
                self.fail(f"more than {MOST_LAYERS} layers", start, end)
        return group * times

    def layer(self, token: str, start: int, end: int) -> _Layer:
        parts = _WORD.fullmatch(token)
        word = parts and _OTHER_NAMES.get(parts[1], parts[1])
        if not parts or word not in _NUMBERS:
            self.fail(f"no layer is called {token!r}; there are: {', '.join(_NUMBERS)}", start, end)
        number = self.number(word, parts[2], start, end)
        pooling = word in ("pool", "avgpool")
        kernel, written = self.options(word, parts[3], start, end)
        if kernel is None:
            kernel = (2, 2) if pooling else (3, 3)
        padding = written.get("p")
        if padding is None:
            if word in ("conv", "local") and not all(k % 2 for k in kernel):
                self.fail("an even kernel has no padding that keeps the size: say which, as in /4p1", start, end)
            padding = (0, 0) if pooling else ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2)
        layer = _Layer(
            word,
            number,
            kernel,
            written.get("s", kernel if pooling else (1, 1)),
            padding,
            written.get("d", (1, 1)),
            written.get("g", (1, 1))[0],
            start,
            end,
        )
        if min(*layer.kernel, *layer.stride, *layer.dilation, layer.groups) < 1:
            self.fail("kernel, stride, dilation and groups are at least 1", start, end)
        if pooling and any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
            self.fail(f"padding {_spoken(padding)} of a pooling is more than half of its kernel", start, end)
        return layer

    def number(self, word: str, written: str | None, start: int, end: int) -> float | None:
        kind = _NUMBERS[word]
        if written is None:
            if kind == "needed":
                example = {"conv": "conv64", "local": "local32", "fc": "fc10"}[word]
                self.fail(f"{word} needs a number of {'units' if word == 'fc' else 'maps'}: {example}", start, end)
            return None
        if not kind:
            self.fail(f"{word} takes no number" + self.instead(word, written), start, end)
        if kind == "share":
            if not 0 <= float(written) < 1:
                self.fail(f"the share that is dropped is at least 0 and less than 1, got {written}", start, end)
            return float(written)
        if "." in written or len(written) > 9 or int(written) < 1:
            self.fail(f"expected a positive integer after {word!r}, got {written}", start, end)
        return int(written)

    def instead(self, word: str, written: str) -> str:
        return f"; a kernel is written {word}/{written}" if word in ("pool", "avgpool") else ""

    def options(
        self, word: str, written: str | None, start: int, end: int
    ) -> tuple[tuple[int, int] | None, dict[str, tuple[int, int]]]:
        """The kernel if there is one, and the pairs after letters."""
        if written is None:
            return None, {}
        allowed = _OPTIONS.get(word)
        if allowed is None:
            self.fail(f"{word} takes no options", start, end)
        form = ", ".join(["a kernel (3 or 1x7)", *(f"{letter}1" for letter in allowed)])
        kernel = re.match(r"(\d{1,6})(?:x(\d{1,6}))?(?!\d)", written)
        rest = written[kernel.end() :] if kernel else written
        pairs: dict[str, tuple[int, int]] = {}
        place = 0
        for option in _OPTION.finditer(rest):
            letter, first, second = option.groups()
            if option.start() != place or letter not in allowed or letter in pairs or len(first + (second or "")) > 9:
                break
            if letter == "g" and second:
                break
            pairs[letter] = (int(first), int(second or first))
            place = option.end()
        if place != len(rest) or not written:
            at = end - len(rest) + place if written else start
            self.fail(f"{self.text[at:end]!r} is no option of {word}; expected, after the slash: {form}", at, end)
        return (int(kernel[1]), int(kernel[2] or kernel[1])) if kernel else None, pairs

    def fail(self, reason: str, start: int, end: int) -> NoReturn:
        raise PatternError(reason, self.text, start, end)


# ---------------------------------------------------------------- arithmetic of one side


@dataclass(frozen=True)
class _Side:
    """Windows along one side of a map: (N + 2P - d(m - 1) - 1) / S + 1 of them."""

    kernel: int
    stride: int
    padding: int
    dilation: int = 1

    @property
    def reach(self) -> int:
        return self.dilation * (self.kernel - 1) + 1

    def room(self, length: int) -> int:
        return length + 2 * self.padding - self.reach

    def fits(self, length: int) -> bool:
        return self.room(length) >= 0 and self.room(length) % self.stride == 0

    def outputs(self, length: int, ceil_mode: bool = False) -> int:
        """How many windows torch has: with ceil_mode the last one starts inside the map or the padding before it."""
        windows = (self.room(length) + (self.stride - 1 if ceil_mode else 0)) // self.stride + 1
        return windows - 1 if ceil_mode and (windows - 1) * self.stride >= length + self.padding else windows


def _sides(layer: _Layer) -> tuple[_Side, _Side]:
    rows, columns = (_Side(layer.kernel[i], layer.stride[i], layer.padding[i], layer.dilation[i]) for i in (0, 1))
    return rows, columns


def _nearest(value: int, low: int, high: int, fits: Callable[[int], bool]) -> list[int]:
    """Finds at most the two numbers nearest to `value` within low ... high that fit, in their order."""
    others: Iterator[int] = (n for step in range(1, high - low + 2) for n in (value - step, value + step))
    nearest: list[int] = []
    for n in others:
        if low <= n <= high and fits(n):
            nearest.append(n)
            if len(nearest) == 2:
                break
    return sorted(nearest)


# ---------------------------------------------------------------- from layers to a network


class _Builder:
    """Adds layer after layer, and knows the shape there."""

    def __init__(self, text: str, size: tuple[int, int, int], round: str | None) -> None:
        self.text, self.round = text, round
        self.picture = size
        self.shape: tuple[int, ...] = size
        self.modules: OrderedDict[str, nn.Module] = OrderedDict()
        self.windows: list[tuple[tuple[_Side, _Side], bool]] = []  # so far; whether they round up
        self.stage, self.convolutions, self.pooled = 1, 0, False
        self.place = "0"  # what activations are named after
        self.used: dict[str, int] = {}  # how often each of these names was wanted

    def network(self) -> nn.Sequential:
        network = FusedSequential(self.modules)
        for layer in network:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        return network

    def add(self, layer: _Layer) -> None:
        if "softmax" in self.modules:
            self.fail(layer, "nothing can follow softmax")
        adders = {
            "conv": self.convolution,
            "local": self.convolution,
            "pool": self.pooling,
            "avgpool": self.pooling,
            "fc": self.fully_connected,
            "gap": self.mean,
        }
        adders.get(layer.word, self.elementwise)(layer)

    def convolution(self, layer: _Layer) -> None:
        self.need_maps(layer)
        channels, maps = self.shape[0], int(layer.number or 0)
        if channels % layer.groups or maps % layer.groups:
            self.fail(layer, f"{layer.groups} groups do not divide {channels} maps into {maps}")
        size, (stage, index) = self.shape[1:], self.next_convolution()
        name = f"{layer.word}{stage}_{index}"
        outputs = self.slide(layer, name, ceil_mode=False)
        module: nn.Module
        if layer.word == "local":
            module = LocallyConnected2d(channels, maps, (size[0], size[1]), layer.kernel, layer.stride, layer.padding)
        else:
            module = nn.Conv2d(channels, maps, layer.kernel, layer.stride, layer.padding, layer.dilation, layer.groups)
        self.append(name, module, (maps, *outputs))
        self.place = f"{stage}_{index}"

    def next_convolution(self) -> tuple[int, int]:
        if self.pooled:
            self.stage, self.convolutions, self.pooled = self.stage + 1, 0, False
        self.convolutions += 1
        return self.stage, self.convolutions

    def pooling(self, layer: _Layer) -> None:
        self.need_maps(layer)
        name = self.unused(f"{layer.word}{self.stage}")
        ceil = self.round == "up"
        outputs = self.slide(layer, name, ceil)
        kind = nn.MaxPool2d if layer.word == "pool" else nn.AvgPool2d
        module = kind(layer.kernel, layer.stride, layer.padding, ceil_mode=ceil)
        self.append(name, module, (self.shape[0], *outputs))
        self.pooled, self.place = True, str(self.stage)

    def mean(self, layer: _Layer) -> None:
        self.need_maps(layer)
        self.append("gap", nn.AdaptiveAvgPool2d(1), (self.shape[0], 1, 1))
        self.flatten()

    def flatten(self) -> None:
        if len(self.shape) == 3:
            channels, rows, columns = self.shape
            self.append("flatten", nn.Flatten(), (channels * rows * columns,))
            # Fully connected layers count on from the last stage.
            self.stage += 1 if self.convolutions or self.pooled else 0

    def fully_connected(self, layer: _Layer) -> None:
        self.flatten()
        units = int(layer.number or 0)
        self.append(f"fc{self.stage}", nn.Linear(self.shape[0], units), (units,))
        self.place = str(self.stage)
        self.stage += 1

    def elementwise(self, layer: _Layer) -> None:
        word, maps = layer.word, len(self.shape) == 3
        if word == "lrn":
            self.need_maps(layer)
            module: nn.Module = nn.LocalResponseNorm(int(layer.number or 5), alpha=5e-4, beta=0.75, k=2.0)
        elif word == "bn":
            module = nn.BatchNorm2d(self.shape[0]) if maps else nn.BatchNorm1d(self.shape[0])
        elif word == "dropout":
            module = nn.Dropout(0.5 if layer.number is None else layer.number)
        elif word == "softmax":
            module = nn.Softmax(dim=1)
        else:
            module = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}[word]()
        names = {"lrn": "norm", "dropout": "drop"}
        name = word if word == "softmax" else self.unused(f"{names.get(word, word)}{self.place}")
        self.append(name, module, self.shape)

    def append(self, name: str, module: nn.Module, shape: tuple[int, ...]) -> None:
        self.modules[name] = module
        self.shape = shape

    def unused(self, name: str) -> str:
        """The name, or with a letter after it where it is taken."""
        count = self.used[name] = self.used.get(name, 0) + 1
        return name if count == 1 else name + _letters(count - 1)

    def need_maps(self, layer: _Layer) -> None:
        if len(self.shape) != 3:
            self.fail(layer, f"{layer.word} needs maps, and here is a vector of {self.shape[0]}")

    def slide(self, layer: _Layer, name: str, ceil_mode: bool) -> tuple[int, int]:
        """The map's size after a layer of windows."""
        sides = _sides(layer)
        for i, side in enumerate(sides):
            length = self.shape[1 + i]
            if side.room(length) < 0 or (self.round is None and not side.fits(length)):
                self.misfit(layer, name, i)
        self.windows.append((sides, ceil_mode))
        rows, columns = (side.outputs(n, ceil_mode) for side, n in zip(sides, self.shape[1:], strict=True))
        return rows, columns

    def misfit(self, layer: _Layer, name: str, i: int) -> NoReturn:
        length, side = self.shape[1 + i], _sides(layer)[i]
        where = "height" if i == 0 else "width"
        if self.shape[1] == self.shape[2] and len(set(_sides(layer))) == 1:
            where = "height and width"
        extent = str(side.kernel) if side.dilation == 1 else f"{side.dilation}*({side.kernel} - 1) - 1"
        formula = f"({length} + 2*{side.padding} - {extent}) / {side.stride} + 1"
        if side.room(length) < 0:
            reason = f"{name}: its window of {side.reach} is larger than the map of {length} padded by {side.padding}"
        else:
            value = side.room(length) / side.stride + 1
            reason = f"{name} does not fit: {formula} = {value:.10g} is not whole ({where})"
        self.fail(layer, reason, self.advice(layer, i))

    def advice(self, layer: _Layer, i: int) -> str:
        """What would fit, one change at a time."""
        length, side = self.shape[1 + i], _sides(layer)[i]
        most_padding = side.kernel // 2 if layer.word in ("pool", "avgpool") else side.reach - 1
        kernels = max(1, (length + 2 * side.padding - 1) // side.dilation + 1)
        picture = self.picture[1 + i]
        fitting = {
            "picture": _nearest(
                picture, max(1, picture - _SEARCHED), picture + _SEARCHED, lambda n: self.reaches(n, side, i)
            ),
            "padding": _nearest(side.padding, 0, most_padding, lambda n: replace(side, padding=n).fits(length)),
            "stride": _nearest(
                side.stride, 1, max(1, side.room(length)), lambda n: replace(side, stride=n).fits(length)
            ),
            "kernel": _nearest(
                side.kernel,
                max(1, 2 * side.padding if layer.word in ("pool", "avgpool") else 1),
                kernels,
                lambda n: replace(side, kernel=n).fits(length),
            ),
        }
        options = [f"{name} {' or '.join(map(str, numbers))}" for name, numbers in fitting.items() if numbers]
        if side.room(length) >= 0:
            options.append('round="down"' + (' or "up"' if layer.word in ("pool", "avgpool") else ""))
        return f"what would fit: {'; '.join(options)}" if options else ""

    def reaches(self, length: int, last: _Side, i: int) -> bool:
        """Whether an image of this length fits all layers so far and this one."""
        for sides, ceil_mode in self.windows:
            if sides[i].room(length) < 0 or (self.round is None and not sides[i].fits(length)):
                return False
            length = sides[i].outputs(length, ceil_mode)
        return last.fits(length)

    def fail(self, layer: _Layer, reason: str, advice: str = "") -> NoReturn:
        raise PatternError(reason, self.text, layer.start, layer.end, advice)


def _letters(n: int) -> str:
    """0 -> a, 1 -> b, ... 26 -> aa."""
    return (_letters(n // 26 - 1) if n >= 26 else "") + chr(ord("a") + n % 26)


def _spoken(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"
