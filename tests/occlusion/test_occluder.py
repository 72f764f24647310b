"""Occluder: any rectangle, against the model itself on the covered image."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

import zfcuda
from tests.harness.random_networks import Case, cases
from tests.occlusion import small
from tests.occlusion.incremental.test_random_networks import EXAMPLES, RANDOM
from tests.occlusion.test_mapper import Residual
from zfcuda.models import efficientnet_lite0, resnet18
from zfcuda.network import evaluating
from zfcuda.occlusion.fill import Filling
from zfcuda.occlusion.incremental.single import SingleWindows

SIZE = (3, 41, 37)
# Anywhere, of one pixel, along each border, and everything.
PLACES = [(12, 9, 13, 7), (0, 0, 1, 1), (40, 36, 1, 1), (0, 5, 9, 9), (30, 30, 11, 7), (20, 0, 1, 37), (0, 0, 41, 37)]


def a_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = Residual()
    model.bn2.running_mean.uniform_(-1, 1)
    model.bn2.running_var.uniform_(0.5, 2)
    return model.eval()


def a_residual() -> nn.Module:
    """The first blocks of a residual network, and what follows its last."""
    torch.manual_seed(0)
    network = resnet18()
    return nn.Sequential(*list(network.children())[:6], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 9))


def an_image(seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(seed)).to(dtype)


def expected(model: Callable[[Tensor], Any], image: Tensor, place: tuple[int, ...], fill: Any = 0.0) -> Tensor:
    """The model's own answer."""
    top, left, height, width = place
    covered = image.clone()
    with_what = Filling(fill, image, (height, width)).of(image)
    covered[:, top : top + height, left : left + width] = with_what[:, top : top + height, left : left + width]
    with torch.no_grad():
        return model(covered[None])[0].float()


def close(found: Tensor, wanted: Tensor, dtype: torch.dtype = torch.float32) -> None:
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-6}.get(dtype, torch.finfo(dtype).eps * 8)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * float(wanted.abs().max()) + 1e-12)


def test_any_rectangle_is_answered_as_the_model_does() -> None:
    model, image = a_model(), an_image()
    occluder = zfcuda.Occluder(model, image)
    assert (occluder.method, occluder.size) == ("incremental", SIZE[1:])
    close(occluder.base_logits, model(image[None])[0].detach())
    for place in PLACES:
        found = occluder(*place)
        assert found.shape == (10,)
        close(found, expected(model, image, place))


def test_several_at_once_are_answers_of_their_own() -> None:
    model, image = a_model(), an_image()
    occluder = zfcuda.Occluder(model, image)
    wanted = torch.stack([expected(model, image, place) for place in PLACES])
    columns = list(map(list, zip(*PLACES, strict=True)))
    close(occluder(*columns), wanted)
    close(occluder(*map(torch.tensor, columns)), wanted)
    close(occluder(*(3 * column for column in columns)), wanted.repeat(3, 1))  # so many run together
    close(occluder([3, 5], 2, 4, (6, 7)), torch.stack([occluder(3, 2, 4, 6), occluder(5, 2, 4, 7)]))
    assert occluder([], 2, 4, []).shape == (0, 10)
    assert occluder([3], 2, 4, 6).shape == (1, 10)


class Cropped(nn.Module):
    """A network that does not see the border, with a pointwise layer that only its own call computes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate, self.linear = nn.Conv2d(3, 6, 3), nn.Mish(), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.gate(self.conv(x[:, :, 2:-2, 2:-2])).mean((2, 3)))


def test_a_rectangle_that_no_layer_sees_changes_nothing() -> None:
    torch.manual_seed(0)
    model, image = Cropped().eval(), an_image()
    occluder = zfcuda.Occluder(model, image)
    assert occluder.method == "incremental"
    torch.testing.assert_close(occluder(0, 0, 2, 37), occluder.base_logits)
    torch.testing.assert_close(occluder(10, 10, 5, 5), expected(model, image, (10, 10, 5, 5)))


def test_where_the_engine_fails_at_a_rectangle_the_model_answers() -> None:
    """The last window of this pooling reaches beyond the map."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 7, 3, padding=1), nn.MaxPool2d(3, 3, ceil_mode=True), nn.Conv2d(7, 5, 2)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    image = an_image()[:, :25, :36]
    occluder = zfcuda.Occluder(model, image)
    for place in ((20, 10, 5, 8), (2, 3, 5, 8)):
        torch.testing.assert_close(occluder(*place), expected(model, image, place))


