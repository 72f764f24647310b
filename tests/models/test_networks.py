"""Every network by name: shapes, torchvision's keys and numbers, pictures, and all that is done with networks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks import networks
from benchmarks.zoo import randomise
from zfcuda import models
from zfcuda.data import DigitPreprocess, Preprocess
from zfcuda.models.architectures import registry
from zfcuda.models.checkpoints.plain_torchvision import torchvision_models
from zfcuda.models.checks import check_num_classes
from zfcuda.network import receptive_field

LISTED = json.loads(networks.KEYS.read_text(encoding="utf-8"))
ANY_SIZE = [name for name in models.NAMES if name in LISTED or name.startswith("efficientnet")]  # none is too small
# Made of the blocks of others: `python -m benchmarks.networks` does with them what the tests do with those.
SAME_AGAIN = {"vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "resnet34", "zfnet_wide"}
SAME_AGAIN |= {"efficientnet_lite1", "efficientnet_lite2"}
# Of these a page is made.
OF_EACH_KIND = ["lenet5", "alexnet", "zfnet", "vgg11", "vgg11_bn", "googlenet", "resnet18", "resnet50"]
OF_EACH_KIND += ["efficientnet_lite0"]


@pytest.fixture(scope="module")
def torchvision() -> Iterator[ModuleType]:
    with torchvision_models() as module:
        if module is None:
            pytest.skip("no torchvision")
        yield module


def on_meta(name: str, num_classes: int | None = None) -> nn.Module:
    with torch.device("meta"):
        return registry.build(name, num_classes=num_classes)


# ---------------------------------------------------------------- what is done with networks


@pytest.mark.parametrize("name", [name for name in models.NAMES if name not in SAME_AGAIN])
def test_networks_are_projected_occluded_and_explained(name: str, tmp_path: Path) -> None:
    """The images are small where the network takes them; docs/networks.md shows it on its own size."""
    subject = networks.case(name, num_classes=5, size=64 if name in ANY_SIZE else None)
    networks.check_projection(subject)
    networks.check_occlusion(subject)
    if name in OF_EACH_KIND:
        networks.check_page(subject, tmp_path / "page")
    networks.check_summary(subject)


@pytest.mark.parametrize("name", ["lenet5", "googlenet"])
def test_the_command_explains_a_network_by_name(name: str, tmp_path: Path) -> None:
    """The weights come from a file; docs/networks.md has all other networks."""
    networks.check_command(networks.case(name), tmp_path)


def test_the_document_has_every_network() -> None:
    written = (networks.ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(" `"): line for line in written.splitlines() if line.startswith("| `")}
    rows = {name: line for name, line in rows.items() if "/" not in name}
    assert list(rows) == [*models.NAMES, *registry.TABLE_3]
    for name, line in rows.items():
        held = sum(p.numel() for p in on_meta(name).parameters())
        assert f" {held:,} " in line
        assert line.count("|") == len(networks.COLUMNS) + 1


# ---------------------------------------------------------------- torchvision's


@pytest.mark.parametrize("name", LISTED)
def test_keys_and_shapes_are_those_listed(name: str) -> None:
    assert networks.keys(on_meta(name)) == LISTED[name]


# A few of them in plain sight, with the numbers that torchvision documents.
SHAPES = {
    "alexnet": {"features.0.weight": (64, 3, 11, 11), "features.10.bias": (256,), "classifier.1.weight": (4096, 9216)},
    "vgg16": {"features.28.weight": (512, 512, 3, 3), "classifier.0.weight": (4096, 25088)},
    "vgg19_bn": {"features.50.running_var": (512,), "features.49.weight": (512, 512, 3, 3)},
    "googlenet": {"conv1.conv.weight": (64, 3, 7, 7), "inception4e.branch3.1.conv.weight": (128, 32, 3, 3)},
    "resnet34": {"layer3.5.bn2.num_batches_tracked": (), "layer2.0.downsample.0.weight": (128, 64, 1, 1)},
    "resnet50": {"layer1.0.downsample.0.weight": (256, 64, 1, 1), "layer4.2.conv3.weight": (2048, 512, 1, 1)},
}
PARAMETERS = {
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "googlenet": 6_624_904,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
}


def test_the_list_has_the_published_numbers() -> None:
    assert {name: known["parameters"] for name, known in LISTED.items()} == PARAMETERS
    for name, shapes in SHAPES.items():
        state = on_meta(name).state_dict()
        assert {key: tuple(state[key].shape) for key in shapes} == shapes


@pytest.mark.parametrize("name", LISTED)
def test_numbers_are_torchvisions(name: str, torchvision: ModuleType) -> None:
    """Equal weights, image and mode give equal logits, and the names stand in the same order."""
    theirs = networks.of_torchvision(torchvision, name)
    ours = on_meta(name)
    state = networks.without_ignored(ours, theirs.state_dict())
    assert list(state) == list(ours.state_dict())
    assert networks.described(state) == LISTED[name]
    randomise(theirs)  # in eval mode, as is what torchvision.models gives with its weights
    ours.load_state_dict(networks.without_ignored(ours, theirs.state_dict()), assign=True)
    image = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        expected, logits = theirs(image), ours.eval()(image)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_googlenet_ignores_the_side_classifiers_and_changes_the_colours() -> None:
    net = models.googlenet(7).eval()
    assert not any(key.startswith(("aux", "transform_input")) for key in net.state_dict())
    file = {**net.state_dict(), "aux1.fc2.bias": torch.zeros(7), "aux2.conv.conv.weight": torch.zeros(128, 528, 1, 1)}
    net.load_state_dict(networks.without_ignored(net, file))
    # A picture of ImageNet's mean colour is 0; the published weights see it as (mean - 0.5) / 0.5.
    seen = net.transform_input(torch.zeros(1, 3, 2, 2))[0, :, 0, 0]
    torch.testing.assert_close(seen, torch.tensor([0.485, 0.456, 0.406]) * 2 - 1)
    plain = models.googlenet(7, transform_input=False).eval()
    assert list(plain.state_dict()) == list(net.state_dict())
    plain.load_state_dict(net.state_dict())
    image = torch.randn(1, 3, 64, 64)
    assert not torch.equal(plain(image), net(image))
    torch.testing.assert_close(plain(net.transform_input(image)), net(image))


def test_googlenets_colours_on_a_torch_that_refuses_eps_0(monkeypatch: pytest.MonkeyPatch) -> None:
    colours = models.googlenet(2).transform_input
    expected = colours(torch.ones(1, 3, 1, 1))
    monkeypatch.delattr(torch.nn.functional, "batch_norm")  # where torch 2.10 and 2.11 refuse
    assert torch.equal(colours(torch.ones(1, 3, 1, 1)), expected)


def test_googlenets_colours_outlive_the_meta_device() -> None:
    expected = models.googlenet(2).transform_input(torch.ones(1, 3, 1, 1))
    net = on_meta("googlenet", 2)
    assert torch.equal(net.transform_input(torch.ones(1, 3, 1, 1)), expected)
    net.to_empty(device="cpu")
    net.transform_input.reset_parameters()
    assert torch.equal(net.transform_input(torch.ones(1, 3, 1, 1)), expected)


# ---------------------------------------------------------------- the others' shapes

CHAINS = {
    "lenet5": {"conv1": (6, 28, 28), "pool1": (6, 14, 14), "conv2": (16, 10, 10), "pool2": (16, 5, 5), "fc3": (120,)},
    # Krizhevsky et al. 2012, section 3.5, and bvlc_reference_caffenet.
    "caffenet": {
        "conv1": (96, 55, 55),
        "pool1": (96, 27, 27),
        "conv2": (256, 27, 27),
        "pool2": (256, 13, 13),
        "conv3": (384, 13, 13),
        "conv4": (384, 13, 13),
        "conv5": (256, 13, 13),
        "pool5": (256, 6, 6),
        "fc6": (4096,),
    },
    "alexnet_one_tower": {
        "conv1": (96, 55, 55),
        "pool1": (96, 27, 27),
        "conv2": (256, 27, 27),
        "pool2": (256, 13, 13),
        "conv3": (384, 13, 13),
        "conv4": (384, 13, 13),
        "conv5": (256, 13, 13),
        "pool5": (256, 6, 6),
        "fc7": (4096,),
    },
    # From conv2 on the shapes of ZFNet, the paper's Fig. 3.
    "zfnet_alexnet_conv1": {
        "conv1": (96, 55, 55),
        "pool1": (96, 28, 28),
        "conv2": (256, 26, 26),
        "pool2": (256, 13, 13),
        "conv3": (384, 13, 13),
        "conv4": (384, 13, 13),
        "conv5": (256, 13, 13),
        "pool5": (256, 6, 6),
        "fc8": (1000,),
    },
    "zfnet_wide": {"conv2": (256, 26, 26), "conv3": (512, 13, 13), "conv4": (1024, 13, 13), "conv5": (512, 13, 13)},
}


@pytest.mark.parametrize("name", CHAINS)
def test_shapes_of_each_layer(name: str) -> None:
    table = {row.name: row for row in models.summary(registry.build(name), registry.entry(name).input_size)}
    assert {layer: table[layer].output_shape for layer in CHAINS[name]} == CHAINS[name]


def test_known_numbers_of_parameters() -> None:
    def held(name: str, layer: str = "") -> int:
        return sum(p.numel() for p in on_meta(name).get_submodule(layer).parameters())

    assert held("lenet5") == 61_706
    assert held("caffenet") == 60_965_224
    assert held("caffenet", "conv2") == 256 * 48 * 25 + 256  # half of the maps for each half of the filters
    assert held("alexnet_one_tower", "conv1") == held("zfnet_alexnet_conv1", "conv1") == 34_944
    assert held("alexnet_one_tower", "conv4") == 384 * 384 * 9 + 384  # dense


def test_fig_6_compares_first_layers_alone() -> None:
    zfnet, other = on_meta("zfnet").state_dict(), on_meta("zfnet_alexnet_conv1").state_dict()
    assert list(zfnet) == list(other)
    assert [key for key in zfnet if zfnet[key].shape != other[key].shape] == ["conv1.weight"]
    for name in ("zfnet", "zfnet_alexnet_conv1", "alexnet_one_tower"):
        assert receptive_field(on_meta(name), "conv5", (224, 224)).stride == (16, 16)


@pytest.mark.parametrize("name", ["caffenet", "alexnet_one_tower"])
def test_fused_stages_change_nothing(name: str) -> None:
    net = on_meta(name, 5)
    randomise(net)
    image = torch.randn(2, *registry.entry(name).input_size)
    with torch.inference_mode():
        torch.testing.assert_close(net(image), nn.Sequential(*net)(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "smallest"), [("alexnet", 63), ("vgg11", 32), ("googlenet", 15), ("resnet18", 1)])
def test_the_smallest_pictures(name: str, smallest: int) -> None:
    net = registry.build(name, num_classes=3).eval()
    with torch.inference_mode():
        assert net(torch.zeros(1, 3, smallest, smallest)).shape == (1, 3)
        if smallest > 1:
            with pytest.raises(RuntimeError):
                net(torch.zeros(1, 3, smallest - 1, smallest - 1))


# ---------------------------------------------------------------- by name


@pytest.mark.parametrize("name", models.NAMES)
def test_build_gives_what_the_registry_says(name: str) -> None:
    known = registry.entry(name)
    net = on_meta(name).to("meta")  # the constants of GoogLeNet, too
    assert net.training
    assert net.classes == (models.imagenet.classes() if known.published else None)
    assert net(torch.empty(1, *known.input_size, device="meta")).shape == (1, known.num_classes)
    assert net.preprocess(Image.new("RGB", (300, 260), "red")).shape == (1, *known.input_size)
    few = on_meta(name, 3).to("meta")
    assert few.classes is None
    assert few(torch.empty(2, *known.input_size, device="meta")).shape == (2, 3)
    assert known.title and known.title[0].isupper()


def test_classes_are_the_callers_own() -> None:
    net = on_meta("resnet18", 1000)
    net.classes.clear()
    assert len(models.imagenet.classes()) == 1000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vgg61", r"name: no network 'vgg61'; did you mean vgg1\d"),
        ("VGG16", r"name: no network 'VGG16'; did you mean vgg16[,?]"),
        ("zfnet-wide", r"did you mean zfnet_wide[,?]"),
        ("", "name: no network ''; there are lenet5, alexnet"),
        ("transformer_xxl", "there are lenet5, alexnet"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        registry.build(name)


@pytest.mark.parametrize("num_classes", [0, -1, 2.0, True, "10"])
def test_numbers_of_classes_that_are_refused(num_classes: object) -> None:
    with pytest.raises(ValueError, match=f"num_classes: .*{num_classes!r}"):
        check_num_classes(num_classes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", models.NAMES)
def test_every_network_refuses_no_classes(name: str) -> None:
    for build in (registry.entry(name).build, lambda n: registry.build(name, num_classes=n)):
        with pytest.raises(ValueError, match=r"num_classes: .*0"):
            build(0)


def test_initial_weights() -> None:
    """He's let activations through, however deep the network; those of ZFNet's family are the paper's."""
    image = torch.randn(2, 3, 64, 64)
    net = registry.build("vgg19", num_classes=10).eval()
    with torch.inference_mode():
        assert 0.01 < net(image).std() < 100
    fan_in = 512 * 9
    assert net.features[-3].weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)
    assert not net.features[-3].bias.any()
    tower = models.alexnet_one_tower(3)
    assert tower.conv3.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not tower.conv3.bias.any()


