"""Fully connected layers as convolutions: a map of scores against crop after crop."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
import zfcuda.network
from benchmarks import convolutionize as benchmark
from zfcuda import models
from zfcuda.models.architectures.convolutionize import ScoreMap, convolutionize
from zfcuda.models.architectures.local import LocallyConnected2d
from zfcuda.models.architectures.pattern import from_pattern


def crops(model: nn.Module, image: Tensor, window: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """The model on every crop: [N,classes,h,w]."""
    tops = range(0, image.shape[2] - window[0] + 1, stride[0])
    lefts = range(0, image.shape[3] - window[1] + 1, stride[1])
    model = model.eval()
    with torch.no_grad():
        rows = [
            torch.stack([model(image[:, :, y : y + window[0], x : x + window[1]]) for x in lefts], -1) for y in tops
        ]
    return torch.stack(rows, 2)


def check(model: nn.Module, size: tuple[int, int, int], larger: tuple[int, int], exact: bool = True) -> ScoreMap:
    """Asserts that every score is that of its crop; where not `exact`, on an image of the model's own size alone."""
    sliding = convolutionize(model, size)
    assert sliding.exact is exact and sliding.window == size[1:]
    image = torch.randn(2, size[0], *(larger if exact else size[1:]), dtype=next(model.parameters()).dtype)
    with torch.no_grad():
        scores = sliding(image)
    expected = crops(model, image, size[1:], sliding.stride)
    assert expected.std() > 1e-3  # there is something to compare
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)
    return sliding


# ---------------------------------------------------------------- equal to cropping


def test_without_padding_it_is_every_crop() -> None:
    model = from_pattern(
        "conv8/7s2p0 relu pool/3s2 lrn conv12/3p0 relu pool fc20 relu dropout fc5", (3, 49, 49), round="down"
    )
    sliding = check(model, (3, 49, 49), (81, 73))
    assert sliding.stride == (8, 8)
    names = [name for name, _ in model.named_parameters()]
    assert [name for name, _ in sliding.named_parameters()] == names  # under the names that they had
    assert isinstance(sliding.fc3, nn.Conv2d) and sliding.fc3.kernel_size == (4, 4)
    assert isinstance(sliding.fc4, nn.Conv2d) and sliding.fc4.kernel_size == (1, 1)


def test_a_picture_that_no_stride_divides() -> None:
    model = from_pattern("conv4/3p0 relu pool fc6", (1, 10, 14), round="down")
    sliding = convolutionize(model, (1, 10, 14))
    image = torch.randn(1, 1, 23, 31)
    expected = crops(model, image, (10, 14), (2, 2))
    with torch.no_grad():
        torch.testing.assert_close(sliding(image)[:, :, : expected.shape[2], : expected.shape[3]], expected)


def test_padding_sees_what_lies_around() -> None:
    """Scores are equal on an image of the model's size; elsewhere neighbours take the place of the crop's zeros."""
    model = from_pattern("[conv6 relu pool]*2 fc12 relu fc3", (3, 16, 16))
    sliding = check(model, (3, 16, 16), (32, 32), exact=False)
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert sliding(image).shape == (1, 3, 5, 5)
        assert not torch.allclose(sliding(image), crops(model, image, (16, 16), (4, 4)), atol=1e-3)


def test_with_padding_a_score_is_a_function_of_its_receptive_field() -> None:
    """That field is larger than the crop, and the function the same at every place away from the border."""
    model = from_pattern("[conv6 relu pool]*2 fc12 relu fc3", (3, 16, 16))
    sliding = convolutionize(model, (3, 16, 16))
    field = zfcuda.network.receptive_field(sliding, "fc4", (3, 48, 48))
    assert field.size == (22, 22) and field.stride == (4, 4)
    image = torch.randn(1, 3, 48, 48)
    with torch.no_grad():
        scores, shifted = sliding(image), sliding(image[:, :, 4:, 8:])
    # A unit sees 3 pixels more than its crop on every side: the first one away from the border is the second.
    torch.testing.assert_close(scores[:, :, 2:-1, 3:-1], shifted[:, :, 1:-1, 1:-1])
    assert not torch.allclose(scores[:, :, 1, 3:-1], shifted[:, :, 0, 1:-1], atol=1e-3)