@pytest.mark.parametrize(
    "fill",
    [0.5, (0.1, -2.0, 3.0), torch.linspace(-1, 1, 3 * 41 * 37).view(SIZE), "mean", "blur", "noise"],
    ids=["number", "channels", "tensor", "mean", "blur", "noise"],
)
def test_fills(fill: Any) -> None:
    model, image = a_model(), an_image()
    occluder = zfcuda.Occluder(model, image, fill=fill)
    for place in PLACES:
        close(occluder(*place), expected(model, image, place, fill))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_dtypes(dtype: torch.dtype) -> None:
    model, image = a_model(), an_image(dtype=dtype)
    if dtype != torch.float64:
        model.norm1 = nn.Identity()  # torch's has no such dtype
    model.to(dtype)
    occluder = zfcuda.Occluder(model, image)
    for place in PLACES:
        close(occluder(*place), expected(model, image, place), dtype)


def test_channels_last_and_training_mode_are_left() -> None:
    model, image = a_model().to(memory_format=torch.channels_last), an_image()  # type: ignore[call-overload]
    wanted = [expected(model, image, place) for place in PLACES]
    model.train()
    mean = model.bn2.running_mean.clone()
    occluder = zfcuda.Occluder(model, image)
    for place, answer in zip(PLACES, wanted, strict=True):
        close(occluder(*place), answer)
    assert all(module.training for module in model.modules())
    assert torch.equal(model.bn2.running_mean, mean)


def test_the_caller_may_write_to_the_image_and_to_the_answers() -> None:
    model, image = a_model(), an_image()
    fill = torch.zeros(3, 1, 1)
    occluder = zfcuda.Occluder(model, image, fill=fill)
    wanted = expected(model, image, PLACES[0])
    image.fill_(7)
    fill.fill_(9)
    occluder.base_logits.zero_()
    occluder(*PLACES[0]).zero_()
    close(occluder(*PLACES[0]), wanted)
    assert occluder.base_logits.abs().max() > 0


def _learns(model: Any) -> None:
    with torch.no_grad():
        model.conv3.weight.mul_(1.5)


def _gets_another_tensor(model: Any) -> None:
    model.fc.weight = nn.Parameter(-model.fc.weight.detach())


def _counts(model: Any) -> None:
    model.bn2.running_var.add_(1)


def _gets_another_layer(model: Any) -> None:
    model.pool2 = nn.MaxPool2d(2, 2, 1)


def _gets_another_setting(model: Any) -> None:
    model.norm1.alpha = 2.0


def _gets_a_hook(model: Any) -> None:
    model.conv3.register_forward_hook(lambda module, inputs, output: 2 * output)


@pytest.mark.parametrize(
    "change", [_learns, _gets_another_tensor, _counts, _gets_another_layer, _gets_another_setting, _gets_a_hook]
)
def test_a_model_that_changes_is_answered_for_as_it_is(change: Callable[[Any], None]) -> None:
    model, image = a_model(), an_image()
    occluder = zfcuda.Occluder(model, image)
    before = occluder(*PLACES[0])
    change(model)
    wanted = expected(model, image, PLACES[0])
    assert (before - wanted).abs().max() > 1e-3
    close(occluder(*PLACES[0]), wanted)
    close(occluder.base_logits, model(image[None])[0].detach())
    assert occluder.method == ("batched" if change is _gets_a_hook else "incremental")


