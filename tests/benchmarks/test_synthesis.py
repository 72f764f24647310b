"""What images cost and what they are worth: measured small, and wrong ones are found out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

import zfcuda
from benchmarks import synthesis
from benchmarks.maximized import __main__ as command
from benchmarks.maximized import judged, summary
from zfcuda.data import Preprocess


def network() -> nn.Module:
    """Knows red, green, blue, bright and dark pictures; and has nine units more."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 12, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5)]
    names = ["conv", "relu", "pool", "_flatten", "fc"]
    made: Any = nn.Sequential()
    for name, layer in zip(names, layers, strict=True):
        made.add_module(name, layer)
    with torch.no_grad():
        made.conv.weight[:3] = torch.eye(3)[:, :, None, None]
        made.conv.bias.zero_()
        made.fc.weight.zero_()
        made.fc.weight[:, :3] = torch.tensor([[2, -2, -2], [-2, 2, -2], [-2, -2, 2], [1, 1, 1], [-1, -1, -1.0]])
        made.fc.bias[:] = torch.tensor([0, 0, 0, 0, 0.5])
    made.preprocess, made.classes = Preprocess(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), list("rgbwd")
    return made.eval()  # type: ignore[no-any-return]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis, "CASES", (synthesis.Case("small", "small", "relu", network),))
    monkeypatch.setattr(synthesis, "SIDE", 32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nine_units_are_those_of_nine_runs(dtype: torch.dtype, small: None) -> None:
    rows = list(synthesis.run(torch.device("cpu"), dtype, quick=True))
    assert [row["what"] for row in rows][:2] == ["nine units", "maximize"]
    assert rows[0]["deviation"] <= synthesis.TOLERANCE[dtype] and set(rows[0]["ratio"]) == {synthesis.RUNS}


def test_another_image_is_not_timed(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    right = zfcuda.maximize

    def wrong(*args: Any, count: int = 1, **kwargs: Any) -> Any:
        return right(*args, count=count, **kwargs) * (1.1 if count > 1 else 1)

    monkeypatch.setattr(zfcuda, "maximize", wrong)
    with pytest.raises(RuntimeError, match="the batch is off by"):
        list(synthesis.run(torch.device("cpu"), torch.float32, quick=True))


def test_a_judge_names_what_it_knows() -> None:
    model = network()
    pictures = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue", "white", "black")]
    assert judged.named(model, pictures, range(5))["top1"] == 1
    assert judged.named(model, pictures, [4, 1, 1, 0, 3]) | {"probability": 0} == {
        "images": 5,
        "top1": 0.2,
        "top5": 1.0,
        "probability": 0,
        "missed": ["d", "g", "r", "w"],
    }
    means, logits = judged.strongest(model, pictures, ["relu"], batch=2)
    assert means["relu"].shape == (5, 12) and torch.allclose(logits, model(judged.read(model, pictures)), atol=1e-5)
    assert judged.spread(model, [pictures[0]] * 3, ["relu"]) == (0.0, 0.0)
    assert min(judged.spread(model, pictures, ["relu"])) > 0


def test_percentile_by_hand() -> None:
    found = command._percentile(
        torch.tensor([5.0, 1.0]), torch.tensor([[1.0, 0.0], [2.0, 1.5], [3.0, 2.0], [4.0, 3.0]])
    )
    assert found == {"percentile": 62.5, "lowest": 25.0, "above_all": 0.5, "times_strongest": 0.33}


def test_parts_go_on_where_they_were_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = network()
    monkeypatch.setattr(command, "CLASSES", tuple(range(5)))
    monkeypatch.setattr(command, "DIVERSE", (0, 1))
    monkeypatch.setattr(command, "LAYERS", ("relu",))
    monkeypatch.setattr(command, "DEMO_LAYERS", ("conv",))
    monkeypatch.setattr(command, "_PLACES", ("relu",))
    for name, value in (("STEPS", 3), ("UNIT_STEPS", 3), ("SET", 3), ("UNITS", 4), ("PHOTOGRAPHS", 6)):
        monkeypatch.setattr(command, name, value)
    for name in ("model", "judge", "second"):
        monkeypatch.setattr(command.Bench, name, model)
    monkeypatch.setattr(command.Bench, "demo", network())
    for i in range(6):
        (tmp_path / "photos" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        noise = torch.randint(256, (32, 32, 3), generator=torch.Generator().manual_seed(i)).byte().numpy()
        Image.fromarray(noise).save(tmp_path / "photos" / "ab"[i % 2] / f"{i}.png")
    file = tmp_path / "found.json"
    most = [name for name in command.PARTS if name != "dreamlens"]
    words = ["--json", str(file), "--only"]
    assert command.main([*words, *most]) == 1 and "percentile: left out, it needs --pictures" in capsys.readouterr().out
    assert command.main([*words, *most, "--pictures", str(tmp_path / "photos")]) == 0
    assert capsys.readouterr().out.count("is there") == 3
    held = json.loads(file.read_text())
    assert list(held) == ["photographs", "parts", "grey", "percentile", "diversity"]
    assert held["grey"]["units"] == 8 and str(tmp_path) not in file.read_text()
    assert len(summary.sentences(held)) == 4 and len(summary.rows(held)[0]) == len(summary.COLUMNS)
