"""The zoo's occlusion maps are verified, written one by one, resumed, profiled, and shown as tables and a plot."""

from __future__ import annotations

import copy
import json
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zfcuda
from benchmarks import __main__ as command
from benchmarks import opponents
from benchmarks.tables import ROOT
from benchmarks.zoo import picture, randomise
from benchmarks.zoo_maps import profile, running, scatter, subjects, tables, trial, verify

QUICK = trial.Settings(quick=True, with_compile=False)
ENVIRONMENT = {"device": "a device", "torch": "2.13.0", "date": "2026-01-01", "command": "python -m benchmarks"}
built: Counter[str] = Counter()


def small(name: str) -> tuple[nn.Module, torch.Tensor]:
    built[name] += 1
    with torch.device("meta"):
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.Flatten(),
            nn.Linear(8 * 8 * 8, 5),
        )
    image = picture(16)
    randomise(network, images=image)
    return network.to(memory_format=torch.channels_last), image.contiguous(  # type: ignore[call-overload]
        memory_format=torch.channels_last
    )


@pytest.fixture(autouse=True)
def zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three networks: two small ones, and one that is too large."""
    built.clear()
    monkeypatch.setattr(subjects, "names", lambda: ["one", "two", "large"])
    monkeypatch.setattr(subjects, "too_large", lambda name: "200 M parameters" if name == "large" else None)
    monkeypatch.setattr(subjects, "build", small)
    monkeypatch.setattr(opponents, "captum_missing", lambda: "not installed")
    monkeypatch.setattr(opponents, "compiled", lambda *arguments: (None, "not in tests"))


def run(*options: str) -> None:
    command.main(["occlusion", "--device", "cpu", "--quick", "--without-compile", "--networks", *options])


def rows(file: Path, dtype: str = "float32") -> dict[str, Any]:
    return {row["network"]: row for row in json.loads(file.read_text())[dtype]["rows"]}


def test_all_of_the_zoo_is_measured_and_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "zoo.json"
    run("zoo", "--dtype", "float32", "bfloat16", "--json", str(file))
    said = capsys.readouterr().out
    assert "one, float32: " in said and "large: left out, 200 M parameters" in said
    assert built == {"one": 2, "two": 2}
    single, narrow = rows(file), rows(file, "bfloat16")
    assert list(single) == list(narrow) == ["one", "two", "large"]
    row = single["one"]
    assert row["windows"] == 4 and row["bound"] > 1 and row["method"] in ("incremental", "batched")
    assert row["seconds"].keys() == {trial.OURS, trial.ENGINE, trial.BATCHED, trial.LOOP}
    assert row["left_out"] == {trial.CAPTUM: "not installed", trial.COMPILED: "not asked for"}
    assert row["ratio"][trial.LOOP] == pytest.approx(row["seconds"][trial.LOOP] / row["seconds"][trial.OURS], rel=0.2)
    assert row["deviation_over_tolerance"] <= 1 and row["first"] > 0
    assert trial.SINGLE in narrow["one"]["seconds"]
    assert single["large"]["skipped"] == "200 M parameters"

    results = json.loads(file.read_text())
    results["float32"]["rows"] = results["float32"]["rows"][:1]  # killed after the first
    file.write_text(json.dumps(results))
    run("zoo", "--resume", "--json", str(file))
    assert built == {"one": 2, "two": 3} and rows(file)["one"] == row
    run("two", "--json", str(file))  # alone, without --resume again
    assert built == {"one": 2, "two": 4} and len(rows(file)) == 3 and len(rows(file, "bfloat16")) == 3


def test_captum_and_a_compiled_loop_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("captum")
    monkeypatch.setattr(opponents, "captum_missing", lambda: None)
    monkeypatch.setattr(opponents, "compiled", lambda network, scene, batch: (network, ""))
    with torch.inference_mode():
        row = trial.Trial("one", *small("one"), trial.Settings(quick=True)).row()
    assert {trial.CAPTUM, trial.COMPILED} <= row["ratio"].keys() and not row["left_out"]


def test_a_wrong_answer_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = zfcuda.occlusion_map

    def wrong(*args: Any, **kwargs: Any) -> Any:
        result = copy.copy(right(*args, **kwargs))
        object.__setattr__(result, "logits", result.logits * 1.01)
        return result

    monkeypatch.setattr(zfcuda, "occlusion_map", wrong)
    with pytest.raises(RuntimeError, match=r"one: a logit is .* times the tolerance off, .* in float64"):
        trial.Trial("one", *small("one"), QUICK).row()
    settings = trial.Settings(torch.bfloat16, quick=True, with_compile=False)
    monkeypatch.setattr(verify, "off", lambda *arguments: float("nan"))
    with pytest.raises(RuntimeError, match="one: a logit is nan times"):
        trial.Trial("one", *small("one"), settings).row()


def test_what_rounding_alone_parts_is_held_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = small("one")
    assert verify.check("one", 0.5, network, image, 8) == {"deviation_over_tolerance": 0.5}
    found = verify.in_float64(network, image, 8)
    assert found["engine"] < 1e-6 and found["loop_float32"] < 0.5
    monkeypatch.setattr(verify, "in_float64", lambda *arguments: {"loop_float32": 0.8, "engine": 1e-8})
    assert verify.check("one", 2.0, network, image, 8)["in_float64"]["loop_float32"] == 0.8
    with pytest.raises(RuntimeError):
        verify.check("one", 9.0, network, image, 8)


def test_an_engine_that_refuses_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = small("one")
    network.register_forward_hook(lambda *arguments: None)
    row = trial.Trial("one", network, image, QUICK).row()
    assert row["method"] == "batched" and trial.ENGINE not in row["seconds"]
    assert row["left_out"][trial.ENGINE].startswith("there are hooks on")


def test_a_loop_that_takes_too_long_is_left_out() -> None:
    network, _ = small("one")
    slow = trial.Trial("one", network, picture(32), trial.Settings(seconds=0.0))
    slow.plain = nn.Sequential(*list(network.children())[:4], nn.Flatten())  # of any size
    with pytest.raises(trial.LeftOutError, match="the loop alone would take"):
        slow.row()


def test_the_profile_adds_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = profile.seconds(trial.Trial("one", *small("one"), QUICK))
    assert {"convolution 3 x 3, depthwise, grouped", "first linear", "tables", profile.ELSE} <= parts.keys()
    assert any(part.startswith("convolution 3 x 3, ragged") for part in parts)
    assert "_time_steps" not in zfcuda.occlusion.incremental.engine.Plan.run.__qualname__  # taken away again
    file = tmp_path / "zoo.json"
    run("zoo", "--json", str(file))
    run("zoo", "--profile", "--json", str(file))
    assert all("profile" in rows(file)[name] for name in ("one", "two"))
    assert "first linear" in capsys.readouterr().out


def test_one_that_fails_does_not_cost_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(name: str) -> Any:
        if name == "one":
            raise RuntimeError("no such layer")
        return small(name)

    monkeypatch.setattr(subjects, "build", build)
    file = tmp_path / "zoo.json"
    with pytest.raises(RuntimeError, match="no such layer"):
        run("zoo", "--json", str(file))
    assert list(rows(file)) == ["two", "large"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["three"], "expected zoo, or names of torchvision's networks, got three"),
        (["zfnet", "one"], "or with occlusion networks of the zoo alone, got"),
    ],
)
def test_names_that_are_not_known(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(*options)
    assert message in capsys.readouterr().err
    assert running.chosen(["zoo/one", "two"]) == ["one", "two"]


def test_without_torchvision_the_command_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()

    @contextmanager
    def nothing() -> Any:
        yield None

    monkeypatch.setattr(subjects, "torchvision_models", nothing)
    with pytest.raises(SystemExit):
        run("zoo")
    assert "torchvision is not installed: pip install --no-deps torchvision" in capsys.readouterr().err


def test_another_devices_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "zoo.json"
    file.write_text('{"device": "NVIDIA H100"}')
    with pytest.raises(SystemExit):
        run("zoo", "--json", str(file))
    assert "holds results of 'NVIDIA H100'" in capsys.readouterr().err and not built


# ---------------------------------------------------------------- tables and the plot


def synthetic(name: str, bound: float, won: float, method: str = "incremental") -> dict[str, Any]:
    seconds = {trial.OURS: 1.0, trial.ENGINE: 1.0, trial.BATCHED: won, trial.LOOP: won, trial.CAPTUM: 2 * won}
    return {
        "network": name,
        "seconds": seconds,
        "quartiles": {side: [s, 2 * s] for side, s in seconds.items()},
        "ratio": seconds,
        "method": method,
        "bound": bound,
        "won": won,
        "reached": won / bound,
        "of_better_way": 0.9,
        "deviation_over_tolerance": 0.1,
    }


def result() -> dict[str, Any]:
    one = synthetic("one", 2.0, 1.5) | {"profile": {f"part {i}": 0.25 for i in range(10)}}
    some = [synthetic("two", 3.0, 3.0), one | {"dtype": "float32"}, {"network": "large", "skipped": "too large"}]
    return {"device": "a device", "float32": {"environment": ENVIRONMENT, "rows": some}}


def test_what_is_left_out_stands_together() -> None:
    long = "the loop alone would take %d s, more than 8 s"
    why = {"a": "198 M parameters, more than 150 M", "b": long % 17, "c": "its own", "d": long % 9, "e": "its own"}
    assert tables.left_out([{"network": name, "skipped": text} for name, text in why.items()]) == [
        "- Left out, more than 150 M parameters: a (198 M).",
        "- Left out, the loop alone would take more than 8 s: b (17 s), d (9 s).",
        "- Left out, its own: c, e.",
    ]


def test_tables() -> None:
    text = "\n".join(tables.lines(result(), "zoo.png"))
    assert text.startswith("![How many times faster") and "](zoo.png)" in text
    assert "| one | 1 (1 to 2), incremental | 1 | 1.5 | 3.00x (3 s) | 1.50x (1.5 s) | - | 2.00x | 1.50x | 75% |" in text
    assert text.index("| one |") < text.index("| two |")
    assert "- Left out, too large: large." in text and "1 reach 95 %" in text
    assert "where the engine's 2.50 s go | s | of all |" in text and "| 2 other parts | 0.500 | 20% |" in text
    for line in text.splitlines():
        if line.startswith("|---"):
            width = line.count("|")
        elif line.startswith("| ") and not line.startswith(("| network", "| one, float32")):
            assert line.count("|") == width
    assert running.slowest(result()["float32"]["rows"]) == ["one", "two"]


def test_the_plot_has_every_point_and_its_name() -> None:
    image = scatter.draw(result())
    assert image.size == (2000, 1720) and (0, 114, 178) in {colour for _, colour in image.getcolors(1 << 20) or []}
    points = {f"net{i}": (500.0 + i % 3, 400.0 + i // 3) for i in range(9)}
    boxes = dict(scatter.labels(points))
    assert boxes.keys() == points.keys() and len(set(boxes.values())) == 9


def test_the_page_shows_the_picture_where_it_was_drawn() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert ("](zoo.png)" in page) == (ROOT / "docs" / "zoo.png").exists()
