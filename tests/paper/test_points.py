"""Named points of pictures, in pixels of what the network gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from zfcuda.data import Parts, Preprocess
from zfcuda.paper.figure import NotApplicableError
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.points import Landmarks

HEADINGS = "picture,part,y,x\n"


def parts_gallery(preprocess: Preprocess) -> Gallery:
    return Gallery(nn.Conv2d(3, 1, 1), (Parts(3, 64), 8), preprocess=preprocess)


def folder(at: Path) -> Gallery:
    for name, size in (("a/one.png", (60, 40)), ("a/two.png", (40, 40)), ("b/one.png", (40, 40))):
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, "red").save(at / name)
    return Gallery(nn.Conv2d(3, 1, 1), at, preprocess=Preprocess(20, 20))


def test_points_of_parts_as_they_are() -> None:
    marks = Landmarks(parts_gallery(Preprocess(64, 64)))
    drawn = Parts(3, 64)
    for index in range(8):
        assert marks[index].points == drawn.points(index)
        mask = marks[index].mask
        assert mask is not None and np.array_equal(mask, drawn[index].object_mask)
        rows, columns = np.nonzero(mask)
        assert marks[index].side == max(np.ptp(rows), np.ptp(columns)) + 1
    assert list(marks.indices) == list(range(8))


def test_points_and_mask_move_as_the_preprocess_cuts() -> None:
    """Scaled to 80, of which the middle 64 are cut out: what was in the middle stays, all else moves outwards."""
    before, after = Landmarks(parts_gallery(Preprocess(64, 64))), Landmarks(parts_gallery(Preprocess(64, 80)))
    for index in range(8):
        for name, (y, x) in after[index].points.items():
            was = before[index].points[name]
            assert y - 31.5 == pytest.approx((was[0] - 31.5) * 80 / 64)
            assert x - 31.5 == pytest.approx((was[1] - 31.5) * 80 / 64)
            assert -0.5 <= y < 63.5 and -0.5 <= x < 63.5
        mask = Parts(3, 64)[index].object_mask
        cut = Preprocess(64, 80, interpolation="nearest").crop(Image.fromarray(mask.astype(np.uint8) * 255))
        found = after[index].mask
        assert found is not None and (found == (np.asarray(cut)[..., 0] > 127)).mean() > 0.97  # edges


def test_points_of_a_file(tmp_path: Path) -> None:
    gallery = folder(tmp_path / "pictures")
    file = tmp_path / "points.csv"
    file.write_text(HEADINGS + "a/one.png, eye, 19.5, 29.5\na/one.png,tail,0,0\ntwo.png,eye,39,0\n")
    marks = Landmarks(gallery, file)
    assert list(marks.indices) == [0, 1]
    assert marks[0].points == {"eye": (9.5, 9.5)}  # the middle of the picture; its corner is cut off
    assert marks[1].points == {"eye": pytest.approx((19.25, -0.25))}
    assert marks[0].mask is None and marks[0].size == (20, 20)
    assert marks.common([0, 1]) == ["eye"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("picture,part,y\n", "points.csv: expected the headings picture, part, y, x, got no 'x'"),
        (HEADINGS, "points.csv: expected at least one point, got none"),
        (
            HEADINGS + "two.png,eye,1,2\ntwo.png,eye,one,2\n",
            "line 3: expected picture, part, y, x, got 'two.png,eye,one",
        ),
        (HEADINGS + "two.png,eye,1\n", "line 2: expected picture, part, y, x"),
        (HEADINGS + "two.png,eye,nan,1\n", "line 2: expected picture, part, y, x"),
        (HEADINGS + "three.png,eye,1,2\n", "got 'three.png': there is no such picture"),
        (HEADINGS + "one.png,eye,1,2\n", "got 'one.png': several pictures have this name"),
        ("\x00\xff\xfe", "points"),
    ],
)
def test_a_file_that_does_not_fit(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "points.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="points: ") as error:
        Landmarks(folder(tmp_path / "pictures"), file)
    assert said in str(error.value)


def test_no_file_and_no_points(tmp_path: Path) -> None:
    gallery = folder(tmp_path / "pictures")
    with pytest.raises(ValueError, match=r"points: .*missing\.csv: no such file"):
        Landmarks(gallery, tmp_path / "missing.csv")
    with pytest.raises(
        NotApplicableError, match="these pictures have no known points: give a file of them with --points"
    ):
        Landmarks(gallery)


def test_a_preprocess_that_nothing_is_known_of() -> None:
    gallery = Gallery(nn.Conv2d(3, 1, 1), (Parts(3, 64), 2), preprocess=lambda picture: torch.zeros(1, 3, 8, 8))
    with pytest.raises(NotApplicableError, match="not known which pixels"):
        Landmarks(gallery)


def test_points_of_images() -> None:
    """What came as the network's own images needs no preprocess."""
    gallery = Gallery(nn.Conv2d(3, 1, 1), torch.zeros(2, 3, 30, 50))
    marks = Landmarks(gallery, {"image 1": {"eye": (29, 49), "beyond": (30, 3), "ear": (0, 9)}})
    assert marks[1].points == {"eye": (29, 49), "ear": (0, 9)} and marks[1].side == 41
