"""The benchmark of the attribution methods: it runs, refuses answers that differ, and does without the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import zfcuda
from benchmarks import __main__ as command
from benchmarks import attribution, explainers, opponents, zoo
from benchmarks.attribution import CAPTUM, GRAD_CAM, OURS, SINGLE

CPU = torch.device("cpu")


def small_zfnet() -> torch.nn.Module:
    network = zfcuda.models.zfnet(7, width=0.05)
    zoo.randomise(network)
    return network


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "CASES", (attribution.Case("zfnet", "ZFNet", "relu5", small_zfnet),))
    monkeypatch.setattr(explainers, "STEPS", 2)
    monkeypatch.setattr(attribution, "grad_cam_missing", lambda: "not in tests")


def chosen(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(attribution, "METHODS", {name: attribution.METHODS[name] for name in names})


def test_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("captum")
    chosen(monkeypatch, "guided", "gradcam", "smoothgrad")
    rows = list(attribution.run(CPU, torch.float32, quick=True))
    assert [(row["batch"], row["method"]) for row in rows] == [(n, m) for n in (1, 2) for m in attribution.METHODS]
    for row in rows:
        assert row["seconds"].keys() == {OURS, CAPTUM, *([SINGLE] if row["batch"] > 1 else [])}
        assert row["ratio"][CAPTUM] == pytest.approx(row["seconds"][CAPTUM] / row["seconds"][OURS], rel=0.02, abs=0.002)
        assert row["deviation"][CAPTUM] < 1e-7 and row["deviation"]["captum, torch.float32"] < attribution.LOOSE
        with_cams = row["method"] in ("guided", "gradcam")
        assert row["left_out"] == ({GRAD_CAM: "not in tests"} if with_cams else {})
        assert row["required"] == (1.3 if row["method"] == "guided" else 1.0)
        json.dumps(row)
    assert list(attribution.run(CPU, torch.bfloat16, quick=True)) == []
    assert list(attribution.run(CPU, torch.float32, quick=True, networks=["vgg16"])) == []


def test_it_does_without_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(opponents, "captum_missing", lambda: "not installed")
    chosen(monkeypatch, "gradient")
    file = tmp_path / "cpu.json"
    command.main(["attribution", "--device", "cpu", "--quick", "--json", str(file)])
    rows = json.loads(file.read_text())["attribution"]["float32"]["rows"]
    assert [row["left_out"] for row in rows] == [{CAPTUM: "not installed"}] * 2
    said = capsys.readouterr().out
    assert "ZFNet, gradient, 2 images, float32: verified" in said and "  captum: not installed" in said


@pytest.mark.parametrize("name", ["gradient", "guided_backprop", "grad_cam", "integrated_gradients", "smooth_grad"])
def test_a_wrong_answer_is_not_timed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("captum")
    right = getattr(zfcuda, name)
    monkeypatch.setattr(zfcuda, name, lambda *args, **kwargs: 1.01 * right(*args, **kwargs))
    chosen(monkeypatch, *[key for key in attribution.METHODS if key[:6] == name.replace("_", "")[:6]])
    assert len(attribution.METHODS) == 1
    with pytest.raises(RuntimeError, match=r"ZFNet, .*, 1 images: 'captum' is off by 0\.0099"):
        list(attribution.run(CPU, torch.float32, quick=True))


def test_maps_are_compared_as_pytorch_grad_cam_stretches_them(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = torch.tensor([[[2.0, 4.0], [3.0, 2.0]], [[0.0, 0.0], [0.0, 0.5]]])
    expected = torch.tensor([[[0.0, 1.0], [0.5, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    torch.testing.assert_close(attribution._stretched(maps), expected)


def test_with_pytorch_grad_cam(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pytorch_grad_cam")
    monkeypatch.setattr(attribution, "grad_cam_missing", lambda: None)
    chosen(monkeypatch, "guided", "gradcam")
    for row in attribution.run(CPU, torch.float32, quick=True):
        assert row["deviation"][GRAD_CAM] < attribution._CAM_TOLERANCE and GRAD_CAM in row["ratio"]


def test_what_is_slower_is_said() -> None:
    row: dict[str, Any] = {
        "title": "ZFNet",
        "what": "guided backpropagation",
        "batch": 16,
        "dtype": "float32",
        "deviation": {},
    }
    row |= {"seconds": {OURS: 1.0, CAPTUM: 1.2, GRAD_CAM: 1.4, SINGLE: 0.9}, "required": 1.3}
    row |= {"left_out": {}, "deviation": {}}
    row |= {"ratio": {CAPTUM: 1.2, GRAD_CAM: 1.4, SINGLE: 0.9}, "quartiles": {key: [1, 2] for key in row["seconds"]}}
    lines = attribution.describe(row).splitlines()
    assert [line.endswith("SLOWER") for line in lines] == [False, False, True, False, False]
