"""``zfcuda maximize``: what it writes and says, what it refuses, and what Ctrl-C leaves."""

from __future__ import annotations

import errno
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from zfcuda import cli
from zfcuda.cli import sheets
from zfcuda.models.architectures.lenet import lenet5
from zfcuda.synthesis import maximize as module
from zfcuda.synthesis.animation import Animation


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A small network."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("lenet5") / "weights.safetensors"
    save_file(lenet5().state_dict(), file)
    return ["maximize", "--model", "lenet5", "--weights", str(file), "--steps", "2", "--count", "4"]


def test_a_sheet_for_each_objective(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words, "3", "conv1:2", "relu2", "fc4:7", "conv2:1@3,4", "--out", str(tmp_path / "out")]) == 0
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["3.png", "conv1_2.png", "conv2_1_3_4.png", "fc4_7.png", "relu2.png"]
    assert Image.open(tmp_path / "out" / "3.png").size == (66, 66)
    lines = [line for line in capsys.readouterr().out.splitlines() if ": " in line]
    assert [line.partition(":")[0] for line in lines] == ["3", "conv1", "relu2", "fc4", "conv2"]
    assert lines[0].count("%)") == 4 and lines[1].count(",") == 3 and "%" not in lines[1]


def test_an_animation_and_a_size(words: list[str], tmp_path: Path) -> None:
    film = tmp_path / "film.webp"
    more = ["conv1:1", "--size", "40x48", "--animation", str(film), "--parameterization", "pixels"]
    assert cli.main([*words, *more, "--out", str(tmp_path)]) == 0
    assert Image.open(film).size == Image.open(tmp_path / "conv1_1.png").size == (98, 82)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["conv9:1"], "objective: 'conv9:1': at character 1: Sequential has no layer 'conv9'"),
        (["conv1:"], "objective: 'conv1:': at character 7: expected the number of a unit, 0 to 5, got its end"),
        (["conv1:6"], "unit: layer 'conv1' has units 0 to 5, got 6"),
        (["10"], "the model has classes 0 to 9, got 10"),
        (["3", "seven-eight"], "'seven-eight' is neither a layer nor a class"),
        (["3", "--count", "0"], "count: expected at least 1, got 0"),
        (["3", "--steps", "0"], "steps: expected at least 1, got 0"),
        (["3", "--seed", "-1"], "seed: expected at least 0, got -1"),
        (["3", "--animation", "a.mp4"], "animation: expected a file .gif, .png, .apng or .webp"),
        (["3", "4", "--animation", "a.gif"], "--animation: shows one objective, got 2"),
    ],
)
def test_what_is_refused_leaves_nothing(
    more: list[str], message: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*words, *more, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_picture_so_far_is_written(
    number: int,
    code: int,
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = module.optimise

    def stopped(*arguments: Any, **settings: Any) -> Any:
        def after(step: int, images: Any, said: Any) -> bool:
            if step == 1:
                signal.raise_signal(number)
            return False

        return whole(*arguments, **{**settings, "after": after})

    monkeypatch.setattr(module, "optimise", stopped)
    film = tmp_path / "film.gif"
    more = ["3", "4"] if number == signal.SIGINT else ["3", "--animation", str(film)]
    assert cli.main([*words, *more, "--out", str(tmp_path)]) == code
    assert Image.open(tmp_path / "3.png").size == (66, 66) and not (tmp_path / "4.png").exists()
    assert film.exists() is (number == signal.SIGTERM)
    said = capsys.readouterr().err
    assert "stopped in step 1 of 2: the image so far" in said
    assert "interrupted: what was made so far is written" in said


def test_an_animation_that_cannot_be_written_leaves_the_picture(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Animation, "write", full)
    film = tmp_path / "film.gif"
    assert cli.main([*words, "3", "--animation", str(film), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"zfcuda: error: --animation: {film}: cannot be written (No space left on device)"
    assert (tmp_path / "out" / "3.png").exists()


def test_no_file_takes_the_place_of_another() -> None:
    assert sheets.distinct(["\u732b", "\u72ac", "a:1", "a_1", "a"]) == ["_", "__2", "a_1", "a_1_2", "a"]
    assert len(sheets.distinct(["x" * 999])[0]) == 200
