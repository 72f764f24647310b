"""Pictures worked out by hand, and values that would spoil a careless one."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from zfcuda import render

NAN, INF = float("nan"), float("inf")


def at(image: Image.Image, y: int, x: int) -> tuple[int, ...]:
    return tuple(np.asarray(image)[y, x].tolist())


def test_picture() -> None:
    image = render.picture(torch.tensor([[[0.0, 1.0, 2.0]], [[0.2, NAN, -1.0]], [[0.4, INF, -INF]]]))
    assert image.mode == "RGB" and image.size == (3, 1)
    assert [at(image, 0, x) for x in range(3)] == [(0, 51, 102), (255, 0, 255), (255, 0, 0)]
    assert at(render.picture(torch.full((1, 2, 2), 0.2)), 1, 1) == (51, 51, 51)


def test_projection_is_signed_around_middle_grey() -> None:
    signal = torch.zeros(3, 1, 3)
    signal[:, 0, 0], signal[:, 0, 2] = 2.0, -2.0
    image = render.projection(signal)
    assert [at(image, 0, x) for x in range(3)] == [(255,) * 3, (128,) * 3, (0,) * 3]


def test_projection_is_robust() -> None:
    signal = torch.randn(3, 50, 50, generator=torch.Generator().manual_seed(0))
    signal[0, 0, 0] = 1e9
    assert np.asarray(render.projection(signal)).std() > 40
    assert render.robust_scale(signal) < 10


@pytest.mark.parametrize("value", [0.0, NAN, INF, -INF, 1e-320, -1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_no_value_crashes(value: float, dtype: torch.dtype) -> None:
    values = torch.full((3, 4, 5), value, dtype=dtype)
    assert render.projection(values).size == (5, 4)
    assert render.picture(values).size == (5, 4)
    for colours in render.COLOURS:
        assert render.heatmap(values[0], colours=colours).size == (5, 4)
    assert render.overlay(Image.new("RGB", (8, 6)), values[0]).size == (8, 6)
    assert render.filters(values[None]).mode == "RGB"


def test_heatmap_ends_and_middle() -> None:
    image = render.heatmap(torch.tensor([[0.0, 9.0, 4.5]]))
    assert at(image, 0, 0) == (0x44, 0x01, 0x54) and at(image, 0, 1) == (0xFD, 0xE7, 0x25)
    assert at(image, 0, 2) == (34, 144, 140)  # half-way between the two control points in the middle
    fixed = render.heatmap(torch.tensor([[-5.0, 0.0, 1.0, 7.0]]), 0.0, 1.0)
    assert at(fixed, 0, 0) == at(fixed, 0, 1) and at(fixed, 0, 2) == at(fixed, 0, 3)


def test_heatmap_of_what_is_not_finite() -> None:
    image = render.heatmap(torch.tensor([[NAN, INF, -INF, 0.0, 1.0]]))
    assert at(image, 0, 0) == render.NAN_COLOUR
    assert at(image, 0, 1) == at(image, 0, 4) and at(image, 0, 2) == at(image, 0, 3)


def test_diverging_is_centred_on_zero() -> None:
    image = render.heatmap(torch.tensor([[0.0, -1.0, 4.0]]), colours="diverging")
    assert at(image, 0, 0) == (0xF7, 0xF7, 0xF7) and at(image, 0, 2) == (0xB2, 0x18, 0x2B)
    blue = at(image, 0, 1)
    assert blue[2] > blue[0]
    assert at(render.heatmap(torch.zeros(1, 1), colours="diverging"), 0, 0) == (0xF7, 0xF7, 0xF7)


@pytest.mark.parametrize("name", ["viridis", "inferno"])
def test_sequential_colours_rise_in_lightness(name: str) -> None:
    ramp = np.asarray(render.heatmap(torch.linspace(0, 1, 64)[None], colours=name), np.float64)[0] / 255
    linear = np.where(ramp <= 0.04045, ramp / 12.92, ((ramp + 0.055) / 1.055) ** 2.4)
    assert (np.diff(linear @ [0.2126, 0.7152, 0.0722]) > 0).all()


def test_overlay_leaves_the_picture_where_the_map_is_zero() -> None:
    under = Image.new("RGB", (4, 4), (200, 100, 50))
    values = torch.zeros(4, 4)
    values[0, 0] = 1
    image = render.overlay(under, values)
    grey = at(under.convert("L").convert("RGB"), 0, 0)
    assert at(image, 3, 3) == grey
    assert at(image, 0, 0) != grey


def test_label_map() -> None:
    image, legend = render.label_map(torch.tensor([[7, 7, 2], [7, 2, 5]]), first=2)
    assert [(e.index, e.count) for e in legend] == [(2, 2), (7, 3), (5, 1)]
    assert at(image, 0, 2) == render.CATEGORIES[0] == legend[0].colour
    assert at(image, 0, 0) == render.CATEGORIES[1]


def test_label_map_with_more_classes_than_colours() -> None:
    labels = torch.arange(16).reshape(4, 4)
    image, legend = render.label_map(labels, first=15)
    assert legend[0].index == 15 and legend[-1].index == -1
    assert sum(entry.count for entry in legend) == 16
    assert len({entry.colour for entry in legend}) == len(legend) == len(render.CATEGORIES) + 1
    assert at(image, 3, 2) == render.OTHER_COLOUR


def test_filters_on_their_own_and_on_a_common_scale() -> None:
    weight = torch.stack([torch.ones(3, 2, 2), torch.full((3, 2, 2), 0.01)])
    own = render.filters(weight, factor=1, columns=2)
    common = render.filters(weight, factor=1, columns=2, common=True)
    assert own.size == (2 + 1 + 2, 2)
    assert at(own, 0, 0) == at(own, 0, 4) == (255, 255, 255)
    assert at(common, 0, 0) == (255, 255, 255) and at(common, 0, 4)[0] in (128, 129)
    assert render.filters(torch.randn(96, 1, 11, 11)).width > 500


def test_grid_centres_what_is_smaller() -> None:
    sheet = render.grid([Image.new("RGB", (3, 3), "red"), Image.new("RGB", (1, 1), "blue")], 2, gap=1)
    assert sheet.size == (7, 3)
    assert at(sheet, 1, 5) == (0, 0, 255) and at(sheet, 0, 4) == (255, 255, 255) and at(sheet, 0, 0) == (255, 0, 0)


@pytest.mark.parametrize(
    ("draw", "value"),
    [
        (render.picture, torch.zeros(2, 4, 4)),
        (render.projection, torch.zeros(4, 4)),
        (render.heatmap, torch.zeros(3, 4, 4)),
        (render.label_map, torch.zeros(4, dtype=torch.int64)),
        (render.filters, torch.zeros(8, 4, 3, 3)),
    ],
)
def test_wrong_shapes_are_refused_with_the_shape(draw: object, value: Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected .* got \["):
        draw(value)  # type: ignore[operator]


def test_unknown_colours_are_refused() -> None:
    with pytest.raises(ValueError, match="colours: expected one of"):
        render.heatmap(torch.zeros(2, 2), colours="jet")


def test_requires_grad_and_strides_do_not_matter() -> None:
    values = torch.arange(12.0).reshape(3, 4).t().requires_grad_()
    assert render.heatmap(values).size == (3, 4)
    assert render.gradient("viridis").startswith("linear-gradient(90deg, #440154")
    assert render.hex_colour((255, 0, 16)) == "#ff0010"


@pytest.mark.parametrize("draw", [render.picture, render.projection, render.heatmap, render.label_map, render.filters])
def test_only_tensors_are_drawn(draw: Callable[[object], object]) -> None:
    name = next(iter(inspect.signature(draw).parameters))
    with pytest.raises(TypeError, match=f"{name}: expected a Tensor, got ndarray"):
        draw(np.zeros((3, 4, 5)))


def test_what_is_public_is_named() -> None:
    public = {name for name, value in vars(render).items() if getattr(value, "__module__", "") == render.__name__}
    assert {name for name in public if not name.startswith("_")} <= set(render.__all__)
    assert all(getattr(render, name).__doc__ for name in render.__all__ if callable(getattr(render, name)))


def test_masks_are_outlined() -> None:
    mask = torch.zeros(56, 56, dtype=torch.bool)
    mask[20:30, 20:30] = True
    black = Image.new("RGB", (112, 112))
    ink = np.asarray(render.outlined(black, mask, (255, 0, 0)))[..., 0] > 0
    assert ink[40:60, 40:60].sum() == ink.sum() == 4 * 20 - 4
    thick = np.asarray(render.outlined(black, mask, (255, 0, 0), thick=True))[..., 0] > 0
    assert thick[ink].all() and thick[41, 41:59].all() and not thick[42:59, 42:59].any() and thick[60, 41:60].all()
    with pytest.raises(ValueError, match="mask: expected \\[H,W\\], got"):
        render.outlined(black, mask[None], (255, 0, 0))
