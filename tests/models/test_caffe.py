"""Caffe's files: read as Caffe reads them, against files and arithmetic made here by hand."""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import nn

import zfcuda
from zfcuda.data import Preprocess
from zfcuda.models.checkpoints.errors import WeightsError
from zfcuda.models.checkpoints.load import find, load
from zfcuda.report import Subject

pytest.importorskip("google.protobuf", reason="Caffe's files need protobuf")

from zfcuda.models.checkpoints import caffe

Array = npt.NDArray[np.float64]
Blobs = dict[str, list[Array]]

# ---------------------------------------------------------------- files, byte by byte


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, value: bytes | int) -> bytes:
    """One field of a protobuf message: a number, or bytes (a string, a message, packed numbers)."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def blob(array: Array, *, legacy: bool) -> bytes:
    """A BlobProto: with a shape, or as in 2014 with four sides, the first ones 1."""
    data = field(5, array.astype("<f4").tobytes())
    if not legacy:
        return field(7, field(1, b"".join(map(varint, array.shape)))) + data
    sides = (1,) * (4 - array.ndim) + array.shape
    return b"".join(field(i + 1, n) for i, n in enumerate(sides)) + data


# Types of the present format, and their numbers in that of 2014.
NUMBERS = {"Convolution": 4, "InnerProduct": 14, "ReLU": 18, "BatchNorm": -1, "Scale": -1}


def caffemodel(blobs: Blobs, kinds: dict[str, str], *, v1: bool) -> bytes:
    """A NetParameter of layers with weights, among others without."""
    out = field(1, b"made by hand")
    for name, arrays in blobs.items():
        body = [field(6 if v1 else 7, blob(array, legacy=v1)) for array in arrays]
        if v1:
            out += field(2, field(4, name.encode()) + field(5, NUMBERS[kinds[name]]) + b"".join(body))
        else:
            out += field(100, field(1, name.encode()) + field(2, kinds[name].encode()) + b"".join(body))
    unused = b"relu1"
    out += field(2, field(4, unused) + field(5, 18)) if v1 else field(100, field(1, unused) + field(2, b"ReLU"))
    return out + field(999, b"from a later version")


# ---------------------------------------------------------------- Caffe's arithmetic, pixel by pixel


def conv(x: Array, blobs: list[Array], *, stride: int = 1, pad: int = 0, group: int = 1) -> Array:
    weight, bias = blobs
    maps, depth, high, wide = weight.shape
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    rows, columns = ((n - k) // stride + 1 for n, k in zip(x.shape[1:], (high, wide), strict=True))
    out = np.empty((maps, rows, columns))
    for m in range(maps):
        first = m // (maps // group) * depth
        for i in range(rows):
            for j in range(columns):
                window = x[first : first + depth, i * stride : i * stride + high, j * stride : j * stride + wide]
                out[m, i, j] = (window * weight[m]).sum() + bias[m]
    return out


def pool(x: Array, size: int, stride: int, pad: int = 0, *, average: bool = False) -> Array:
    """Pools as Caffe does: it rounds up, and with padding a window that would start beyond the picture is left out."""
    counts, limits = [], x.shape[1:]
    for n in limits:
        count = math.ceil((n + 2 * pad - size) / stride) + 1
        counts.append(count - 1 if pad and (count - 1) * stride >= n + pad else count)
    out = np.empty((len(x), *counts))
    for i in range(counts[0]):
        for j in range(counts[1]):
            low = [i * stride - pad, j * stride - pad]
            end = [min(a + size, n + pad) for a, n in zip(low, limits, strict=True)]
            divisor = (end[0] - low[0]) * (end[1] - low[1])
            window = x[:, max(low[0], 0) : end[0], max(low[1], 0) : end[1]]
            out[:, i, j] = window.sum((1, 2)) / divisor if average else window.max((1, 2))
    return out


def norm_across(x: Array, size: int, alpha: float, beta: float, k: float = 1.0) -> Array:
    out = np.empty_like(x)
    for c in range(len(x)):
        near = x[max(0, c - size // 2) : c + size // 2 + 1]
        out[c] = x[c] / (k + alpha / size * (near**2).sum(0)) ** beta
    return out


def norm_within(x: Array, size: int, alpha: float, beta: float) -> Array:
    return x * (1 + alpha * pool(x**2, size, 1, size // 2, average=True)) ** -beta


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def dense(x: Array, blobs: list[Array]) -> Array:
    return blobs[0] @ x.reshape(-1) + blobs[1]


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max())
    return e / e.sum()


# ---------------------------------------------------------------- three networks


def drawn(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> Blobs:
    """Draws He's weights and small biases."""
    dice = np.random.default_rng(seed)
    return {
        name: [
            (dice.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))).astype(np.float32).astype(float),
            (dice.standard_normal(shape[0]) * 0.1).astype(np.float32).astype(float),
        ]
        for name, shape in shapes.items()
    }