def test_padding_of_the_first_layer_is_padding_of_the_picture() -> None:
    """There it can be said what the scores are: those of the crops, two pixels wider, of the padded image."""
    model = from_pattern("conv6/5p2 relu pool fc3", (3, 16, 16))
    unpadded = copy.deepcopy(model)
    unpadded.conv1_1.padding = (0, 0)
    image = torch.randn(1, 3, 24, 20)
    with torch.no_grad():
        scores = convolutionize(model, (3, 16, 16))(image)
    torch.testing.assert_close(scores, crops(unpadded, F.pad(image, (2, 2, 2, 2)), (20, 20), (2, 2)))


def test_the_notes_example() -> None:
    """VGG on 384x384 has maps of 12x12 before its fully connected layers, and 6x6 scores."""
    model = from_pattern("[conv2 relu pool]*5 fc8 relu fc8 relu fc10", (3, 224, 224))
    sliding = convolutionize(model, (3, 224, 224))
    with torch.no_grad():
        assert sliding(torch.zeros(1, 3, 384, 384)).shape == (1, 10, 6, 6)
    assert sliding.stride == (32, 32)
    shapes = {row.name: row.output_shape for row in models.summary(sliding, (3, 384, 384))}
    assert shapes["pool5"] == (2, 12, 12) and shapes["fc6"] == (8, 6, 6)


def test_ceil_mode_counts_as_padding_where_it_reaches_over() -> None:
    model = from_pattern("conv4/3p0 relu pool/3s2 fc3", (1, 16, 16), round="up")
    assert not convolutionize(model, (1, 16, 16)).exact  # 14 -> 7, of which the last window is cut
    check(from_pattern("conv4/3p0 relu pool/3s2 fc3", (1, 17, 17), round="up"), (1, 17, 17), (23, 27))


# ---------------------------------------------------------------- kinds of network


class AlexNetLike(nn.Module):
    """Adaptive pooling, functional flattening, a classifier that starts with dropout."""

    def __init__(self, pooled: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 5, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2))
        self.avgpool = nn.AdaptiveAvgPool2d(pooled)
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(6 * pooled**2, 9), nn.BatchNorm1d(9), nn.ReLU(inplace=True), nn.Linear(9, 4)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return torch.softmax(self.classifier(torch.flatten(x, 1)), -1)


