"""A page for every network: what cannot be had of one is named in its place, and the rest stays."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.report.small import SIDE, drawing, explained, page_of, preprocess, subject
from zfcuda.backward.way import UnsupportedError
from zfcuda.method_names import homes
from zfcuda.report import Subject
from zfcuda.report.explanation import Form


def net(*body: nn.Module, maps: int = 6) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(maps, 3)).eval()


def whole(html: str, letters: str) -> None:
    """Checks that the classes, the evidence and the occlusion panels are there."""
    assert "Most probable classes" in html and "Where the evidence is" in html and "Most probable class<" in html
    assert [c for c in "abcdef" if f'<span class="letter">{c}</span>' in html] == list(letters)


class Gate(nn.Module):
    """What no rule undoes: the map weighs itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


def test_a_refused_projection_takes_nothing_else_along(tmp_path: Path) -> None:
    model = net(nn.Conv2d(3, 4, 5, 2), Gate(), nn.Conv2d(4, 6, 3), nn.ReLU())
    e = explained(of=subject(model))
    first, second = e.layers
    assert first.refusal == "" and all(unit.projection is not None for unit in first.units)
    assert "lies between it and the pixels" in second.refusal and not second.refusal.startswith(("layer:", "'"))
    assert second.units and all(unit.projection is None for unit in second.units)
    assert e.followed is second.units[0] and e.occlusion.activity is not None

    html, numbers = page_of(e, tmp_path)
    whole(html, "abcde")
    assert html.count("Not projected:") == 1 and "cannot be projected down to the pixels" in html
    layers = numbers["layers"]
    assert [layer["refusal"] for layer in layers] == [None, second.refusal]
    assert [layer["projection"] for layer in layers] == ["filter", None]
    assert layers[1]["units"][0]["position"] == list(second.units[0].position)
    assert (tmp_path / "pictures/one-2.png").exists() and not (tmp_path / "pictures/one-projection.png").exists()