# As the published ZF in Caffe, fewer maps: normalisation within a channel, before the pooling.
ZF = """
name: "ZF"
input: "data"
input_dim: 10 input_dim: 3 input_dim: 63 input_dim: 47
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1"
  blobs_lr: 1 blobs_lr: 2 weight_decay: 1
  convolution_param { num_output: 6 kernel_size: 7 pad: 3 stride: 2 weight_filler { type: "gaussian" std: 0.01 } } }
layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }
layers { name: "norm1" type: LRN bottom: "conv1" top: "norm1"
  lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 norm_region: WITHIN_CHANNEL } }
layers { name: "pool1" type: POOLING bottom: "norm1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 } }
layers { name: "conv2" type: CONVOLUTION bottom: "pool1" top: "conv2"
  convolution_param { num_output: 8 kernel_size: 5 pad: 2 stride: 2 } }
layers { name: "relu2" type: RELU bottom: "conv2" top: "conv2" }
layers { name: "norm2" type: LRN bottom: "conv2" top: "norm2"
  lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 norm_region: WITHIN_CHANNEL } }
layers { name: "pool2" type: POOLING bottom: "norm2" top: "pool2"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 } }
layers { name: "conv3" type: CONVOLUTION bottom: "pool2" top: "conv3"
  convolution_param { num_output: 10 kernel_size: 3 pad: 1 } }
layers { name: "relu3" type: RELU bottom: "conv3" top: "conv3" }
layers { name: "fc6" type: INNER_PRODUCT bottom: "conv3" top: "fc6" inner_product_param { num_output: 12 } }
layers { name: "relu6" type: RELU bottom: "fc6" top: "fc6" }
layers { name: "drop6" type: DROPOUT bottom: "fc6" top: "fc6" dropout_param { dropout_ratio: 0.5 } }
layers { name: "fc8" type: INNER_PRODUCT bottom: "fc6" top: "fc8" inner_product_param { num_output: 5 } }
layers { name: "prob" type: SOFTMAX bottom: "fc8" top: "prob" }
"""
ZF_BLOBS = drawn(
    {"conv1": (6, 3, 7, 7), "conv2": (8, 6, 5, 5), "conv3": (10, 8, 3, 3), "fc6": (12, 10 * 5 * 4), "fc8": (5, 12)}
)


def zf(x: Array, b: Blobs) -> Array:
    x = pool(norm_within(relu(conv(x, b["conv1"], stride=2, pad=3)), 3, 0.5, 0.75), 3, 2, 1)
    x = pool(norm_within(relu(conv(x, b["conv2"], stride=2, pad=2)), 3, 0.5, 0.75), 3, 2, 1)
    x = relu(conv(x, b["conv3"], pad=1))
    return softmax(dense(relu(dense(x, b["fc6"])), b["fc8"]))


