"""The benchmark of the strongest patches runs, and refuses a wrong answer; no test looks at a time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import zfcuda
from benchmarks import patches

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    def network(name: str) -> nn.Module:
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        made = nn.Sequential(*layers, nn.Flatten())
        made.preprocess = zfcuda.Preprocess(32, 32)  # type: ignore[assignment]
        return made.eval()

    monkeypatch.setattr(patches, "network_of", network)
    monkeypatch.setattr(patches, "_SIDE", 32)


def test_a_row() -> None:
    [row] = patches.run(["zfnet"], 10, CPU, repeats=1, warmup=0)
    assert row["layers"] == 2 and row["pictures"] == 10
    assert set(row["ratio"]) == {"bare forward", "pass, in memory", "pass, from files"}


def test_a_wrong_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = zfcuda.strongest_patches

    def wrong(*arguments: object) -> object:
        found = right(*arguments)  # type: ignore[arg-type]
        next(iter(found.values())).indices[0, 0] += 1
        return found

    monkeypatch.setattr(zfcuda, "strongest_patches", wrong)
    with pytest.raises(AssertionError, match="zfnet: strongest_patches is wrong in 0: other pictures"):
        list(patches.run(["zfnet"], 10, CPU, repeats=1, warmup=0))
