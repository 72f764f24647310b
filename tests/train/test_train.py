"""A tiny training run, end to end, and what can go wrong with one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from zfcuda.data import HELD_OUT_SEED, Parts, Preprocess
from zfcuda.models import zfnet
from zfcuda.train import Config, loop, train
from zfcuda.train.__main__ import main
from zfcuda.train.batches import batches
from zfcuda.train.pool import Pool, draw_pool

TINY = ["--pictures=24", "--batch=8", "--close-ups=1", "--epochs=1", "--held-out=12", "--width=0.04", "--workers=0"]
CONFIG = Config(pictures=24, batch=8, close_ups=1, epochs=2, held_out=12, width=0.04, workers=0)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a run ends that cannot be."""
    capsys.readouterr()
    try:
        assert main(words) == 2
    except SystemExit as stop:
        assert stop.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "zfcuda: " in line]
    assert len(lines) == 1 and lines[0].startswith("zfcuda: error: "), lines
    return lines[0]


@pytest.fixture(scope="module")
def pool() -> Pool:
    return draw_pool(24, seed=1, workers=0)


def test_a_run_leaves_weights_and_where_they_come_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "net.safetensors"
    assert main(["--out", str(out), *TINY]) == 0
    assert sorted(path.name for path in out.parent.iterdir()) == ["net.json", "net.safetensors"]
    weights = load_file(out)
    assert {value.dtype for value in weights.values()} == {torch.float16}
    facts = json.loads(out.with_suffix(".json").read_text())
    assert facts["command"] == " ".join(["python -m zfcuda.train --out", str(out), *TINY])
    assert facts["finished"] and facts["seed"] == 1 and facts["torch"] == torch.__version__
    assert facts["classes"] == list(Parts.classes)
    assert 0 <= facts["accuracy"] <= 1 and 0 <= facts["control_accuracy"] <= 1
    network = zfnet(len(facts["classes"]), width=0.04)
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    assert "held-out accuracy" in capsys.readouterr().out


def test_the_seed_decides_the_weights() -> None:
    first, _ = train(CONFIG, progress=False)
    again, report = train(CONFIG, progress=False)
    other, _ = train(Config(**{**vars(CONFIG), "seed": 2}), progress=False)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not torch.equal(first.get_parameter("conv1.weight"), other.get_parameter("conv1.weight"))
    assert not first.training and report.epoch == 2


