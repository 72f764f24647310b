"""The recipes, item by item, against a few lines of plain torch and NumPy."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from zfcuda import Preprocess
from zfcuda.data.sources import FileSource
from zfcuda.ranks import Ranks
from zfcuda.train.chance import view_dice
from zfcuda.train.evaluate import evaluate
from zfcuda.train.loading import Batch
from zfcuda.train.network import subject
from zfcuda.train.optimiser import average, optimiser, renormalise, schedule
from zfcuda.train.options import Options
from zfcuda.train.picture_statistics import mean_picture
from zfcuda.train.preparation import preprocess_for, ten_view, view_for
from zfcuda.train.recipes import RECIPES
from zfcuda.train.state import Training
from zfcuda.train.views import TenCrops

SIDE, SIZE = 28, 24
PAPER = Options(recipe="paper", size=SIZE, short_side=SIDE).completed(RECIPES["paper"].defaults)
MODERN = Options(size=SIZE, short_side=SIDE, precision="float32").completed(RECIPES["modern"].defaults)


def changed(options: Options, **values: Any) -> Options:
    import dataclasses

    return dataclasses.replace(options, **values)


def pictures(count: int) -> list[np.ndarray]:
    return [np.random.default_rng(i).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for i in range(count)]


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(45, 3)
    )


def ten_slices(array: np.ndarray) -> list[np.ndarray]:
    """The ten sub-crops of a square [SIDE,SIDE,C], in the order of the view."""
    far, middle = SIDE - SIZE, (SIDE - SIZE) // 2
    starts = [(0, 0), (0, far), (far, 0), (far, far), (middle, middle)]
    five = [array[y : y + SIZE, x : x + SIZE] for y, x in starts]
    return five + [each[:, ::-1] for each in five]


def test_the_paper_s_values() -> None:
    """Section 3 and its notes; Fig. 3 for the size."""
    wanted = {
        "width": 1.0,
        "epochs": 70,
        "batch": 128,
        "rate": 0.01,
        "optimizer": "sgd",
        "momentum": 0.9,
        "weight_decay": 0.0,
        "schedule": "plateau",
        "dropout": 0.5,
        "filter_rms": 0.1,
        "init": "normal",
        "initial": 0.01,
        "short_side": 256,
        "size": 224,
        "crops": "ten",
        "mean": "pixel",
        "views": 10,
        "label_smoothing": 0.0,
        "ema": 0.0,
        "clip": 0.0,
        "warm_up": 0,
        "precision": "float32",
    }
    assert {name: RECIPES["paper"].defaults[name] for name in wanted} == wanted


def test_weights_are_small_biases_zero_and_dropout_in_fc6_and_fc7() -> None:
    model = subject(Options(recipe="paper", width=0.1).completed(RECIPES["paper"].defaults), 10).model
    names = [name for name, _ in model.named_children()]
    drops = [name for name, layer in model.named_children() if isinstance(layer, nn.Dropout)]
    assert [model.get_submodule(name).p for name in drops] == [0.5, 0.5]
    # Each drops what its layer makes: after the ReLU of fc6, and that of fc7.
    before = [[name for name in names[: names.index(drop)] if name.startswith("fc")][-1] for drop in drops]
    assert before == ["fc6", "fc7"]
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.bias is not None and not layer.bias.any()
            assert abs(float(layer.weight.detach().mean())) < 5 * 0.01 / math.sqrt(layer.weight.numel())
            assert abs(float(layer.weight.detach().std()) / 0.01 - 1) < 5 / math.sqrt(2 * layer.weight.numel())


def test_the_short_side_is_256_and_its_centre_is_cut() -> None:
    view = TenCrops(Preprocess(224, 256, interpolation="bilinear"))
    y, x = np.mgrid[0:300, 0:500]
    wide = Image.fromarray(np.stack([x // 2, y // 2, 0 * x], 2).astype(np.uint8))
    seen = np.array(view.centre(wide))
    assert seen.shape == (256, 256, 3)
    scaled = np.array(wide.resize((round(500 * 256 / 300), 256), Image.Resampling.BILINEAR))
    left = (scaled.shape[1] - 256) // 2
    assert np.abs(seen.astype(int) - scaled[:, left : left + 256].astype(int)).max() <= 2


def test_ten_sub_crops_less_their_own_part_of_the_mean() -> None:
    mean = torch.rand(3, SIDE, SIDE) * 255
    view = ten_view(Preprocess(SIZE, SIDE, std=(1 / 255,) * 3, interpolation="bilinear", mean_image=mean))
    [picture] = pictures(1)
    cropped = [view.crop(view.centre(Image.fromarray(picture)), number) for number in range(10)]
    for number, (seen, pixels) in enumerate(zip(cropped, ten_slices(picture), strict=True)):
        assert seen.crop == number and np.array_equal(seen.pixels.permute(1, 2, 0).numpy(), pixels)
    images = view.images(torch.stack([seen.pixels for seen in cropped]), torch.arange(10))
    means = ten_slices(mean.permute(1, 2, 0).numpy())
    for image, pixels, part in zip(images, ten_slices(picture), means, strict=True):
        assert np.allclose(image.permute(1, 2, 0).numpy(), pixels.astype(np.float32) - part, atol=1e-4)


def test_one_of_the_ten_is_drawn_for_each_picture_and_epoch() -> None:
    view = TenCrops(Preprocess(SIZE, SIDE, interpolation="bilinear"))
    picture = Image.fromarray(pictures(1)[0])
    drawn = np.array([[view(picture, view_dice(0, epoch, i), epoch).crop for i in range(200)] for epoch in range(5)])
    assert set(drawn.flatten()) == set(range(10)) and np.bincount(drawn.flatten()).min() > 60  # 100 are expected
    assert (drawn[0] != drawn[1]).mean() > 0.8


@pytest.mark.parametrize("workers", [0, 2])
def test_the_mean_of_each_pixel(tmp_path: Path, workers: int) -> None:
    (tmp_path / "broken.png").write_bytes(b"none")
    there = [*pictures(70), tmp_path / "broken.png"]
    source: Any = FileSource(there, labels=[0] * 71, classes=["a"])
    expected = np.stack(there[:70]).astype(np.float64).mean(0)  # type: ignore[arg-type]
    mean = mean_picture(source, SIDE, workers=workers)
    assert mean.dtype == torch.float32 and np.allclose(mean.permute(1, 2, 0), expected, rtol=1e-7)
    preprocess = preprocess_for(subject(changed(PAPER, width=0.02, size=224, short_side=256), 2), source, PAPER)
    images = view_for(preprocess, PAPER).images(
        torch.full((1, 3, SIZE, SIZE), 255, dtype=torch.uint8), torch.tensor([4])
    )
    assert float(images.min()) > 70 and float(images.max()) < 185  # roughly [-128, 128], and not divided


def test_processes_share_the_mean() -> None:
    class One(Ranks):
        """One of two, whose share alone is added up."""

        def __init__(self, rank: int) -> None:
            self.rank, self.count = rank, 2

        def gathered(self, value: Any) -> list[Any]:
            shares.append(value)
            return [value]

    shares: list[tuple[Tensor, int]] = []
    source: Any = FileSource(pictures(7), labels=[0] * 7, classes=["a"])
    for rank in (0, 1):
        mean_picture(source, SIDE, ranks=One(rank))
    assert [count for _, count in shares] == [4, 3]
    both = (shares[0][0] + shares[1][0]).permute(2, 0, 1).double() / 7
    assert torch.equal(both.float(), mean_picture(source, SIDE))


def test_the_mean_is_kept_for_the_next_start(tmp_path: Path) -> None:
    source: Any = FileSource(pictures(7), labels=[0] * 7, classes=["a"])
    known: Any = None
    first = preprocess_for(known, source, PAPER, kept=tmp_path)
    for index in range(7):
        source.pictures[index] = tmp_path / "gone"
    assert preprocess_for(known, source, PAPER, kept=tmp_path) == first


def test_filters_beyond_the_radius_are_scaled_back_to_it() -> None:
    model = network()
    with torch.no_grad():
        model[0].weight[1] *= 30
        model[2].weight[3] = 0
        model[5].weight *= 100
    before = copy.deepcopy(model)
    renormalise(model, 0.1)
    for name in ("0", "2"):
        for filters, original in zip(model.get_submodule(name).weight, before.get_submodule(name).weight, strict=True):
            rms = math.sqrt(sum(float(value) ** 2 for value in original.flatten()) / original.numel())
            expected = original if rms <= 0.1 else original * (0.1 / rms)
            assert torch.allclose(filters, expected, rtol=1e-5) and filters.square().mean().sqrt() < 0.1001
    assert torch.equal(model[5].weight, before[5].weight)  # fully connected: no filter
    assert torch.equal(model[0].bias, before[0].bias)


def test_momentum_by_hand() -> None:
    weight = nn.Parameter(torch.tensor([[2.0]]))
    step = optimiser(nn.ParameterList([weight]), PAPER)
    by_hand, velocity = 2.0, 0.0
    for gradient in (1.0, -3.0, 0.5):
        weight.grad = torch.tensor([[gradient]])
        step.step()
        velocity = 0.9 * velocity + gradient
        by_hand -= 0.01 * velocity
        assert math.isclose(float(weight), by_hand, rel_tol=1e-6)


def test_the_rate_is_cut_where_the_validation_error_stands_still() -> None:
    step = optimiser(network(), PAPER)
    plateau = schedule(step, changed(PAPER, patience=2), 100)
    rates = []
    for error in (0.9, 0.8, 0.8, 0.85, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7):
        plateau.step(error)  # type: ignore[arg-type]
        rates.append(step.param_groups[0]["lr"])
    # 0.8 is not reached again in three epochs; then 0.7 is not passed in three, and in three more.
    assert rates == pytest.approx([0.01] * 4 + [1e-3] * 4 + [1e-4] * 3)


def batch(count: int, view: Any, start: int = 0) -> Batch:
    seen = [
        view(Image.fromarray(each), view_dice(0, 0, i), 0) for i, each in enumerate(pictures(start + count)[start:])
    ]
    pixels, crops = torch.stack([each.pixels for each in seen]), torch.tensor([each.crop for each in seen])
    return Batch(pixels, crops, torch.arange(count) % 3, [])


def training(model: nn.Module, options: Options, view: Any, **more: Any) -> Training:
    return Training(model, view, options, steps=10, epoch_steps=5, classes=3, precision=torch.float32, **more)


def test_whole_steps_of_the_paper_s_recipe() -> None:
    """Three steps, beside the same in plain torch."""
    mean = torch.rand(3, SIDE, SIDE) * 255
    view = ten_view(Preprocess(SIZE, SIDE, std=(1 / 255,) * 3, interpolation="bilinear", mean_image=mean))
    model, options = network(), changed(PAPER, filter_rms=0.05, rate=1e-4)
    plain = copy.deepcopy(model)
    ours = training(model, options, view)
    velocities = [torch.zeros_like(parameter) for parameter in plain.parameters()]
    means = torch.stack([torch.from_numpy(part.copy()) for part in ten_slices(mean.permute(1, 2, 0).numpy())])
    for number in range(3):
        given = batch(6, view, 6 * number)
        ours.learn(given, [(0, i) for i in range(6)])
        images = given.pixels.float() - means.permute(0, 3, 1, 2)[given.crops]
        assert images.abs().max() < 256
        loss = F.cross_entropy(plain(images), given.labels)
        gradients = torch.autograd.grad(loss, list(plain.parameters()))
        with torch.no_grad():
            for parameter, velocity, gradient in zip(plain.parameters(), velocities, gradients, strict=True):
                velocity.mul_(0.9).add_(gradient)
                parameter.sub_(1e-4 * velocity)
            for layer in (plain[0], plain[2]):
                for filters in layer.weight:
                    filters.mul_(min(1.0, 0.05 / float(filters.square().mean().sqrt())))
        for one, other in zip(model.parameters(), plain.parameters(), strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)
    assert ours.sums[3] == 18 and ours.rate == 1e-4


def test_ten_views_are_answered_by_the_mean_of_their_probabilities() -> None:
    mean = torch.rand(3, SIDE, SIDE) * 255
    preprocess = Preprocess(SIZE, SIDE, std=(1 / 255,) * 3, interpolation="bilinear", mean_image=mean)
    model, labels = network().eval(), [0, 1, 2, 0, 1, 2, 0]
    source: Any = FileSource(pictures(7), labels=labels, classes=["a", "b", "c"])
    score = evaluate(model, source, preprocess, 3, ten=ten_view(preprocess))
    means, loss, right = np.stack(ten_slices(mean.permute(1, 2, 0).numpy())), 0.0, 0
    for picture, label in zip(pictures(7), labels, strict=True):
        images = torch.from_numpy(np.stack(ten_slices(picture)) - means).permute(0, 3, 1, 2)
        answer = model(images).softmax(1).mean(0)
        loss -= math.log(float(answer[label])) / 7
        right += int(answer.argmax()) == label
    assert math.isclose(score.loss, loss, rel_tol=1e-4) and score.top1 == right / 7


def test_a_cosine_after_a_warm_up() -> None:
    step = optimiser(network(), MODERN)
    cosine = schedule(step, changed(MODERN, warm_up=4, rate=0.2), 20)
    step = cosine.optimizer
    for number in range(20):
        warm = min(1.0, (number + 1) / 4)
        expected = 1e-3 * warm * (1 + math.cos(math.pi * number / 20)) / 2
        assert math.isclose(step.param_groups[0]["lr"], expected, rel_tol=1e-9)
        step.step()
        cosine.step()  # type: ignore[call-arg]
    assert step.param_groups[0]["lr"] == pytest.approx(0)


def test_a_rise_takes_half_of_few_steps() -> None:
    step = optimiser(network(), MODERN)
    cosine = schedule(step, changed(MODERN, warm_up=100), 8)
    rates = [step.param_groups[0]["lr"]]
    for _ in range(7):
        step.step()
        cosine.step()  # type: ignore[call-arg]
        rates.append(step.param_groups[0]["lr"])
    assert rates.index(max(rates)) == 3 and max(rates) > 0.6e-3


def test_the_short_side_follows_the_size() -> None:
    def short_side(recipe: str, **options: int) -> int | None:
        return Options(**options).completed(RECIPES[recipe].defaults).short_side  # type: ignore[arg-type]

    assert short_side("modern", size=112) == 128 and short_side("close_ups", size=112) == 112
    assert short_side("modern", size=32, short_side=64) == 64 and short_side("modern") == 256


def test_weights_alone_decay() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    groups = optimiser(model, MODERN).param_groups
    decays = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert decays == {id(p): 0.05 if name in ("0.weight", "2.weight") else 0.0 for name, p in model.named_parameters()}


def test_the_average_by_hand() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    averaged = average(model, 0.3)
    expected = [parameter.detach().clone() for parameter in model.parameters()]
    for number in range(6):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += number + 1
            model[1].running_mean += 1  # type: ignore[operator]
        averaged.update_parameters(model)
        # The first is a copy; then short memory grows to the decay: 2/11, 3/12, 0.3, ...
        kept = 0.0 if number == 0 else min(0.3, (1 + number) / (10 + number))
        expected = [
            kept * old + (1 - kept) * new.detach() for old, new in zip(expected, model.parameters(), strict=True)
        ]
        for one, other in zip(averaged.module.parameters(), expected, strict=True):
            assert torch.allclose(one, other, rtol=1e-5)
    assert averaged.module[1].running_mean.min() > 4  # type: ignore[union-attr]


def test_labels_are_smoothed_and_gradients_clipped() -> None:
    view = ten_view(Preprocess(SIZE, SIDE, interpolation="bilinear"))
    model = network()
    options = changed(MODERN, optimizer="sgd", momentum=0.0, weight_decay=0.0, rate=1.0, clip=0.01, ema=0.0, warm_up=0)
    before, given = copy.deepcopy(model), batch(6, view)
    ours = training(model, options, view)
    ours.learn(given, [(0, i) for i in range(6)])
    logs = before(Preprocess(SIZE, SIDE).normalized(given.pixels)).log_softmax(1)
    target = 0.9 * F.one_hot(given.labels, 3) + 0.1 / 3
    loss = -(target * logs).sum(1).mean()
    assert math.isclose(float(ours.sums[0]) / 6, float(loss.detach()), rel_tol=1e-5)
    gradients = torch.autograd.grad(loss, list(before.parameters()))
    norm = math.sqrt(sum(float(each.square().sum()) for each in gradients))
    assert norm > 0.02  # so there is something to clip
    for new, old, gradient in zip(model.parameters(), before.parameters(), gradients, strict=True):
        assert torch.allclose(new, old - gradient * (0.01 / norm), rtol=1e-3, atol=1e-7)


def test_autocast_changes_the_arithmetic_and_not_the_weights() -> None:
    view = ten_view(Preprocess(SIZE, SIDE, interpolation="bilinear"))
    seen: list[torch.dtype] = []
    weights = []
    for precision in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        model = network()
        model[5].register_forward_hook(lambda layer, given, out: seen.append(out.dtype))
        Training(model, view, MODERN, steps=10, epoch_steps=5, classes=3, precision=precision).learn(
            batch(6, view), [(0, i) for i in range(6)]
        )
        weights.append(model[0].weight.detach())
    assert seen == [torch.float32, torch.bfloat16]
    assert weights[0].dtype == weights[1].dtype == torch.float32 and not torch.equal(*weights)


def test_a_step_without_a_whole_picture_changes_no_weight() -> None:
    view = ten_view(Preprocess(SIZE, SIDE, interpolation="bilinear"))
    model = network()
    before = copy.deepcopy(model.state_dict())
    ours = training(model, MODERN, view)
    ours.learn(Batch(torch.empty((0, 3, 1, 1), dtype=torch.uint8), torch.empty(0), torch.empty(0), []), [(0, 0)])
    assert ours.step == 1 and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
