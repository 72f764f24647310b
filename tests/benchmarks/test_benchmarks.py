"""The benchmarks run, refuse wrong results, and keep what they measured; no test looks at a time."""

from __future__ import annotations

import contextlib
import copy
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import zfcuda
from benchmarks import __main__ as command
from benchmarks import (
    deconvnet,
    gpu,
    live,
    many,
    measure,
    occlusion,
    operators,
    opponents,
    plot,
    profiling,
    readme,
    record,
)
from benchmarks import synthesis as images
from benchmarks import training as training_step
from benchmarks.measure import Timing
from benchmarks.zoo import randomise
from zfcuda import ops
from zfcuda.ops import conv_stage

CPU = torch.device("cpu")
WIDTH = 0.05


def small_zfnet() -> torch.nn.Module:
    network = zfcuda.models.zfnet(7, width=WIDTH)
    randomise(network)
    return network


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks and inputs of which everything takes seconds, nothing compiled."""
    monkeypatch.setattr(operators, "QUICK", [(2, 6, 15, 14)])
    monkeypatch.setattr(deconvnet, "CASES", (deconvnet.Case("zfnet", "ZFNet conv5", "conv5", small_zfnet),))
    monkeypatch.setattr(occlusion, "_network", lambda name: small_zfnet())
    monkeypatch.setattr(opponents, "compiled", lambda *arguments: (None, "not in tests"))


def training(dtype: torch.dtype = torch.float32) -> list[dict[str, Any]]:
    return list(training_step.run(CPU, dtype, quick=True, batch=2, width=WIDTH))


def sound(row: dict[str, Any], times: str = "seconds") -> None:
    """Asserts that a row has the fields that every row has, and that they fit each other."""
    sides = row[times]
    assert row["dtype"] in command.DTYPES
    assert all(seconds > 0 for seconds in sides.values())
    assert sides.keys() == row["quartiles"].keys() and len(row["quartiles"]["zfcuda"]) == 2
    assert row["ratio"] and row["ratio"].keys() <= sides.keys() - {"zfcuda"}
    for name, ratio in row["ratio"].items():
        assert ratio == pytest.approx(sides[name] / sides["zfcuda"], rel=0.02, abs=0.002)
    assert not row["left_out"].keys() & sides.keys()
    json.dumps(row)


# ---------------------------------------------------------------- they run


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_operators(dtype: torch.dtype) -> None:
    rows = list(operators.run(CPU, [dtype], quick=True))
    names = ["relu + pool + switches", "unpool", "lrn", "stage: relu + pool + switches + lrn"]
    names += ["gradient of relu + pool", "gradient of lrn"]
    assert [row["operator"] for row in rows] == names * 2
    assert [row["format"] for row in rows] == ["NCHW"] * 6 + ["channels_last"] * 6
    for row in rows:
        sound(row, "milliseconds")
        assert row["copy_gigabytes_per_second"] > 0 and row["byte_ratio"] > 0.9
    # of x, of what is pooled from it 8 x 7, and of its switches
    size, x, pooled, switches = dtype.itemsize, 2 * 6 * 15 * 14, 2 * 6 * 8 * 7, 2 * 6 * 8 * 7
    stage = rows[3]
    assert stage["bytes"] == size * (x + pooled) + switches
    assert stage["byte_ratio"] == round(size * (x + 3 * pooled) / stage["bytes"], 3)


def test_one_picture_has_no_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "QUICK", [(1, 4, 9, 9)])
    assert not any("gradient" in row["operator"] for row in operators.run(CPU, [torch.float32], quick=True))


def test_small_operators_run_on_several_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "inputs_beyond_cache", lambda bytes, device: 3)
    rows = list(operators.run(CPU, [torch.float32], quick=True))
    assert len(rows) == 12
    for row in rows:
        sound(row, "milliseconds")
        said = "one" if "gradient" in row["operator"] else "3 in a row"
        assert row["settings"]["launches"] == {"zfcuda": said, "torch": said}


@pytest.mark.parametrize("has_captum", [False, True])
def test_deconvnet(has_captum: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if has_captum:
        pytest.importorskip("captum")
    monkeypatch.setattr(opponents, "captum_missing", lambda: None if has_captum else "not installed")
    rows = list(deconvnet.run(CPU, torch.float32, quick=True))
    assert [row["top"] for row in rows] == [1, 9]
    for row in rows:
        sound(row)
        assert len(row["settings"]["units"]) == row["top"]
        assert max(row["deviation"].values()) < deconvnet.TOLERANCE
        assert (deconvnet.CAPTUM in row["ratio"]) is has_captum
        assert has_captum or row["left_out"][deconvnet.CAPTUM] == "not installed"
        assert 0 <= deconvnet.share(row) < 1
    assert list(deconvnet.run(CPU, torch.bfloat16, quick=True)) == []


def test_the_layers_of_a_chain_until_one() -> None:
    network = small_zfnet()
    names = [name for name, _ in network.named_children()]
    layers = deconvnet.until(network, "conv3")
    assert layers == [network.get_submodule(name) for name in names[: names.index("conv3") + 1]]
    with pytest.raises(ValueError, match="no layer 'conv9'"):
        deconvnet.until(network, "conv9")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_training(dtype: torch.dtype) -> None:
    (row,) = training(dtype)
    sound(row)
    assert row["batch"] == 2 and row["settings"]["autocast"] is (dtype != torch.float32)
    assert row["deviation"].keys() == row["seconds"].keys()
    curve = row["curve"]
    assert all(len(losses) == curve["steps"] for losses in curve["losses"].values())
    assert curve["losses"]["zfcuda"][-1] < curve["losses"]["zfcuda"][0]
    assert curve["difference"] <= max(training_step.CURVE_TOLERANCE[dtype], 2 * curve["own"])


def test_curves_that_part_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    true = training_step.Side.step
    steps: list[int] = []

    def step(side: training_step.Side) -> Tensor:
        steps.append(1)  # ours learns first
        return true(side) * (1.01 if len(steps) == training_step.CURVE_STEPS else 1)

    sides, _ = training_step._sides(CPU, torch.float32, 2, WIDTH, {}, with_compile=False)
    monkeypatch.setattr(training_step, "CURVE_STEPS", 3)
    assert training_step.curves(sides, torch.float32, 3)["difference"] < 1e-4
    monkeypatch.setattr(training_step.Side, "step", step)
    with pytest.raises(RuntimeError, match=r"the losses of 3 steps are .* off torch's"):
        training_step.curves(sides, torch.float32, 3)


def test_both_sides_of_training_take_the_same_step() -> None:
    sides, _ = training_step._sides(CPU, torch.float32, 2, WIDTH, {}, with_compile=False)
    for side in sides.values():
        side.step()
    expected = dict(sides["torch"].network.named_parameters())
    for name, parameter in sides["zfcuda"].network.named_parameters():
        torch.testing.assert_close(parameter, expected[name])
        assert parameter.grad is None


def test_occlusion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opponents, "captum_missing", lambda: "not installed")
    (row,) = occlusion.run(CPU, torch.float32, quick=True, networks=["zfnet"])
    sound(row)
    assert row["left_out"] == {"captum": "not installed", "loop, torch.compile": "not in tests"}
    image = plot.draw({"occlusion": {"float32": {"environment": ENVIRONMENT, "rows": [row]}}})
    assert image.getextrema() != ((255, 255),) * 3


def test_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "NETWORKS", {"zfnet": small_zfnet})
    (row,) = live.run(CPU, torch.float32, quick=True, networks=["zfnet"])
    sound(row)
    assert row["opponent"] in row["ratio"] and row["method"] == "incremental"
    monkeypatch.setattr(zfcuda.Occluder, "__call__", off(zfcuda.Occluder.__call__))
    with pytest.raises(RuntimeError, match="ZFNet: a logit is off by 0"):
        list(live.run(CPU, torch.float32, quick=True, networks=["zfnet"]))


def test_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "NETWORKS", {"resnet18": small_zfnet})
    (row,) = many.run(CPU, torch.float32, quick=True, networks=["resnet18"])
    sound(row)
    assert row["deviation"] == 0 and row["pictures"] == 3 and row["method"] in ("incremental", "batched")
    assert row["maps_per_minute"][many.OURS] == pytest.approx(180 / row["seconds"]["zfcuda"], rel=0.01)
    if sys.platform == "linux":
        assert list(row["peak_bytes"]) == ["2", "4"] and row["peak_bytes"]["4"] >= row["peak_bytes"]["2"] > 0
    monkeypatch.setattr(many, "_PROCESS", Path("/no/such/folder"))
    (row,) = many.run(CPU, torch.float32, quick=True, networks=["resnet18"])
    assert row["peak_bytes"] == {} and "memory: not known" in many.describe(row)
    assert list(many.run(CPU, torch.bfloat16, quick=True)) == []
    right = zfcuda.OcclusionMapper.__call__

    def wrong(self: zfcuda.OcclusionMapper, image: Tensor) -> zfcuda.OcclusionMap:
        return right(self, image * 1.001)

    monkeypatch.setattr(zfcuda.OcclusionMapper, "__call__", wrong)
    with pytest.raises(RuntimeError, match="ResNet-18: a map of the mapper is off by "):
        list(many.run(CPU, torch.float32, quick=True, networks=["resnet18"]))


def test_profiling() -> None:
    text = profiling.table(lambda: ops.local_response_norm(torch.randn(1, 4, 9, 9), 3), CPU)
    assert "zfcuda::local_response_norm" in text


def test_convolutions_of_cudnn_stay_on(monkeypatch: pytest.MonkeyPatch) -> None:
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "allow_tf32", True)
    before = cudnn.enabled, cudnn.benchmark, torch.backends.cuda.matmul.allow_tf32
    with measure.full_float32(), measure.tuned_convolutions():
        assert cudnn.enabled is before[0] and cudnn.benchmark and not cudnn.allow_tf32
    assert cudnn.allow_tf32 and (cudnn.enabled, cudnn.benchmark, torch.backends.cuda.matmul.allow_tf32) == before


# ---------------------------------------------------------------- they refuse what is wrong


def off(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a function so that its result is a fifth off."""

    def wrong(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return (result[0] * 1.2, *result[1:]) if isinstance(result, tuple) else result * 1.2

    return wrong


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "name", ["max_pool2d_with_switches", "max_unpool2d", "local_response_norm", "relu_max_pool2d_lrn"]
)
def test_a_wrong_operator_is_not_timed(name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, name, off(getattr(ops, name)))
    with pytest.raises(AssertionError, match=r"not (close|equal)"):
        list(operators.run(CPU, [dtype], quick=True))


