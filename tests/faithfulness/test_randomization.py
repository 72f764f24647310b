"""The sanity check: planted methods whose answer is known, the model left alone, and Quantus."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.faithfulness.small import Corners, gradients, layered, noise
from zfcuda.faithfulness import Similarity, randomization
from zfcuda.faithfulness.randomization import shuffled_from_the_top, similarity

IMAGE = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(5))
LAYERS = ["5", "2", "0"]


def _brightness(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    return images.sum(1)


def test_a_method_that_ignores_the_weights_stays_the_same() -> None:
    assert randomization(layered(), IMAGE, _brightness) == [(name, Similarity(1.0, 1.0, 1.0)) for name in LAYERS]
    assert randomization(layered(), IMAGE, "centre", target=1) == [
        (name, Similarity(1.0, 1.0, pytest.approx(1.0))) for name in LAYERS
    ]


def test_a_random_method_has_nothing_in_common_with_itself() -> None:
    dice = iter(range(100))

    def rolled(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
        return torch.randn(1, 40, 40, generator=torch.Generator().manual_seed(next(dice)))

    for _, found in randomization(layered_for(40), torch.rand(3, 40, 40), rolled):
        assert max(abs(found.rank), abs(found.rank_of_magnitudes), abs(found.ssim)) < 0.12


def layered_for(side: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * (side - 2) ** 2, 3))


def test_the_gradient_changes_and_its_sign_counts() -> None:
    found = randomization(layered(), IMAGE, gradients, target=2)
    assert [name for name, _ in found] == LAYERS and all(abs(each.rank) < 0.6 for _, each in found)
    map = noise() - 0.5
    against = similarity(-map, map)
    assert against.rank == pytest.approx(-1) and against.rank_of_magnitudes == pytest.approx(1)
    assert against.ssim == pytest.approx(1)


def test_layers_are_shuffled_in_turn_and_stay_so() -> None:
    model = layered()
    before = copy.deepcopy(model.state_dict())
    seen: list[str] = []
    for name, changed in shuffled_from_the_top(model):
        seen.append(name)
        for key, value in changed.state_dict().items():
            same = torch.equal(value, before[key])
            assert same == (key.partition(".")[0] not in seen)
            assert torch.equal(value.flatten().sort().values, before[key].flatten().sort().values)
    assert seen == LAYERS and all(torch.equal(model.state_dict()[key], before[key]) for key in before)


def test_a_seed_gives_the_same_and_another_one_not() -> None:
    runs = [randomization(layered(), IMAGE, gradients, target=0, seed=seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


class Tied(nn.Module):
    """Two layers that share their weights, and a parameter of the model itself."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(1, 2, 3))
        self.one = nn.Conv2d(3, 3, 3, padding=1)
        self.two = nn.Conv2d(3, 3, 3, padding=1)
        self.two.weight = self.one.weight

    def forward(self, images: Tensor) -> Tensor:
        return self.two(self.one(images)).mean((2, 3)) * self.scale


