"""Maps as files: they come back equal, pictures are pictures, and what is neither is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, features
from torch import nn

import zfcuda
from tests.occlusion.small import NAMES, a_map, a_model, an_image, with_preprocess


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("arguments", [{}, {"layer": "conv"}, {"layer": "conv", "unit": 3, "target": 2}])
def test_comes_back_equal(tmp_path: Path, device: torch.device, dtype: torch.dtype, arguments: dict) -> None:
    model = a_model().to(device, dtype)
    with_preprocess(model)
    result = a_map(model, an_image().to(device, dtype), **arguments)
    result.save(tmp_path / "map.npz")
    back = zfcuda.OcclusionMap.load(tmp_path / "map.npz")
    assert isinstance(back, zfcuda.OcclusionMap) and back == result and hash(back) == hash(result)
    for name in ("logits", "log_odds", "base_log_odds", "base_probability", "label", "origins", "pixels"):
        one, other = getattr(back, name), getattr(result, name).cpu()
        assert one.device.type == "cpu" and one.dtype == other.dtype and torch.equal(one, other)
    assert (back.target, back.unit, back.classes) == (result.target, result.unit, NAMES)
    assert (back.method, back.reason, back.normalization) == (result.method, result.reason, result.normalization)
    assert repr(back) == repr(result) and back.image() == result.image()
    back.save(tmp_path / "again.npz")
    assert zfcuda.OcclusionMap.load(str(tmp_path / "again.npz")) == result


def test_any_difference_counts() -> None:
    result = a_map(layer="conv")
    assert result == dataclasses.replace(result) and result != "a map" and result != a_map()
    for name in ("logits", "probability", "label", "activity", "base_score"):
        changed = getattr(result, name).clone()
        changed.flatten()[-1] += 1
        assert result != dataclasses.replace(result, **{name: changed})
    for name, value in {"unit": 99, "target": 99, "normalization": "none", "classes": None, "shown": None}.items():
        assert result != dataclasses.replace(result, **{name: value})
    result.logits[0, 0, 0] = torch.nan
    assert result == dataclasses.replace(result, logits=result.logits.clone())


def test_a_callable_stays_behind(tmp_path: Path) -> None:
    result = a_map(target=lambda z: z[:, 0] - z[:, 1])
    result.save(tmp_path / "map.npz")
    back = zfcuda.OcclusionMap.load(tmp_path / "map.npz")
    assert back.target is None and back == dataclasses.replace(result, target=None)
    assert torch.equal(back.heatmap(), result.heatmap()) and torch.equal(back.log_odds, result.log_odds)
    assert "a callable: " in repr(back)


@pytest.mark.parametrize(
    "fill", [0.5, (0.1, 0.2, 0.3), "mean", "noise", torch.rand(3, 22, 30)], ids=lambda f: str(f)[:9]
)
def test_what_covered_the_image_is_kept(tmp_path: Path, fill: Any) -> None:
    result = a_map(fill=fill)
    result.save(tmp_path / "map.npz")
    back = zfcuda.OcclusionMap.load(tmp_path / "map.npz")
    assert back == result and back.fill == result.fill and type(back.fill) is type(result.fill)


def test_without_names_and_image(tmp_path: Path) -> None:
    result = dataclasses.replace(a_map(), classes=None, shown=None)
    result.save(tmp_path / "map.npz")
    back = zfcuda.OcclusionMap.load(tmp_path / "map.npz")
    assert back == result and back.pixels is None
    assert back.image() == result.image("heatmap") and "<img" in back._repr_html_()
    with pytest.raises(ValueError, match="kind: 'overlay' needs the image"):
        back.image("overlay")


@pytest.mark.parametrize("probability", ["softmax", "sigmoid", "none"])
def test_files_of_before_are_read(tmp_path: Path, probability: str) -> None:
    model = a_model() if probability != "none" else nn.Sequential(a_model(), nn.Softmax(1))
    result = a_map(model, probability=probability)
    result.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as file:
        new = ("log_odds", "base_log_odds", "base_probability", "normalization", "classes", "pixels", "fill")
        np.savez_compressed(tmp_path / "old.npz", **{name: file[name] for name in file.files if name not in new})
    back = zfcuda.OcclusionMap.load(tmp_path / "old.npz")
    assert (
        back == dataclasses.replace(result, classes=None, shown=None, fill=None) and back.normalization == probability
    )
    assert "6 x 8 in steps of" in repr(back)  # what covered the image is not known
    back.save(tmp_path / "again.npz")
    assert zfcuda.OcclusionMap.load(tmp_path / "again.npz") == back


ENDINGS = [".png", ".jpg", ".JPEG", ".gif", ".bmp", ".tif", *([".webp"] if features.check("webp") else [])]


@pytest.mark.parametrize("ending", ENDINGS)
def test_pictures(tmp_path: Path, ending: str) -> None:
    result = a_map(layer="conv")
    result.save(tmp_path / f"map{ending}")
    result.save(tmp_path / f"label{ending}", kind="label")
    for name, kind in (("map", None), ("label", "label")):
        with Image.open(tmp_path / f"{name}{ending}") as picture:
            assert picture.size == (30, 22)
            if ending in (".png", ".bmp", ".tif"):
                assert picture.convert("RGB").tobytes() == result.image(kind).tobytes()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["map", "map.pnj", "map.npy", "map.pdf", "map.npz.gz", ".npz"])
def test_unknown_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"path: expected a name .* \.npz, \.png, \.jpg.*, got '") as at:
        a_map().save(tmp_path / name)
    assert "\n" not in str(at.value) and not list(tmp_path.iterdir())


def test_nothing_is_written_where_the_picture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = a_map()
    (tmp_path / "map.png").write_bytes(b"before")
    for arguments in ({"kind": "fire"}, {"kind": "activity"}, {"of": "odds"}):
        with pytest.raises(ValueError, match=r"kind: |of: "):
            result.save(tmp_path / "map.png", **arguments)
    with pytest.raises(ValueError, match=r"kind, of: a \.npz file holds all numbers"):
        result.save(tmp_path / "map.npz", kind="label")

    def broken(self: Image.Image, *_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        result.save(tmp_path / "map.png")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


def refused(path: Path) -> str:
    with pytest.raises(ValueError) as caught:
        zfcuda.OcclusionMap.load(path)
    said = str(caught.value)
    assert type(caught.value) is ValueError and "\n" not in said and str(path) in said
    return said


def test_what_is_no_map_is_named(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "missing.npz")
    assert "folder" in refused(tmp_path)
    (tmp_path / "empty.npz").touch()
    assert "empty" in refused(tmp_path / "empty.npz")
    (tmp_path / "text.npz").write_text("hello\nthere")
    refused(tmp_path / "text.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    refused(tmp_path / "array.npy")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    assert "not a map that zfcuda saved" in refused(tmp_path / "other.npz")
    a_map().save(tmp_path / "map.png")
    refused(tmp_path / "map.png")


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    marker = tmp_path / "run"
    payload = b"cposix\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    (tmp_path / "pickle.npz").write_bytes(payload)
    refused(tmp_path / "pickle.npz")
    result = a_map()
    result.save(tmp_path / "map.npz")
    with np.load(tmp_path / "map.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "objects.npz", **(arrays | {"reason": np.array([{}], dtype=object)}))
    refused(tmp_path / "objects.npz")
    assert not marker.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"logits": np.zeros((2, 2, 4), np.float32)},
        {"logits": None},
        {"score": None},
        {"score": np.array("text")},
        {"label": np.zeros((1, 1), np.int64)},
        {"probability": "double"},
        {"origins": "shifted"},
        {"window": np.array([6, 0])},
        {"window": np.array([6, 8, 9])},
        {"stride": np.array([1, 1])},
        {"size": np.array([22.0, 30.0])},
        {"size": np.array([2**40, 2**40])},
        {"target": np.array(4)},
        {"target": np.array(-1)},
        {"normalization": np.array("odds")},
        {"method": np.array(3)},
        {"classes": np.array(["one"])},
        {"classes": np.arange(4)},
        {"pixels": np.zeros((3, 4, 4), np.uint8)},
        {"activity": np.zeros((5, 6), np.float64)},
        {"unit": None, "activity": "score"},
        {"fill": np.zeros((2, 2))},
    ],
    ids=str,
)
def test_numbers_that_do_not_fit_together(tmp_path: Path, change: dict) -> None:
    a_map().save(tmp_path / "map.npz")
    with np.load(tmp_path / "map.npz") as file:
        arrays = dict(file)
    for name, value in change.items():
        if value is None:
            arrays.pop(name, None)
        else:
            special = {"double": arrays["score"].astype(np.float64), "shifted": arrays["origins"] + 1}
            arrays[name] = special.get(value, arrays.get(value)) if isinstance(value, str) else value
    np.savez(tmp_path / "changed.npz", **arrays)
    assert "not a map that zfcuda saved" in refused(tmp_path / "changed.npz")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    a_map().save(tmp_path / "map.npz")
    whole = (tmp_path / "map.npz").read_bytes()
    dice = np.random.default_rng(0)
    for i in range(40):
        damaged = bytearray(whole[: dice.integers(1, len(whole))] if i % 2 else whole)
        for at in dice.integers(0, len(damaged), 30):
            damaged[at] ^= 255
        path = tmp_path / "damaged.npz"
        path.write_bytes(bytes(damaged))
        try:
            zfcuda.OcclusionMap.load(path)
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