# As CaffeNet: groups, normalisation across channels after a pooling that rounds up.
CAFFENET = """
name: "CaffeNet"
layer { name: "data" type: "Input" top: "data" input_param { shape: { dim: 10 dim: 3 dim: 42 dim: 42 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 decay_mult: 1 }
  convolution_param { num_output: 8 kernel_size: 11 stride: 2 engine: CUDNN weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1" lrn_param { local_size: 5 alpha: 0.3 beta: 0.75 k: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "norm1" top: "conv2"
  convolution_param { num_output: 6 pad_h: 2 pad_w: 2 kernel_h: 5 kernel_w: 5 group: 2 } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "fc8" type: "InnerProduct" bottom: "pool2" top: "fc8" inner_product_param { num_output: 4 } }
"""
CAFFENET_BLOBS = drawn({"conv1": (8, 3, 11, 11), "conv2": (6, 4, 5, 5), "fc8": (4, 6 * 4 * 4)}, 1)


def caffenet(x: Array, b: Blobs) -> Array:
    x = norm_across(pool(relu(conv(x, b["conv1"], stride=2)), 3, 2), 5, 0.3, 0.75, 2.0)
    return dense(pool(relu(conv(x, b["conv2"], pad=2, group=2)), 3, 2, average=True), b["fc8"])


# As VGG.
VGG = """
name: "VGG"
input: "data"
input_shape { dim: 1 dim: 3 dim: 17 dim: 16 }
layers { bottom: "data" top: "conv1_1" name: "conv1_1" type: CONVOLUTION
  convolution_param { num_output: 4 pad: 1 kernel_size: 3 } }
layers { bottom: "conv1_1" top: "conv1_1" name: "relu1_1" type: RELU relu_param { engine: CUDNN } }
layers { bottom: "conv1_1" top: "conv1_2" name: "conv1_2" type: CONVOLUTION
  convolution_param { num_output: 4 pad: 1 kernel_size: 3 } }
layers { bottom: "conv1_2" top: "conv1_2" name: "relu1_2" type: RELU }
layers { bottom: "conv1_2" top: "pool1" name: "pool1" type: POOLING
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layers { bottom: "pool1" top: "fc6" name: "fc6" type: INNER_PRODUCT inner_product_param { num_output: 7 } }
"""
VGG_BLOBS = drawn({"conv1_1": (4, 3, 3, 3), "conv1_2": (4, 4, 3, 3), "fc6": (7, 4 * 9 * 8)}, 2)


def vgg(x: Array, b: Blobs) -> Array:
    x = relu(conv(relu(conv(x, b["conv1_1"], pad=1)), b["conv1_2"], pad=1))
    return dense(pool(x, 2, 2), b["fc6"])


Case = tuple[str, Blobs, bool, Callable[[Array, Blobs], Array]]
NETWORKS: dict[str, Case] = {
    "zf": (ZF, ZF_BLOBS, True, zf),
    "caffenet": (CAFFENET, CAFFENET_BLOBS, False, caffenet),
    "vgg": (VGG, VGG_BLOBS, True, vgg),
}


def kinds(blobs: Blobs) -> dict[str, str]:
    return {name: "Convolution" if arrays[0].ndim == 4 else "InnerProduct" for name, arrays in blobs.items()}


def files(folder: Path, name: str) -> tuple[Path, Path]:
    text, blobs, v1, _ = NETWORKS[name]
    prototxt, weights = folder / f"{name}_deploy.prototxt", folder / f"{name}.caffemodel"
    prototxt.write_text(text)
    weights.write_bytes(caffemodel(blobs, kinds(blobs), v1=v1))
    return prototxt, weights


def picture(size: Sequence[int], seed: int = 3) -> Array:
    """An image as Caffe's networks get it: -128 to 128."""
    return np.random.default_rng(seed).uniform(-128, 128, size).astype(np.float32).astype(float)


@pytest.fixture(params=NETWORKS)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, Path]:
    return (request.param, *files(tmp_path, request.param))


