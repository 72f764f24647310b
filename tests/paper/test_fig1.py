"""Figure 1: every number that it shows is that of plain torch, and of the deconvnet's own walk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zfcuda
from zfcuda.backward.deconvnet import deconvnet_rules
from zfcuda.backward.walk import walk_back
from zfcuda.network import trace
from zfcuda.paper import fig1, plots
from zfcuda.paper.cache import Cache
from zfcuda.paper.fig1 import FIGURE
from zfcuda.paper.figure import NotApplicableError, Setting
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.unpooling.attached import attached
from zfcuda.paper.unpooling.extract import extract


def network(*, between: nn.Module | None = None, rectifier: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3, stride=2, padding=1),
        between or nn.Identity(),
        rectifier(),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.LocalResponseNorm(3),
        nn.Conv2d(5, 6, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 4, 2),
        nn.Flatten(),
        nn.LazyLinear(3),
    ).eval()
    nn.init.constant_(model[8].bias, 1.0)  # so that something comes down
    return model


def images(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 37, 33, generator=torch.Generator().manual_seed(1)) - 0.4


def prepared(model: nn.Module) -> nn.Module:
    model(images(1))
    return model


def test_numbers_are_those_of_plain_torch() -> None:
    model = prepared(network())
    image = images()[1:]
    result = fig1(model, images(), picture=1, above="5")
    found = result.tensors
    with torch.no_grad():
        maps = model[0](image)
        pooled, indices = F.max_pool2d(maps.relu(), 3, 2, 1, return_indices=True)
        activation = model[5](model[4](pooled))
    seed = torch.zeros_like(activation)
    seed.view(-1)[activation.argmax()] = activation.max()
    signal = F.conv_transpose2d(seed, model[5].weight)[0].detach()  # normalisation leaves the signal as it is
    unpooled = torch.zeros(5, 19 * 17).scatter_add_(1, indices[0].flatten(1), signal.flatten(1)).view(5, 19, 17)
    below = F.conv_transpose2d(unpooled.relu()[None], model[0].weight, stride=2, padding=1)[0].detach()
    assert torch.allclose(found["maps"], maps[0], atol=1e-6)
    assert torch.equal(found["pooled_maps"], found["maps"].relu())
    assert torch.allclose(found["pooled"], pooled[0], atol=1e-6)
    assert torch.allclose(found["signal"], signal, atol=1e-6)
    assert torch.allclose(found["unpooled"], unpooled, atol=1e-6)
    assert torch.equal(found["rectified"], found["unpooled"].relu())
    assert torch.allclose(found["reconstruction"], below, atol=1e-6)
    assert torch.equal(
        found["wins"],
        torch.zeros(5, 19 * 17).scatter_add_(1, indices[0].flatten(1), torch.ones(5, 10 * 9)).view(5, 19, 17),
    )
    for row in result.rows:
        (y, x), at = row["window"], row["winner"]
        assert at[0] * 17 + at[1] == int(indices[0, row["map"], y, x])
        assert row["switch"] == (at[0] - (2 * y - 1)) * 3 + at[1] - (2 * x - 1)
        assert (
            row["maximum"]
            == float(found["pooled"][row["map"], y, x])
            == float(found["maps"][row["map"], at[0], at[1]].relu())
        )
        assert row["unpooled there"] == float(found["unpooled"][row["map"], at[0], at[1]])


@pytest.mark.parametrize("between", [None, nn.BatchNorm2d(5)])
def test_what_comes_out_at_the_bottom_is_the_projection(between: nn.Module | None) -> None:
    model = prepared(network(between=between))
    image = images(1)
    stage = attached(trace(model), image)
    assert (stage.layer, stage.above) == ("3", "8")  # the first pooling, and the last convolution
    assert stage.filtered is not None and stage.filtered.is_image
    whole = zfcuda.project(model, image, "8", unit=stage.above_unit, position=stage.above_position)[0]
    assert whole.abs().max() > 0
    assert torch.allclose(stage.filtered.reconstruction, whole, atol=1e-6)
    assert torch.allclose(stage.filtered.beneath, image[0])


def test_a_later_pooling_ends_at_the_maps_beneath_its_convolution() -> None:
    model = prepared(network())
    stage = attached(trace(model), images(1), "7")
    assert stage.filtered is not None and not stage.filtered.is_image and stage.filtered.layer == "5"
    on = walk_back(model, images(1), "4", lambda _: stage.filtered.reconstruction[None], deconvnet_rules("identity"))
    whole = zfcuda.project(model, images(1), "8", unit=stage.above_unit, position=stage.above_position)
    assert torch.allclose(on, whole, atol=1e-6) and whole.abs().max() > 0


def test_the_unit_above_may_be_of_a_vector() -> None:
    model = prepared(network())
    stage = attached(trace(model), images(1), "7", "10")
    assert stage.above_position is None
    assert stage.above_unit == int(model(images(1)).argmax())


def test_a_pooling_right_on_a_convolution_has_no_rectified_maps() -> None:
    model = prepared(network(rectifier=nn.Identity))
    result = fig1(model, images())
    assert "maps" not in result.tensors and "rectified" not in result.tensors
    stage = attached(trace(model), images(1))
    assert stage.filtered is not None
    whole = zfcuda.project(model, images(1), "8", unit=stage.above_unit, position=stage.above_position)[0]
    assert torch.allclose(stage.filtered.reconstruction, whole, atol=1e-6)


def test_a_maximum_of_several_windows_gets_all_their_signals() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), nn.MaxPool2d(3, stride=2), nn.Conv2d(1, 1, 2))
    with torch.no_grad():
        model[0].weight.fill_(1)
        model[3].weight.copy_(torch.tensor([[[[1.0, 2.0], [3.0, -4.0]]]]))
        model[3].bias.fill_(1)
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 1  # lies in all four windows
    result = fig1(model, image)
    activation = 1 + 1 + 2 + 3 - 4
    assert result.tensors["wins"][0, 2, 2] == 4
    assert result.tensors["unpooled"][0, 2, 2] == activation * (1 + 2 + 3 - 4)
    assert int((result.tensors["unpooled"] != 0).sum()) == 1
    assert [row["windows that this place won"] for row in result.rows] == [4, 4, 4, 4]
    assert [row["switch"] for row in result.rows] == [8, 6, 2, 0]
    assert result.claims[0].holds is None  # of one map nothing follows
    assert any("100 %" in note for note in result.notes)


def test_what_lies_beyond_the_border_is_no_number() -> None:
    stage = attached(trace(prepared(network())), images(1))
    shown = extract(stage, 2, (0, 0))
    assert shown.windows == (0, 0, 3, 3) and shown.cells == (-1, -1, 6, 6)
    cells = shown.cut(stage.unpooled[2])
    assert cells.shape == (7, 7) and bool(cells[0].isnan().all()) and bool(cells[:, 0].isnan().all())
    assert torch.equal(cells[1:, 1:], stage.unpooled[2, :6, :6])
    far = extract(stage, 2, (9, 8))
    assert far.windows == (7, 6, 3, 3) and far.cut(stage.unpooled[2]).shape == (7, 7)
    assert torch.equal(far.cut(stage.unpooled[2])[:6, :6], stage.unpooled[2, 13:, 11:])


def test_windows_that_are_shown_have_one_maximum_of_several_and_both_signs() -> None:
    stage = attached(trace(prepared(network())), images(1))
    shown = extract(stage)
    at = [tuple(stage.winners(shown.unit)[y, x].tolist()) for y, x in shown.places]
    assert len(set(at)) < len(at)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"picture": 2}, "picture: expected 0 to 1, got 2"),
        ({"layer": "5"}, r"layer: expected a max pooling \(3, 7\), got '5'"),
        ({"layer": "nowhere"}, "no layer 'nowhere'"),
        ({"layer": "7", "above": "5"}, "above: expected a layer that depends on 7, got '5'"),
        ({"layer": "7", "above": "7"}, "above: expected a layer that depends on 7, got '7'"),
        ({"unit": 5}, "unit: expected 0 to 4, the maps of 3, got 5"),
        ({"position": (10, 0)}, r"position: expected a window of 3, \(0, 0\) to \(9, 8\), got \(10, 0\)"),
    ],
)
def test_what_there_is_not_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fig1(prepared(network()), images(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(2, 2, 1)), "no max pooling"),
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.MaxPool2d(2)), "no layer with weights above 2"),
        (
            nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 2, 3), nn.Sigmoid(), nn.Conv2d(2, 2, 1)),
            "cannot come down from 3",
        ),
    ],
)
def test_networks_without_what_it_shows(model: nn.Module, said: str) -> None:
    with pytest.raises(NotApplicableError, match=said):
        fig1(model, images())


def test_where_nothing_is_positive_nothing_comes_down() -> None:
    model = prepared(network())
    nn.init.constant_(model[8].bias, -9.0)
    result = fig1(model, images())
    assert not result.tensors["signal"].any() and any("nothing comes down" in note for note in result.notes)


def test_the_model_stays_as_it_was() -> None:
    model = prepared(network()).train()
    fig1(model, images())
    assert model.training and all(each.grad is None for each in model.parameters())


def test_without_matplotlib_all_but_the_picture_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "can_plot", lambda: False)
    result = fig1(prepared(network()), images())
    assert not result.pictures and len(result.rows) == 9 and "unpooled" in result.tensors


@pytest.mark.parametrize("options", [{}, {"layer": "7"}])
def test_it_is_drawn(options: dict[str, str]) -> None:
    pytest.importorskip("matplotlib")
    picture = fig1(prepared(network()), images(), **options).pictures[""]
    assert picture.width == 1170 and picture.height == 1260
    assert len(picture.getcolors(1 << 20) or []) > 50


def setting(**options: object) -> Setting:
    there = Gallery(prepared(network()), images())
    return Setting(there, "a test", "parts", Cache(), Path("runs")).of(FIGURE, options)


def test_the_command_says_what_is_shown() -> None:
    usual = FIGURE.run(setting())
    assert usual.rows[0]["map"] == fig1(prepared(network()), images()).rows[0]["map"]
    result = FIGURE.run(setting(picture=1, pooling="7", above="10", map=4, place=" 1, 2"))
    assert {row["map"] for row in result.rows} == {4}
    assert [1, 2] in [row["window"] for row in result.rows]
    assert result.tensors["pooled"].shape[0] == 6
    with pytest.raises(ValueError, match="place: expected a place on the pooled map, as in 12,30, got '3'"):
        FIGURE.run(setting(place="3"))
