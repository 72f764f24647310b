"""The engine is held against the model where that tells something: windows that change the image and the answer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from tests.occlusion.incremental.definition import METHOD
from zfcuda.occlusion.incremental.engine import Plan
from zfcuda.occlusion.occluded_image import OccludedImage
from zfcuda.occlusion.window_outputs import WindowOutputs


def spoil(monkeypatch: pytest.MonkeyPatch, wrong: Tensor) -> None:
    """The engine answers some windows as if they had changed nothing. wrong: bool [windows]."""
    real = Plan.run

    def run(self: Plan, fill: Tensor, values: dict[int, Any], *more: Any, **how: Any) -> WindowOutputs:
        outputs = real(self, fill, values, *more, **how)
        windows = how.get("windows")
        chosen = (wrong if windows is None else wrong[torch.from_numpy(windows)]).to(outputs.logits.device)
        base = values[self.output].float().expand_as(outputs.logits)
        return WindowOutputs(torch.where(chosen[:, None], base, outputs.logits), outputs.activity)

    monkeypatch.setattr(Plan, "run", run)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("wrong", ["all", "at the border", "all but one"])
def test_an_engine_that_is_wrong_where_something_changes(
    wrong: str, dtype: torch.dtype | None, net: nn.Module, image: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    image[:, 6:-6, 6:-6] = 0  # the window in the middle covers nothing but what the occluder is made of
    how: dict[str, Any] = {"window": 5, "stride": 4, "dtype": dtype}
    rows = zfcuda.occlusion_map(net, image, **how, method=METHOD).logits.shape[:2]
    chosen = torch.ones(rows, dtype=torch.bool)
    if wrong == "at the border":
        chosen[1:-1, 1:-1] = False
    elif wrong == "all but one":
        chosen[0, 0] = False
    spoil(monkeypatch, chosen.flatten())
    with pytest.raises(RuntimeError, match="not the model's own"):
        zfcuda.occlusion_map(net, image, **how, method=METHOD)


def test_how_much_a_window_changes(device: torch.device) -> None:
    image = torch.arange(24.0, device=device).view(1, 4, 6).expand(2, -1, -1)
    origins = torch.tensor([[0, 0], [2, 4], [3, 5], [-1, -1], [1, 1]], device=device)
    occluded = OccludedImage(image, torch.zeros_like(image), origins, (2, 3))
    expected = [2 * float(image[0, max(0, y) : y + 2, max(0, x) : x + 3].sum()) for y, x in origins.tolist()]
    torch.testing.assert_close(occluded.changes().cpu(), torch.tensor(expected, dtype=torch.float64))
    assert occluded.at_border().tolist() == [False, False, True, True, False]