def test_numbers_are_caffes(case: tuple[str, Path, Path]) -> None:
    name, prototxt, weights = case
    network: Any = load(prototxt, weights=weights)
    x = picture(network.input_size)
    expected = NETWORKS[name][3](x, NETWORKS[name][1])
    with torch.no_grad():
        got = network(torch.from_numpy(x).float()[None]).double().numpy()
    assert got.shape == (1, len(expected))
    np.testing.assert_allclose(got[0], expected, rtol=2e-5, atol=2e-6 * np.abs(expected).max())


def test_numbers_are_opencvs(case: tuple[str, Path, Path]) -> None:
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("this OpenCV reads no Caffe files")
    _, prototxt, weights = case
    prototxt.write_text(prototxt.read_text().replace(" k: 2", ""))  # OpenCV takes it for 1 in any case
    network: Any = load(prototxt, weights=weights)
    x = picture(network.input_size).astype(np.float32)[None]
    other = cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))
    other.setInput(x)
    with torch.no_grad():
        got = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, other.forward(), rtol=1e-4, atol=1e-5 * np.abs(got).max())


def test_layers_have_caffes_names(case: tuple[str, Path, Path]) -> None:
    name, prototxt, weights = case
    network = zfcuda.network.trace(load(prototxt, weights=weights))
    own = [
        line.split('name: "')[1].split('"')[0] for line in NETWORKS[name][0].splitlines() if line.startswith("layer")
    ]
    own = [layer for layer in own if layer != "data"]
    assert [layer for layer in network.layers if not layer.endswith("_flatten")] == own


def test_the_two_files_find_each_other(tmp_path: Path) -> None:
    prototxt, weights = files(tmp_path, "zf")
    by_one, by_other = find(prototxt), find(weights)
    assert by_one.trained and by_other.trained and by_one.weights == weights
    x = torch.randn(2, 3, 63, 47)
    assert torch.equal(by_one.model(x), by_other.model(x))
    files(tmp_path, "vgg")
    assert find(tmp_path / "vgg.caffemodel").title == "VGG with vgg.caffemodel", "the one of the same name"
    (tmp_path / "other.caffemodel").write_bytes(weights.read_bytes())
    with pytest.raises(WeightsError, match="needs its deploy prototxt beside it"):
        find(tmp_path / "other.caffemodel")


