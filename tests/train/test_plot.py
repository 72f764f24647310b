"""The curves of a run as a picture."""

from __future__ import annotations

import builtins
import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zfcuda.train.label_placement import spread
from zfcuda.train.plot import draw, plot


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            **{"epoch": epoch, "step": 9 * epoch, "loss": 2 / epoch, "top1": 0.6, "top5": 0.9, "rate": 0.1 / epoch},
            **{"validation_loss": 2.2 / epoch, "validation_top1": 0.8 - 0.1 * abs(epoch - 3), "validation_top5": 0.9},
        }
        for epoch in range(1, count + 1)
    ]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"version": 1, "recipe": "paper", "model": "zfnet", "width": 0.5}))
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(5)) + '{"epoch": 6, "lo')
    return folder


def texts(figure: Any) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_the_picture_lies_in_the_folder_or_where_it_is_wanted(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert plot(run) == run / "curves.png"
    with Image.open(run / "curves.png") as picture:
        assert picture.format == "PNG" and picture.width > 800
    assert plot(run, tmp_path / "mine.png").stat().st_size > 10_000


def test_the_best_epoch_is_marked_and_every_curve_named() -> None:
    pytest.importorskip("matplotlib")
    figure = draw(rows(5), title="a run", test=0.777)
    said = texts(figure)
    assert "best: epoch 3, validation 80.0%, test 77.7%" in said
    assert {"training 0.400", "validation 0.440", "training top-1 60.0%", "validation top-1 60.0%"} <= set(said)
    losses, shares, rate = figure.axes
    assert [len(axis.lines) for axis in (losses, shares, rate)] == [3, 6, 2]  # with the best epoch's
    assert rate.get_yscale() == "linear"
    assert draw([{**row, "rate": 10.0 ** -row["epoch"]} for row in rows(5)]).axes[2].get_yscale() == "log"


def test_labels_do_not_stand_on_one_another_nor_beside_the_picture() -> None:
    pytest.importorskip("matplotlib")
    same = [{**row, "validation_loss": row["loss"], "top1": 0.9, "validation_top1": 0.9} for row in rows(4)]
    figure = draw(same, title="a run")
    figure.canvas.draw()
    boxes = [text.get_window_extent() for axis in figure.axes for text in axis.texts]
    for number, box in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width
        assert not any(box.overlaps(other) for other in boxes[:number])


@pytest.mark.parametrize("missing", [None, math.nan])
def test_values_that_are_missing_are_left_out(missing: float | None) -> None:
    pytest.importorskip("matplotlib")
    broken = rows(2)
    broken[1] |= {"loss": missing, "validation_loss": missing}
    assert "best: epoch 2, validation 70.0%" in texts(draw(broken))


def test_what_is_no_run_is_refused(tmp_path: Path, run: Path) -> None:
    with pytest.raises(ValueError, match=r"^plot: expected the folder of a run, .* has no config.json"):
        plot(tmp_path)
    with pytest.raises(ValueError, match=r"^out: expected a name that ends in \.png"):
        plot(run, "curves.pdf")
    with pytest.raises(ValueError, match=r"^out: there is no folder"):
        plot(run, run / "none" / "curves.png")
    (run / "log.jsonl").unlink()
    with pytest.raises(ValueError, match="no epoch is done yet"):
        plot(run)


def test_without_matplotlib_it_says_what_to_install(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return inner(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install zfcuda\[plot\]"):
        plot(run)


@given(st.lists(st.floats(0, 100), max_size=8))
def test_labels_are_spread_as_little_as_needed(wanted: list[float]) -> None:
    placed = spread(wanted, 5.0)
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    gaps = [placed[b] - placed[a] for a, b in itertools.pairwise(order)]
    assert all(gap >= 5 - 1e-6 for gap in gaps)
    if all(wanted[b] - wanted[a] >= 5 for a, b in itertools.pairwise(order)):
        assert placed == pytest.approx(wanted)
    assert sum(placed) == pytest.approx(sum(wanted))
