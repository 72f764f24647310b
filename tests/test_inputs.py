"""What every method asks of its caller: a dense image with numbers in it, or a picture that its model makes one of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.backward.deconvnet import strongest
from zfcuda.data.preprocessing import assumed
from zfcuda.inputs import above, integer, weight
from zfcuda.network import trace

ODD: dict[str, tuple[Callable[[], Tensor], type[Exception], str]] = {
    "meta": (lambda: torch.zeros(3, 8, 8, device="meta"), ValueError, r"^\w+: .*\[3, 8, 8\] on the device meta"),
    "nested": (
        lambda: torch.nested.nested_tensor([torch.zeros(3, 8, 8)]),
        TypeError,
        r"^\w+: expected a dense Tensor, got a nested tensor",
    ),
    "jagged": (
        lambda: torch.nested.nested_tensor([torch.zeros(3, 8), torch.zeros(2, 8)], layout=torch.jagged),
        TypeError,
        r"^\w+: expected a dense Tensor, got a nested tensor",
    ),
    "sparse": (lambda: torch.eye(8)[None].expand(3, 8, 8).to_sparse(), TypeError, r"^\w+: .*torch.sparse_coo"),
}
METHODS: dict[str, Callable[[nn.Module, Any], Any]] = {
    "occlusion_map": lambda model, image: zfcuda.occlusion_map(model, image, window=4),
    "project": lambda model, image: zfcuda.project(model, image, layer="0"),
    "mapper": lambda model, image: zfcuda.OcclusionMapper(model, torch.zeros(3, 8, 8), window=4)(image),
    "gradient": lambda model, image: zfcuda.gradient(model, image),
    "baseline": lambda model, image: zfcuda.integrated_gradients(model, torch.zeros(3, 8, 8), baseline=image),
    "captum": lambda model, image: zfcuda.Occlusion(model).attribute(image, (3, 4, 4), target=0),
    "baselines": lambda model, image: zfcuda.Occlusion(model).attribute(
        torch.zeros(1, 3, 8, 8), (3, 4, 4), target=0, baselines=image
    ),
    "fill": lambda model, image: zfcuda.occlusion_map(model, torch.zeros(3, 8, 8), window=4, fill=image),
    "projector": lambda model, image: zfcuda.Projector(model, torch.zeros(3, 8, 8), layer="0")(image),
}


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("method", METHODS)
def test_tensors_without_pixels_are_refused(method: str, kind: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2)).eval()
    make, error, message = ODD[kind]
    with pytest.raises(error, match=message):
        METHODS[method](model, make())


# ---------------------------------------------------------------- pictures, where the model says how


PIXELS = np.random.default_rng(0).integers(0, 256, (30, 24, 3), dtype=np.uint8)
TAKES: dict[str, Callable[[nn.Module, Any], Tensor]] = {
    "occlusion_map": lambda model, image: zfcuda.occlusion_map(model, image, window=4).logits,
    "mapper": lambda model, image: zfcuda.OcclusionMapper(model, image, window=4)(image).logits,
    "mapper, later": lambda model, image: zfcuda.OcclusionMapper(model, torch.zeros(3, 8, 8), window=4)(image).logits,
    "gradient": lambda model, image: zfcuda.gradient(model, image),
    "grad_cam": lambda model, image: zfcuda.grad_cam(model, [image, image]),
    "project": lambda model, image: zfcuda.project(model, image, layer="0"),
    "project a Network": lambda model, image: zfcuda.project(trace(model), image, layer="0"),
    "projector": lambda model, image: zfcuda.Projector(model, image, layer="0")(image),
    "projector, later": lambda model, image: zfcuda.Projector(model, torch.zeros(3, 8, 8), layer="0")(image),
    "strongest": lambda model, image: torch.tensor([each.value for each in strongest(model, image, "0", 2)]),
}


def small(**attributes: Any) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2)).eval()
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


@pytest.mark.parametrize("method", TAKES)
def test_a_picture_is_what_the_models_preprocess_makes_of_it(method: str, tmp_path: Path) -> None:
    model = small(preprocess=zfcuda.Preprocess(8, 9))
    expected = TAKES[method](model, zfcuda.Preprocess(8, 9)(PIXELS))
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    for given in (Image.fromarray(PIXELS), tmp_path / "a.png", str(tmp_path / "a.png"), PIXELS):
        assert torch.equal(TAKES[method](model, given), expected)


def test_the_image_is_of_the_models_dtype_and_of_the_wrapped_models_preprocess() -> None:
    model = small(preprocess=lambda picture: zfcuda.Preprocess(8, 9)(picture)[0]).double()
    assert zfcuda.project(model, PIXELS, "0").dtype == torch.float64
    wrapped = nn.DataParallel(model)
    assert torch.equal(zfcuda.project(wrapped, PIXELS, "0"), zfcuda.project(model, PIXELS, "0"))


@pytest.mark.parametrize("method", TAKES)
def test_a_picture_without_a_preprocess_says_what_to_do(method: str) -> None:
    for given in (Image.fromarray(PIXELS), "a.png", PIXELS):
        with pytest.raises(TypeError, match=r"image: expected a Tensor .*; Sequential has no .preprocess .* zfcuda"):
            TAKES[method](small(), given)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (PIXELS / 255, TypeError, r"image: expected a Tensor, or a picture .*, got ndarray float64 \[30, 24, 3\]"),
        (PIXELS[None], ValueError, r"image: expected an array \[H,W\], .*, got uint8 \[1, 30, 24, 3\]"),
        ("a.png", ValueError, "a.png: no such file"),
        ("http://a.org/a.png", ValueError, "http://a.org/a.png: an address"),
    ],
)
def test_what_is_no_picture_is_named(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        zfcuda.project(small(preprocess=zfcuda.Preprocess(8, 9)), given, "0")


def test_many_images_are_pointed_to_what_takes_them() -> None:
    for given, many in (([PIXELS, PIXELS], "list of 2; for"), (torch.zeros(2, 3, 8, 8), r"\[2, 3, 8, 8\]; for")):
        for method in ("occlusion_map", "mapper", "project", "projector", "mapper, later"):
            if method != "mapper, later" or isinstance(given, list):
                with pytest.raises((TypeError, ValueError), match=f"image: expected .*, got .*{many} many images"):
                    TAKES[method](small(preprocess=zfcuda.Preprocess(8, 9)), given)


@pytest.mark.parametrize(("value", "said"), [({"mean": 1}, "a dict"), (dict, "the class dict"), (nn.ReLU(), "a ReLU")])
def test_what_hangs_on_a_model_in_the_place_of_a_preprocess_is_named(value: Any, said: str) -> None:
    with pytest.raises(TypeError, match=f"was trained on; its .preprocess, {said}, takes no pictures"):
        zfcuda.project(small(preprocess=value), PIXELS, "0")
    assert assumed(small(preprocess=value)).note.endswith(f"its .preprocess, {said}, takes no pictures")


def test_a_preprocess_that_makes_no_image_is_named() -> None:
    with pytest.raises(ValueError, match=r"image: the preprocess of Sequential gives a Image; expected a Tensor"):
        zfcuda.project(small(preprocess=lambda picture: picture), PIXELS, "0")


@pytest.mark.parametrize("method", ["occlusion_map", "mapper", "project", "projector"])
def test_channels_that_come_last_are_seen_as_such(method: str) -> None:
    for image, order in ((torch.zeros(8, 9, 3), "2, 0, 1"), (torch.zeros(1, 8, 9, 3), "0, 3, 1, 2")):
        with pytest.raises(
            ValueError, match=rf"image: expected .* 3 channels, got .*8, 9, 3\]; image.permute\({order}\)"
        ):
            TAKES[method](small(), image)


def test_a_model_that_takes_them_last_may() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x.permute(0, 3, 1, 2)).mean((2, 3))

    assert zfcuda.occlusion_map(Last().eval(), torch.rand(8, 9, 3), window=(3, 3)).logits.shape[2] == 2


def test_a_batch_is_pointed_to_what_takes_many() -> None:
    for method in ("occlusion_map", "project"):
        with pytest.raises(ValueError, match=r"\[2, 3, 8, 8\]; .* zfcuda.OcclusionMapper and zfcuda.Projector"):
            TAKES[method](small(), torch.zeros(2, 3, 8, 8))


def test_numbers_with_a_least_value() -> None:
    assert integer("n", np.int64(2), 2) == 2 and above("x", 1.5, 1) == 1.5 and weight("w", 0) == 0
    refused: list[tuple[Callable[[], object], type[Exception], str]] = [
        (lambda: integer("n", 1, 2), ValueError, "n: expected at least 2, got 1"),
        (lambda: integer("n", 2.0, 2), TypeError, "n: expected an integer, got 2.0"),
        (lambda: above("x", 1, 1), ValueError, "x: expected a number above 1, got 1"),
        (lambda: above("x", float("inf")), ValueError, "x: expected a number above 0, got inf"),
        (lambda: weight("w", float("nan")), ValueError, "w: expected a number of at least 0, got nan"),
        (lambda: weight("w", "1"), TypeError, "w: expected a number, got '1'"),
    ]
    for call, kind, message in refused:
        with pytest.raises(kind, match=f"^{message}$"):
            call()
