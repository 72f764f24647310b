"""What a unit sees against what really changes it: pixels that are moved, and pixels that are not numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn

from tests.harness.random_networks import networks, normal
from zfcuda.network import ReceptiveField, receptive_field, receptive_fields
from zfcuda.network.receptive import receptive_fields_of_calls

# ---------------------------------------------------------------- the truth


def reached(model: nn.Module, image: Tensor, side: int, spoil: Callable[[Tensor], Tensor]) -> list[tuple[str, Tensor]]:
    """For every call that returns a tensor: its layer, and which units each line of the image reaches, [lines,...].

    side: 2 for rows, 3 for columns. spoil: what is done to one line of the image at a time.
    """
    names = {module: name for name, module in model.named_modules()}
    outputs: list[tuple[str, Tensor]] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs.append((names[module], output.detach().clone()))

    def run(image: Tensor) -> list[tuple[str, Tensor]]:
        outputs.clear()
        with torch.no_grad():
            model(image)
        return list(outputs)

    handles = [module.register_forward_hook(note) for module in model.modules()]
    whole = run(image.clone())
    lines = []
    for i in range(image.shape[side]):
        spoilt = image.clone()
        spoilt.select(side, i).copy_(spoil(spoilt.select(side, i)))
        lines.append(
            [(after != before) | after.isnan() for (_, after), (_, before) in zip(run(spoilt), whole, strict=True)]
        )
    for handle in handles:
        handle.remove()
    return [(name, torch.stack([line[i] for line in lines])) for i, (name, _) in enumerate(whole)]


def moved(line: Tensor) -> Tensor:
    return line + 7 * normal(line.shape, 1)


def no_number(line: Tensor) -> Tensor:
    """NaN survives a maximum and a product with zero: what it does not reach, no pixel reaches."""
    return torch.full_like(line, torch.nan)


def spans(units: Tensor) -> tuple[int, int] | None:
    """[lines] -> the first and, exclusively, the last of those that reach a unit."""
    found = units.nonzero().flatten()
    return (int(found[0]), int(found[-1]) + 1) if len(found) else None


def places(field: ReceptiveField, least: Tensor, most: Tensor) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    """(row, column, what reaches this unit) of each unit of a map; of anything else all units together."""
    if most.dim() == 5 and most.shape[2] == most.shape[3] == most.shape[4]:
        return  # channels may come last
    if most.dim() == 5 and most.shape[3:] == (len(field.spans[0]), len(field.spans[1])):
        for y in range(most.shape[3]):
            for x in range(most.shape[4]):
                yield y, x, least[..., y, x].flatten(1).any(1), most[..., y, x].flatten(1).any(1)
    elif most.dim() < 4:
        yield 0, 0, least.flatten(1).any(1), most.flatten(1).any(1)


def check(model: nn.Module, image: Tensor) -> dict[str, list[ReceptiveField | None]]:
    """Checks the field of every call that is known, unit by unit -> the fields."""
    fields = receptive_fields_of_calls(model.eval(), image.shape[1:])
    truths = [[reached(model, image, side, spoil) for side in (2, 3)] for spoil in (moved, no_number)]
    left = {name: list(each) for name, each in fields.items()}
    for (name, least_rows), (_, least_columns), (_, rows), (_, columns) in zip(*truths[0], *truths[1], strict=True):
        field = left[name].pop(0) if name in left else None
        if field is None:
            continue
        for (y, x, *of_rows), (_, _, *of_columns) in zip(
            places(field, least_rows, rows), places(field, least_columns, columns), strict=True
        ):
            rectangle = field.rectangle(y, x)
            for side, (least, most) in enumerate((of_rows, of_columns)):
                start, stop = rectangle[side], rectangle[side + 2]
                certain, possible = spans(least), spans(most)
                where = (name, y, x, rectangle, certain, possible)
                assert certain is None or (start <= certain[0] and certain[1] <= stop), where
                if possible is not None and not PICKS.search(str(model)):
                    assert possible[0] <= start and stop <= possible[1], where
                    assert field.size[side] >= stop - start, where
    return fields


# A field is that of the whole map: channels that are picked may see less than others.
PICKS = re.compile(r"x\[:, (?!:[,\]])|split|chunk")


# ---------------------------------------------------------------- any network


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_what_is_known_of_random_networks_is_true(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(least, most)) for least, most in ((1, 3), (9, 18), (9, 18)))
    image = normal(shape, data.draw(st.integers(0, 999)))
    check(data.draw(networks(image, foreign=data.draw(st.booleans()))), image[None])


# ---------------------------------------------------------------- kinds of layer


class Code(nn.Module):
    """A 3x3 convolution, and then a function of this module and its map."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3)
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, self.first(x))


def after_first(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3), *modules)


def channels_last_block(self: Any, x: Tensor) -> Tensor:
    """As in ConvNeXt: a layer norm and two linear layers at each place."""
    y = self.up(F.gelu(self.down(self.norm(x.permute(0, 2, 3, 1)))))
    return x + y.permute(0, 3, 1, 2)