def test_it_learns(pool: Pool) -> None:
    """A few steps on close-ups of two classes: the loss falls, so gradients reach the whole network."""
    torch.manual_seed(0)
    network = loop.without_pool5(loop.initialized(12, 0.1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    dice = np.random.default_rng(0)
    for _ in range(8):
        for images, labels in batches(pool, Preprocess.parts(), 24, dice, close_up=True):
            loss = torch.nn.functional.cross_entropy(network(images), labels % 2)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize("epoch", [1, 2])
def test_interrupted_it_keeps_the_last_checkpoint(
    epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = 0

    def interrupting(*args: object, **kwargs: object) -> float:
        nonlocal calls
        calls += 1
        if calls == epoch:
            raise KeyboardInterrupt
        return 0.5

    monkeypatch.setattr(loop, "accuracy", interrupting)
    out = tmp_path / "net.safetensors"
    assert main(["--out", str(out), *TINY, "--epochs=2"]) == 130
    said = capsys.readouterr().err
    if epoch == 1:
        assert "interrupted: nothing was written" in said and not out.exists()
    else:
        assert f"interrupted: {out} holds epoch 1" in said
        facts = json.loads(out.with_suffix(".json").read_text())
        assert facts["epoch"] == 1 and not facts["finished"] and facts["control_accuracy"] is None
        assert load_file(out)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--pictures 0", "pictures: expected at least 1, got 0"),
        ("--epochs 0", "epochs: expected at least 1, got 0"),
        ("--batch 99 --pictures 10", "batch: expected at most the number of pictures, 10, got 99"),
        ("--rate -1", "rate: expected above 0 and at most 4, got -1.0"),
        ("--rate nan", "rate: expected above 0 and at most 4, got nan"),
        ("--dropout 1", "dropout: expected from 0 to below 1, got 1.0"),
        ("--workers -1", "workers: expected at least 0, got -1"),
        ("--workers 1000000", "workers: expected at most 1024, got 1000000"),
        ("--threads -1", "threads: expected 0 to 1024, got -1"),
        ("--threads 9999999999", "threads: expected 0 to 1024, got 9999999999"),
        (f"--seed {2**64}", f"seed: expected below 2**64, got {2**64}"),
        (
            f"--seed {HELD_OUT_SEED}",
            f"seed: expected any but {HELD_OUT_SEED}, whose pictures are held out, got {HELD_OUT_SEED}",
        ),
        ("--out net.pth", "out: expected a name that ends in .safetensors, got net.pth"),
        ("--epochs many", "invalid int value: 'many'"),
        ("--bogus", "unrecognized arguments: --bogus"),
    ],
)
def test_bad_arguments_exit_with_2_and_one_line(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(words.split(), capsys).endswith(message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["pictures", "held-out"])
def test_more_than_fits_is_said_in_one_line(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*TINY, f"--{option}={10**15}", "--out", str(tmp_path / "net.safetensors")]
    assert "training: " in refused(words, capsys)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, beside = tmp_path / "net.safetensors", tmp_path / "net.json"
    for file in (out, beside):
        file.write_text("precious")
        assert refused([*TINY, "--out", str(out)], capsys).endswith(f"{file} exists already; --force overwrites it")
        assert file.read_text() == "precious"
        file.unlink()
    os.mkfifo(beside)
    assert "net.json is not a regular file" in refused([*TINY, "--out", str(out), "--force"], capsys)
    beside.unlink()
    beside.write_text("old")
    assert main([*TINY, "--out", str(out), "--force"]) == 0
    assert load_file(out) and json.loads(beside.read_text())["finished"]


def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net.safetensors"
    real = Path.write_text

    def full(self: Path, *arguments: Any, **options: Any) -> int:
        if self.suffix == ".json" and out.exists():
            raise OSError(28, "No space left on device")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    said = refused([*TINY, "--epochs=2", "--out", str(out)], capsys)
    assert said.endswith(f"{out}: cannot be written (No space left on device); it holds epoch 1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.json", "net.safetensors"]
    assert json.loads(out.with_suffix(".json").read_text())["epoch"] == 1 and load_file(out)


def test_an_out_that_cannot_be_written_is_refused_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder.safetensors").mkdir()
    for out in (tmp_path / "file" / "net.safetensors", tmp_path / "folder.safetensors"):
        assert "out: " in refused(["--out", str(out)], capsys)
    assert (tmp_path / "file").read_text() == "kept"


def test_the_pool_is_what_parts_draws_in_any_number_of_processes(pool: Pool) -> None:
    parts = Parts(1)
    spread = draw_pool(24, seed=1, workers=2)
    for name in ("pixels", "labels", "boxes"):
        assert torch.equal(getattr(pool, name), getattr(spread, name))
    for i in (0, 23):
        picture = parts[i]
        assert (pool.pixels[i].numpy() == np.asarray(picture.image)).all()
        assert pool.labels[i] == picture.label
        top, bottom, left, right = pool.boxes[i].tolist()
        assert picture.part_mask[top:bottom, left:right].sum() == picture.part_mask.sum()


def test_ctrl_c_does_not_reach_the_workers(tmp_path: Path) -> None:
    """At a terminal Ctrl-C goes to all of them at once, also while they still import torch."""
    words = ["--pictures=4000", "--workers=2", "--out", str(tmp_path / "net.safetensors")]
    process = subprocess.Popen(
        [sys.executable, "-m", "zfcuda.train", *words],
        stderr=subprocess.PIPE,
        bufsize=0,  # communicate would not see what a buffer has read ahead
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    seen = process.stderr.read(30)  # the bar: the workers have been started
    os.killpg(process.pid, signal.SIGINT)
    errors = (seen + process.communicate(timeout=60)[1]).decode().replace("\r", "\n").splitlines()
    assert process.returncode == 130
    assert [line for line in errors if line.strip() and "%|" not in line] == [
        "zfcuda: interrupted: nothing was written"
    ], errors


@pytest.mark.parametrize("close_up", [True, False])
def test_no_batch_loses_the_defining_part(pool: Pool, close_up: bool) -> None:
    marked = torch.zeros_like(pool.pixels)
    for pixels, (top, bottom, left, right) in zip(marked, pool.boxes.tolist(), strict=True):
        pixels[top:bottom, left:right] = 255
    plain = Preprocess(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    areas = marked[..., 0].sum(dtype=torch.float64, dim=(1, 2)) / 255
    for _ in range(4):
        epoch = batches(
            Pool(marked, torch.arange(24), pool.boxes), plain, 8, np.random.default_rng(3), close_up=close_up
        )
        seen = []
        for images, which in epoch:
            assert images.shape == (8, 3, *(2 * (112 if close_up else 224,)))
            assert images.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(images[:, 0].double().sum(dim=(1, 2)), areas[which])
            seen += which.tolist()
        assert sorted(seen) == list(range(24))
