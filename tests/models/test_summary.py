"""The table of a network against the tables that its authors and the CS231n notes give, and memory against torch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.memory import measured_peak
from zfcuda import models
from zfcuda.models.accounts.memory import largest_batch, memory_need
from zfcuda.models.architectures.local import LocallyConnected2d
from zfcuda.models.architectures.pattern import from_pattern

# ---------------------------------------------------------------- VGG16, row by row
# The CS231n notes ("Case Studies", VGGNet in detail): map, its numbers, weights without biases. The notes end with
# "TOTAL memory: 24M * 4 bytes ~= 93MB / image (only forward! ~*2 for bwd)" and "TOTAL params: 138M parameters". The
# second is the sum of its column. The first is not: the rows, the picture among them, add up to 15.2 M numbers, 61 MB.

VGG16 = [
    ("conv1_1", (64, 224, 224), 3 * 3 * 3 * 64),
    ("conv1_2", (64, 224, 224), 3 * 3 * 64 * 64),
    ("pool1", (64, 112, 112), 0),
    ("conv2_1", (128, 112, 112), 3 * 3 * 64 * 128),
    ("conv2_2", (128, 112, 112), 3 * 3 * 128 * 128),
    ("pool2", (128, 56, 56), 0),
    ("conv3_1", (256, 56, 56), 3 * 3 * 128 * 256),
    ("conv3_2", (256, 56, 56), 3 * 3 * 256 * 256),
    ("conv3_3", (256, 56, 56), 3 * 3 * 256 * 256),
    ("pool3", (256, 28, 28), 0),
    ("conv4_1", (512, 28, 28), 3 * 3 * 256 * 512),
    ("conv4_2", (512, 28, 28), 3 * 3 * 512 * 512),
    ("conv4_3", (512, 28, 28), 3 * 3 * 512 * 512),
    ("pool4", (512, 14, 14), 0),
    ("conv5_1", (512, 14, 14), 3 * 3 * 512 * 512),
    ("conv5_2", (512, 14, 14), 3 * 3 * 512 * 512),
    ("conv5_3", (512, 14, 14), 3 * 3 * 512 * 512),
    ("pool5", (512, 7, 7), 0),
    ("fc6", (4096,), 7 * 7 * 512 * 4096),
    ("fc7", (4096,), 4096 * 4096),
    ("fc8", (1000,), 4096 * 1000),
]
# As the notes print them, in millions of weights and thousands of numbers.
NOTES_WEIGHTS = [
    1_728,
    36_864,
    0,
    73_728,
    147_456,
    0,
    294_912,
    589_824,
    589_824,
    0,
    1_179_648,
    2_359_296,
    2_359_296,
    0,
    2_359_296,
    2_359_296,
    2_359_296,
    0,
    102_760_448,
    16_777_216,
    4_096_000,
]
NOTES_THOUSANDS = [3200, 3200, 800, 1600, 1600, 400, 800, 800, 800, 200, 400, 400, 400, 100, 100, 100, 100, 25, 4, 4, 1]


@pytest.fixture(scope="module")
def vgg16() -> nn.Sequential:
    text = "[[conv64 relu]*2 pool] [[conv128 relu]*2 pool] [[conv256 relu]*3 pool] [[conv512 relu]*3 pool]*2"
    with torch.device("meta"):
        network = from_pattern(f"{text} [fc4096 relu dropout]*2 fc1000", (3, 224, 224))
    for module in network:
        if isinstance(module, nn.ReLU):
            module.inplace = True  # as in the notes, which have no row for it
    return network.to_empty(device="cpu")


def test_vgg16_is_the_notes_table(vgg16: nn.Sequential) -> None:
    table = models.summary(vgg16, (3, 224, 224))
    rows = [row for row in table if row.kind in ("Conv2d", "MaxPool2d", "Linear")]
    assert [(row.name, row.output_shape) for row in rows] == [(name, shape) for name, shape, _ in VGG16]
    for row, (_, shape, weights), printed, thousands in zip(rows, VGG16, NOTES_WEIGHTS, NOTES_THOUSANDS, strict=True):
        assert weights == printed
        biases = shape[0] if weights else 0
        assert row.parameters == weights + biases
        assert row.own_bytes == row.activation_bytes == 4 * torch.Size(shape).numel()
        assert row.own_bytes / 4000 == pytest.approx(thousands, rel=0.05)
    assert all(row.own_bytes == 0 for row in table if row not in rows)  # ReLU in place, flattening, dropout
    assert table.parameters == 138_357_544
    assert table.forward_bytes == 4 * 15_237_608  # 15.2 M numbers, 61 MB: what the rows of the notes really add up to
    assert table.training_bytes == 2 * table.forward_bytes + 3 * 4 * 138_357_544
    assert table.multiply_adds == 15_470_264_320
    assert rows[-4].receptive_field == (212, 32)
    assert "138,357,544" in str(table) and "58.13 MiB" in str(table) and "in place" in str(table)


# ---------------------------------------------------------------- AlexNet, ZFNet


def test_alexnet_is_the_papers() -> None:
    """The one-tower form, on 227x227: (227 - 11) / 4 + 1 = 55. The notes count 35K parameters in its first layer."""
    network = from_pattern(
        "conv96/11s4p0 relu pool/3s2 lrn conv256/5 relu pool/3s2 lrn [conv384 relu]*2 conv256 relu pool/3s2"
        " [fc4096 relu dropout]*2 fc1000",
        (3, 227, 227),
    )
    table = {row.name: row for row in models.summary(network, (3, 227, 227))}
    shapes = {
        "conv1_1": (96, 55, 55),
        "pool1": (96, 27, 27),
        "norm1": (96, 27, 27),
        "conv2_1": (256, 27, 27),
        "pool2": (256, 13, 13),
        "conv3_1": (384, 13, 13),
        "conv3_2": (384, 13, 13),
        "conv3_3": (256, 13, 13),
        "pool3": (256, 6, 6),
        "flatten": (9216,),
        "fc4": (4096,),
        "fc5": (4096,),
        "fc6": (1000,),
    }
    assert {name: table[name].output_shape for name in shapes} == shapes
    assert table["conv1_1"].parameters == 34_944  # 11 * 11 * 3 * 96 = 34,848, and 96 biases
    assert table["conv1_1"].multiply_adds == 105_415_200
    assert table["fc4"].parameters == 37_752_832
    assert table["conv1_1"].receptive_field == (11, 4)


def test_zfnet_is_the_papers() -> None:
    table = models.summary(models.zfnet(), (3, 224, 224))
    assert table.parameters == 62_357_608
    own = {row.name: row.own_bytes for row in table}
    assert own["flatten"] == own["drop6"] == 0 and own["relu1"] == own["conv1"] == 4 * 96 * 110 * 110
    assert table.forward_bytes == 4 * (3 * 224 * 224) + sum(own.values())


def test_three_layers_of_3x3_see_what_one_of_7x7_sees() -> None:
    """The notes, "Prefer a stack of small filter CONV": 3 x (C x 3 x 3 x C) = 27 C^2 weights, not C x 7 x 7 x C."""
    c = 10
    three = models.summary(from_pattern(f"[conv{c} relu]*3", (c, 32, 32)), (c, 32, 32))
    one = models.summary(from_pattern(f"conv{c}/7", (c, 32, 32)), (c, 32, 32))
    last = [row for row in three if row.kind == "Conv2d"][-1]
    assert last.receptive_field == one[0].receptive_field == (7, 1)
    assert last.output_shape == one[0].output_shape
    assert three.parameters == 27 * c**2 + 3 * c
    assert one.parameters == 49 * c**2 + c
    assert three.multiply_adds * 49 == one.multiply_adds * 27


# ---------------------------------------------------------------- any network


def test_shared_and_stray_parameters_count_once() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.never = nn.Conv2d(2, 2, 3, padding=1), nn.Linear(5, 5)
            self.token = nn.Parameter(torch.zeros(7))

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(x)) + self.token.sum()

    table = models.summary(Net(), (2, 8, 8))
    assert [row.parameters for row in table] == [38, 0]
    assert table.other_parameters == 30 + 7 and table.parameters == 75
    assert "in no layer that ran" in str(table)


def test_locally_connected_layers_count_each_place() -> None:
    layer = LocallyConnected2d(3, 4, (9, 8), (3, 2), stride=2)
    row = models.summary(layer, (3, 9, 8))[0]
    assert row.output_shape == (4, 4, 4)
    assert row.parameters == 4 * 4 * 4 * (3 * 3 * 2 + 1)
    assert row.multiply_adds == 4 * 4 * 4 * (3 * 3 * 2)  # those of a convolution


def test_half_precision_is_half_the_memory() -> None:
    network = from_pattern("conv4 relu pool fc3", (1, 8, 8))
    full, half = (models.summary(network.to(dtype), (1, 8, 8)) for dtype in (torch.float32, torch.bfloat16))
    assert full.forward_bytes == 2 * half.forward_bytes and full.training_bytes == 2 * half.training_bytes


# ---------------------------------------------------------------- locally connected layers


def test_a_locally_connected_layer_with_equal_filters_is_a_convolution() -> None:
    layer = LocallyConnected2d(3, 5, (7, 9), (3, 2), stride=(2, 1), padding=(1, 0)).double()
    filters = torch.randn(5, 3, 3, 2, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(filters.expand_as(layer.weight))
        layer.bias.copy_(torch.arange(5.0)[:, None, None].expand_as(layer.bias))
    x = torch.randn(2, 3, 7, 9, dtype=torch.float64)
    expected = F.conv2d(x, filters, torch.arange(5.0, dtype=torch.float64), (2, 1), (1, 0))
    torch.testing.assert_close(layer(x), expected)


def test_a_locally_connected_layer_has_filters_of_its_own_at_each_place() -> None:
    layer = LocallyConnected2d(2, 3, 5, 2, bias=False).double()
    x = torch.randn(1, 2, 5, 5, dtype=torch.float64)
    output = layer(x)
    for y in range(4):
        for z in range(4):
            window = x[0, :, y : y + 2, z : z + 2]
            torch.testing.assert_close(output[0, :, y, z], (layer.weight[y, z] * window).sum((1, 2, 3)))


def test_gradient_of_a_locally_connected_layer() -> None:
    layer = LocallyConnected2d(2, 2, (4, 3), 2, padding=1).double()
    x = torch.randn(2, 2, 4, 3, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(run, (x, layer.weight, layer.bias))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 5, 3), "in_channels: .*0"),
        ((1, 1, 5, 3, 0), "stride: .*0"),
        ((1, 1, 5, 3, 1, -1), "padding: .*-1"),
        ((1, 1, (5, 2), 3), r"kernel_size: expected at most a map of \(5, 2\) padded by \(0, 0\), got \(3, 3\)"),
    ],
)
def test_a_locally_connected_layer_refuses(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LocallyConnected2d(*arguments)


def test_a_locally_connected_layer_takes_one_size() -> None:
    with pytest.raises(ValueError, match=r"input: expected maps \(1, 5, 5\)"):
        LocallyConnected2d(1, 1, 5, 3)(torch.zeros(1, 1, 6, 6))


# ---------------------------------------------------------------- memory


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.bn, self.relu, self.fc = nn.BatchNorm2d(32), nn.ReLU(inplace=True), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x))
        x = F.relu(self.bn(self.conv2(x)) + x)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


NETWORKS = {
    "pattern": lambda: from_pattern("[conv32 relu lrn pool]*2 fc100 relu dropout fc10", (3, 48, 48)),
    "residual": Residual,
    "zfnet": lambda: models.zfnet(10, width=0.25),
}


@pytest.mark.parametrize("memory", ["9" * 400 + "GB", "9" * 5000, "1." + "9" * 5000 + "GB"])
def test_amounts_of_memory_that_cannot_be(memory: str) -> None:
    with pytest.raises(ValueError, match=r"^memory: expected bytes, or an amount like .{,90}$"):
        largest_batch(nn.Conv2d(3, 1, 1), (3, 4, 4), memory)


@pytest.mark.parametrize("training", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize("channels_last", [False, True], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("name", NETWORKS)
def test_memory_is_what_torch_allocates(name: str, channels_last: bool, training: bool) -> None:
    """It is within 15 % of the peak that torch's profiler sees allocated, operators' own copies included."""
    network = NETWORKS[name]()
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    size = (3, 224, 224) if name == "zfnet" else (3, 48, 48)
    need = memory_need(network, size, training=training)
    for batch in (3, 8):
        measured = measured_peak(network, size, batch, torch.device("cpu"), training=training)
        assert need.bytes(batch) == pytest.approx(measured, rel=0.15)


def test_the_largest_batch_fits_and_one_more_does_not() -> None:
    network = models.zfnet(10, width=0.25)
    for training in (False, True):
        need = memory_need(network, (3, 224, 224), training=training)
        for memory in (200_000_000, 1_000_000_000, 7_654_321_000):
            batch = largest_batch(network, (3, 224, 224), memory, training=training)
            assert batch > 1 and need.bytes(batch) <= memory < need.bytes(batch + 1)
    assert largest_batch(network, (3, 224, 224), 1000) == 0
    assert network.training and all(p.grad is None for p in network.parameters())


def test_amounts_of_memory() -> None:
    need = memory_need(from_pattern("conv4 fc2", (1, 8, 8)), (1, 8, 8))
    assert need.largest_batch("1 MB") == need.largest_batch(1_000_000)
    assert need.largest_batch("1.5MiB") == need.largest_batch(3 << 19)
    for wrong in ("much", "1 MO", -1, True, 1.5, "-3 GB"):
        with pytest.raises(ValueError, match="memory: "):
            need.largest_batch(wrong)  # type: ignore[arg-type]


def test_memory_of_another_dtype_and_of_what_takes_no_memory() -> None:
    with torch.device("meta"):
        network = models.zfnet(width=30)  # 50 GB of weights
    full, half = (memory_need(network, (3, 224, 224), dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    assert full.bytes(0) > 5e10 and half.bytes(0) == pytest.approx(full.bytes(0) / 2, rel=1e-6)


def test_frozen_layers_need_no_momentum() -> None:
    network = from_pattern("conv8 relu fc500 relu fc10", (3, 32, 32))
    whole = memory_need(network, (3, 32, 32), training=True)
    network.fc2.requires_grad_(False)
    frozen = memory_need(network, (3, 32, 32), training=True)
    saved = 2 * (network.fc2.weight.nbytes + network.fc2.bias.nbytes)
    assert whole.bytes(1) - frozen.bytes(1) == pytest.approx(saved, rel=0.01)


@pytest.mark.parametrize("training", [False, True])
def test_a_module_that_is_there_twice_needs_its_weights_once(training: bool) -> None:
    conv = nn.Conv2d(3, 3, 3, padding=1)
    weight, twice = conv.weight, nn.Sequential(conv, nn.ReLU(), conv)
    need = memory_need(twice, (3, 8, 8), training=training)
    assert conv.weight is weight and type(weight) is nn.Parameter
    alone = nn.Sequential(conv, nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1))
    saved = memory_need(alone, (3, 8, 8), training=training).bytes(0) - need.bytes(0)
    assert saved >= 4 * (3 * 3 * 9 + 3)
    assert need.bytes(4) > 4 * 4 * 3 * 8 * 8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: memory_need(net, (3, 32)), "input_size: "),
        (lambda net: memory_need(net, (1, 32, 32)), "input_size: the network cannot take"),
        (lambda net: memory_need(net, (3, 32, 32), dtype=torch.int8), "dtype: .*int8"),
        (lambda net: memory_need(net.requires_grad_(False), (3, 32, 32), training=True), "model: it has no parameter"),
        (lambda net: largest_batch(net, (3, 32, 32), "all"), "memory: .*'all'"),
    ],
)
def test_memory_refuses(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(from_pattern("conv2 fc2", (3, 32, 32)))
