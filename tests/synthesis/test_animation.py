"""Animations: which steps are frames, the three formats, and what is refused before the work."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.synthesis import optimise, unit
from zfcuda.synthesis.animation import Animation, frame_steps
from zfcuda.synthesis.parameterization import Pixels
from zfcuda.synthesis.pixel_range import PixelRange


def shown(images: Tensor) -> Image.Image:
    return Image.new("RGB", (6, 4), (min(int(images.abs().sum()), 255), 80, 0))


def test_frames_are_few_and_closer_at_the_start() -> None:
    for steps in (1, 2, 7, 256, 5000):
        found = sorted(frame_steps(steps))
        assert found[0] == 0 and found[-1] == steps - 1 and len(found) <= 40
        gaps = [b - a for a, b in itertools.pairwise(found)]
        assert all(b >= a - 1 for a, b in itertools.pairwise(gaps))
    assert frame_steps(0) == {0}


@pytest.mark.parametrize("suffix", [".gif", ".png", ".apng", ".webp", ".GIF"])
def test_the_formats(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    film = Animation(file, steps=3, picture=shown)
    for step in range(3):
        assert film(step, torch.full((1, 1, 1, 1), 60.0 * step)) is False
    assert film.write(torch.full((1, 1, 1, 1), 200.0)) == file
    with Image.open(file) as made:
        assert made.n_frames == 4 and made.size == (6, 4)  # type: ignore[attr-defined]
        made.seek(3)
        made.load()
        assert abs(made.convert("RGB").getpixel((2, 2))[0] - 200) < 12  # type: ignore[index]
        assert made.info["duration"] == 2000
    assert list(tmp_path.iterdir()) == [file]


def test_frames_grow_to_the_last_ones_size_and_one_alone_is_a_picture(tmp_path: Path) -> None:
    film = Animation(tmp_path / "a.gif")
    assert film.write() is None and not list(tmp_path.iterdir())
    film.add(Image.new("L", (3, 2), 9))
    film.write(Image.new("RGB", (6, 4)))
    with Image.open(tmp_path / "a.gif") as made:
        assert made.size == (6, 4) and made.n_frames == 2  # type: ignore[attr-defined]
    alone = Animation(tmp_path / "b.png")
    assert alone.write(Image.new("RGB", (6, 4))) == tmp_path / "b.png"


@pytest.mark.parametrize(
    ("file", "kind", "message"),
    [
        ("a.mp4", ValueError, r"animation: expected a file .gif, .png, .apng or .webp, got 'a.mp4'"),
        ("a", ValueError, "animation: expected a file"),
        ("nowhere/a.gif", ValueError, "animation: cannot be written to, got 'nowhere/a.gif'"),
        (3, TypeError, "animation: expected the path of a file, got 3"),
        ("x" * 300 + ".gif", ValueError, "animation: cannot be written to, got 'xxx"),
        ("x\0.gif", ValueError, "animation: cannot be written to, got 'x"),
    ],
)
def test_what_is_refused(file: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        Animation(file)
    ran: list[int] = []
    model = nn.Conv2d(3, 2, 3)
    model.register_forward_hook(lambda *_: ran.append(1))
    with pytest.raises(kind, match=message):
        zfcuda.maximize(nn.Sequential(model), "0:1", size=8, steps=1, animation=file)
    assert not ran


def test_it_is_written_after_ctrl_c_too(tmp_path: Path) -> None:
    film = Animation(tmp_path / "a.gif", steps=9, picture=shown)

    def stop(step: int, images: Tensor, said: Tensor) -> bool:
        if step == 4:
            raise KeyboardInterrupt
        return film(step, images)

    pixels = Pixels(torch.zeros(1, 3, 8, 8), PixelRange())
    with pytest.warns(UserWarning, match="stopped in step 4"):
        made = optimise(nn.Sequential(nn.Conv2d(3, 2, 3)), unit("0", 1), pixels, steps=9, after=stop)
    film.write(made.images)
    with Image.open(tmp_path / "a.gif") as seen:
        assert seen.n_frames > 1  # type: ignore[attr-defined]
