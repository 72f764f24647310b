"""TensorBoard's files."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from zfcuda.train import train
from zfcuda.train.monitoring import board

ROW = {
    **{"epoch": 1, "step": 7, "loss": 1.0, "top1": 0.5, "top5": 0.9, "rate": 0.01, "images_per_second": 3.0},
    **{"validation_loss": 2.0, "validation_top1": 0.4, "validation_top5": 0.8},
}


class Writer:
    """Takes the place of torch's SummaryWriter."""

    made: list[Writer] = []  # noqa: RUF012

    def __init__(self, folder: str, purge_step: int) -> None:
        self.name, self.purge_step, self.said, self.closed = Path(folder).name, purge_step, [], False
        Writer.made.append(self)

    def add_scalar(self, name: str, value: Any, step: int) -> None:
        self.said.append((name, value, step))

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def test_training_and_validation_lie_above_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    Writer.made.clear()
    found = board.Board(tmp_path, 6)
    found.steps(3, 1.5)
    found.epoch(ROW)
    found.close()
    training, validation = Writer.made
    assert (training.name, validation.name) == ("training", "validation")
    assert training.purge_step == 7  # step 7 comes once more
    assert training.said[:2] == [("steps/loss", 1.5, 3), ("loss", 1.0, 7)]
    assert validation.said == [("loss", 2.0, 7), ("top1", 0.4, 7), ("top5", 0.8, 7)]
    assert ("rate", 0.01, 7) in training.said and training.closed and validation.closed


def test_the_files_are_tensorboards(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    found = board.Board(tmp_path, 0)
    found.epoch(ROW)
    found.close()
    assert len(list(tmp_path.glob("*/events.out.tfevents.*"))) == 2


def test_where_it_is_missing_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^tensorboard: .*pip install zfcuda\[log\]"):
        train(tmp_path / "nowhere", tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(board, "find_spec", lambda name: ModuleSpec(name, None))
    with pytest.raises(ValueError, match=r"^data: "):
        train(tmp_path / "nowhere", tmp_path / "run", tensorboard=True)