@pytest.mark.parametrize("pooled", [6, 3, 2, 1])
def test_adaptive_pooling(pooled: int) -> None:
    """27x27 -> 6x6 maps; those pooled to 3x3 slide with filters whose taps lie two apart."""
    model = AlexNetLike(pooled).double()
    norm = model.classifier[2]
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    sliding = check(model, (3, 29, 29), (49, 41))
    assert sliding.stride == (4, 4)
    assert sliding.classifier.get_submodule("1").dilation == ((6 // pooled,) * 2 if pooled > 1 else (1, 1))


class Residual(nn.Module):
    """Sums, concatenation, a slice, a view, the mean of a function, two scores put side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8)
        self.conv2, self.conv3 = nn.Conv2d(8, 8, 1), nn.Conv2d(4, 8, 1)
        self.fc, self.other = nn.Linear(16, 3), nn.Linear(16, 2)
        self.scale = nn.Parameter(torch.rand(1, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        y = self.conv2(x) * self.scale
        y += x
        x = torch.cat([y, self.conv3(x[:, 4:])], 1)
        x = x.mean((2, 3)).view(x.size(0), -1)
        return torch.cat([self.fc(x), torch.sigmoid(self.other(x)) / 2], dim=-1)


def test_residual_networks() -> None:
    sliding = check(Residual(), (3, 15, 15), (23, 21))
    assert sliding.stride == (2, 2)
    check(nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), (1, 9, 9), (12, 14))


def test_the_networks_of_the_package() -> None:
    model = models.zfnet(7, width=0.05)
    for p in model.parameters():
        if p.dim() > 1:
            nn.init.kaiming_normal_(p)
    sliding = check(model, (3, 224, 224), (256, 256), exact=False)
    assert sliding.stride == (32, 32)


# ---------------------------------------------------------------- it is a network like any other


def test_it_is_a_module_like_any_other() -> None:
    model = from_pattern("conv6/3p0 relu pool fc12 relu fc3", (3, 14, 14))
    sliding = convolutionize(model, (3, 14, 14))
    twin = copy.deepcopy(sliding)
    assert twin.window == (14, 14) and twin.stride == (2, 2) and twin.exact
    image = torch.randn(1, 3, 20, 20)
    assert zfcuda.project(sliding, image, "fc3").shape == (1, 3, 20, 20)
    assert models.summary(sliding, (3, 20, 20)).parameters == sum(p.numel() for p in model.parameters())
    sliding(image).square().sum().backward()
    assert sliding.fc2.weight.grad is not None


def test_the_model_is_left_alone() -> None:
    model = from_pattern("conv6/3p0 relu pool fc12 relu fc3", (3, 14, 14)).train()
    called: list[Any] = []
    model.fc2.register_forward_hook(lambda *_: called.append(1))
    model.conv1_1.weight.requires_grad_(False)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    sliding = convolutionize(model, (3, 14, 14))
    with torch.no_grad():
        for p in sliding.parameters():
            p.fill_(0)
        sliding(torch.zeros(1, 3, 20, 20))
    assert not called and model.training and not sliding.training
    assert not sliding.conv1_1.weight.requires_grad and sliding.fc2.weight.requires_grad
    assert isinstance(model.fc2, nn.Linear)
    for name, x in model.state_dict().items():
        assert torch.equal(x, before[name])


def test_the_benchmark_verifies_before_it_times(monkeypatch: pytest.MonkeyPatch) -> None:
    small = from_pattern("conv4/3p0 relu pool fc3", (3, 16, 16))
    monkeypatch.setattr(benchmark, "CASES", {"small": (lambda: small, 16, 26)})
    (row,) = benchmark.run(["small"], torch.device("cpu"), repeats=2, warmup=0)
    assert row["scores"] == (6, 6) and row["exact"] and row["deviation"] < 1e-4
    assert set(row["seconds"]) == {"sliding", "crops"} and row["speed_up"] > 0

    def other(*arguments: Any) -> ScoreMap:
        sliding = convolutionize(*arguments)
        with torch.no_grad():
            sliding.fc2.bias.add_(1)
        return sliding

    monkeypatch.setattr(benchmark, "convolutionize", other)
    with pytest.raises(AssertionError, match="standard deviations"):
        list(benchmark.run(["small"], torch.device("cpu"), repeats=1, warmup=0))


# ---------------------------------------------------------------- what cannot slide


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]
        return self.fc(x.mean((2, 3)))


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) if x.sum() > 0 else -x.flatten(1)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (AlexNetLike(4), r"'avgpool' \(AdaptiveAvgPool2d\) cannot slide.*from \(6, 6\) to \(4, 4\)"),
        (Attention(), "cannot slide"),
        (
            nn.Sequential(OrderedDict(norm=nn.GroupNorm(1, 3), f=nn.Flatten(), fc=nn.Linear(2523, 2))),
            "'norm' .GroupNorm",
        ),
        (
            nn.Sequential(LocallyConnected2d(3, 2, 29, 3), nn.Flatten(), nn.Linear(2 * 27**2, 2)),
            "unfold in the model's forward.*cannot slide",
        ),
        (nn.Sequential(nn.Conv2d(3, 2, 3)), r"output \[N,classes\].*\[2, 2, 27, 27\]"),
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()), r"output \[N,classes\]"),
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Linear(27, 2)), "'1' .Linear. cannot slide.*columns"),
        (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2523), nn.Linear(2523, 2)), "'1' .BatchNorm1d. cannot slide"),
        (Branching(), "model: Branching cannot be recorded"),
        (nn.Sequential(nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(2, 2)), "input_size: the network cannot take"),
    ],
    ids=lambda x: None if isinstance(x, str) else type(x).__name__,
)
def test_refuses(model: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convolutionize(model, (3, 29, 29))


def test_refuses_arguments() -> None:
    with pytest.raises(TypeError, match=r"model: .*str"):
        convolutionize("vgg16", (3, 224, 224))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="input_size: "):
        convolutionize(nn.Flatten(), (224, 224))