def test_imagenets_classes() -> None:
    classes = models.imagenet.classes()
    assert len(classes) == len(set(classes)) == 1000
    assert [classes[i] for i in (0, 207, 281, 999)] == ["tench", "golden retriever", "tabby", "toilet tissue"]
    assert all(name == name.strip() and name for name in classes)


def test_imagenets_ids() -> None:
    ids, classes = models.imagenet.synsets(), models.imagenet.classes()
    assert len({*ids}) == 1000 and list(ids) == sorted(ids)
    known = {"n01440764": "tench", "n02119789": "kit fox", "n02123045": "tabby", "n15075141": "toilet tissue"}
    assert {key: classes[ids.index(key)] for key in known} == known


def test_imagenets_classes_are_torchvisions(torchvision: ModuleType) -> None:
    assert torchvision.ResNet18_Weights.DEFAULT.meta["categories"] == models.imagenet.classes()


# ---------------------------------------------------------------- pictures


def photograph(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A picture that is smooth and coloured, no two corners alike."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [np.sin(9 * x + 3 * y), np.cos(7 * y - 2 * x), x * y * 2 - 1]
    return Image.fromarray((np.stack(waves, -1) * 127 + 128).clip(0, 255).astype(np.uint8)).convert(mode)


@pytest.mark.parametrize("size", [(500, 375), (257, 800), (256, 256), (100, 90), (301, 300)])
def test_imagenets_crop_is_scaling_then_cutting(size: tuple[int, int]) -> None:
    picture = photograph(*size)
    short = min(size)
    wide, high = (256 * length // short for length in size)
    left, top = round((wide - 224) / 2), round((high - 224) / 2)
    cut = picture.resize((wide, high), Image.Resampling.BILINEAR).crop((left, top, left + 224, top + 224))
    pixels = torch.from_numpy(np.array(cut)).permute(2, 0, 1) / 255
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    restored = Preprocess(interpolation="bilinear")(picture)[0] * std + mean
    assert (restored - pixels).abs().max() < 1.5 / 255  # each way of scaling rounds to whole numbers


def test_imagenets_pictures_are_torchvisions(torchvision: ModuleType) -> None:
    picture = photograph(500, 375)
    expected = torchvision.ResNet18_Weights.DEFAULT.transforms()(picture)
    image = Preprocess(interpolation="bilinear")(picture)[0]
    assert (image - expected).abs().max() < 1.5 / 255 / 0.224


def test_caffenets_pictures_are_blue_first_less_the_mean() -> None:
    image = registry.entry("caffenet").preprocess(Image.new("RGB", (400, 300), (10, 20, 30)))
    assert image.shape == (1, 3, 227, 227) and image.dtype == torch.float32
    expected = torch.tensor([30 - 104.00698793, 20 - 116.66876762, 10 - 122.67891434]).view(1, 3, 1, 1)
    torch.testing.assert_close(image, expected.expand_as(image))


def test_digits_stand_in_the_middle() -> None:
    image = DigitPreprocess()(Image.new("L", (28, 28), 255))
    assert image.shape == (1, 1, 32, 32)
    torch.testing.assert_close(image[..., 2:30, 2:30], torch.full((1, 1, 28, 28), 1.175))
    assert (image == -0.1).sum() == 32 * 32 - 28 * 28


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
@pytest.mark.parametrize("preprocess", [Preprocess(interpolation="bilinear"), DigitPreprocess()])
def test_pictures_of_any_mode_and_shape(preprocess: Callable[[Image.Image], torch.Tensor], mode: str) -> None:
    for size in ((40, 40), (5000, 1), (1, 5000)):
        image = preprocess(photograph(*size, mode))
        assert image.dtype == torch.float32 and image.is_contiguous() and image.isfinite().all()
