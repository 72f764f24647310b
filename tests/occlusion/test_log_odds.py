"""Log-odds against closed forms in float64, near 0 and 1 and where outputs are no numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from zfcuda.occlusion.log_odds import log_odds


class Table(nn.Module):
    """Answers with the row of a table that the first pixel names; the whole image is row 0."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        covered = (x[:, 0, 0] == 0).long()  # one window at a time, along a single row of pixels
        return self.rows[((covered * torch.arange(1, 1 + covered.shape[1])).sum(1))]


def occluded(rows: Tensor, **arguments: object) -> zfcuda.OcclusionMap:
    """The map of an image whose windows give the rows of a table from the second on."""
    return zfcuda.occlusion_map(Table(rows), torch.ones(1, 1, len(rows) - 1), window=1, stride=1, **arguments)


NEAR = [1e-12, 3e-9, 0.2, 0.5, 1 - 1e-3, 1 - 1e-9, 1 - 1e-12]


def test_softmax_near_zero_and_one() -> None:
    exact = torch.tensor(
        [[math.log(p), math.log1p(-p) + math.log(0.75), math.log1p(-p) + math.log(0.25)] for p in NEAR]
    )
    rows = (exact.double() + 3).float()  # a common shift changes no probability
    expected = rows.double()[:, 0] - rows.double()[:, 1:].logsumexp(1)
    result = occluded(rows, target=0)
    assert result.normalization == "softmax" and result.log_odds.dtype == torch.float32
    torch.testing.assert_close(result.log_odds[0].double(), expected[1:], rtol=1e-6, atol=0)
    torch.testing.assert_close(result.base_log_odds.double(), expected[0], rtol=1e-6, atol=0)
    wanted = torch.tensor([math.log(p) - math.log1p(-p) for p in NEAR], dtype=torch.float64)
    torch.testing.assert_close(expected, wanted, rtol=1e-5, atol=1e-6)
    assert len(set(result.log_odds[0].tolist())) == len(NEAR) - 1  # float32 probabilities would run together
    assert result.base_score.shape == result.base_log_odds.shape == result.base_probability.shape == ()
    torch.testing.assert_close(result.base_probability, rows[0].softmax(0)[0])


@pytest.mark.parametrize("outputs", [1, 3])
def test_sigmoid_is_the_logit(outputs: int) -> None:
    rows = torch.linspace(-28, 28, 7)[:, None].repeat(1, outputs)
    result = occluded(rows, target=0, probability="sigmoid")
    assert torch.equal(result.log_odds, result.logits[..., 0])
    assert torch.equal(result.base_log_odds, result.base_score)
    if outputs == 1:
        assert occluded(rows).normalization == "sigmoid"


def test_outputs_that_are_probabilities() -> None:
    p = torch.tensor([0.25, 0.0, 1e-12, 0.5, 1 - 1e-6, 1.0, 1e-42])
    rows = torch.stack([p, 1 - p], 1)
    result = occluded(rows, target=0)
    assert result.normalization == "none" and torch.equal(result.probability[0], p[1:])
    exact = p.double()[1:5]
    exact[0] = torch.finfo(torch.float32).tiny
    torch.testing.assert_close(result.log_odds[0, :4].double(), exact.log() - (-exact).log1p(), rtol=1e-6, atol=1e-6)
    low, high = -87.33655, 16.635532
    assert result.log_odds[0, [0, 5]].tolist() == pytest.approx([low, low], rel=1e-6)
    assert result.log_odds[0, 4].item() == pytest.approx(high, rel=1e-6)


def test_one_softmax_class_is_certain() -> None:
    result = occluded(torch.tensor([[1.0], [2.0], [-3.0]]), probability="softmax")
    assert result.heatmap(of="log_odds").tolist() == [[0, 0]] and result.heatmap().tolist() == [[-1, 4]]


def test_of_a_callable_it_is_the_most_probable_class_of_the_whole_image() -> None:
    rows = torch.randn(5, 4)
    result = occluded(rows, target=lambda z: z[:, 0] * z[:, 1])
    best = int(rows[0].argmax())
    assert result.target_class == best
    assert torch.equal(result.log_odds, occluded(rows, target=best).log_odds)
    torch.testing.assert_close(result.base_probability, rows[0].softmax(0)[best])


@pytest.mark.parametrize("of", ["score", "log_odds", "probability"])
def test_heatmap_of(of: str) -> None:
    rows = torch.randn(7, 3)
    rows[4] = torch.nan
    result = occluded(rows, target=1)
    value = {
        "score": rows.double()[:, 1],
        "probability": rows.double().softmax(1)[:, 1],
        "log_odds": rows.double()[:, 1] - rows.double()[:, [0, 2]].logsumexp(1),
    }[of]
    torch.testing.assert_close(
        result.heatmap(of=of)[0].double(), value[0] - value[1:], rtol=1e-5, atol=1e-6, equal_nan=True
    )
    assert result.heatmap((2, 3), of=of).shape == (2, 3)
    with pytest.raises(ValueError, match=r"of: expected one of .*'log_odds'.*, got 'odds'"):
        result.heatmap(of="odds")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_reduced_precision(dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()
    image = torch.rand(3, 12, 12)
    for result in (
        zfcuda.occlusion_map(net, image, window=4, stride=4, dtype=dtype),
        zfcuda.occlusion_map(net.to(dtype), image.to(dtype), window=4, stride=4),
    ):
        expected = result.probability.double().logit()
        assert result.log_odds.dtype == result.base_log_odds.dtype == result.base_probability.dtype == torch.float32
        torch.testing.assert_close(result.log_odds.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", ["softmax", "sigmoid", "none"])
def test_nan_stays(how: str) -> None:
    outputs = torch.tensor([[0.3, 0.7], [torch.nan, 0.5], [0.5, torch.nan]])
    odds = log_odds(outputs, 0, how)
    assert odds.isnan().tolist() == [False, True, how == "softmax"]


def test_the_worst_position_where_probabilities_are_rounded_alike() -> None:
    """The log-odds alone tell which of them is lowest."""
    for logits, rounded in (([90.0, 95.0, 70.0, 80.0], 1.0), ([-190.0, -120.0, -200.0, -150.0], 0.0)):
        result = occluded(torch.tensor([[logit, 0.0] for logit in logits]), target=0)
        assert result.probability.tolist() == [[rounded] * 3] and result.worst == (0, 1)
    own = occluded(torch.tensor([[5.0], [4.0], [3.0], [7.0]]), probability="none")  # no probabilities: as they are
    assert own.worst == (0, 1)