def test_a_prototxt_alone_has_random_weights(tmp_path: Path) -> None:
    prototxt, weights = files(tmp_path, "caffenet")
    weights.unlink()
    loaded = find(prototxt)
    assert not loaded.trained and loaded.num_classes == 4 and loaded.input_size == (3, 42, 42)
    assert torch.isfinite(loaded.model(torch.randn(1, 3, 42, 42))).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_projection_and_occlusion(tmp_path: Path, name: str) -> None:
    prototxt, weights = files(tmp_path, name)
    network: Any = load(prototxt, weights=weights)
    x = torch.from_numpy(picture(network.input_size)).float()
    convolutions = [key for key, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
    signal = zfcuda.project(network, x, convolutions[-1])
    assert signal.shape == (1, *network.input_size) and signal.abs().max() > 0
    occlusion_agrees(network, x)


def occlusion_agrees(network: nn.Module, x: torch.Tensor) -> None:
    exact, plain = (
        zfcuda.occlusion_map(network, x, window=6, stride=7, method=method) for method in ("incremental", "batched")
    )
    assert exact.method == "incremental"
    torch.testing.assert_close(exact.logits, plain.logits, rtol=1e-3, atol=1e-4 * float(plain.logits.abs().max()))


def test_normalisation_within_a_channel_on_the_way_back() -> None:
    network = made(
        'layer { name: "n" type: "LRN" bottom: "data" top: "n" '
        "lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 norm_region: WITHIN_CHANNEL } }",
        (1, 6, 5),
    )
    x = np.abs(picture((1, 6, 5)))
    out = norm_within(x, 3, 0.5, 0.75)
    image = torch.from_numpy(x)
    for lrn, value in (("identity", out[0, 0, 4]), ("divide", out[0, 0, 4] * out[0, 0, 4] / x[0, 0, 4])):
        signal = zfcuda.project(network, image, "n", unit=0, position=(0, 4), lrn=lrn)[0, 0]
        assert float(signal[0, 4]) == pytest.approx(value) and (signal != 0).sum() == 1
    field = zfcuda.network.receptive_field(network, "n", (1, 6, 5))
    assert field.size == (3, 3) and field.stride == (1, 1)


def test_pictures_enter_blue_first_less_the_mean(tmp_path: Path) -> None:
    network: Any = load(files(tmp_path, "caffenet")[0])
    x = network.preprocess(Image.new("RGB", (90, 60), (10, 20, 30)))
    assert x.shape == (1, 3, 42, 42) and x.dtype == torch.float32
    assert x[0, :, 0, 0].tolist() == [30 - 104, 20 - 117, 10 - 123]
    half = Image.new("RGB", (400, 400), "black")
    half.paste((255, 255, 255), (0, 0, 200, 400))
    seen = Preprocess.caffe((227, 227), (0, 0, 0))(half)[0, 0, 100]
    assert seen[:112].min() == 255 and seen[115:].max() == 0, "the centre stays the centre"


def test_the_report_shows_natural_colours() -> None:
    colour = (10, 20, 30)
    blue_first = Subject(nn.Identity(), Preprocess.caffe((8, 6)), (), "blue first")
    image, pixels, grey = blue_first.view(Image.new("RGB", (40, 40), colour))
    assert (pixels[:, 0, 0] * 255).tolist() == pytest.approx(colour)
    assert blue_first.in_colour(image[0])[:, 0, 0].tolist() == [10 - 123, 20 - 117, 30 - 104]
    assert grey[:, 0, 0].tolist() == [127.5 - 104, 127.5 - 117, 127.5 - 123], "as the network takes it"
    one = Subject(nn.Identity(), Preprocess.caffe((8, 6), (33.0,)), (), "grey")
    image, pixels, _ = one.view(Image.new("RGB", (40, 40), (51, 51, 51)))
    assert image.shape == (1, 1, 8, 6) and image[0, 0, 0, 0] == 18
    assert pixels.shape == (3, 8, 6) and float(pixels[1, 0, 0]) == pytest.approx(0.2)


def test_mean_file(tmp_path: Path) -> None:
    mean = np.stack([np.full((4, 6), value) for value in (1.0, 2.0, 3.0)]) + np.arange(24).reshape(4, 6)
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(blob(mean, legacy=True))
    assert caffe.channel_means(path) == pytest.approx((12.5, 13.5, 14.5))
    path.write_bytes(b"\xff\xff")
    with pytest.raises(WeightsError, match="not a mean picture"):
        caffe.channel_means(path)


SQUARE = 'input: "data" input_dim: 1 input_dim: {c} input_dim: {h} input_dim: {w}\n'


def made(text: str, size: tuple[int, int, int] = (2, 12, 10)) -> Any:
    return caffe.build(SQUARE.format(c=size[0], h=size[1], w=size[2]) + text, "net.prototxt")


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("size", [(1, 12, 13), (1, 7, 8), (1, 6, 5)])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad"), [(3, 2, 1), (3, 2, 0), (2, 2, 1), (5, 3, 2), (3, 1, 1), (4, 3, 2)]
)
def test_pooling_rounds_as_caffe(average: bool, size: tuple[int, int, int], kernel: int, stride: int, pad: int) -> None:
    method = "AVE" if average else "MAX"
    network = made(
        'layer { name: "p" type: "Pooling" bottom: "data" top: "p" '
        f"pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} }} }}",
        size,
    )
    x = picture(size)
    expected = pool(x, kernel, stride, pad, average=average)
    got = network(torch.from_numpy(x)[None])
    np.testing.assert_allclose(got[0].numpy().reshape(expected.shape), expected, rtol=1e-12)


