"""The networks that the benchmarks and tests use are the published ones, and answer as trained ones would."""

from __future__ import annotations

import pytest
import torch
from torch import fx

from benchmarks.bound import work
from benchmarks.zoo import NETWORKS, picture

# What torchvision documents for its networks.
PARAMETERS = {
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "vgg11_bn": 132_868_840,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "googlenet": 6_624_904,
    "squeezenet1_1": 1_235_496,
    "densenet121": 7_978_856,
    "mobilenet_v2": 3_504_872,
}
KEYS = {
    "alexnet": "features.10.weight classifier.6.bias",
    "vgg16": "features.28.weight classifier.6.weight",
    "vgg11_bn": "features.26.running_var classifier.0.weight",
    "resnet18": "conv1.weight layer2.0.downsample.1.running_mean layer4.1.bn2.num_batches_tracked fc.bias",
    "resnet50": "layer1.0.downsample.0.weight layer3.5.conv3.weight",
    "googlenet": "conv1.bn.weight inception4e.branch2.1.conv.weight inception5b.branch4.1.bn.bias fc.weight",
    "squeezenet1_1": "features.12.expand3x3.weight classifier.1.bias",
    "densenet121": "features.denseblock3.denselayer24.conv2.weight features.transition3.norm.weight classifier.weight",
    "mobilenet_v2": "features.1.conv.0.0.weight features.17.conv.3.running_var features.18.1.bias classifier.1.weight",
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_its_size_and_names_and_answers_soundly(name: str) -> None:
    random = torch.get_rng_state()
    network = NETWORKS[name]()
    assert torch.equal(torch.get_rng_state(), random)
    assert not network.training
    if name in PARAMETERS:
        assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]
        assert set(KEYS[name].split()) <= set(network.state_dict())
    fx.symbolic_trace(network)
    occluded = picture()
    occluded[..., 96:128, 96:128] = 0
    with torch.inference_mode():
        whole, part = network(torch.cat([picture(), occluded]))
    assert whole.shape == (1000,)
    assert 0.1 < whole.std() < 100
    assert (whole - part).std() > 0.005 * whole.std()


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v2"])
def test_weights_are_the_same_at_every_call(name: str) -> None:
    first, second = NETWORKS[name](10).state_dict(), NETWORKS[name](10).state_dict()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize(
    ("name", "window", "stride", "ratio"),
    [("alexnet", 32, 32, 3.064), ("vgg16", 32, 32, 7.233), ("resnet18", 32, 32, 2.658), ("squeezenet1_1", 224, 8, 1.0)],
)
def test_the_multiply_adds_of_what_changes(name: str, window: int, stride: int, ratio: float) -> None:
    """The figures come from a separate calculation, from the published shapes alone."""
    assert work(NETWORKS[name](), picture(), window, stride).ratio == pytest.approx(ratio, abs=5e-4)