class Branching(nn.Module):
    """Nobody can follow it: what it computes depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.more, self.head = nn.Conv2d(3, 4, 5, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.more(functional.relu(x) if float(x.detach().sum()) < 1e9 else x)
        return self.head(functional.relu(x).mean((2, 3)))


def test_a_network_that_cannot_be_followed_says_so_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    e = explained(of=subject(Branching().eval()))
    assert len(e.layers) == 2 and e.occlusion.method == "batched"
    assert len({layer.refusal for layer in e.layers}) == 1 and "cannot be recorded" in e.layers[0].refusal
    assert all(layer.field_size is None and layer.units for layer in e.layers)
    html, _ = page_of(e, tmp_path)
    whole(html, "abcde")
    assert html.count("cannot be recorded by torch.fx") == 1 and "None of them can be projected back" in html
    assert "Not projected" not in html and html.count("how much of the picture a unit sees is not known") == 2


@pytest.mark.parametrize(
    "model",
    [
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 8), nn.ReLU(), nn.Linear(8, 3)),
        lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 4, 9, 8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)),
        lambda: nn.Sequential(
            nn.Flatten(2), nn.LazyLinear(8), nn.TransformerEncoderLayer(8, 2), nn.Flatten(), nn.LazyLinear(3)
        ),
    ],
    ids=["perceptron", "conv1d", "transformer"],
)
def test_a_network_without_2d_convolutions_has_the_rest(tmp_path: Path, model: object) -> None:
    torch.manual_seed(0)
    made = model().eval()  # type: ignore[operator]
    made(preprocess(drawing()))
    e = explained(of=subject(made))
    assert e.layers == () and e.followed is None and e.followed_layer is None and e.filters is None
    html, numbers = page_of(e, tmp_path)
    whole(html, "abc")
    assert "no two-dimensional convolution, so there are no feature maps to show" in html
    assert "First-layer filters" not in html and numbers["layers"] == []
    with pytest.raises(ValueError, match="layer: expected None, since a test <network> has no 2d convolution, got 'x'"):
        explained(of=subject(made), layer="x")


def test_a_method_that_a_network_does_not_allow_takes_no_other_along(tmp_path: Path) -> None:
    torch.manual_seed(0)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    gated = net(nn.Conv2d(3, 4, 5, 2), Gate(), nn.Conv2d(4, 6, 3), nn.ReLU())
    for model, refused, reason in (
        (flat, {"gradcam"}, "expected one that gives a map"),
        (gated, {"deconvnet", "guided"}, "lies between it and the pixels"),
    ):
        e = explained(of=subject(model), methods=list(homes()))
        assert {one.method.name for one in e.methods if one.values is None} == refused
        html, _ = page_of(e, tmp_path)
        assert html.count("Not of this network:") == len(refused) and html.count(reason) >= len(refused)


@pytest.mark.parametrize("switches", [False, True])
def test_a_deconvnet_that_does_not_see_the_picture_says_so(switches: bool) -> None:
    pool = nn.MaxPool2d(2) if switches else nn.AvgPool2d(2)
    of = subject(net(nn.Conv2d(3, 4, 5, 2), nn.ReLU(), pool, nn.Conv2d(4, 6, 3), nn.ReLU()))
    one, other = (explained(of=of, seed=seed, target="cat", methods=["deconvnet"]).methods[0] for seed in (0, 1))
    assert one.values is not None and other.values is not None
    assert torch.allclose(one.values, other.values) is not switches
    assert [warning for warning in one.warnings if "the same whatever the picture" in warning] == list(one.warnings)
    assert bool(one.warnings) is not switches


def test_without_pooling_switches_the_guided_form_is_shown(tmp_path: Path) -> None:
    model = net(nn.Conv2d(3, 4, 5, 2), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU())
    e = explained(of=subject(model))
    assert [layer.form for layer in e.layers] == [Form.FILTER, Form.GUIDED]
    unit = e.layers[1].units[0]
    assert unit.projection is not None
    # By hand: back through both filters, where the signal and the forward activation are positive.
    first = functional.relu(model[0](preprocess(drawing())))  # type: ignore[index]
    seed = torch.zeros(1, 6, *e.layers[1].size)
    seed[0, unit.number, unit.position[0], unit.position[1]] = unit.value
    signal = functional.conv_transpose2d(seed, model[2].weight).clamp(min=0) * (first > 0)  # type: ignore[index]
    by_hand = functional.conv_transpose2d(signal, model[0].weight, stride=2, output_padding=1)[0]  # type: ignore[index]
    torch.testing.assert_close(unit.projection, by_hand.detach(), rtol=1e-4, atol=1e-6)

    html, numbers = page_of(e, tmp_path)
    assert "Springenberg et al. 2014" in html and html.count("Guided backpropagation in place of the deconvnet") == 1
    assert "by guided backpropagation" in html and html.count("Nothing but filters lies before this layer") == 1
    assert [layer["projection"] for layer in numbers["layers"]] == ["filter", "guided"]


def test_where_the_guided_form_is_refused_too_the_refusal_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net(nn.Conv2d(3, 4, 5, 2), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU())

    def refuse(*_: object) -> None:
        raise UnsupportedError("for a reason")

    monkeypatch.setattr("zfcuda.report.projected.Rules", lambda *_: SimpleNamespace(way=refuse))
    for layer in explained(of=subject(model)).layers:
        assert layer.refusal.endswith("lies between it and the pixels: for a reason")


def test_switches_on_the_way_are_the_deconvnet(tmp_path: Path) -> None:
    e = explained()
    assert [layer.form for layer in e.layers] == [Form.FILTER, Form.DECONVNET]
    html, _ = page_of(e, tmp_path)
    assert "Springenberg" not in html and "uided backpropagation" not in html


def test_an_unknown_receptive_field_leaves_the_projections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr("zfcuda.report.projected.receptive_field", fail)
    e = explained()
    assert all(layer.field_size is None and not layer.refusal and layer.units for layer in e.layers)
    html, _ = page_of(e, tmp_path)
    assert html.count("how much of the picture a unit sees is not known") == 2


def test_running_out_of_memory_is_no_property_of_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("zfcuda.report.projected.projections", fail)
    with pytest.raises(torch.OutOfMemoryError):
        explained()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 48])
def test_first_filters_of_any_channel_count(tmp_path: Path, channels: int) -> None:
    model = net(nn.Conv2d(channels, 6, 3), nn.ReLU())

    def spread(picture: object) -> Tensor:
        image = preprocess(picture)  # type: ignore[arg-type]
        return image.repeat(1, -(-channels // 3), 1, 1)[:, :channels]

    e = explained(of=Subject(model, spread, ("a", "b", "c"), "many channels"))
    html, _ = page_of(e, tmp_path)
    whole(html, "abcde")
    assert "The 6 filters of 0" in html and (tmp_path / "pictures/filters.png").exists()
    assert ("12 of the 48 input channels" in html) == (channels == 48)
    assert ("4 input channels, which are no colours" in html) == (channels == 4)


def test_many_filters_are_not_all_drawn(tmp_path: Path) -> None:
    html, _ = page_of(explained(of=subject(net(nn.Conv2d(3, 200, 3, 4), nn.ReLU(), maps=200))), tmp_path)
    assert "96 of the 200 filters of 0" in html


def test_classes_of_equal_probability_are_told_apart_by_their_logits(tmp_path: Path) -> None:
    model = net(nn.Conv2d(3, 6, 3), nn.ReLU())
    with torch.no_grad():
        model[-1].weight.zero_()  # type: ignore[index, union-attr, operator]
        model[-1].bias.copy_(torch.tensor([0.0, 1e-9, 0.0]))  # type: ignore[index, union-attr, operator, arg-type]
    e = explained(of=subject(model))
    assert e.probabilities[1] == e.probabilities[0] and e.target == 1 and e.order == [1, 0, 2]
    html, _ = page_of(e, tmp_path)
    assert "This page asks about" not in html and "No square of this size changes anything" in html
