"""What is refused: bad input, models that are no classifiers, random models, models that write to their input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.harness.random_networks import Code, normal, randomise
from tests.occlusion.incremental.definition import METHOD, check
from tests.occlusion.incremental.networks import SIZE, Plain


class Counting(Plain):
    """Counts the pictures that it is given."""

    pictures = 0

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(x, Tensor) and not isinstance(x, torch._subclasses.FakeTensor):
            self.pictures += len(x)
        return super().forward(x)


IMAGE = normal((3, 20, 20), 0)
WITH_NAN, WITH_INFINITY = IMAGE.clone(), IMAGE.clone()
WITH_NAN[1, 2, 3], WITH_INFINITY[0, 0, 0] = float("nan"), float("inf")

# Argument, error, what it says.
BAD: list[tuple[dict[str, Any], type[Exception] | tuple[type[Exception], ...], str]] = [
    ({"image": WITH_NAN}, ValueError, "image: .*NaN"),
    ({"image": WITH_INFINITY}, ValueError, "image: .*infinity"),
    ({"image": IMAGE[:, :0]}, ValueError, r"image: .*\[3, 0, 20\]"),
    ({"image": IMAGE[0]}, ValueError, r"image: .*\[20, 20\]"),
    ({"image": IMAGE.expand(2, -1, -1, -1)}, ValueError, r"image: .*\[2, 3, 20, 20\]"),
    ({"image": IMAGE.long()}, TypeError, "image: .*int64"),
    ({"image": IMAGE.numpy()}, TypeError, "image: .*ndarray"),
    ({"image": IMAGE.to("meta")}, ValueError, "image: .*meta"),
    ({"window": 0}, ValueError, "window: .*0"),
    ({"window": (4, 0)}, ValueError, r"window: .*\(4, 0\)"),
    ({"window": (0, 0)}, ValueError, r"window: .*\(0, 0\)"),
    ({"window": -3}, ValueError, "window: .*-3"),
    ({"window": True}, ValueError, "window: .*True"),
    ({"window": 2.5}, (TypeError, ValueError), "window: .*2.5"),
    ({"window": None}, (TypeError, ValueError), "window: .*None"),
    ({"window": (4, 5, 6)}, ValueError, "window: .*4, 5, 6"),
    ({"window": (21, 2)}, ValueError, "window: .*21 x 2"),
    ({"stride": 0}, ValueError, "stride: .*0"),
    ({"stride": (2, -1)}, ValueError, r"stride: .*\(2, -1\)"),
    ({"stride": 0.5}, (TypeError, ValueError), "stride: .*0.5"),
    ({"fill": torch.zeros(7)}, ValueError, r"fill: .*\[7\]"),
    ({"fill": torch.zeros(4, 1, 1)}, ValueError, r"fill: .*\[4, 1, 1\]"),
    ({"fill": torch.zeros(2, 3, 20, 20)}, ValueError, r"fill: .*\[2, 3, 20, 20\]"),
    ({"fill": torch.zeros(3, 21, 20)}, ValueError, r"fill: .*\[3, 21, 20\]"),
    ({"fill": [1.0, 2.0]}, ValueError, "fill: .*3 numbers.*2"),
    ({"fill": []}, ValueError, "fill: .*0"),
    ({"fill": float("nan")}, ValueError, "fill: .*NaN"),
    ({"fill": [0.0, float("inf"), 0.0]}, ValueError, "fill: .*infinity"),
    ({"fill": None}, (TypeError, ValueError), "fill: .*None"),
    ({"fill": "red"}, (TypeError, ValueError), "fill: .*red"),
    ({"layer": "conv9"}, ValueError, "layer: .*'conv9'.*conv1"),
    ({"layer": 3}, (TypeError, ValueError), "layer: .*3"),
    ({"unit": 1}, ValueError, "unit: 1 of which layer"),
    ({"method": "magic"}, ValueError, "method: .*'magic'"),
    ({"probability": "odds"}, ValueError, "probability: .*'odds'"),
    ({"dtype": torch.int8}, ValueError, "dtype: .*int8"),
    ({"dtype": "bfloat16"}, (TypeError, ValueError), "dtype: .*bfloat16"),
    ({"memory_budget": 0}, ValueError, "memory_budget: .*0"),
    ({"memory_budget": "1GB"}, (TypeError, ValueError), "memory_budget: .*1GB"),
]
# What only an answer of the model can tell.
BAD_FOR_THIS_MODEL: list[tuple[dict[str, Any], type[Exception] | tuple[type[Exception], ...], str]] = [
    ({"image": IMAGE.half()}, TypeError, "image: .*float16"),
    ({"target": "dog"}, ValueError, "target: .*'dog'"),
    ({"target": 1.0}, TypeError, "target: .*1.0"),
    ({"target": True}, TypeError, "target: .*True"),
    ({"target": 4}, ValueError, "target: .*0 to 3, got 4"),
    ({"target": -1}, ValueError, "target: .*0 to 3, got -1"),
    ({"target": lambda z: z}, ValueError, r"target: .*\[.*4\]"),
    ({"target": lambda z: 0.5}, ValueError, "target: .*float"),
    ({"layer": "conv1", "unit": 6}, ValueError, "unit: .*0 to 5, got 6"),
    ({"layer": "conv1", "unit": -1}, ValueError, "unit: .*0 to 5, got -1"),
    ({"layer": "never"}, ValueError, "layer: .*'never'"),
    ({"image": normal((4, 20, 20), 0)}, (ValueError, RuntimeError), "channels"),
]


def label(number: int) -> str:
    """The last argument and its value."""
    name, value = [*(BAD + BAD_FOR_THIS_MODEL)[number][0].items()][-1]
    if isinstance(value, torch.Tensor | np.ndarray):
        value = f"{tuple(value.shape)} {value.dtype}"
    return f"{number} {name}={getattr(value, '__name__', value)}"


@pytest.mark.parametrize("method", ["auto", "incremental", "batched"])
@pytest.mark.parametrize("number", range(len(BAD) + len(BAD_FOR_THIS_MODEL)), ids=label)
def test_bad_input_is_named_before_work_is_done(number: int, method: str) -> None:
    arguments, error, message = (BAD + BAD_FOR_THIS_MODEL)[number]
    pictures = 0 if number < len(BAD) else 3
    model = Counting().eval()
    model.never = nn.ReLU()
    arguments = {"window": 4, "stride": 4, "method": method, "image": IMAGE, **arguments}
    with pytest.raises(error, match=message):
        zfcuda.occlusion_map(model, arguments.pop("image"), **arguments)
    assert model.pictures <= pictures


@pytest.mark.parametrize("method", ["auto", METHOD])
def test_models_that_are_no_classifiers(method: str, image: Tensor) -> None:
    def run(model: Any, picture: Tensor = image) -> None:
        zfcuda.occlusion_map(model, picture, window=6, method=method)

    with pytest.raises(TypeError, match="model: "):
        run(lambda x: x.flatten(1))
    with pytest.raises(ValueError, match=r"image: .*meta.*cpu" if image.device.type == "cpu" else "image: "):
        run(Plain().to("meta"))
    conv = {"c": nn.Conv2d(3, 4, 3)}
    for text, says in {
        "return self.c(x)": r"model: .*\[1, 4, 24, 29\]",
        "return self.c(x).mean((2, 3)), x": "model: .*tuple",
        "return {'out': self.c(x).mean((2, 3))}": "model: .*dict",
        "return self.c(x).mean()": "model: ",
        "return self.c(x).mean((2, 3)) / 0": "model: .*NaN",
    }.items():
        with pytest.raises(ValueError, match=says):
            run(Code(text, **conv).to(image.device).eval())
    pair = Code("y = self.p(x); return y[0]", p=Code("return x.mean((2, 3)), x")).eval()
    with pytest.raises(ValueError, match="layer: 'p'"):
        zfcuda.occlusion_map(pair, image, window=6, method=method, layer="p")


RANDOM_MODELS = {
    "dropout that stays on": "return self.f(F.dropout(self.c(x).relu().mean((2, 3)), 0.5, training=True))",
    "dropout of the map": "return self.f(F.dropout(self.c(x).relu(), 0.5, True).mean((2, 3)))",
    "noise on the picture": "return self.f(self.c(x + 0.1 * torch.randn_like(x)).relu().amax((2, 3)))",
    "noise on the answer": "y = self.f(self.c(x).mean((2, 3))); return y + 0.05 * torch.randn_like(y)",
    "a little noise": "y = self.f(self.c(x).mean((2, 3))); return y + 0.003 * torch.randn_like(y)",
    "a random shift": "s = torch.randint(1, 20, (1,)).item(); return self.f(self.c(x.roll(s, 3) + x).amax((2, 3)))",
    "random windows": "return self.f(F.fractional_max_pool2d(self.c(x), 2, output_size=(7, 7)).mean((2, 3)))",
}


@pytest.mark.parametrize("method", ["auto", METHOD])
@pytest.mark.parametrize("name", RANDOM_MODELS)
def test_random_models_are_refused(name: str, method: str, image: Tensor) -> None:
    model = Code(RANDOM_MODELS[name], c=nn.Conv2d(3, 8, 3), f=nn.Linear(8, 4)).to(image.device)
    randomise(model, 2)
    with pytest.raises((ValueError, RuntimeError), match=r"model: .*random"):
        zfcuda.occlusion_map(model, image, window=6, stride=5, method=method)


WRITERS = {
    "scaled": "x.mul_(0.5); return self.f(self.c(x).mean((2, 3)))",
    "normalised": "x -= 0.3; x /= 0.5; return self.f(self.c(x).mean((2, 3)))",
    "rectified": "return self.f(self.c(F.relu(x, inplace=True)).mean((2, 3)))",
    "rectified by a module": "return self.f(self.c(self.r(x)).mean((2, 3)))",
    "a channel": "x[:, 1] = 0; return self.f(self.c(x).mean((2, 3)))",
    "through a view": "x[:, :2].mul_(3); return self.f(self.c(x).mean((2, 3)))",
    "through a reshape": "y = x.view(x.size(0), -1); y.clamp_(max=0.5); return self.f(self.c(x).mean((2, 3)))",
    "read before": "y = self.c(x).mean((2, 3)); x.zero_(); return self.f(y)",
}


@pytest.mark.parametrize("form", ["batch", "picture", "channels_last"])
@pytest.mark.parametrize("name", WRITERS)
def test_models_that_write_to_the_picture(name: str, form: str, image: Tensor) -> None:
    model = Code(WRITERS[name], c=nn.Conv2d(3, 8, 3), f=nn.Linear(8, 4), r=nn.ReLU(inplace=True)).to(image.device)
    randomise(model, 2)
    if (name, form) == ("through a reshape", "channels_last"):
        pytest.skip("torch has no such view")
    image = image if form == "picture" else image[None]
    if form == "channels_last":
        image = image.contiguous(memory_format=torch.channels_last)
    before = image.clone()
    fill = normal(SIZE, 3).to(image.device)
    fill_before = fill.clone()
    for method in ("auto", METHOD):
        try:
            check(model, image, fill=fill, method=method)
        except (ValueError, RuntimeError) as error:
            assert "model: " in str(error) or "method: 'incremental'" in str(error)
        assert torch.equal(image, before), "the picture was written to"
        assert torch.equal(fill, fill_before)
