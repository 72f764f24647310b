"""Every kind of picture file is read right, or refused in one line that names it and the reason."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zfcuda.complaint import one_line
from zfcuda.data.pictures import PictureError, decoded_picture, read_picture, scaled


def saved(folder: Path, image: Image.Image, name: str = "picture.png", **options: object) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def pixels(path: Path) -> np.ndarray:
    image = read_picture(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header announces a huge picture: a decompression bomb."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (3, 2), 77), (77, 77, 77)),
        (Image.new("1", (3, 2), 1), (255, 255, 255)),
        (Image.new("RGB", (3, 2), (1, 2, 3)), (1, 2, 3)),
        (Image.new("RGBA", (3, 2), (255, 0, 0, 255)), (255, 0, 0)),
        (Image.new("RGBA", (3, 2), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (3, 2), (0, 0, 0, 51)), (204, 204, 204)),
        (Image.new("LA", (3, 2), (0, 0)), (255, 255, 255)),
        (Image.new("LA", (3, 2), (10, 255)), (10, 10, 10)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else str(value),
)
def test_modes(tmp_path: Path, image: Image.Image, expected: tuple[int, int, int]) -> None:
    assert (pixels(saved(tmp_path, image)) == expected).all()


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    assert pixels(saved(tmp_path, image)).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    assert pixels(saved(tmp_path, image, transparency=0)).tolist() == [[[255, 255, 255], [200, 100, 50]]]
    assert pixels(saved(tmp_path, image, "picture.gif", transparency=0)).tolist()[0][0] == [255, 255, 255]


def test_one_transparent_colour_of_an_rgb_png(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("RGB", (2, 2), (0, 0, 0)), transparency=(0, 0, 0))
    assert (pixels(path) == 255).all()


def test_cmyk(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "picture.jpg", quality=100)
    assert (pixels(path) > 250).all()


@pytest.mark.parametrize(
    ("samples", "name", "expected"),
    [
        (np.array([[0, 65535], [32768, 257]], np.uint16), "picture.png", [[0, 255], [128, 1]]),
        (np.array([[0, 65535], [32768, 257]], np.uint16), "picture.tif", [[0, 255], [128, 1]]),
        (np.array([[0, 65535], [32768, 257]], np.int32), "picture.tif", [[0, 255], [128, 1]]),
        (np.array([[0, 2**31 - 1]], np.int32), "picture.tif", [[0, 255]]),
        (np.array([[-32768, 32767]], np.int32), "picture.tif", [[0, 255]]),
        (np.array([[0.0, 1.0, 0.2]], np.float32), "picture.tif", [[0, 255, 51]]),
        (np.array([[0.0, 255.0, 51.0]], np.float32), "picture.tif", [[0, 255, 51]]),
        (np.array([[-3.0, 3.0, 0.0]], np.float32), "picture.tif", [[0, 255, 128]]),
    ],
)
def test_wide_samples_are_scaled_and_not_clipped(
    tmp_path: Path, samples: np.ndarray, name: str, expected: list[list[int]]
) -> None:
    path = saved(tmp_path, Image.fromarray(samples), name)
    assert pixels(path)[..., 0].tolist() == expected


def test_a_16_bit_rgb_png_is_scaled(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + struct.pack(">6H", 0, 32768, 65535, 257, 0, 65535) for _ in range(2))
    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path = tmp_path / "deep.png"
    path.write_bytes(data)
    assert pixels(path)[0].tolist() == [[0, 128, 255], [1, 0, 255]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["picture.png", "picture.tif"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, name: str) -> None:
    upright = Image.fromarray(np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that a camera in that position makes
    turned = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, turned, name, exif=exif)
    assert pixels(path)[..., 0].tolist() == np.asarray(upright).tolist()


def test_broken_exif_does_not_matter(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("RGB", (8, 8), (9, 9, 9)), exif=b"Exif\0\0MM\0*broken")
    assert (pixels(path) == 9).all()


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = saved(tmp_path, frames[0], "moving.gif", save_all=True, append_images=frames[1:])
    assert (pixels(path) == (255, 0, 0)).all()


def refused(path: object) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(path)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message and isinstance(caught.value, ValueError)
    return message


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    text, empty = tmp_path / "notes.txt", tmp_path / "empty.png"
    text.write_text("not a picture")
    empty.touch()
    assert refused(text) == f"{text}: not a picture in a format that Pillow knows"
    assert refused(empty) == f"{empty}: an empty file"
    assert refused(tmp_path) == f"{tmp_path}: a folder, not a picture"
    assert refused(tmp_path / "none.png").endswith("none.png: no such file")
    assert refused(tmp_path / "two\nlines.png").endswith("two\\nlines.png: no such file")
    assert "empty file" in refused("/dev/null") or "not a regular file" in refused("/dev/null")
    assert "\\udc" in refused("\udcff.png")
    refused("nul\0byte.png")


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "tif", "bmp", "webp"])
def test_truncated_files_are_refused(tmp_path: Path, kind: str) -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG" if kind == "jpg" else "TIFF" if kind == "tif" else kind.upper())
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    assert str(path) in refused(path)


@pytest.mark.parametrize("cut", range(1, 54, 3))
def test_a_png_cut_anywhere_is_refused(tmp_path: Path, cut: int) -> None:
    path = saved(tmp_path, Image.new("RGB", (4, 4), "red"))
    path.write_bytes(path.read_bytes()[:cut])
    refused(path)


@pytest.mark.parametrize("side", [20_000, 12_000])  # beyond Pillow's error, and between its warning and its error
def test_a_bomb_is_refused(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_that_claims(side, side))
    assert refused(path) == (
        f"{path}: too large, more than the 89 million pixels that are safe to decode; make it smaller first"
    )


def test_bytes_are_decoded_as_files_are(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGBA", (30, 20), (9, 8, 7, 100)).save(path)
    assert decoded_picture(path.read_bytes(), "a.png").tobytes() == read_picture(path).tobytes()
    assert decoded_picture(path.read_bytes(), "a.png", most=600).size == (30, 20)
    for data, most, reason in [
        (path.read_bytes(), 599, "too large"),
        (path.read_bytes()[:60], None, "damaged or truncated"),
        (b"", None, "an empty file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", None, "not a picture"),
    ]:
        with pytest.raises(PictureError, match=f"^a.png: {reason}"):
            decoded_picture(data, "a.png", most=most)


def test_postscript_is_never_run(tmp_path: Path) -> None:
    assert "not a picture in a format" in refused(saved(tmp_path, Image.new("RGB", (4, 4)), "program.eps"))


def test_one_line_keeps_ordinary_names() -> None:
    assert one_line("Grüße 猫 <b>.png") == "Grüße 猫 <b>.png"
    assert one_line("a\nb\x1b[31m") == "a\\nb\\x1b[31m"


def test_a_thread_leaves_the_filters_of_warnings_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of the whole process: threads that change and restore them, one across the other, lose them."""
    path = saved(tmp_path, Image.new("RGB", (4, 4)))
    before, met, opened = warnings.filters, [], Image.open

    def noting(*args: object, **options: object) -> Image.Image:
        met.append(warnings.filters is before)
        return opened(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "open", noting)
    thread = threading.Thread(target=read_picture, args=(path,))
    thread.start()
    thread.join()
    read_picture(path)
    assert met == [True, False] and warnings.filters is before


def test_a_scaled_picture_has_a_pixel_at_least() -> None:
    picture = Image.new("RGB", (300, 2), (9, 8, 7))
    assert scaled(picture, 0.1).size == (30, 1) and scaled(picture, 2.5).getcolors() == [(750 * 5, (9, 8, 7))]