def test_one_wrong_result_does_not_cost_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ops, "max_unpool2d", off(ops.max_unpool2d))
    monkeypatch.setattr(zfcuda, "project", off(zfcuda.project))
    file = tmp_path / "cpu.json"
    monkeypatch.setattr(command, "SECTIONS", ("operators", "deconvnet", "operators"))
    with pytest.raises(AssertionError):  # the first
        command.main(["all", "--device", "cpu", "--quick", "--json", str(file)])
    results = json.loads(file.read_text())
    assert len(results["operators"]["float32"]["rows"]) == 2 * 2 * 5 and "deconvnet" not in results
    said = capsys.readouterr().out
    assert "FAILED: unpool, [2, 6, 15, 14], torch.float32, channels_last: AssertionError: Tensor-likes" in said
    assert "FAILED: ZFNet conv5, top 9: RuntimeError:" in said


@pytest.mark.parametrize(
    ("name", "row"),
    [("max_pool2d_with_switches", "gradient of relu + pool"), ("local_response_norm", "gradient of lrn")],
)
def test_a_wrong_gradient_is_not_timed(name: str, row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = getattr(ops, name)

    def wrong(x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Gives the right values, but wrong gradients."""
        return right(x if not x.requires_grad else 2 * x - x.detach(), *args, **kwargs)

    monkeypatch.setattr(ops, name, wrong)
    timed = []
    with pytest.raises(AssertionError, match="not close"):
        for one in operators.run(CPU, [torch.float32], quick=True):
            timed.append(one["operator"])
    assert len(timed) == 10 and row not in timed


@pytest.mark.parametrize(("side", "place"), [("zfcuda", "Projector"), ("zfcuda.project", "project")])
def test_a_wrong_projection_is_not_timed(side: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = getattr(zfcuda, place)
    wrong = off(right) if place == "project" else lambda *args, **kwargs: off(right(*args, **kwargs))
    monkeypatch.setattr(zfcuda, place, wrong)
    with pytest.raises(RuntimeError, match=rf"ZFNet conv5, top 1: the projection of '{side}' is off by 0\.2"):
        list(deconvnet.run(CPU, torch.float32, quick=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_wrong_training_step_is_not_timed(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    right, stage = ops.relu_max_pool2d_lrn, conv_stage.conv2d_stage
    monkeypatch.setattr(ops, "relu_max_pool2d_lrn", off(right))
    monkeypatch.setattr(conv_stage, "conv2d_stage", lambda *args: 1.2 * stage(*args))  # on few threads
    with pytest.raises(RuntimeError, match="of 'zfcuda' is off by"):
        training(dtype)


@pytest.mark.parametrize(("side", "place"), [("zfcuda", "occlusion_map"), ("zfcuda mapper", "OcclusionMapper")])
def test_a_wrong_occlusion_map_is_not_timed(side: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_one_per_cent(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrong(*args: Any, **kwargs: Any) -> Any:
            result = copy.copy(function(*args, **kwargs))
            object.__setattr__(result, "logits", result.logits * 1.01)
            return result

        return wrong

    right = getattr(zfcuda, place)
    made = place == "OcclusionMapper"
    wrong = (
        (lambda *args, **kwargs: off_by_one_per_cent(right(*args, **kwargs))) if made else off_by_one_per_cent(right)
    )
    monkeypatch.setattr(zfcuda, place, wrong)
    with pytest.raises(RuntimeError, match=f"a logit of '{side}' is .* times the tolerance"):
        list(occlusion.run(CPU, torch.float32, quick=True, networks=["zfnet"]))


# ---------------------------------------------------------------- they measure

CUDA = torch.device("cuda", 0)


class Device:
    """Stands in for torch.cuda: counts what is asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capture_fails: bool = False) -> None:
        self.asked: list[str] = []
        self.capturing: list[Callable[[], object]] = []
        clock = iter(range(1000))

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(this) -> None:  # noqa: N805
                this.at = next(clock)
                self.asked.append("event")

            def elapsed_time(self, end: Any) -> float:
                return float(end.at - self.at)

        class Graph:
            def replay(this) -> None:  # noqa: N805
                self.asked.append("replay")

        @contextlib.contextmanager
        def graph(_: Graph) -> Iterator[None]:
            if capture_fails:
                raise RuntimeError("operation not permitted when stream is capturing")
            self.asked.append("capture")
            yield

        stream = SimpleNamespace(wait_stream=lambda other: None)
        stand_ins = {
            "Event": Event,
            "CUDAGraph": Graph,
            "graph": graph,
            "Stream": lambda device: stream,
            "stream": lambda s: contextlib.nullcontext(),
            "current_stream": lambda device: stream,
            "synchronize": lambda device: self.asked.append("synchronize"),
            "get_device_properties": lambda device: SimpleNamespace(L2_cache_size=1000),
        }
        for name, stand_in in stand_ins.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        monkeypatch.setattr(measure, "_flush", lambda device: self.asked.append("flush"))


@pytest.mark.parametrize("queued", [False, True])
def test_the_cache_is_flushed_before_the_clock_starts(queued: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    measure.race({"one": lambda: device.asked.append("run")}, CUDA, repeats=2, warmup=1, queued=queued)
    idle = [] if queued else ["synchronize"]
    assert device.asked == ["run", *(["flush", *idle, "event", "run", "event", "synchronize"] * 2)]


def test_small_work_rotates_through_more_than_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    assert measure.inputs_beyond_cache(100, CUDA) == 30
    assert measure.inputs_beyond_cache(10_000, CUDA) == 1
    assert measure.inputs_beyond_cache(100, CPU) == 1
    ran: list[int] = []
    run, said = measure.rotated([lambda i=i: ran.append(i) for i in range(4)], CUDA)  # type: ignore[misc]
    assert said == "a graph of 4" and device.asked == ["capture"]
    assert ran == [0, 1, 0, 1, 2, 3]  # two to warm up, then each once in the graph
    run()
    assert device.asked == ["capture", "replay"] and len(ran) == 6


def test_what_cannot_be_captured_runs_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    Device(monkeypatch, capture_fails=True)
    ran: list[int] = []
    run, said = measure.rotated([lambda i=i: ran.append(i) for i in range(3)], CUDA)  # type: ignore[misc]
    ran.clear()
    run()
    assert said == "3 in a row" and ran == [0, 1, 2]


def test_medians() -> None:
    timing = Timing([4.0, 1.0, 2.0, 3.0, 10.0])
    assert timing.median == 3.0 and timing.spread == (1.5, 7.0)
    assert timing.each(2).seconds == [2.0, 0.5, 1.0, 1.5, 5.0]
    assert Timing([2.0]).spread == (2.0, 2.0)


# ---------------------------------------------------------------- they keep what they measured

ENVIRONMENT = {"device": "a device", "torch": "2.13.0", "date": "2026-01-01", "command": "python -m benchmarks"}


def test_the_command_writes_and_replaces_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "cpu.json"
    command.main(["operators", "--device", "cpu", "--quick", "--json", str(file)])
    first = json.loads(file.read_text())
    assert first["operators"].keys() == {"float32"} and len(first["operators"]["float32"]["rows"]) == 12
    command.main(["deconvnet", "--device", "cpu", "--quick", "--networks", "zfnet", "--json", str(file)])
    command.main(["operators", "--device", "cpu", "--quick", "--dtype", "bfloat16", "--json", str(file)])
    second = json.loads(file.read_text())
    assert list(second) == ["device", "operators", "deconvnet"]
    assert second["operators"]["float32"] == first["operators"]["float32"]
    assert second["operators"]["bfloat16"]["rows"] and second["deconvnet"]["float32"]["rows"]
    assert [path.name for path in file.parent.iterdir()] == ["cpu.json"]
    assert "stage: relu + pool + switches + lrn" in capsys.readouterr().out


def test_another_devices_file_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "h100.json"
    record.write({"device": "NVIDIA H100", "operators": {}}, file)
    monkeypatch.setattr(operators, "run", lambda *arguments: pytest.fail("ran"))
    with pytest.raises(SystemExit):
        command.main(["operators", "--device", "cpu", "--json", str(file)])
    assert "holds results of 'NVIDIA H100'" in capsys.readouterr().err
    assert json.loads(file.read_text()) == {"device": "NVIDIA H100", "operators": {}}


@pytest.mark.parametrize("text", ["[1, 2", "[1, 2]", "{}"])
def test_a_file_of_something_else_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(record.RecordError, match=r"x\.json: not "):
        record.Record(ENVIRONMENT, file)


def test_files_are_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, other, into = (tmp_path / f"{name}.json" for name in ("a", "b", "other", "into"))
    record.write({"device": "x", "operators": {"float32": 1, "bfloat16": 2}}, a)
    record.write({"device": "x", "operators": {"bfloat16": 3}, "training": {"float32": 4}}, b)
    record.write({"device": "y"}, other)
    monkeypatch.setattr(sys, "argv", ["record", *map(str, (into, a, b))])
    assert record.main() == 0
    merged = {"device": "x", "operators": {"float32": 1, "bfloat16": 3}, "training": {"float32": 4}}
    assert json.loads(into.read_text()) == merged
    monkeypatch.setattr(sys, "argv", ["record", *map(str, (into, other))])
    assert record.main() == 1 and "these are of 'y'" in capsys.readouterr().err
    assert json.loads(into.read_text()) == merged


# ---------------------------------------------------------------- the README's tables

PAGE = "\n".join(
    [
        "# zfcuda",
        *(f"<!-- {name}: python -m benchmarks.readme -->\nold\n<!-- end -->" for name in readme.SECTIONS),
        *(
            f"<!-- {name}: python -m benchmarks.readme -->\n<!-- end -->"
            for name in ("zoo", "truth", "maximized", "adversaries", "textures", "live_page", "pages")
        ),
        "the end",
    ]
)


def synthetic(section: str) -> dict[str, Any]:
    """A row as that section's benchmark writes it, of round numbers."""
    row: dict[str, Any] = {"title": f"net of {section}", "dtype": "float32", "left_out": {}}
    seconds = {"zfcuda": 0.002, "captum": 0.008, "autograd": 0.006, "torch": 0.003, "loop": 0.004}
    row |= {"seconds": seconds, "quartiles": {name: [s, 2 * s] for name, s in seconds.items()}}
    row["ratio"] = {name: s / 0.002 for name, s in seconds.items() if name != "zfcuda"}
    if section == "operators":
        row |= {"operator": "lrn", "shape": [256, 1, 1, 1], "format": "NCHW", "milliseconds": {"zfcuda": 0.002}}
        row |= {"byte_ratio": 1.25, "gigabytes_per_second": 2600.0, "copy_gigabytes_per_second": 2800.0}
        row |= {"of_copy": 0.93}
    elif section == "occlusion":
        row["seconds"] = seconds | {occlusion.REPEATED: 0.001}
        row |= {"window": 32, "stride": 8, "windows": 625, "method": "incremental", "bound": 4.94}
        row |= {"of_bound": {"loop": 0.4}, "deviation_over_tolerance": 0.08}
    elif section == "attribution":
        row |= {"what": "Grad-CAM", "batch": 16, "deviation": {"captum": 3e-16, "captum, torch.float32": 2e-7}}
    elif section == "deconvnet":
        row["seconds"] = seconds | {deconvnet.FORWARD: 0.0005, deconvnet.UNITS: 0.001, deconvnet.SINGLE: 0.005}
        row |= {"top": 9, "deviation": {"zfcuda": 3e-7}}
    elif section == "synthesis":
        row |= {"what": "nine units", "side": 224, "deviation": 2e-4}
        row["seconds"] = {images.BATCH: 2.0, images.RUNS: 3.0}
        row["quartiles"] = {images.BATCH: [1.9, 2.1], images.RUNS: [2.9, 3.1]}
        row["ratio"] = {images.RUNS: 1.5}
    elif section == "live":
        row |= {"prepared_seconds": 0.2, "deviation": 2e-6}
        row["seconds"] = {live.OURS: 0.002, live.CONTIGUOUS: 0.005, live.CHANNELS_LAST: 0.004}
    elif section == "many":
        row |= {"window": 32, "stride": 32, "pictures": 16, "method": "incremental", "deviation": 0.0}
        row |= {"maps_per_minute": {many.OURS: 480.0, many.EACH: 240.0}, "ratio": {many.EACH: 2.0}}
        row["peak_bytes"] = {"100": 300 << 20, "500": 301 << 20}
    else:
        row |= {"batch": 128, "settings": {"autocast": True}, "pictures_per_second": 1234.0}
        row |= {"curve": {"difference": 2e-6}}
    return row


def test_tables_are_made_of_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {name: {"float32": {"environment": ENVIRONMENT, "rows": [synthetic(name)]}} for name in readme.SECTIONS}
    record.write({"device": "a device", **parts}, tmp_path / "h100.json")
    monkeypatch.setattr(readme, "RESULTS", tmp_path)
    text = readme.written(PAGE, readme.pages()["docs/benchmarks.md"])
    assert text.startswith("# zfcuda\n") and text.endswith("the end") and "\nold\n" not in text
    assert readme.written(text, readme.pages()["docs/benchmarks.md"]) == text
    assert text.count("a device, torch 2.13.0, 2026-01-01, `python -m benchmarks`.") == len(readme.SECTIONS)
    assert text.count(readme.NOT_MEASURED) == 7  # those of other files; of devices those alone that were measured
    assert "**H100**" in text and "**H200**" not in text
    assert "| lrn | 256 | float32 | NCHW | 0.002 (0.002 to 0.004) |" in text and "| 93% of 2800.0 GB/s |" in text
    assert (
        "| net of occlusion | 32 / 8 | 625 | float32 | 0.002 (0.002 to 0.004), incremental | 0.001 | 4.0x (0.008 s) |"
        in text
    )
    assert "| net of deconvnet | 9 | float32 | 2 (2 to 4) | 5 | 4.0x (8 ms) | 3.0x (6 ms) | - | - | 0.5 | 50% |" in text
    assert "| net of attribution | Grad-CAM | 16 | float32 | 2 (2 to 4) | 4.0x (8 ms) | - | - | 3e-16 |" in text
    assert "| net of live | 2 (2 to 4) | 2.50x (5 ms) | 2.00x (4 ms) | 200 ms | 2e-06 |" in text
    assert "| 480 | 240 | 2.00x | 300 MiB after 100, 301 MiB after 500 | 0 |" in text
    assert "| net of training | 128 | float32 autocast | 2 (2 to 4) | 1.5x (3 ms) | - | - | - | 1234 | 2e-06 |" in text
    for line in text.splitlines():  # each row has as many cells as its table has columns
        if line.startswith("|---"):
            width = line.count("|")
        elif line.startswith("| ") and not line.startswith(("| operator", "| network", "| layer", "| question")):
            assert line.count("|") == width


def test_recorded_results_make_tables() -> None:
    text = readme.written(PAGE, readme.pages()["docs/benchmarks.md"])
    assert "| ZFNet | 32 / 8 | 625 | float32 |" in text and "| lrn | 16 | float32 | NCHW |" in text


def test_the_readme_shows_five_rows_and_the_best_loop() -> None:
    tables = readme.pages()["README.md"]
    lines = [line for line in tables["speed"].splitlines() if line.startswith("| ")]
    assert len(lines) == 6 and all(line.count("|") == 5 for line in lines)
    row = synthetic("occlusion") | {"ratio": {"captum": 4.0, "loop": 3.0, "loop, torch.compile": 2.0}}
    row["seconds"] = row["seconds"] | {"loop, torch.compile": 0.004}
    assert "| 4.0x (0.008 s) | 2.0x (0.004 s), loop, torch.compile |" in readme.speed([row])[2]


def test_the_pages_hold_what_was_recorded() -> None:
    for file, tables in readme.pages().items():
        text = (readme.ROOT / file).read_text(encoding="utf-8")
        assert readme.written(text, tables) == text, f"{file} is older than the results: python -m benchmarks.readme"


def test_a_missing_block_is_named() -> None:
    with pytest.raises(ValueError, match="expected one block 'training', got 0"):
        readme.written(PAGE.replace("training:", "x:"), readme.pages()["docs/benchmarks.md"])


# ---------------------------------------------------------------- all of it on a GPU


def test_the_machine_brings_back_few_files(tmp_path: Path) -> None:
    parts = gpu.parts(tmp_path, "h100")
    logs = {part.log for part in parts}
    named = {Path(word).name for part in parts for word in part.command if word.startswith(f"{tmp_path}/")}
    assert named == {"h100.json", "profile.txt"}
    assert len(logs | named | {"summary.txt", "occlusion_h100.png"}) <= 8
    assert [part.name for part in parts][:2] == ["build", "tests"]
    for part in parts:
        if part.command[1:3] == ["-m", "benchmarks"]:
            assert part.command[3] in record.SECTIONS


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_failing_part_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child"
    sleeper = f"import time; time.sleep(3); open({str(child)!r}, 'w')"
    parts = [
        gpu.Part("crash", python("raise SystemExit(3)"), "a.log", 20),
        gpu.Part("no program", ["/no/such/program"], "a.log", 20),
        gpu.Part("missing", python("print('never')"), "b.log", 20, "no_such_module"),
        gpu.Part(
            "endless",
            python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {sleeper!r}])"),
            "a.log",
            1,
        ),
        gpu.Part("loud", python(f"print('x' * {3 * gpu.LOG_BYTES})"), "c.log", 20),
    ]
    monkeypatch.setattr(gpu, "parts", lambda out, name: parts)
    monkeypatch.setattr(gpu, "short_name", lambda device: "h100")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    for name in ("TORCH_CUDA_ARCH_LIST", "ZFCUDA_CUDA", "PYTHONUNBUFFERED", "MAX_JOBS"):
        monkeypatch.setenv(name, "before")  # set by main, put back after the test
    monkeypatch.setattr(sys, "argv", ["gpu", str(tmp_path / "out")])
    assert gpu.main() == 1
    summary = (tmp_path / "out" / "summary.txt").read_text().splitlines()
    assert [re.split(r" \d+ s  ", line)[1] for line in summary] == [
        "FAILED: exit status 3, see a.log",
        "FAILED: [Errno 2] No such file or directory: '/no/such/program'",
        "skipped: no no_such_module here",
        "FAILED: not done after 1 s",
        "ok",
    ]
    assert (tmp_path / "out" / "c.log").stat().st_size < 2.1 * gpu.LOG_BYTES
    assert not (tmp_path / "out" / "b.log").exists()
    time.sleep(2.5)
    assert not child.exists()  # what a part has started ends with it

    monkeypatch.setattr(sys, "argv", ["gpu", str(tmp_path / "two"), "loud"])
    assert gpu.main() == 0 and sorted(path.name for path in (tmp_path / "two").iterdir()) == ["c.log", "summary.txt"]
