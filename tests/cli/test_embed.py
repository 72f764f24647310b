"""``zfcuda embed``: what it writes, what it says, and what it refuses before the work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import zfcuda
from zfcuda import cli
from zfcuda.data import Parts
from zfcuda.features.codes import Codes

pytest.importorskip("sklearn")

PICTURES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn pictures in folders by class."""
    root = tmp_path_factory.mktemp("pictures")
    drawn = Parts(seed=5)
    for i in range(PICTURES):
        one = drawn[i]
        (root / one.class_name).mkdir(exist_ok=True)
        one.image.save(root / one.class_name / f"{i:02}.png")
    return root


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes."""
    out = tmp_path_factory.mktemp("out")
    query = str(sorted(folder.glob("*/*.png"))[0])
    words = ["embed", str(folder), "--model", "demo", "--out", str(out), "--query", query, "--nearest", "3"]
    assert cli.main(words) == 0
    return out


def record(out: Path) -> Any:
    return json.loads((out / "points.json").read_text())


def test_what_is_written(made: Path, folder: Path) -> None:
    assert sorted(file.name for file in made.iterdir()) == [
        "codes.safetensors",
        "mosaic.png",
        "nearest.png",
        "points.json",
        "scatter.png",
        "state.safetensors",
    ]
    found, codes = record(made), Codes.load(made / "codes.safetensors")
    names = sorted(str(file.relative_to(folder)) for file in folder.glob("*/*.png"))
    assert [row["name"] for row in found["pictures"]] == codes.names == names
    assert all(row["class"] == Path(row["name"]).parent.name for row in found["pictures"])
    points = zfcuda.embed(codes)
    torch.testing.assert_close(torch.tensor([[row["x"], row["y"]] for row in found["pictures"]]), points)
    assert {(row["row"], row["column"]) for row in found["pictures"]} == {divmod(i, 4) for i in range(PICTURES)}
    with Image.open(made / "mosaic.png") as sheet:
        assert sheet.size == (4 * 64, 3 * 64)
    assert found["method"] == "tsne" and found["columns"] == 4 and 0 <= found["nearest_of_same_class"]["share"] <= 1
    classes = [row["class"] for row in found["pictures"]]
    pairs = [a == b for i, a in enumerate(classes) for j, b in enumerate(classes) if i != j]
    assert found["nearest_of_same_class"]["chance"] == pytest.approx(sum(pairs) / len(pairs))


def test_the_nearest_of_a_query(made: Path, folder: Path) -> None:
    [query] = record(made)["queries"]
    codes = Codes.load(made / "codes.safetensors")
    expected = [[codes.names[i] for i in zfcuda.nearest(codes, codes.values[:1], 4)[0][0].tolist() if i != 0]]
    assert [[row["name"] for row in query["code"]]] == expected  # without itself
    distances = [row["distance"] for row in query["pixels"]]
    assert len(distances) == 3 and distances == sorted(distances) and distances[0] > 0


def test_files_in_place_of_a_folder(folder: Path, tmp_path: Path) -> None:
    files = sorted(map(str, folder.glob("*/*.png")))[:5]
    assert cli.main(["embed", *files, "--model", "demo", "--out", str(tmp_path), "--query", files[2]]) == 0
    [query] = record(tmp_path)["queries"]
    found = [row["name"] for row in query["pixels"]]
    assert sorted(found) == sorted(Path(file).name for file in files if file != files[2])  # as many as there are


def test_codes_are_used_again(
    made: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [
        "embed",
        str(folder),
        "--model",
        "demo",
        "--out",
        str(tmp_path),
        "--codes",
        str(made / "codes.safetensors"),
    ]
    assert cli.main([*words, "--method", "pca", "--columns", "6"]) == 0
    found = record(tmp_path)
    assert found["method"] == "pca" and found["columns"] == 6 and not (tmp_path / "codes.safetensors").exists()
    said = capsys.readouterr().out
    assert re.search(
        r"the picture with the nearest code is of the same class for \d+% of them, by chance for \d+%", said
    )
    assert said.splitlines()[-3:] == [str(tmp_path / name) for name in ("mosaic.png", "scatter.png", "points.json")]
    query = str(next(folder.glob("*/*.png")))
    assert cli.main([*words, "--query", query]) == 0
    other = Codes.load(made / "codes.safetensors")
    (tmp_path / "other").mkdir()
    Codes(other.values.flip(1), other.labels, other.names, other.classes, other.layer).save(
        tmp_path / "other" / "codes.safetensors"
    )
    words[-1] = str(tmp_path / "other" / "codes.safetensors")
    assert cli.main([*words, "--query", query]) == 2
    assert "--codes: of another network than" in capsys.readouterr().err


def test_broken_pictures_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(3):
        Parts(seed=5)[i].image.save(pictures / f"{i}.png")
    (pictures / "1.png").write_bytes(b"\x89PNG broken")
    assert cli.main(["embed", str(pictures), "--model", "demo", "--out", str(tmp_path / "out")]) == 0
    found = record(tmp_path / "out")
    assert [row["name"] for row in found["pictures"]] == ["0.png", "2.png"] and "class" not in found["pictures"][0]
    assert [row["name"] for row in found["left_out"]] == ["1.png"] and "1.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--columns", "0"], "--columns: expected at least 1, got 0"),
        (["--nearest", "0"], "--nearest: expected at least 1, got 0"),
        (["--seed", "-1"], "--seed: expected at least 0, got -1"),
        (["--codes", "x", "--layer", "conv1"], "--layer: expected none with --codes"),
        (["--codes", "x", "--state", "s"], "--state: expected none with --codes"),
        (["--codes", "missing.safetensors"], "--codes: missing.safetensors: no such file"),
        (["--query", "missing.jpg"], "missing.jpg: no such file"),
        (["--layer", "conv99"], "conv99"),
    ],
)
def test_mistakes_are_named(
    folder: Path, options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(["embed", str(folder), "--model", "demo", "--out", str(out), *options]) == 2
    assert said in capsys.readouterr().err and not out.exists()


def test_a_broken_query_is_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.png").write_bytes(next(folder.glob("*/*.png")).read_bytes()[:400])
    words = ["embed", str(folder), "--model", "demo", "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--query", str(tmp_path / "broken.png")]) == 2
    assert "broken.png: damaged or truncated" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_folder_without_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["embed", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "pictures" in capsys.readouterr().err


def test_codes_of_other_pictures(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Parts(seed=5)[0].image.save(tmp_path / "a.png")
    words = ["embed", str(tmp_path), "--model", "demo", "--codes", str(made / "codes.safetensors")]
    assert cli.main([*words, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert re.search(r"--codes: .*: of other pictures; .* is not among the 1 here, nor are 11 more", said)


def test_without_scikit_learn(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zfcuda.features import embed as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert cli.main(["embed", str(folder)]) == 2
    assert "pip install zfcuda[features]" in capsys.readouterr().err
