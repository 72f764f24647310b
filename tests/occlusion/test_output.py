"""Models that return dicts, tuples, objects and dense maps, of which output= makes scores."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from tests.harness.random_networks import randomise
from tests.occlusion.incremental.definition import brute_force, check, deviation
from zfcuda.network.graph import INNER
from zfcuda.occlusion import areas, foreground
from zfcuda.occlusion.output import named

WINDOWS: dict[str, Any] = {"window": (9, 7), "stride": (8, 7), "fill": "mean"}
SIZE = (3, 33, 41)


class Composed(nn.Module):
    """What a user would write by hand."""

    def __init__(self, model: nn.Module, output: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.model, self.output = model, output

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.model(x))


class Segmenter(nn.Module):
    """An encoder, parallel dilated filters and a pooled branch, and a bilinear map of the image's size."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()
        )
        self.dilated = nn.ModuleList(nn.Conv2d(8, 6, 3, padding=d, dilation=d) for d in (1, 2))
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 6, 1), nn.ReLU())
        self.classifier = nn.Conv2d(18, classes, 1)
        self.aux = nn.Conv2d(8, classes, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        size = x.shape[-2:]
        x = self.encoder(x)
        everywhere = F.interpolate(self.pooled(x), size=x.shape[-2:], mode="bilinear", align_corners=False)
        logits = self.classifier(torch.cat([*(d(x).relu() for d in self.dilated), everywhere], 1))
        return OrderedDict(
            out=F.interpolate(logits, size=size, mode="bilinear", align_corners=False),
            aux=F.interpolate(self.aux(x), size=size, mode="bilinear", align_corners=False),
        )


@dataclass
class Answer:
    logits: Tensor
    features: Tensor | None = None


class TwoHeads(nn.Module):
    """A classifier and a box, returned as `kind` says."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU())
        self.classes, self.box, self.kind = nn.Linear(8, 6), nn.Linear(8 * 5 * 7, 4), kind

    def forward(self, x: Tensor) -> Any:
        x = self.features(x)
        logits, box = self.classes(x.mean((2, 3))), self.box(x.flatten(1))
        if self.kind == "dict":
            return {"logits": logits, "box": box}
        if self.kind == "dataclass":
            return Answer(logits, x)
        return (logits, box) if self.kind == "tuple" else [logits, {"box": box}]


def probabilities_of_2(answer: Any) -> Tensor:
    return answer["out"].softmax(1)[:, 2].mean((1, 2))[:, None]


def share_won_by_2(answer: Any) -> Tensor:
    return (answer["out"].argmax(1) == 2).float().mean((1, 2))


def box_area(answer: Any) -> Tensor:
    return answer[1]["box"][:, 2:] - answer[1]["box"][:, :2]


CASES: dict[str, tuple[Callable[[], nn.Module], Any, Callable[[Any], Tensor]]] = {
    "probability": (Segmenter, probabilities_of_2, probabilities_of_2),
    "argmax": (Segmenter, share_won_by_2, share_won_by_2),
    "areas": (Segmenter, areas, lambda answer: answer["out"].softmax(1).mean((2, 3))),
    "foreground": (Segmenter, foreground, lambda answer: answer["out"].sigmoid().mean((2, 3))),
    "foreground of one class": (lambda: Segmenter(1), foreground, lambda answer: answer["out"].sigmoid().mean((2, 3))),
    "key": (lambda: TwoHeads("dict"), "box", lambda answer: answer["box"]),
    "index": (lambda: TwoHeads("tuple"), 0, lambda answer: answer[0]),
    "index from the end": (lambda: TwoHeads("tuple"), -1, lambda answer: answer[1]),
    "attribute": (lambda: TwoHeads("dataclass"), "logits", lambda answer: answer.logits),
    "nest": (lambda: TwoHeads("nest"), box_area, box_area),
    "map of features": (
        lambda: TwoHeads("dataclass"),
        lambda answer: answer.features.amax((2, 3)),
        lambda answer: answer.features.amax((2, 3)),
    ),
}


def image_of(seed: int, device: torch.device) -> Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(seed)).to(device)


def made(model: Callable[[], nn.Module], device: torch.device) -> nn.Module:
    return randomise(model(), 7).to(device)


@pytest.mark.parametrize("method", ["incremental", "batched", "auto"])
@pytest.mark.parametrize("name", CASES)
def test_is_brute_force(name: str, method: str, device: torch.device) -> None:
    model, output, written = CASES[name]
    net, image = made(model, device), image_of(1, device)
    expected, *_ = brute_force(Composed(net, written), image, **WINDOWS)
    found = zfcuda.occlusion_map(net, image, **WINDOWS, output=output, method=method)
    assert method == "auto" or found.method == method
    assert deviation(found.logits, expected, found.base_logits) <= 1
    assert float((found.logits - found.base_logits).abs().max()) > 1e-3  # or nothing was seen of the windows
    assert INNER not in found.reason and "one at a time" not in found.reason


@pytest.mark.parametrize("name", ["areas", "key", "nest"])
def test_many_images(name: str, device: torch.device) -> None:
    model, output, _ = CASES[name]
    net = made(model, device)
    mapper = zfcuda.OcclusionMapper(net, image_of(0, device), **WINDOWS, output=output)
    for seed in (1, 2):
        image = image_of(seed, device)
        found, expected = mapper(image), zfcuda.occlusion_map(net, image, **WINDOWS, output=output)
        torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-5)
        assert (found.method, found.target) == (expected.method, expected.target)


def test_areas_are_shares_of_the_image(device: torch.device) -> None:
    net = made(Segmenter, device)
    found = zfcuda.occlusion_map(net, image_of(1, device), **WINDOWS, output=areas, target=3)
    torch.testing.assert_close(found.base_logits.sum(), torch.ones((), device=device))
    torch.testing.assert_close(found.probability, found.logits[..., 3])
    assert torch.equal(found.score, found.logits[..., 3])


def test_layers_keep_their_names(device: torch.device) -> None:
    net, image = made(Segmenter, device), image_of(1, device)
    how = {**WINDOWS, "layer": "encoder.3", "output": areas}
    found = zfcuda.occlusion_map(net, image, **how, method="incremental")
    _, activity, _ = brute_force(Composed(net, areas), image, **WINDOWS, layer="model.encoder.3")
    assert found.activity is not None and activity is not None
    torch.testing.assert_close(found.activity.double(), activity[..., found.unit], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.activity, zfcuda.occlusion_map(net, image, **how, method="batched").activity)
    with pytest.raises(ValueError, match=r"layer: Segmenter has no layer 'encoder.9'; .*; did you mean encoder.4"):
        zfcuda.occlusion_map(net, image, **WINDOWS, layer="encoder.9", output=areas)
    net.encoder[3].register_forward_hook(lambda *_: None)
    assert "hooks on encoder.3," in zfcuda.occlusion_map(net, image, **how).reason


def test_a_model_in_a_wrapper(device: torch.device) -> None:
    net, image = made(Segmenter, device), image_of(1, device)
    how: dict[str, Any] = {**WINDOWS, "output": areas, "method": "incremental"}
    expected = zfcuda.occlusion_map(net, image, **how, layer="encoder.3")
    found = zfcuda.occlusion_map(torch.compile(net), image, **how, layer="_orig_mod.encoder.3")
    assert torch.equal(found.logits, expected.logits) and torch.equal(found.activity, expected.activity)


def branches(answer: Any) -> Tensor:
    """torch.fx cannot record it, torch.export can."""
    dense = answer["out"]
    return dense.mean((2, 3)) if dense.shape[1] > 2 else dense.amax((2, 3))


def test_a_callable_that_branches_on_shapes(device: torch.device) -> None:
    net = made(Segmenter, device)
    found = check(Composed(net, branches), image_of(1, device), **WINDOWS)
    exported = zfcuda.occlusion_map(
        net, image_of(1, device), **WINDOWS, output=branches, method="incremental", layer="encoder.3"
    )
    assert "torch.export" in exported.reason and INNER not in exported.reason
    torch.testing.assert_close(exported.logits, found.logits, rtol=1e-4, atol=1e-5)
    assert exported.activity is not None


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (lambda answer: answer["out"].mean((2, 3)) / answer["out"].amax(), "amax mixes the images"),
        (lambda answer: torch.from_numpy(answer["out"].cpu().numpy().mean((2, 3))), "numpy"),
        (lambda answer: torch.stack([a.mean((1, 2)) for a in answer["out"]]), "unbind takes the images"),
    ],
    ids=["couples the images", "leaves torch", "image by image"],
)
def test_what_is_not_proven_runs_one_by_one(output: Any, reason: str, device: torch.device) -> None:
    net, image = made(Segmenter, device), image_of(1, device)
    expected, *_ = brute_force(Composed(net, output), image, **WINDOWS)
    found = zfcuda.occlusion_map(net, image, **WINDOWS, output=output)
    assert found.method == "batched" and "each was run by itself" in found.reason and reason in found.reason
    assert deviation(found.logits, expected.to(device), found.base_logits.to(device)) <= 1


def test_a_module_is_a_part_of_the_model(device: torch.device) -> None:
    """A probe on features: its batch norm is that of eval mode, and what it learns is seen."""
    net, image = made(lambda: TwoHeads("dataclass"), device), image_of(1, device)

    class Probe(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.head = nn.BatchNorm1d(8), nn.Linear(8, 3)

        def forward(self, answer: Answer) -> Tensor:
            assert answer.features is not None
            return self.head(self.norm(answer.features.mean((2, 3))))

    probe = made(Probe, device).train()
    found = zfcuda.occlusion_map(net, image, **WINDOWS, output=probe, method="incremental")
    expected, *_ = brute_force(Composed(net, probe).train(), image, **WINDOWS)
    assert deviation(found.logits, expected, found.base_logits) <= 1
    assert probe.training and probe.norm.training
    mapper = zfcuda.OcclusionMapper(net, image, **WINDOWS, output=probe)
    with torch.no_grad():
        probe.head.weight.mul_(2)
        probe.head.bias.mul_(2)
    torch.testing.assert_close(mapper(image).logits, 2 * found.logits, rtol=1e-4, atol=1e-5)


def test_leaves_the_model_alone(device: torch.device) -> None:
    net = made(Segmenter, device).train()
    names, state = [name for name, _ in net.named_modules()], {k: v.clone() for k, v in net.state_dict().items()}
    zfcuda.occlusion_map(net, image_of(1, device), **WINDOWS, output=areas)
    assert [name for name, _ in net.named_modules()] == names
    assert all(module.training and not module._forward_hooks for module in net.modules())
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())


def refusals() -> Iterator[tuple[Callable[[], nn.Module], Any, type[Exception], str]]:
    dense = r"out': \[1, 5, 33, 41\], 'aux': \[1, 5, 33, 41\]"
    yield (
        Segmenter,
        None,
        ValueError,
        rf"model: .*\[N,classes\].* got OrderedDict with '{dense}.*output=zfcuda.occlusion.areas",
    )
    yield lambda: TwoHeads("tuple"), None, ValueError, r"model: .* got tuple with 0: \[1, 6\], 1: \[1, 4\].*output=0,"
    yield (
        lambda: TwoHeads("dataclass"),
        None,
        ValueError,
        r"model: .* got Answer with 'logits': \[1, 6\].*output='logits',",
    )
    yield (
        lambda: nn.Conv2d(3, 5, 3),
        None,
        ValueError,
        r"model: .* got a Tensor of shape \[1, 5, 31, 39\].*output=areas",
    )
    yield Segmenter, "out", ValueError, r"output: .* got a Tensor of shape \[1, 5, 33, 41\].*areas"
    yield Segmenter, "logits", ValueError, rf"output: 'logits' is not in what the model returns: .*'{dense}"
    yield lambda: TwoHeads("tuple"), 2, ValueError, "output: 2 is not in what the model returns: tuple"
    yield lambda: TwoHeads("tuple"), "logits", ValueError, "output: 'logits' is not in what the model returns: tuple"
    yield lambda: TwoHeads("dataclass"), "box", ValueError, "output: 'box' is not in .*: Answer with 'logits'"
    yield (
        lambda: nn.Conv2d(3, 5, 3),
        0,
        ValueError,
        r"output: 0 is not in what the model returns: a Tensor of shape \[1, 5",
    )
    yield Segmenter, lambda y: y["out"].argmax(1).flatten(1), ValueError, r"output: .*floating.*int64.*\.float\(\)"
    yield Segmenter, lambda y: y["out"].mean(), ValueError, r"output: .* got a Tensor of shape \[\]"
    yield Segmenter, lambda y: 3, ValueError, "output: .* got int$"
    yield (
        lambda: TwoHeads("dict"),
        areas,
        ValueError,
        r"output: areas.*\[N,classes,H,W\], got a Tensor of shape \[1, 6\]",
    )
    yield lambda: Segmenter(1), areas, ValueError, r"output: areas\(\) expected 2 classes or more, .*foreground"
    for other in (True, 1.5, ["out"]):
        yield Segmenter, other, TypeError, "output: expected a callable, a key or an index, got "


@pytest.mark.parametrize(("model", "output", "error", "message"), list(refusals()))
def test_refusals_say_what_there_is(model: Any, output: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        zfcuda.occlusion_map(
            made(model, torch.device("cpu")), image_of(0, torch.device("cpu")), output=output, window=9
        )


def first_logit(answer: Any) -> Tensor:
    return answer["logits"][:, :1]


def test_a_share_is_a_probability_and_a_logit_is_not(device: torch.device) -> None:
    share = zfcuda.occlusion_map(made(Segmenter, device), image_of(1, device), **WINDOWS, output=probabilities_of_2)
    assert torch.equal(share.probability, share.score) and share.normalization == "none"
    heads = made(lambda: TwoHeads("dict"), device)
    logit = zfcuda.occlusion_map(heads, image_of(1, device), **WINDOWS, output=first_logit)
    assert logit.normalization == "sigmoid" and float(logit.score.min()) < 0
    asked = zfcuda.occlusion_map(heads, image_of(1, device), **WINDOWS, output=first_logit, probability="none")
    assert torch.equal(asked.probability, asked.score)


def test_names_for_records() -> None:
    assert named("out") == "out" and named(0) == 0
    assert named(areas) == "zfcuda.occlusion.output:areas"
    assert named(nn.Flatten()) == "torch.nn.modules.flatten:Flatten"
