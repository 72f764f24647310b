"""``zfcuda style train`` and ``apply``: what they write and print, and what they refuse before the work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.train.style.tiny import make, picture
from zfcuda import cli
from zfcuda.synthesis.style_network.network import StyleNetwork

TINY = "--model tests.train.style.tiny:Network --steps 2 --batch 2 --size 16 --style-size 16 --width 0.1 --workers 0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, a style network of two styles in run/, one of one style in one.safetensors."""
    root = make(tmp_path_factory.mktemp("styles"))
    (root / "run").mkdir()
    StyleNetwork(2, width=0.1, names=["oil", "7"]).save(root / "run" / "weights.safetensors")
    StyleNetwork(width=0.1).save(root / "one.safetensors")
    picture(7).resize((20, 12)).save(root / "wide.png")  # not of one colour: norms of that are norms of rounding
    return root


@pytest.fixture
def run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command in the folder of the pictures."""
    monkeypatch.chdir(folder)

    def run(words: str, out: str = "out") -> tuple[int, str, str]:
        code = cli.main(["style", *words.split(), "--out", str(tmp_path / out)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_train(run: Any, tmp_path: Path) -> None:
    words = f"train photos --style oil.png ink.png {TINY} --style-weight 3"
    code, said, _ = run(words)
    out = tmp_path / "out"
    assert code == 0
    first, second, third, last = said.splitlines()
    assert first.startswith("a style network of width 0.1, ") and first.endswith(" parameters, for oil, ink")
    assert second == "5 pictures of photos; content of 4, style of 1, 4"
    assert third == f"2 steps of 2 pictures of 16 x 16 -> {out}; Ctrl-C stops, the same command goes on"
    assert last == f"{out}/weights.safetensors: oil, ink; zfcuda style apply {out} PICTURE draws"
    assert json.loads((out / "config.json").read_text())["style_weight"] == 3
    code, said, _ = run(words)
    assert code == 0 and said.startswith(f"{out}: this run is finished\n")
    code, said, _ = run(f"apply {out} wide.png --style ink", "drawn")
    assert (code, said) == (0, f"{tmp_path}/drawn/wide_ink.png\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train photos --style oil.png --steps 0", "steps: expected at least 1, got 0"),
        ("train none --style oil.png", "pictures: none: no such folder"),
        ("train oil.png --style oil.png", "pictures: oil.png: not a folder"),
        ("train photos --style none.png", "none.png: no such file"),
        ("train photos --style oil.png --style-layers 6", "style layer: expected a map [N,K,h,w], got a vector"),
        ("train photos --style oil.png --content-layer x", "layer: Network has no layer 'x'; there are: 0, 1, 2"),
        ("apply none wide.png", "none: no such file"),
        ("apply wide.png wide.png", "wide.png: not a safetensors file"),
        ("apply run none.png", "none.png: no such file"),
        ("apply run wide.png run", "run: a folder, not a picture"),
        ("apply run wide.png --style 2", "style: the network has 0 to 1, got 2"),
        ("apply run wide.png --style ink", "style: the network has oil, 7, got 'ink'"),
        ("apply run wide.png --blend 0.5,0.6", "style: expected shares from 0 to 1 that add up to 1, got 0.5, 0.6"),
        ("apply run wide.png --blend 1", "style: expected a share of each of 2 styles, got 1"),
        ("apply run wide.png --tile 3", "--tile: expected at least 16, or 0, got 3"),
        ("apply run wide.png --tile -1", "--tile: expected at least 16, or 0, got -1"),
    ],
)
def test_refused(run: Any, tmp_path: Path, words: str, said: str) -> None:
    code, out, errors = run(f"{words} {TINY}" if words.startswith("train") and "--steps" not in words else words)
    assert (code, out) == (2, "") and errors.startswith(f"zfcuda: error: {said}") and errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train photos", "the following arguments are required: --style"),
        ("apply run", "the following arguments are required: PICTURE"),
        ("apply run wide.png --blend a", "argument --blend: expected numbers between commas, as in 0.3,0.7, got 'a'"),
        ("apply run wide.png --blend 1,0 --style 0", "argument --style: not allowed with argument --blend"),
    ],
)
def test_no_command(run: Any, capsys: pytest.CaptureFixture[str], words: str, said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run(words)
    assert ended.value.code == 2 and capsys.readouterr().err == f"zfcuda: error: {said}\n"


def test_ctrl_c_says_how_many_are_drawn(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, asked = StyleNetwork.draw, []

    def drawn(self: StyleNetwork, picture: Any, *rest: Any, **named: Any) -> Image.Image:
        asked.append(picture)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return draw(self, picture, *rest, **named)

    monkeypatch.setattr(StyleNetwork, "draw", drawn)
    code, said, errors = run("apply run wide.png photos/0.png")
    assert (code, said) == (130, f"{tmp_path}/out/wide_oil.png\n")
    assert errors.strip().endswith("interrupted: 1 of 2 pictures are written")


def test_apply(run: Any, folder: Path, tmp_path: Path) -> None:
    """Each picture in its own size, with the name of the style; of two of one name the second has a number."""
    code, said, _ = run("apply run photos/0.png wide.png photos/../wide.png")
    names = ["0_oil.png", "wide_oil.png", "wide_oil_2.png"]
    assert (code, said.splitlines()) == (0, [f"{tmp_path}/out/{name}" for name in names])
    sizes = [Image.open(tmp_path / "out" / name).size for name in names]
    assert sizes == [(20, 24), (20, 12), (20, 12)]
    network = StyleNetwork.load(folder / "run" / "weights.safetensors")
    drawn = Image.open(tmp_path / "out" / names[0])
    assert drawn.tobytes() == network.draw(folder / "photos" / "0.png", 0).tobytes()


@pytest.mark.parametrize(
    ("words", "style", "name"),
    [
        ("--style 1", 1, "wide_7"),
        ("--style 7", 1, "wide_7"),
        ("--style oil", 0, "wide_oil"),
        ("--blend 0.25,0.75", [0.25, 0.75], "wide_blend-0.25-0.75"),
        ("--tile 16 --style 7", 1, "wide_7"),
    ],
)
def test_which_style(run: Any, folder: Path, tmp_path: Path, words: str, style: Any, name: str) -> None:
    assert run(f"apply run wide.png {words}")[0] == 0
    network = StyleNetwork.load(folder / "run" / "weights.safetensors")
    found = Image.open(tmp_path / "out" / f"{name}.png")
    wanted = network.draw(folder / "wide.png", style)
    assert max(abs(a - b) for a, b in zip(found.tobytes(), wanted.tobytes(), strict=True)) <= ("tile" in words)


def test_a_network_whose_styles_have_no_names(run: Any, tmp_path: Path) -> None:
    assert run("apply one.safetensors wide.png")[:2] == (0, f"{tmp_path}/out/wide_0.png\n")