class Mobile(nn.Module):
    """Layers of small networks for telephones, each with a short form for one window; padding is a step of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.around = dict.fromkeys(("conv1", "depthwise", "far"), 0.0)
        self.conv1 = nn.Conv2d(3, 16, 3, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu1 = nn.ReLU6(inplace=True)
        self.depthwise = nn.Conv2d(16, 16, 5, 2, groups=16)
        self.relu2 = nn.ReLU6()
        self.even = nn.Conv2d(16, 24, 4, padding="same")
        self.far = nn.Conv2d(24, 20, 3)
        self.dilated = nn.Conv2d(20, 20, 3, padding=2, dilation=2)
        self.act = nn.Hardswish()
        self.winograd = nn.Conv2d(20, 20, 3, padding=1)
        self.norm = nn.LocalResponseNorm(3, 0.2)
        self.average = nn.AvgPool2d(3, 2, 1)
        self.odd = nn.AvgPool2d(2, 2, 1, count_include_pad=False)
        self.same = nn.AdaptiveAvgPool2d((4, 3))
        self.fc = nn.Linear(20, 12)
        self.head = nn.Linear(20 * 4 * 3, 12)
        self.last = nn.Linear(12, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(F.pad(x, (0, 1, 0, 1), value=self.around["conv1"]))))
        x = self.relu2(self.depthwise(F.pad(x, (1, 2, 1, 2), value=self.around["depthwise"])))
        x = self.act(self.dilated(self.far(F.pad(self.even(x), (0, 3, 0, 3), value=self.around["far"]))))
        x = torch.relu(self.winograd(x) + x)
        x = self.odd(self.average(self.norm(x)))
        y = torch.relu(self.fc(x.mean((2, 3)))) + torch.sigmoid(self.head(self.same(x).flatten(1)))
        return self.last(y)


@pytest.mark.parametrize("layers", [[], ["far"], ["conv1", "depthwise"]], ids=str)
def test_layers_with_a_short_form(layers: list[str]) -> None:
    """layers: whose padding is no zeros, so that it stays a step."""
    torch.manual_seed(1)
    model, image = Mobile().eval(), an_image()
    model.bn1.running_mean.uniform_(-1, 1)
    model.around.update(dict.fromkeys(layers, 0.5))
    occluder = zfcuda.Occluder(model, image, fill=0.3)
    assert occluder.method == "incremental", occluder.reason
    for place in [*PLACES, (7, 3, 2, 2), (1, 30, 25, 6)]:
        close(occluder(*place), expected(model, image, place, 0.3))


def test_no_detour_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks that are timed have steps with short forms alone."""
    monkeypatch.setattr(SingleWindows, "_as_chunk", lambda self, step: pytest.fail(f"{step} has no short form"))
    networks: list[tuple[nn.Module, int]] = [(zfcuda.models.load_demo(), 224), (efficientnet_lite0(), 64)]
    for network, side in [*networks, (a_residual(), 64)]:
        image = torch.randn(3, side, side, generator=torch.Generator().manual_seed(0))
        occluder = zfcuda.Occluder(network.eval(), image)
        assert occluder.method == "incremental"
        close(occluder(20, 10, 16, 24), expected(network, image, (20, 10, 16, 24)))


@pytest.mark.parametrize("value", [1e30, 3e38])
def test_outliers_in_the_image_and_in_the_fill(value: float) -> None:
    model, image = a_model(), an_image()
    far = image.clone()
    far[1, 20, 20] = value
    for picture, fill in ((far, 0.0), (image, value)):
        try:
            occluder = zfcuda.Occluder(model, picture, fill=fill)
        except ValueError as error:
            assert "holds NaN or infinity" in str(error)
            continue
        for place in PLACES:
            wanted = expected(model, picture, place, fill)
            if wanted.isfinite().all():
                close(occluder(*place), wanted)


def test_a_prepared_occluder_does_not_run_the_model_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = a_model(), an_image()
    occluder = zfcuda.Occluder(model, image)
    monkeypatch.setattr(Residual, "forward", lambda self, x: pytest.fail("the model is run"))
    occluder(*PLACES[0])


class Coupled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv(x) - self.conv(x).mean(0)).sum((2, 3)) + x.amax((0, 2, 3))[[0, 1, 2, 0]]


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 41 * 37, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