def test_what_layers_share_is_shuffled_once() -> None:
    model = Tied()
    order = dict(shuffled_from_the_top(model, seed=3))
    assert list(order) == ["two", "one", "the model itself"]
    shared = order["one"].get_parameter("one.weight")
    assert shared is order["one"].get_parameter("two.weight")
    dice = torch.Generator().manual_seed(3)
    expected = model.one.weight.flatten()[torch.randperm(81, generator=dice)]
    assert torch.equal(shared.flatten(), expected)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_the_model_stays_as_it_was() -> None:
    model = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 12), dim=0)
    flat = nn.Sequential(model, nn.BatchNorm2d(4), nn.Flatten()).train()
    old = nn.utils.weight_norm(nn.Linear(4, 2))  # computes its weight anew at each call, and keeps it
    whole = nn.Sequential(flat, old).train()
    for parameter in whole.parameters():
        parameter.grad = torch.ones_like(parameter)
    calls: list[int] = []
    whole[1].register_forward_hook(lambda *_: calls.append(1))
    before = {key: value.clone() for key, value in whole.state_dict().items()}

    def failing(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
        if next(dice) == 2:
            raise KeyboardInterrupt
        return gradients(model, images, targets)

    dice = iter(range(9))
    with pytest.raises(KeyboardInterrupt):
        randomization(whole, IMAGE, failing)
    assert all(torch.equal(whole.state_dict()[key], before[key]) for key in before)
    assert all(module.training for module in whole.modules())
    assert all(bool((parameter.grad == 1).all()) for parameter in whole.parameters() if parameter.grad is not None)
    assert len(whole[1]._forward_hooks) == 1 and calls


def test_wrapped_models_and_inference_mode() -> None:
    expected = randomization(layered(), IMAGE, gradients, target=1)
    for wrapped in (nn.DataParallel(layered()), torch.compile(layered(), backend="eager")):
        assert randomization(wrapped, IMAGE, gradients, target=1) == expected  # type: ignore[arg-type]
    model = layered()
    with torch.inference_mode():
        assert randomization(model, IMAGE, gradients, target=1) == expected


def _nan(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    return images[:, 0] * torch.nan


class Locked(nn.Linear):
    """Cannot be copied."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("a handle of a device")


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: randomization(layered(), IMAGE, "centr"),
            ValueError,
            "method: expected one of .*; did you mean 'cent",
        ),
        (
            lambda: randomization(Corners(), IMAGE, "centre"),
            ValueError,
            "model: expected parameters to shuffle, got Cor",
        ),
        (lambda: randomization(layered(), IMAGE, _nan), ValueError, "method: expected it to give finite values"),
        (
            lambda: randomization(layered(), IMAGE, lambda *_: IMAGE),
            ValueError,
            r"method: .* maps \[1, 12, 12\], got s",
        ),
        (
            lambda: randomization(layered(), IMAGE, lambda *_: None),
            ValueError,
            r"method: .* maps \[1, 12, 12\], got No",
        ),
        (
            lambda: randomization(layered(), IMAGE, "centre", seed=-1),
            ValueError,
            "seed: expected 0 to 9223372036854775807, got -1",
        ),
        (lambda: randomization(layered(), IMAGE, "centre", seed=0.5), TypeError, "seed: expected an integer, got 0.5"),  # type: ignore[arg-type]
        (
            lambda: randomization(layered(), IMAGE, "centre", target=9),
            ValueError,
            "target: the model has classes 0 to 3",
        ),
        (lambda: randomization(layered(), IMAGE, "centre", target=sum), TypeError, "target: expected a class index"),  # type: ignore[arg-type]
        (
            lambda: randomization(nn.Sequential(nn.Flatten(), Locked(432, 2)), IMAGE, "centre"),
            TypeError,
            "model: expected one that can be copied, got Sequential: a handle of a device",
        ),
    ],
)
def test_bad_arguments_are_named(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_quantus_says_the_same_of_the_same_networks() -> None:
    """MPRT with Spearman's correlation. Quantus makes layers forget by their reset_parameters, and passes over those
    that have none; here are its networks, and our similarity.
    """
    quantus = pytest.importorskip("quantus")
    model = layered().eval()
    settings = {"normalise": False, "abs": False, "disable_warnings": True, "display_progressbar": False}
    measure = quantus.MPRT(
        similarity_func=quantus.similarity_func.correlation_spearman, layer_order="top_down", seed=4, **settings
    )
    theirs = measure(
        model=model,
        x_batch=IMAGE[None].numpy(),
        y_batch=np.array([2]),
        explain_func=lambda model, inputs, targets, **_: gradients(model, torch.as_tensor(inputs), [int(targets[0])])[
            :, None
        ].numpy(),
    )
    networks = quantus.helpers.model.pytorch_model.PyTorchModel(model).get_random_layer_generator("top_down", 4)
    first = gradients(model, IMAGE[None], [2])[0]
    ours = {name: similarity(gradients(other, IMAGE[None], [2])[0], first).rank for name, other in networks}
    assert list(ours) == LAYERS and {name: theirs[name][0] for name in LAYERS} == pytest.approx(ours)
