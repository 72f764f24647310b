"""The bar over the steps of a run."""

from __future__ import annotations

import io
import sys

import pytest

from zfcuda.train.monitoring.bar import Bar, shown, spoken_time


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "100")
    bar = Bar(90 * 20_000, 20_000, 0, show=True)
    bar._bar.mininterval = 0
    bar._bar.ncols = 100
    bar._bar.dynamic_ncols = None
    bar.tell("loss 12.345, top-1 100.0%, top-5 100.0%", 0.05, 128.0, 60.0)
    bar.update(25_000)
    bar.close()
    last = stream.getvalue().rstrip().rpartition("\r")[2]
    assert last.startswith("epoch 1/90")
    assert last.endswith("| loss 12.345, top-1 100.0%, top-5 100.0%, 2,560 images/s, 26:30:00 left")
    assert len(last) <= 100


def test_the_time_left_has_the_validations_in_it() -> None:
    bar = Bar(100, 10, 20, show=False)
    bar.tell("", 2.0, 8.0, 30.0)
    assert bar.left == 80 * 2 + 8 * 30
    bar.update(100)
    bar.tell("", 2.0, 8.0, 30.0)
    assert bar.left == 0


def test_a_hidden_bar_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar(10, 5, 0, show=False)
    bar.tell("loss 1", 1.0, 1.0, 1.0)
    bar.update(10)
    bar.close()
    assert capsys.readouterr() == ("", "")


def test_words_for_numbers() -> None:
    assert [spoken_time(seconds) for seconds in (0, 59.6, 3599, 3600, 200_000)] == [
        "0:00",
        "1:00",
        "59:59",
        "1:00:00",
        "2 d 7 h",
    ]
    assert [shown(speed) for speed in (0.123, 9.94, 10.4, 12345.6)] == ["0.1", "9.9", "10", "12,346"]
