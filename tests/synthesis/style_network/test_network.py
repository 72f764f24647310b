"""The network that stylises: its norm against torch's, styles and blends, tiles against the whole, its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zfcuda.synthesis import StyleNetwork
from zfcuda.synthesis.style_choice import style_choice
from zfcuda.synthesis.style_network.file import write_style
from zfcuda.synthesis.style_network.layers import InstanceNorm


def drawn(styles: int = 1, **options: Any) -> StyleNetwork:
    """A small network whose styles differ."""
    network = StyleNetwork(styles, width=0.1, **options)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, InstanceNorm):
                module.weight.add_(0.3 * torch.randn_like(module.weight))
                module.bias.add_(0.3 * torch.randn_like(module.bias))
    return network


def near(one: Tensor, other: Tensor, tolerance: float = 1e-5) -> bool:
    return one.shape == other.shape and float((one - other).abs().max()) < tolerance


# ---------------------------------------------------------------- the norm


def test_the_norm_is_torchs_with_a_scale_and_shift_for_each_style() -> None:
    norm = InstanceNorm(5, styles=3).double()
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    maps = 3 + 2 * torch.randn(3, 5, 7, 6, dtype=torch.float64)
    which = [2, 0, 1]
    found = norm(maps, F.one_hot(torch.tensor(which), 3).double())
    for image, style, got in zip(maps, which, found, strict=True):
        wanted = F.instance_norm(image[None], weight=norm.weight[style], bias=norm.bias[style])[0]
        assert near(got, wanted, 1e-12)


def test_a_norm_of_one_style_is_plain_instance_norm() -> None:
    norm, maps = InstanceNorm(4), torch.randn(2, 4, 5, 6)
    assert near(norm(maps, torch.ones(1, 1)), F.instance_norm(maps))


def test_a_constant_map_is_the_shift() -> None:
    norm = InstanceNorm(2)
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([[1.0, -2.0]]))
    found = norm(torch.full((1, 2, 4, 4), 7.0), torch.ones(1, 1))
    assert near(found[0].mean((1, 2)), torch.tensor([1.0, -2.0]), 1e-3)  # rounding is divided by the root of eps


def test_statistics_of_the_whole_do_for_a_part() -> None:
    norm, maps, shares = InstanceNorm(3), 5 + torch.randn(1, 3, 8, 8), torch.ones(1, 1)
    mean, variance = maps[0].mean((1, 2)), maps[0].var((1, 2), correction=0)
    part = norm.with_statistics(maps[..., 2:5, 1:4], shares, mean, variance)
    assert near(part, norm(maps, shares)[..., 2:5, 1:4])


# ---------------------------------------------------------------- styles


def test_a_blend_of_one_style_alone_is_that_style() -> None:
    network, image = drawn(3), torch.rand(3, 24, 20)
    for style in range(3):
        alone = [float(style == each) for each in range(3)]
        assert torch.equal(network.stylize(image, alone), network.stylize(image, style))
        assert torch.equal(network.stylize(image, torch.tensor(alone)), network.stylize(image, torch.tensor(style)))
    assert not near(network.stylize(image, 0), network.stylize(image, 1), 1e-3)


def test_a_blend_mixes_the_numbers_of_the_norms() -> None:
    network, image = drawn(2), torch.rand(3, 24, 20)
    mixed = drawn(1)
    state = network.state_dict()
    shares = torch.tensor([[0.3, 0.7]])
    mixed.load_state_dict({name: shares @ value if ".norm." in name else value for name, value in state.items()})
    assert near(mixed.stylize(image), network.stylize(image, [0.3, 0.7]))


def test_a_style_by_its_name() -> None:
    network, image = drawn(2, names=["oil", "ink"]), torch.rand(3, 16, 16)
    assert torch.equal(network.stylize(image, "ink"), network.stylize(image, 1))


def test_images_of_a_batch_do_not_know_of_one_another() -> None:
    network, images = drawn(2), torch.rand(2, 3, 20, 24)
    together = network(images, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    apart = [network.stylize(image, style) for style, image in enumerate(images)]
    assert near(together.detach(), torch.cat(apart))


def test_only_the_norms_of_a_style_learn_of_it() -> None:
    network = drawn(2)
    network(torch.rand(1, 3, 16, 16), torch.tensor([[0.0, 1.0]])).sum().backward()
    norms = [module for module in network.modules() if isinstance(module, InstanceNorm)]
    assert len(norms) == 15
    assert all(not norm.weight.grad[0].any() and norm.bias.grad[1].any() for norm in norms)


@pytest.mark.parametrize(
    ("style", "error", "said"),
    [
        (2, ValueError, "style: the network has 0 to 1, got 2"),
        (-1, ValueError, "style: the network has 0 to 1, got -1"),
        (True, TypeError, "style: expected an integer, got True"),
        ("ink", ValueError, "style: the network has oil, pen, got 'ink'"),
        ([0.5, 0.6], ValueError, "style: expected shares from 0 to 1 that add up to 1, got 0.5, 0.6"),
        ([1.5, -0.5], ValueError, "style: expected shares from 0 to 1 that add up to 1, got 1.5, -0.5"),
        ([float("nan"), 1.0], ValueError, "style: expected shares from 0 to 1 that add up to 1, got nan, 1"),
        ([1.0], ValueError, "style: expected a share of each of 2 styles, got 1"),
        ([[0.5, 0.5]], TypeError, "style: expected a number"),
    ],
)
def test_no_style(style: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        drawn(2, names=["oil", "pen"]).stylize(torch.rand(3, 16, 16), style)
    assert str(raised.value).startswith(said)


# ---------------------------------------------------------------- sizes and tiles


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (16, 16), (21, 34)])
def test_any_size(size: tuple[int, int]) -> None:
    network, image = drawn(), torch.rand(3, *size)
    found = network.stylize(image)
    assert found.shape == (1, 3, *size) and found.min() >= 0 and found.max() <= 1 and not found.requires_grad
    assert near(network.stylize(image, tile=16), found)


@pytest.mark.parametrize("tile", [16, 17, 30, 41, 64])
def test_tiles_give_what_the_whole_gives(tile: int) -> None:
    """Where the halves of an image differ, statistics of each tile of its own would show as seams."""
    network = drawn(2)
    image = torch.rand(1, 3, 61, 46)
    image[..., :23] *= 0.2
    whole = network.stylize(image, [0.4, 0.6])
    assert near(network.stylize(image, [0.4, 0.6], tile=tile), whole)
    assert whole.std() > 0.01
    alone = torch.cat([network.stylize(image[..., :23], [0.4, 0.6]), network.stylize(image[..., 23:], [0.4, 0.6])], 3)
    assert not near(alone, whole, 1e-3)


def test_images_of_a_batch_by_tiles() -> None:
    network, images = drawn(), torch.rand(2, 3, 20, 33)
    assert near(network.stylize(images, tile=16), network.stylize(images))
    assert network.stylize(images[:0], tile=16).shape == (0, 3, 20, 33)


def test_sixteen_bits() -> None:
    network, image = drawn(), torch.rand(3, 40, 24)
    wanted = network.stylize(image)
    found = network.bfloat16().stylize(image)
    assert found.dtype == torch.bfloat16
    assert near(found.float(), wanted, 0.05) and near(network.stylize(image, tile=16).float(), wanted, 0.05)


@pytest.mark.parametrize(
    ("image", "error", "said"),
    [
        ("cat.jpg", TypeError, "image: expected a Tensor [3,H,W] or [N,3,H,W], got str"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), TypeError, "image: expected a floating dtype"),
        (torch.zeros(1, 8, 8), ValueError, "image: expected [3,H,W] or [N,3,H,W], got shape [1, 8, 8]"),
        (torch.zeros(8, 8), ValueError, "image: expected [3,H,W] or [N,3,H,W], got shape [8, 8]"),
        (torch.zeros(3, 0, 8), ValueError, "image: expected [3,H,W] or [N,3,H,W], got shape [3, 0, 8]"),
        (torch.full((3, 8, 8), 255.0), ValueError, "image: expected values of 0 to 1, as pictures have them, got 255"),
        (torch.full((3, 8, 8), float("nan")), ValueError, "image: expected values of 0 to 1"),
    ],
)
def test_no_image(image: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        drawn().stylize(image)
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(("tile", "error"), [(15, ValueError), (0, ValueError), (20.5, TypeError)])
def test_no_tile(tile: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="tile: expected"):
        drawn().stylize(torch.rand(3, 8, 8), tile=tile)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"styles": 0}, "styles: expected at least 1, got 0"),
        ({"width": 0.0}, "width: expected a number above 0, got 0"),
        ({"styles": 2, "names": ["a"]}, "names: expected one for each of 2 styles, got 1"),
        ({"styles": 2, "names": ["a", "a"]}, "names: expected each once, got a, a"),
    ],
)
def test_no_network(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StyleNetwork(**options)


# ---------------------------------------------------------------- pictures and files


def test_a_picture_in_its_own_size(tmp_path: Path) -> None:
    network = drawn()
    picture = Image.effect_noise((19, 30), 80).convert("RGB")
    picture.save(tmp_path / "noise.png")
    found = network.draw(tmp_path / "noise.png")
    assert found.size == (19, 30) and found.mode == "RGB"
    assert found.tobytes() == network.draw(picture).tobytes()
    with pytest.raises(ValueError, match=r"none\.png"):
        network.draw(tmp_path / "none.png")


def test_a_file_is_the_network(tmp_path: Path) -> None:
    network, image = drawn(2, names=["oil", "ink"]), torch.rand(3, 16, 16)
    network.save(tmp_path / "w.safetensors", {"steps": 3})
    found = StyleNetwork.load(tmp_path / "w.safetensors")
    assert (found.styles, found.width, found.names, found.facts) == (2, 0.1, ("oil", "ink"), {"steps": 3})
    assert torch.equal(found.stylize(image, "ink"), network.stylize(image, 1))


def damaged(path: Path, **changes: str) -> None:
    save_file(load_file(path), path, changes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: damaged(path), "weights of something else; expected those of a style network"),
        (lambda path: path.write_bytes(path.read_bytes()[:900]), "not a safetensors file, or a truncated one"),
        (lambda path: path.write_bytes(b""), "an empty file"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: damaged(path, **{"zfcuda.style_network": "{"}), "what it says about its weights cannot be read"),
        (lambda path: damaged(path, **{"zfcuda.style_network": "[1]"}), "what it says about its weights"),
        (lambda path: damaged(path, **{"zfcuda.style_network": '{"version": 2}'}), "written by a newer zfcuda"),
        (
            lambda path: damaged(
                path,
                **{"zfcuda.style_network": '{"version": 1, "styles": 1, "width": 0.5, "names": [], "facts": {}}'},
            ),
            "its weights are not those that it says they are",
        ),
    ],
)
def test_a_file_of_something_else(tmp_path: Path, change: Any, said: str) -> None:
    path = tmp_path / "w.safetensors"
    drawn().save(path)
    change(path)
    with pytest.raises(ValueError) as raised:
        StyleNetwork.load(path)
    assert str(raised.value).startswith(f"{path}: {said}") and "\n" not in str(raised.value)


def test_a_file_of_another_ending(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path: expected a name that ends in \.safetensors"):
        drawn().save(tmp_path / "w.pth")


# ---------------------------------------------------------------- layers where nobody names them


def test_layers_where_nobody_names_them() -> None:
    def block(of: int, to: int) -> list[nn.Module]:
        return [nn.Conv2d(of, to, 3, padding=1), nn.ReLU(), nn.Conv2d(to, to, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]

    maps = [*block(3, 2), *block(2, 2), *block(2, 2), *block(2, 2), *block(2, 2), *block(2, 2)]
    model = nn.Sequential(*maps, nn.Flatten(), nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    assert style_choice(model, torch.zeros(1, 3, 64, 64)) == ("18", ("1", "6", "11", "16", "21"))
    # Its head fits no other size, which does not matter here.
    assert style_choice(model, torch.zeros(1, 3, 96, 96)) == ("18", ("1", "6", "11", "16", "21"))


def test_no_layers() -> None:
    with pytest.raises(ValueError, match="style_layers: expected names, as no rectifier of Sequential is a module"):
        style_choice(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 2)), torch.zeros(1, 3, 8, 8))


def test_files_of_hostile_weights(tmp_path: Path) -> None:
    network, file = StyleNetwork(2, width=0.1), tmp_path / "x.safetensors"
    known = {"styles": 2, "width": 0.1, "names": [], "facts": {}}
    tensors = network.state_dict()
    changed: dict[str, Callable[[Tensor], Tensor]] = {
        "NaN": lambda value: value * torch.nan,
        "float8": lambda value: value.to(torch.float8_e4m3fn),
        "torch.float16, torch.float32": lambda value: value.half() if value.ndim == 4 else value,
    }
    for said, change in changed.items():
        write_style(file, {name: change(value) for name, value in tensors.items()}, known)
        with pytest.raises(ValueError, match=f"what it says about its weights cannot be read .*{said}"):
            StyleNetwork.load(file)
    for claim in ({"styles": 10**12}, {"width": 1e6}):  # more than any machine holds
        write_style(file, tensors, known | claim)
        with pytest.raises(ValueError, match=r"its weights are not those that it says they are .*size mismatch"):
            StyleNetwork.load(file)


def test_no_images_autocast_and_blends_of_numpy() -> None:
    network = StyleNetwork(2, width=0.1)
    assert network.stylize(torch.zeros(0, 3, 20, 24)).shape == (0, 3, 20, 24)
    assert network.stylize(torch.zeros(0, 3, 20, 24), tile=16).shape == (0, 3, 20, 24)
    image = torch.rand(3, 20, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for tile in (None, 16):
            assert network.stylize(image, tile=tile).dtype == torch.float32
    assert torch.equal(network.stylize(image, np.array([0.5, 0.5])), network.stylize(image, [0.5, 0.5]))