def test_global_pooling_concat_sum_scale(tmp_path: Path) -> None:
    network = made(
        """
        layer { name: "a.1" type: "Convolution" bottom: "data" top: "a"
          convolution_param { num_output: 3 kernel_size: 1 bias_term: false } }
        layer { name: "bn" type: "BatchNorm" bottom: "a" top: "a" batch_norm_param { eps: 0.001 } }
        layer { name: "scale" type: "Scale" bottom: "a" top: "a" scale_param { bias_term: true } }
        layer { name: "leaky" type: "ReLU" bottom: "a" top: "b" relu_param { negative_slope: 0.25 } }
        layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "c" }
        layer { name: "cat/1" type: "Concat" bottom: "c" bottom: "data" top: "d" }
        layer { name: "mean" type: "Pooling" bottom: "d" top: "e" pooling_param { pool: AVE global_pooling: true } }
        """
    )
    dice = np.random.default_rng(0)
    weight, mean, shift = (dice.standard_normal(n) for n in ((3, 2, 1, 1), 3, 3))
    variance, factor = dice.uniform(1, 2, 3), dice.uniform(1, 2, 3)
    blobs = {
        "a.1": [weight],
        "bn": [4 * mean, 4 * variance, np.array([4.0])],
        "scale": [factor, shift],
    }
    path = tmp_path / "w.caffemodel"
    path.write_bytes(caffemodel(blobs, {"a.1": "Convolution", "bn": "BatchNorm", "scale": "Scale"}, v1=False))
    network.load_state_dict(caffe.state_dict(network, path), strict=False)
    x = picture((2, 12, 10)) / 128
    a = np.einsum("oi,ihw->ohw", weight[:, :, 0, 0], x)
    a = (a - mean[:, None, None]) / np.sqrt(variance + 0.001)[:, None, None]
    a = a * factor[:, None, None] + shift[:, None, None]
    expected = np.concatenate([a + np.where(a > 0, a, 0.25 * a), x]).mean((1, 2))
    got = network(torch.from_numpy(x).float()[None])
    np.testing.assert_allclose(got[0].detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    assert isinstance(network.get_submodule("a_1"), nn.Conv2d) and isinstance(network.get_submodule("cat/1"), nn.Module)


def test_normalisation_without_eps_on_every_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*args: Any, eps: float = 1e-5, **kwargs: Any) -> torch.Tensor:
        raise ValueError(f"batch_norm eps must be positive, but got {eps}")  # as torch 2.10 and 2.11 do

    monkeypatch.setattr(torch.nn.functional, "batch_norm", refusing)
    net = made(
        """layer { name: "bn" type: "BatchNorm" bottom: "data" top: "a" batch_norm_param { eps: 0 } }
        layer { name: "scale" type: "Scale" bottom: "a" top: "b" scale_param { bias_term: true } }
        layer { name: "fc" type: "InnerProduct" bottom: "b" top: "c" inner_product_param { num_output: 4 } }
        layer { name: "bn1" type: "BatchNorm" bottom: "c" top: "d" batch_norm_param { eps: 0 } }
        layer { name: "scale1" type: "Scale" bottom: "d" top: "e" scale_param { bias_term: true } }"""
    )
    for name in ("bn", "bn1"):
        layer = net.get_submodule(name)
        layer.running_mean.uniform_(-1, 1)
        layer.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 2, 12, 10, generator=torch.Generator().manual_seed(0))
    bn, scale, fc, bn1 = (net.get_submodule(name) for name in ("bn", "scale", "fc", "bn1"))
    a = (x - bn.running_mean[:, None, None]) / bn.running_var[:, None, None].sqrt()
    expected = (fc(scale(a).flatten(1)) - bn1.running_mean) / bn1.running_var.sqrt()
    with torch.no_grad():
        torch.testing.assert_close(net(x), net.get_submodule("scale1")(expected))
        scale.weight.uniform_(1, 2)
        by_hand = a * scale.weight[:, None, None] + scale.bias[:, None, None]
        torch.testing.assert_close(scale.train()(a), by_hand)  # no statistics of a batch
    assert torch.equal(scale.running_var, torch.ones(2))