@pytest.mark.parametrize("kind", [Coupled, Flat])
def test_what_the_engine_cannot_do_the_model_does_itself(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model, image = kind().eval(), an_image()
    occluder = zfcuda.Occluder(model, image)
    assert occluder.method == "batched" and occluder.reason.startswith(("every window", "the images"))
    for place in PLACES[:3]:
        close(occluder(*place), expected(model, image, place))
    close(occluder([1, 2], 3, 4, 5), torch.stack([occluder(1, 3, 4, 5), occluder(2, 3, 4, 5)]))


class Counting(Flat):
    def forward(self, x: Tensor) -> Tensor:
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(x)


def test_what_a_forward_counts_by_itself_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Counting().eval()
    occluder = zfcuda.Occluder(model, an_image())
    assert occluder.method == "batched"
    occluder(1, 2, 3, 4)
    monkeypatch.setattr(zfcuda.Occluder, "_prepare", lambda self: pytest.fail("prepared anew"))
    occluder(1, 2, 3, 4)
    model(an_image()[None])
    with pytest.raises(pytest.fail.Exception):  # somebody else's call may have changed anything
        occluder(1, 2, 3, 4)


def test_a_picture_is_preprocessed() -> None:
    model = small.a_model()
    preprocess = small.with_preprocess(model)
    picture = Image.effect_noise((30, 22), 80).convert("RGB")
    close(zfcuda.Occluder(model, picture).base_logits, model(preprocess(picture)).detach()[0])


def test_output() -> None:
    model, image = a_model(), an_image()
    occluder = zfcuda.Occluder(model, image, output=lambda answer: answer.softmax(1))
    close(occluder(*PLACES[0]), expected(model, image, PLACES[0]).softmax(0))
    assert occluder.method == "incremental"


class Random(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) + torch.rand(3)


def test_bad_models() -> None:
    with pytest.raises(TypeError, match=r"model: expected a torch.nn.Module, got function"):
        zfcuda.Occluder(lambda x: x, an_image())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"model: .*random"):
        zfcuda.Occluder(Random(), an_image())
    model = a_model()
    model.fc.bias.data[0] = torch.nan
    with pytest.raises(ValueError, match="model: its output for the whole image holds NaN or infinity"):
        zfcuda.Occluder(model, an_image())
    with pytest.raises(ValueError, match="fill: "):
        zfcuda.Occluder(a_model(), an_image(), fill="grey")


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ((-1, 0, 2, 2), "top: expected 0 to 40, got -1"),
        ((41, 0, 1, 1), "top: expected 0 to 40, got 41"),
        ((0, 37, 1, 1), "left: expected 0 to 36, got 37"),
        ((40, 0, 2, 1), "height: expected 1 to 1 from top 40 on, got 2"),
        ((0, 0, 0, 1), "height: expected 1 to 41 from top 0 on, got 0"),
        ((0, 30, 1, 8), "width: expected 1 to 7 from left 30 on, got 8"),
        ((0, 0, [1, 42], 1), "height: expected 1 to 41 from top 0 on, got 42"),
        (([0, 1], 0, [1, 1, 1], 1), "top: expected sequences of equal length, got 2 of top, 3 of height"),
        ((torch.zeros(1, 1, dtype=torch.int64), 0, 1, 1), r"top: expected .*shape \[1, 1\]"),
    ],
)
def test_bad_places(place: tuple[Any, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        zfcuda.Occluder(a_model(), an_image())(*place)


@pytest.mark.parametrize("value", [1.0, "3", None, True, [1, 2.5], torch.tensor([1.0])], ids=repr)
def test_places_are_integers(value: Any) -> None:
    with pytest.raises(TypeError, match=r"width: expected .*integer"):
        zfcuda.Occluder(a_model(), an_image())(0, 0, 1, value)


def test_threads_take_turns() -> None:
    model, image = a_model(), an_image()
    occluder = zfcuda.Occluder(model, image)
    wanted = [expected(model, image, place) for place in PLACES]
    wrong: list[Any] = []

    def ask(first: int) -> None:
        for i in range(first, first + 3 * len(PLACES)):
            place = i % len(PLACES)
            if not torch.allclose(occluder(*PLACES[place]), wanted[place], rtol=0, atol=1e-4):
                wrong.append(place)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@settings(max_examples=EXAMPLES or 40, **RANDOM)
@given(
    case=cases(foreign=True),
    where=st.lists(st.tuples(*[st.floats(0, 1, exclude_max=True)] * 4), min_size=3, max_size=3),
)
def test_random_networks(case: Case, where: list[tuple[float, ...]]) -> None:
    model, image = case.model, case.image
    occluder = zfcuda.Occluder(model, image, fill=case.fill)
    rows, columns = occluder.size
    places: list[tuple[int, int, int, int]] = []
    with evaluating(model):
        for y, x, h, w in where:
            top, left = int(y * rows), int(x * columns)
            places.append((top, left, 1 + int(h * (rows - top)), 1 + int(w * (columns - left))))
        wanted = torch.stack([expected(model, image, place, case.fill) for place in places])
    tolerance = 1e-4 * float(torch.cat([wanted, occluder.base_logits[None]]).abs().max()) + 1e-6
    found = torch.stack([occluder(*place) for place in places])
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance)
    together = occluder(*([place[i] for place in places] * 3 for i in range(4)))
    torch.testing.assert_close(together, wanted.repeat(3, 1), rtol=0, atol=tolerance)
