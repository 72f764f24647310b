"""``zfcuda style transfer`` end to end, on a small network and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from zfcuda import cli
from zfcuda.models import zfnet
from zfcuda.synthesis import steppers


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny ZFNet, two pictures, and a broken one."""
    folder = tmp_path_factory.mktemp("input")
    torch.manual_seed(0)
    model = zfnet(3, width=0.03)
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    save_file(dict(model.state_dict()), folder / "w.safetensors")
    generator = np.random.default_rng(0)
    for name, size in (("cat", (90, 120)), ("waves", (80, 100))):
        Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    (folder / "broken.jpg").write_text("no picture")
    return folder


def run(here: Path, out: Path, *more: str, content: str = "cat.png", style: str = "waves.png") -> int:
    words = ["style", "transfer", str(here / content), str(here / style), "--steps", "2", "--out", str(out)]
    try:
        return cli.main([*words, "--model", "zfnet", "--weights", str(here / "w.safetensors"), *more])
    except SystemExit as stop:
        return int(stop.code or 0)


def _stop(evaluate: Callable[[], Tensor]) -> None:
    evaluate()
    raise KeyboardInterrupt


def test_a_picture_as_large_as_its_content_at_most(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(here, tmp_path / "out") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "cat_waves.png")
    with Image.open(tmp_path / "out" / "cat_waves.png") as made:
        assert made.size == (120, 90)
    assert run(here, tmp_path / "small", "--size", "100", "--style-layers", "relu1,relu2", "--style-size", "64") == 0
    with Image.open(tmp_path / "small" / "cat_waves.png") as made:
        assert made.size == (100, 75)
    assert run(here, tmp_path / "large", "--size", "160") == 0  # a size that is named is the size
    with Image.open(tmp_path / "large" / "cat_waves.png") as made:
        assert made.size == (160, 120)


def test_there_is_no_seed_as_nothing_is_random(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(here, tmp_path, "--seed", "1") == 2
    assert "--seed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "files", "message"),
    [
        (["--style-layers", "relu1,fc6"], {}, "fc6"),
        (["--style-layers", "conv9"], {}, "layer: ZFNet has no layer 'conv9'"),
        (["--content-layer", "conv9"], {}, "layer: ZFNet has no layer 'conv9'"),
        (["--style-weight", "-1"], {}, "style_weight: expected a number of at least 0, got -1"),
        (["--style-size", "0"], {}, "style_size: expected at least 1, got 0"),
        (["--steps", "0"], {}, "steps: expected at least 1, got 0"),
        (["--size", "0"], {}, "--size: expected at least 1, got 0"),
        ([], {"style": "broken.jpg"}, "not a picture"),
        ([], {"content": "nowhere.png"}, "no such file"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing(
    here: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    files: dict[str, str],
    message: str,
) -> None:
    assert run(here, tmp_path / "out", *more, **files) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line and "assumed" not in line]
    assert len(said) == 1 and message in said[0]
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_the_picture_so_far(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stopped(steppers.LBFGS):
        def start(self, parameters: list[Tensor]) -> Any:
            return _stop

    monkeypatch.setattr("zfcuda.synthesis.transfer_style.LBFGS", Stopped)
    assert run(here, tmp_path / "out") == 130
    assert (tmp_path / "out" / "cat_waves.png").exists()
