"""Arrays and pictures as the page carries them: right to the digits that it shows, and no larger than they need be."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from zfcuda.report.packed import address, compact, exact
from zfcuda.report.source import source_of
from zfcuda.web import data_block


def unpacked(packed: dict[str, object], dtype: str) -> Tensor:
    values = np.frombuffer(base64.b64decode(str(packed["data"])), dtype).astype(np.float64)
    return torch.from_numpy(values * float(packed.get("unit", 1.0)))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1e-30, 1e-6, 1.0, 7e4, 1e30])
def test_three_digits_are_right_whatever_the_size(size: float) -> None:
    values = torch.logspace(-4, 0, 500, dtype=torch.float64) * size * torch.tensor([1.0, -1.0]).repeat(250)
    found = unpacked(compact(values), "<f2")
    assert float(((found - values) / values).abs().max()) <= 2**-11


def test_what_is_no_number_stays_none() -> None:
    values = torch.tensor([[float("nan"), 2.0], [float("inf"), float("-inf")]])
    assert str(unpacked(compact(values), "<f2").tolist()) == "[nan, 2.0, inf, -inf]"
    for nothing in (torch.zeros(2, 2), torch.full((2, 2), float("nan"))):
        packed = compact(nothing)
        assert packed["unit"] == 1.0
        torch.testing.assert_close(unpacked(packed, "<f2").float(), nothing.flatten(), equal_nan=True)


def test_float32_is_kept_whatever_its_strides() -> None:
    values = torch.randn(3, 5, 2)[..., 1].t()
    assert unpacked(exact(values), "<f4").tolist() == values.flatten().double().tolist()


def test_a_picture_is_a_png_where_that_is_smaller() -> None:
    plain = Image.new("RGB", (64, 64), "red")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8))
    for picture, kind in ((plain, "png"), (noise, "jpeg")):
        head, _, data = address(picture).partition(",")
        assert head == f"data:image/{kind};base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as read:
            assert read.size == picture.size
    assert address(noise, exactly=True).startswith("data:image/png;")


def test_data_cannot_leave_its_element() -> None:
    block = data_block("data", {"name": "</script><!--<script>", "next": "\u2028"})
    assert block.count("<") == 2 and block.startswith('<script type="application/json" id="data">')
    with pytest.raises(ValueError, match="not JSON compliant"):
        data_block("data", float("nan"))


def test_a_source_is_that_of_a_path_alone(tmp_path) -> None:
    (tmp_path / "one.png").write_bytes(b"abc")
    source = source_of(tmp_path / "one.png")
    assert source is not None and source.bytes == 3 and source.path == str(tmp_path / "one.png")
    assert source.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert source_of(Image.new("RGB", (2, 2))) is None and source_of(np.zeros((2, 2, 3), np.uint8)) is None