def test_layers_of_training_are_left_out() -> None:
    relu = 'layer {{ name: "{0}" type: "ReLU" bottom: "data" top: "{0}" {1} }}'
    rules = {
        "a": "include { phase: TRAIN }",
        "b": "include { phase: TEST }",
        "c": "exclude { phase: TEST }",
        "d": "exclude { phase: TRAIN }",
    }
    network = made("".join(relu.format(*rule) for rule in rules.items()))
    assert [name for name, _ in network.named_children()] == ["b", "d"]


REFUSED = {
    "type": ('name: "up" type: "Deconvolution"', r"layer 'up' \(Deconvolution\): layers of this type are not read"),
    "training": ('name: "l" type: "SoftmaxWithLoss"', r"layer 'l' \(SoftmaxWithLoss\): .* deploy prototxt is needed"),
    "stochastic": (
        'name: "p" type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 }',
        r"layer 'p' \(Pooling\): stochastic pooling",
    ),
    "no window": ('name: "p" type: "Pooling"', r"layer 'p' \(Pooling\): kernel_size is missing"),
    "much padding": (
        'name: "p" type: "Pooling" pooling_param { kernel_size: 3 pad: 2 }',
        "padding 2 x 2 is more than half of the window 3 x 3",
    ),
    "window outside": (
        'name: "p" type: "Pooling" pooling_param { kernel_size: 1 stride: 2 }',
        "of 12 x 10 it makes 7 x 6 in Caffe, 6 x 5 in torch",
    ),
    "large window": ('name: "c" type: "Convolution" convolution_param { num_output: 1 kernel_size: 20 }', r"layer 'c'"),
    "groups": (
        'name: "c" type: "Convolution" convolution_param { num_output: 3 kernel_size: 1 group: 2 }',
        "2 groups of 2 input and 3 output channels",
    ),
    "even norm": ('name: "n" type: "LRN" lrn_param { local_size: 4 }', "local_size: expected an odd number, got 4"),
    "no stride": (
        'name: "c" type: "Convolution" convolution_param { num_output: 1 kernel_size: 1 stride_h: 0 stride_w: 0 }',
        r"layer 'c' \(Convolution\): stride: expected at least 1, got 0",
    ),
    "no pooled stride": (
        'name: "p" type: "Pooling" pooling_param { kernel_size: 2 stride_h: 1 stride_w: 0 }',
        "stride: expected at least 1, got 0",
    ),
    "no kernel": (
        'name: "c" type: "Convolution" convolution_param { num_output: 1 kernel_h: 0 kernel_w: 1 }',
        "kernel: expected at least 1, got 0",
    ),
    "no dilation": (
        'name: "c" type: "Convolution" convolution_param { num_output: 1 kernel_size: 1 dilation: 0 }',
        "dilation: expected at least 1, got 0",
    ),
    "dropout of more than all": (
        'name: "d" type: "Dropout" dropout_param { dropout_ratio: 2 }',
        r"layer 'd' \(Dropout\): dropout probability",
    ),
    "too many maps": (
        'name: "c" type: "Convolution" convolution_param { num_output: 4294967295 kernel_size: 9 }',
        "layer 'c' is too large: ",
    ),
    "product": ('name: "e" type: "Eltwise" eltwise_param { operation: PROD }', "only a sum"),
    "transposed": (
        'name: "f" type: "InnerProduct" inner_product_param { num_output: 2 transpose: true }',
        "transposed",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named(name: str) -> None:
    layer, message = REFUSED[name]
    with pytest.raises(WeightsError, match=message):
        made(f'layer {{ bottom: "data" top: "out" {layer} }}')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not a prototxt {", r"^net.prototxt: not a prototxt \("),
        ('layer { name: "d" type: "Data" top: "data" }', "as for training; the deploy prototxt is needed"),
        pytest.param("a{" * 3000 + "}" * 3000, "^net.prototxt: not a prototxt", id="deep"),
        ('input: "data"', "expected one input with its size, found 1 with 0 sizes"),
        ('input: "data" input_dim: 1 input_dim: 3', "expected \\[pictures, channels, height, width\\]"),
        ('input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8', "a network without layers"),
        ('layers { layer { name: "conv1" type: "conv" } }', "older than that of 2014"),
        (
            SQUARE.format(c=1, h=4, w=4) + 'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }',
            "layer 'r' \\(ReLU\\): it reads 'x', which no layer before it gives",
        ),
        (
            SQUARE.format(c=1, h=4, w=4) + 'layer { name: "forward" type: "ReLU" bottom: "data" top: "y" }',
            "the name 'forward' is taken",
        ),
    ],
)
def test_prototxts_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        caffe.build(text, "net.prototxt")


def test_weights_of_another_network(tmp_path: Path) -> None:
    prototxt, weights = files(tmp_path, "vgg")

    def refused(blobs: Blobs) -> str:
        weights.write_bytes(caffemodel(blobs, kinds(blobs), v1=True))
        with pytest.raises(WeightsError) as caught:
            load(prototxt, weights=weights)
        return str(caught.value)

    other = VGG_BLOBS | {"fc6": [np.zeros((7, 5)), np.zeros(7)]}
    assert "layer 'fc6' has [1, 1, 7, 5] in the file and [7, 288] in the network" in refused(other)
    other = {name: arrays for name, arrays in VGG_BLOBS.items() if name != "conv1_2"}
    assert "no layer 'conv1_2'; it has 'conv1_1', 'fc6', ..." in refused(other)
    other = VGG_BLOBS | {"fc6": VGG_BLOBS["fc6"][:1]}
    assert "layer 'fc6' has 1 arrays in the file and 2 in the network" in refused(other)
    files(tmp_path, "vgg")
    with pytest.raises(ValueError, match=r"num_classes: 3, but \S+ is for 7 classes"):
        load(prototxt, num_classes=3)


def test_weights_that_the_network_has_no_layer_for_are_named(tmp_path: Path) -> None:
    prototxt, weights = files(tmp_path, "vgg")
    blobs = VGG_BLOBS | {"fc9": [np.zeros((2, 7)), np.zeros(2)]}
    weights.write_bytes(caffemodel(blobs, kinds(blobs), v1=True))
    with pytest.warns(UserWarning, match="not used, since the prototxt has no such layer: fc9"):
        load(prototxt)
    files(tmp_path, "vgg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(prototxt)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.999])
def test_truncated_files_are_refused(tmp_path: Path, part: float) -> None:
    prototxt, weights = files(tmp_path, "zf")
    data = weights.read_bytes()
    weights.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(
        WeightsError, match=r"^\S*zf\.caffemodel: (not a caffemodel|a caffemodel without|an empty file)"
    ):
        load(prototxt, weights=weights)


def test_doubles_and_blobs_in_several_parts(tmp_path: Path) -> None:
    prototxt, weights = files(tmp_path, "vgg")
    expected = load(prototxt).state_dict()
    out = b""
    for name, arrays in VGG_BLOBS.items():
        body = b""
        for array in arrays:
            flat, shape = array.reshape(-1), field(7, field(1, b"".join(map(varint, array.shape))))
            parts = (flat[:5], flat[5:])
            body += field(7, shape + b"".join(field(8, struct.pack(f"<{len(p)}d", *p)) for p in parts))
        out += field(100, field(1, name.encode()) + body)
    weights.write_bytes(out)
    got = load(prototxt).state_dict()
    assert all(torch.equal(expected[key], got[key]) for key in expected)


def test_without_protobuf_a_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prototxt, _ = files(tmp_path, "vgg")
    monkeypatch.setitem(__import__("sys").modules, "google.protobuf", None)
    with pytest.raises(WeightsError, match="pip install protobuf"):
        load(prototxt)