def attention(self: Any, x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)[:, None]
    keys, values = self.to_keys(tokens), self.to_values(tokens)
    return F.scaled_dot_product_attention(keys, keys, values)


@fx.wrap
def own_function(x: Tensor) -> Tensor:
    return x * 2 if x.shape[2] > 1 else x


@fx.wrap
def out_of_sight(x: Tensor) -> Tensor:
    return x + float(x.detach().numpy().max())


# (network, size, stride) of the whole network's units on an image of 18 x 16; None: not known.
KNOWN: dict[str, tuple[Callable[[], nn.Module], Any, Any]] = {
    "prelu": (lambda: after_first(nn.PReLU(4)), (3, 3), (1, 1)),
    "upsampling": (lambda: after_first(nn.Upsample(scale_factor=2)), (3, 3), (0.5, 0.5)),
    "behind upsampling": (lambda: after_first(nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3)), (4, 4), (0.5, 0.5)),
    "bilinear": (lambda: after_first(nn.Upsample(scale_factor=2, mode="bilinear")), (4, 4), (0.5, 0.5)),
    "bicubic": (lambda: after_first(nn.Upsample(scale_factor=3, mode="bicubic")), (6, 6), (1 / 3, 1 / 3)),
    "up and down": (lambda: after_first(nn.Upsample(scale_factor=2), nn.AvgPool2d(2)), (3, 3), (1, 1)),
    "transposed": (lambda: after_first(nn.ConvTranspose2d(4, 3, 2, 2)), (3, 3), (0.5, 0.5)),
    "transposed wide": (lambda: after_first(nn.ConvTranspose2d(4, 3, 4, 2, 1)), (4, 4), (0.5, 0.5)),
    "transposed dilated": (lambda: after_first(nn.ConvTranspose2d(4, 3, 2, 1, 0, dilation=3)), (6, 6), (1, 1)),
    "zeros": (lambda: after_first(nn.ZeroPad2d((3, 1, 2, 0)), nn.Conv2d(4, 4, (1, 3))), (3, 5), (1, 1)),
    "mirror": (lambda: after_first(nn.ReflectionPad2d(2), nn.Conv2d(4, 4, 3)), (5, 5), (1, 1)),
    "replicated": (lambda: after_first(nn.ReplicationPad2d(2), nn.MaxPool2d(2)), (4, 4), (2, 2)),
    "mirrored by the convolution": (
        lambda: after_first(nn.Conv2d(4, 4, 5, padding=2, padding_mode="reflect")),
        (7, 7),
        (1, 1),
    ),
    "cropped": (lambda: Code(lambda s, x: F.pad(x, (-1, 2, 0, -3))), (3, 3), (1, 1)),
    "every other": (lambda: Code(lambda s, x: x[:, :, ::2, 1:]), (3, 3), (2, 1)),
    "lp pool": (lambda: after_first(nn.LPPool2d(2, 3, 2)), (5, 5), (2, 2)),
    "with indices": (lambda: Code(lambda s, x: F.max_pool2d(x, 2, return_indices=True)[0]), (4, 4), (2, 2)),
    "group norm": (lambda: after_first(nn.GroupNorm(2, 4)), (18, 16), (18, 16)),
    "behind a norm": (lambda: after_first(nn.InstanceNorm2d(4), nn.Conv2d(4, 4, 3)), (18, 16), (18, 16)),
    "instance norm as trained": (
        lambda: after_first(nn.InstanceNorm2d(4, track_running_stats=True)),
        (3, 3),
        (1, 1),
    ),
    "gate": (lambda: Code(lambda s, x: s.last(x * x.mean((2, 3), True)), last=nn.Conv2d(4, 4, 3)), (18, 16), (18, 16)),
    "gate of columns": (lambda: Code(lambda s, x: x * x.mean(2, True).sigmoid()), (18, 3), (18, 1)),
    "softmax of rows": (lambda: Code(lambda s, x: x.softmax(2)), (18, 3), (18, 1)),
    "pixel shuffle": (lambda: after_first(nn.PixelShuffle(2)), (3, 3), (0.5, 0.5)),
    "pixel unshuffle": (lambda: after_first(nn.PixelUnshuffle(2)), (4, 4), (2, 2)),
    "tokens": (lambda: Code(lambda s, x: s.fc(x.flatten(2).transpose(1, 2)), fc=nn.Linear(4, 3)), (3, 3), (1, 1)),
    "tokens and back": (
        lambda: Code(
            lambda s, x: s.fc(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(1, 5, 16, 14), fc=nn.Linear(4, 5)
        ),
        (3, 3),
        (1, 1),
    ),
    "channels last": (
        lambda: Code(channels_last_block, norm=nn.LayerNorm(4), down=nn.Linear(4, 8), up=nn.Linear(8, 4)),
        (3, 3),
        (1, 1),
    ),
    "attention": (
        lambda: Code(attention, to_keys=nn.Linear(4, 4), to_values=nn.Linear(4, 4)),
        (18, 16),
        (18, 16),
    ),
    "line": (lambda: after_first(nn.AdaptiveAvgPool2d((1, None)), nn.Flatten(2), nn.Conv1d(4, 4, 3)), (18, 5), (18, 1)),
    "volume": (lambda: after_first(nn.Unflatten(1, (2, 2)), nn.Conv3d(2, 1, (2, 3, 1))), (5, 3), (1, 1)),
    "part of the image": (lambda: Code(lambda s, x: x[:, :, 2:5, 3].flatten(1)), (5, 3), (5, 3)),
    "one place": (lambda: Code(lambda s, x: x[:, :, 4:5, 3:4]), (3, 3), (1, 1)),
    "nothing": (lambda: Code(lambda s, x: torch.ones_like(x)), (0, 0), (0, 0)),
    "own function": (lambda: Code(lambda s, x: own_function(x)), (3, 3), (1, 1)),
    "recurrent": (lambda: Code(lambda s, x: s.rnn(x.flatten(2))[0], rnn=nn.LSTM(224, 5)), None, None),
    "queries and keys": (lambda: Code(lambda s, x: x @ x.transpose(2, 3)), None, None),
    "turned round": (lambda: Code(lambda s, x: x.flip(3)), None, None),
    "behind what is not known": (lambda: Code(lambda s, x: s.last(x.roll(1, 2)), last=nn.Conv2d(4, 4, 3)), None, None),
    "rows for columns": (lambda: Code(lambda s, x: x.transpose(2, 3)), None, None),
    "in patches": (lambda: Code(lambda s, x: x.reshape(1, 4, 8, 2, 7, 2).mean((3, 5))), None, None),
    "written piece by piece": (lambda: Code(lambda s, x: F.pad(x, (1, 1, 1, 1), mode="circular")), None, None),
    "a number": (lambda: Code(lambda s, x: x * x.max().item()), None, None),
    "out of sight": (lambda: Code(lambda s, x: out_of_sight(x)), None, None),
    "a filter made of the image": (
        lambda: Code(lambda s, x: F.conv2d(x, x.mean((2, 3), True).expand(-1, -1, 3, 3))),
        None,
        None,
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_layers_see(name: str) -> None:
    make, size, stride = KNOWN[name]
    torch.manual_seed(0)
    model = make()
    field = check(model, normal((1, 2, 18, 16), 3))[""][0]
    assert (None if field is None else field.size) == size
    assert field is None or field.stride == pytest.approx(stride)


def test_every_call_has_a_field_of_its_own() -> None:
    conv = nn.Conv2d(2, 2, 3, padding=1)
    fields = check(nn.Sequential(conv, nn.ReLU(inplace=True), conv, conv), normal((1, 2, 12, 12), 0))
    assert [field and field.size for field in fields["0"]] == [(3, 3), (5, 5), (7, 7)]


def test_what_is_not_known_is_none_and_what_sees_nothing_is_refused() -> None:
    model = Code(
        lambda s, x: s.last(x.flip(2)) + s.fixed(torch.zeros(1)), last=nn.Conv2d(4, 4, 3), fixed=nn.Linear(1, 1)
    )
    assert receptive_field(model, "last", (18, 16)) is None
    fields = receptive_fields(model, (18, 16))
    assert fields["last"] is None and fields["first"] is not None and fields["first"].size == (3, 3)
    with pytest.raises(ValueError, match="does not depend on the picture"):
        receptive_field(model, "fixed", (18, 16))


def test_a_unit_in_the_padding_is_given_the_border() -> None:
    field = receptive_field(nn.Sequential(nn.Conv2d(1, 1, 3), nn.ZeroPad2d(4)), "1", (9, 9))
    assert field is not None
    assert field.rectangle(0, 6) == (0, 2, 1, 5) and field.rectangle(14, 14) == (8, 8, 9, 9)


def test_the_size_does_not_depend_on_the_image_s() -> None:
    """A unit away from the border sees as much in a small image, where there is none, as it does in a large one."""
    layers = (nn.Conv2d(2, 4, 3, 2, 1), nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(4, 4, 5, padding=2))
    model = nn.Sequential(*layers, nn.MaxPool2d(3, 2, 1), nn.ConvTranspose2d(4, 4, 3, 2), nn.Conv2d(4, 4, 3, padding=1))
    sizes = {n: [field and field.size for field in receptive_fields(model, (2, n, n)).values()] for n in (8, 60)}
    assert sizes[8] == sizes[60]
    largest = receptive_field(model, "5", (60, 60))
    assert largest is not None
    extents = {largest.rectangle(y, y)[2] - largest.rectangle(y, y)[0] for y in range(20, 40)}
    assert max(extents) == largest.size[0]


def test_some_layers_alone_run_no_further() -> None:
    """The last layer fits no image of this size."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(5, 2))
    found = receptive_fields(model, (12, 12), ["1", "0"])
    assert list(found) == ["1", "0"] and [field and field.size for field in found.values()] == [(5, 5), (3, 3)]
    with pytest.raises(ValueError, match="does not fit layer '3'"):
        receptive_fields(model, (12, 12))
