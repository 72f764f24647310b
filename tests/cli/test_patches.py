"""``zfcuda patches`` end to end, on a small network and files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from zfcuda import cli
from zfcuda.models import zfnet
from zfcuda.report.patches import drawing


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny ZFNet, five pictures in two classes, and a broken one."""
    folder = tmp_path_factory.mktemp("input")
    torch.manual_seed(0)
    model = zfnet(3, width=0.03)
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    save_file(dict(model.state_dict()), folder / "w.safetensors")
    generator = np.random.default_rng(0)
    for index in range(5):
        place = folder / "photos" / ("cats" if index < 2 else "dogs")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(place / f"{index}.png")
    (folder / "photos" / "cats" / "broken.jpg").write_text("no picture")
    return folder


def run(here: Path, out: Path, *more: str, pictures: str | None = None) -> int:
    words = ["patches", pictures or str(here / "photos"), "--model", "zfnet", "--weights", str(here / "w.safetensors")]
    try:
        return cli.main([*words, "--out", str(out), *more])
    except SystemExit as stop:
        return int(stop.code or 0)


def test_a_page_with_sheets_and_numbers(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page"
    assert run(here, out, "--layer", "conv1", "conv5", "--top", "4", "--units", "3") == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(out / "index.html")
    assert "zfcuda: warning: pictures: 1 of 6 left out: cats/broken.jpg: not a picture" in said.err
    numbers = json.loads((out / "numbers.json").read_text())
    assert [layer["layer"] for layer in numbers["layers"]] == ["conv1", "conv5"]
    assert numbers["pictures"]["seen"] == 5 and numbers["pictures"]["skipped"][0]["name"] == "cats/broken.jpg"
    for layer, by in zip(numbers["layers"], ["filter", "deconvnet"], strict=True):
        assert layer["projections"] == {"by": by} and sum(unit["shown"] for unit in layer["units"]) == 3
        patches = layer["units"][0]["patches"]
        assert [patch["value"] for patch in patches] == sorted((p["value"] for p in patches), reverse=True)
        assert len({patch["index"] for patch in patches}) == 4 and all("broken" not in p["name"] for p in patches)
    assert sorted(path.name for path in (out / "pictures").iterdir()) == sorted(numbers["files"])
    assert len(numbers["files"]) == 2 * (1 + 3)
    page = (out / "index.html").read_text()
    for name in numbers["files"]:
        assert f"pictures/{name}" in page
    assert "cats/broken.jpg" in page and " cats" in page
    card = Image.open(out / "pictures" / next(name for name in numbers["files"] if name.startswith("1-conv1-")))
    assert card.width > 2 * card.height  # two by two projections, beside as many patches


def test_the_same_command_draws_again_from_its_state(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--layer", "conv2", "--top", "2")
    assert run(here, tmp_path, *arguments, "--units", "2") == 0 and (tmp_path / "state.safetensors").exists()
    first = json.loads((tmp_path / "numbers.json").read_text())["layers"]
    with monkeypatch.context() as patch:
        patch.setattr("zfcuda.features.stream.loaded", None)  # no picture is run again
        assert run(here, tmp_path, *arguments, "--units", "all") == 0
    again = json.loads((tmp_path / "numbers.json").read_text())["layers"]
    assert [unit["patches"] for unit in again[0]["units"]] == [unit["patches"] for unit in first[0]["units"]]
    assert run(here, tmp_path, "--layer", "conv1", "--top", "2", "--units", "0,") == 0  # of something else: begun anew
    [layer] = json.loads((tmp_path / "numbers.json").read_text())["layers"]
    assert layer["layer"] == "conv1" and [unit["unit"] for unit in layer["units"]] == [0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--layer", "conv9"), "layer: ZFNet has no layer 'conv9'"),
        (("--units", "some"), "--units: expected how many"),
        (("--layer", "conv1", "--units", "7,99"), "units: expected 0 to"),
        (("--top", "0"), "--top: expected at least 1, got 0"),
        (("--layer", "conv1", "--state", "/no/such/state"), "state: /no/such/state: there is no folder"),
    ],
)
def test_mistakes_are_one_line(
    here: Path, tmp_path: Path, more: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(here, tmp_path / "page", *more) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("zfcuda: error")]
    assert len(errors) == 1 and said in errors[0]
    assert not (tmp_path / "page").exists()


def test_pictures_that_are_not_there(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    for place, said in ((tmp_path / "none", "no such folder"), (tmp_path / "empty", "no picture in this folder")):
        assert run(here, tmp_path / "page", pictures=str(place)) == 2
        assert said in capsys.readouterr().err


def test_a_named_state_of_something_else_is_kept(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "kept"
    assert run(here, tmp_path / "a", "--layer", "conv1", "--units", "1", "--state", str(state)) == 0
    before = state.read_bytes()
    assert run(here, tmp_path / "b", "--layer", "conv2", "--units", "1", "--state", str(state)) == 2
    assert "is of other layers: conv1, not conv2" in capsys.readouterr().err and state.read_bytes() == before


def test_a_box_beyond_the_border_is_padded() -> None:
    picture = Image.new("RGB", (10, 8), (255, 0, 0))
    box = drawing.shown_box([-2, 6, 3, 14], picture.size)
    assert box == (-2, 6, 3, 14)
    frame = drawing.framed(picture.crop((6, 0, 10, 3)), (6, 0), box)
    red = np.asarray(frame)[..., 1] == 0
    assert frame.size == (8, 5) and red[2:, :4].all() and red.sum() == 3 * 4
    assert frame.getpixel((0, 0)) == drawing.BEYOND
    assert drawing.shown_box([-40, -40, 60, 60], picture.size) == (0, 0, 8, 10)  # sees more than there is


def test_help_is_quick() -> None:
    code = """
import sys
sys.orig_argv = ["python", "-m", "zfcuda", "--help"]
import zfcuda.cli
try:
    zfcuda.cli.main(["patches", "--help"])
except SystemExit:
    pass
assert "torch" not in sys.modules and "numpy" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: zfcuda patches"), done.stderr
