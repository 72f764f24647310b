"""The verbs about what fires: right files, and for every mistake one line before the work."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

import zfcuda
from zfcuda import cli
from zfcuda.data import Parts

DEMO = ["--model", "demo"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two drawn pictures of two classes, and one that is broken."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, name in enumerate(("a/0.png", "b/1.png", "b/2.png")):
        (folder / name).parent.mkdir(exist_ok=True)
        Parts(seed=4)[i].image.save(folder / name)
    (folder / "b/2.png").write_bytes((folder / "b/2.png").read_bytes()[:2000])
    return folder


def run(*words: str | Path) -> int:
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)


def test_activations(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "out"
    assert run("activations", pictures / "a/0.png", *DEMO, "--layer", "conv1", "relu7", "--out", out) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("conv1: 24 maps of 110 x 110, from ") and lines[0].endswith(f": {out / 'conv1.png'}")
    assert lines[1].startswith("relu7: 1024 units, from 0 to ") and "crossed out in grey" in lines[1]
    assert Image.open(out / "conv1.png").width > 900 and Image.open(out / "relu7.png").mode == "RGB"


def test_activations_without_a_layer_are_those_behind_the_relus(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("activations", pictures / "a/0.png", *DEMO, "--out", tmp_path) == 0
    said = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert said == [f"relu{i}" for i in range(1, 8)] == sorted(path.stem for path in tmp_path.iterdir())


def test_filters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("filters", *DEMO, "--layer", "conv1", "conv2", "--out", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "conv1: 24 filters of 3 x 7 x 7; 15 % of their spectral energy is above half Nyquist, of white noise it would "
        f"be 68 %: {tmp_path / 'conv1.png'}"
    )
    assert lines[1].startswith("conv2: 64 filters of 24 x 5 x 5; ") and (tmp_path / "conv2.png").exists()


def test_dead(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--layer", "relu5", "relu7", "--out", tmp_path / "u.csv", "--state", tmp_path / "state"]
    for _ in range(2):  # the second time from the state
        assert run("dead", pictures, *DEMO, *options) == 0
        printed = capsys.readouterr()
        assert printed.out.startswith("1,088 units of 2 layers over 2 pictures, 1 left out: ")
        assert "zfcuda: warning: pictures: 1 of 3 left out: b/2.png: damaged or truncated" in printed.err
    with (tmp_path / "u.csv").open() as file:
        assert len(list(csv.reader(file))) == 1089


def test_codes(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "c.safetensors"
    assert run("codes", pictures, *DEMO, "--layer", "fc7", "--out", out, "--state", tmp_path / "state") == 0
    said = capsys.readouterr().out
    assert said == (
        f"Codes of 'fc7', after the ReLU: 2 pictures x 1,024 numbers; 2 classes; 1 left out: a/0.png, ...\n{out}\n"
    )
    found = zfcuda.Codes.load(out)
    demo = zfcuda.models.load_demo()
    expected = zfcuda.activations(demo, pictures / "b/1.png", "fc7")["fc7"][0].clamp(min=0)
    assert found.names == ["a/0.png", "b/1.png"] and (found.values[1] - expected).abs().max() < 1e-4
    assert run("codes", pictures, *DEMO, "--layer", "fc7", "--out", out, "--signed") == 0
    assert zfcuda.Codes.load(out).values.min() < 0
    capsys.readouterr()
    assert run("codes", pictures, *DEMO, "--out", out, "--query", pictures / "b/1.png") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Codes of 'relu7'" in lines[0] and [line.split()[1] for line in lines[3:]] == ["b/1.png", "a/0.png"]
    assert lines[2] == f"nearest to {pictures / 'b/1.png'}, by the distance of their codes:"
    assert float(lines[3].split()[0]) < 1e-4 < float(lines[4].split()[0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["activations", "none.png"], "none.png: no such file"),
        (["activations", "PICTURE", *DEMO, "--layer", "conv9"], "layer: DemoNetwork has no layer 'conv9'; "),
        (["activations", "PICTURE", *DEMO, "--out", "PICTURE"], "--out PICTURE: a file, not a folder"),
        (["filters", *DEMO, "--layer", "fc7"], "layer: expected a convolution, got 'fc7' (Linear); there are: conv1,"),
        (["filters", "--model", "vgg16"], "vgg16 needs trained weights"),
        (["dead", "none"], "pictures: none: no such folder"),
        (
            ["dead", "none.png", "other.png", *DEMO],
            "pictures: none of 2 can be read; the first, none.png: no such file",
        ),
        (["dead", "FOLDER", "PICTURE"], "pictures: expected one folder, or files, got FOLDER among 2"),
        (["dead", "FOLDER", *DEMO, "--layer", "conv9"], "layer: DemoNetwork has no layer 'conv9'; "),
        (["dead", "FOLDER", "--out", "u.txt"], "--out: expected a name that ends in .csv, got 'u.txt'"),
        (["codes", "FOLDER", "--query", "none.png"], "none.png: no such file"),
        (["codes", "EMPTY", "--layer", "fc7"], "pictures: EMPTY: no picture in this folder"),
        (["codes", "FOLDER", "--layer", "fc7", "--out", "c.npz"], "--out: expected a name that ends in .safetensors,"),
        (
            ["codes", "FOLDER", "--layer", "fc7", "--out", f"{__file__}/c.safetensors"],
            f"--out {__file__}: a file, not a folder",
        ),
    ],
)
def test_mistakes(
    words: list[str],
    said: str,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"PICTURE": str(pictures / "a/0.png"), "FOLDER": str(pictures), "EMPTY": str(tmp_path)}
    assert run(*[places.get(word, word) for word in words]) == 2
    for name, place in places.items():
        said = said.replace(name, place)
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == 1
    assert printed.err.startswith(f"zfcuda: error: {said}") and not any(tmp_path.iterdir())
