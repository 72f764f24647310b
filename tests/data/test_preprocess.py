"""Preprocess takes whatever a picture comes as, refuses what is none, and says which setting is wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zfcuda import Preprocess
from zfcuda.data import DigitPreprocess
from zfcuda.data.pictures import PictureError, as_picture, read_picture
from zfcuda.data.preprocess import crop_box

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)
SMALL = Preprocess(24, 30)


@pytest.mark.parametrize("preprocess", [SMALL, Preprocess(24, 30, (0.4,), (0.2,)), DigitPreprocess()])
def test_picture_path_and_array_are_one_image(tmp_path: Path, preprocess: Any) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(file)
    image = preprocess(Image.fromarray(PIXELS))
    assert image.shape[0] == 1 and image.dtype == torch.float32
    for given in (file, str(file), PIXELS, PIXELS[::-1][::-1]):
        assert torch.equal(preprocess(given), image)


@pytest.mark.parametrize("shape", [(40, 52), (40, 52, 1)])
def test_grey_arrays(shape: tuple[int, ...]) -> None:
    grey = PIXELS[..., 0]
    assert torch.equal(SMALL(grey.reshape(shape)), SMALL(np.stack([grey] * 3, 2)))


def test_what_is_transparent_lies_on_white() -> None:
    clear = np.concatenate([PIXELS, np.zeros((40, 52, 1), np.uint8)], 2)
    white = SMALL(np.full((40, 52, 3), 255, np.uint8))
    assert torch.equal(SMALL(clear), white) and torch.equal(SMALL(Image.fromarray(clear)), white)


def test_pictures_on_their_side_are_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        turned = as_picture(opened)
    assert turned.size == (40, 52) and turned.tobytes() == read_picture(tmp_path / "a.png").tobytes()


def test_a_picture_that_needs_nothing_is_not_copied() -> None:
    picture = Image.fromarray(PIXELS)
    assert as_picture(picture) is picture


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (PIXELS.transpose(2, 0, 1), ValueError, r"got uint8 \[3, 40, 52\]; array.transpose\(1, 2, 0\)"),
        (PIXELS[None], ValueError, r"got uint8 \[1, 40, 52, 3\]; give the pictures of a batch one by one"),
        (PIXELS[..., :2], ValueError, r"1, 3 or 4 channels, got uint8 \[40, 52, 2\]"),
        (
            PIXELS / 255,
            ValueError,
            r"expected an array of uint8, 0 to 255, got float64 \[40, 52, 3\]; \(255 \*",
        ),
        (PIXELS.astype(int), ValueError, r"expected an array of uint8, 0 to 255, got int64 \[40, 52, 3\]"),
        (PIXELS[:0], ValueError, r"at least one pixel, got an array \[0, 52, 3\]"),
        (Image.new("F", (0, 5)), ValueError, "at least one pixel, got 0 x 5"),
        (torch.zeros(3, 4, 4), TypeError, r"got a Tensor \[3, 4, 4\] of torch.float32"),
        (None, TypeError, "expected a PIL picture, a path or an array uint8 .H,W,C., got NoneType"),
    ],
)
def test_what_is_no_picture_is_refused(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"picture: .*{message}"):
        SMALL(given)


@pytest.mark.parametrize("address", ["http://a.org/cat.jpg", "https://a.org/cat.jpg", "s3://bucket/cat.jpg"])
def test_an_address_is_named_for_what_it_is(address: str) -> None:
    for given in (address, Path(address)):
        with pytest.raises(PictureError, match=r"cat.jpg: an address, not a file; download it first"):
            SMALL(given)


def test_a_format_of_another_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.HEIC"
    file.write_bytes(b"\0\0\0\x18ftypheic")
    monkeypatch.setattr(Image, "EXTENSION", {k: v for k, v in Image.registered_extensions().items() if k != ".heic"})
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PictureError, match=r"pip install pillow-heif makes it read .heic files"):
        read_picture(file)


def test_another_package_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Opener:
        @staticmethod
        def register_heif_opener() -> None:
            Image.register_extension("PNG", ".heic")

    monkeypatch.setattr(Image, "EXTENSION", {k: v for k, v in Image.registered_extensions().items() if k != ".heic"})
    monkeypatch.setitem(sys.modules, "pillow_heif", Opener)
    Image.fromarray(PIXELS).save(tmp_path / "a.heic", format="PNG")
    assert read_picture(tmp_path / "a.heic").size == (52, 40)
    assert ".heic" in Image.EXTENSION


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mean": (123.7, 116.3, 103.5)}, "mean: expected numbers of 0 to 1, .*; divide those for 0 to 255 by 255"),
        ({"std": (58.4, 57.1, 57.4)}, "std: expected numbers of 0 to 1, "),
        ({"std": (0.2, 0, 0.2)}, "std: expected numbers above 0"),
        ({"mean": (-0.1, 0, 0)}, "mean: expected numbers of 0 to 1, got"),
        ({"mean": (float("nan"), 0, 0)}, "mean: expected numbers of 0 to 1, got"),
        ({"mean": 0.5}, "mean: expected a tuple of numbers, one per channel, got 0.5"),
        ({"mean": (0.5, 0.5)}, "mean, std: expected one or three numbers each"),
        ({"size": 2.5}, "size: expected a side in pixels or .height, width., got 2.5"),
        ({"size": (1, 2, 3)}, "size: expected a side"),
        ({"size": 300}, "size, short_side: expected positive sides of at most short_side, got 300 and 256"),
        ({"interpolation": "cubic"}, "interpolation: expected one of .'bicubic', 'bilinear', .* got 'cubic'"),
        ({"order": "grb"}, "order: expected 'rgb' or 'bgr'"),
    ],
)
def test_a_setting_that_is_wrong_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        Preprocess(**settings)


def test_lists_are_as_good_as_tuples() -> None:
    assert Preprocess([24, 24], 30, [0.5] * 3, [0.5] * 3) == Preprocess((24, 24), 30, (0.5,) * 3, (0.5,) * 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lengths", "size", "short_side", "box"),
    [
        ((300, 200), (100, 100), 100, (50, 0, 250, 200)),
        ((200, 300), (100, 100), 200, (50, 100, 150, 200)),
        ((100, 100), (50, 100), 100, (0, 25, 100, 75)),
    ],
)
def test_where_the_middle_is_cut_out(lengths, size, short_side, box) -> None:
    assert crop_box(lengths, size, short_side) == box
