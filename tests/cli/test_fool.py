"""``zfcuda fool`` end to end, on a small network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from zfcuda import cli
from zfcuda.data import Preprocess
from zfcuda.models import zfnet
from zfcuda.report import load_subject
from zfcuda.synthesis.adversarial import bounded


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny ZFNet, and a picture."""
    folder = tmp_path_factory.mktemp("input")
    torch.manual_seed(0)
    model = zfnet(3, width=0.03)
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    save_file(dict(model.state_dict()), folder / "w.safetensors")
    values = np.random.default_rng(0).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    Image.fromarray(values).save(folder / "noise.png")
    return folder


def run(here: Path, out: Path, *more: str) -> int:
    words = ["fool", str(here / "noise.png"), "--model", "zfnet", "--weights", str(here / "w.safetensors")]
    try:
        return cli.main([*words, "--out", str(out), *more])
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.mark.parametrize("more", [(), ("--method", "fgsm", "--epsilon", "9"), ("--norm", "2", "--epsilon", "5")])
def test_the_file_that_is_written_is_what_is_said(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    assert run(here, tmp_path, *more) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [str(tmp_path / f"noise_{name}.png") for name in ("fooled", "sheet")] == lines[-2:]
    subject = load_subject("zfnet", weights=here / "w.safetensors")
    images = [subject.view(Image.open(file))[0] for file in (here / "noise.png", tmp_path / "noise_fooled.png")]
    for said, image in zip(("before: ", "after:  "), images, strict=True):
        with torch.no_grad():
            now = subject.model(image).softmax(1)[0]
        line = next(line for line in lines if line.startswith(said))
        assert line == f"{said}class {int(now.argmax())}, {100 * float(now.max()):.1f} %"
    preprocess = subject.preprocess
    assert isinstance(preprocess, Preprocess)
    cuts = [np.array(preprocess.crop(Image.open(f))).astype(np.int64) for f in (here / "noise.png", lines[-2])]
    change = cuts[1] - cuts[0]
    most, mean = abs(change).max(), float((change**2).mean() ** 0.5)
    assert f"at most {most} of 255, {mean:.2g} in the root mean square" in "\n".join(lines)
    assert mean <= 5 if "2" in more else most == (9 if more else 4)
    sheet = Image.open(lines[-1])
    assert sheet.width > 3 * cuts[0].shape[1] and sheet.height > cuts[0].shape[0]


def test_up_to_a_class_and_the_smallest(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = [run(here, tmp_path, "--target", str(i), "--steps", "300") for i in range(3)]
    said = capsys.readouterr()
    assert said.out.count("; ascend, ") == 2
    assert sorted(codes) == [0, 0, 2] and said.err.count("says already") == 1
    assert said.out.count("after:") == 2 and "not fooled" not in said.out
    assert run(here, tmp_path, "--smallest") == 0
    assert "smallest: epsilon " in capsys.readouterr().out


def test_what_is_not_fooled_is_said_to_be(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = [run(here, tmp_path, "--target", str(i), "--norm", "2", "--epsilon", "0.01") for i in range(3)]
    assert sorted(codes) == [0, 0, 2]
    assert capsys.readouterr().out.count("not fooled: ") == 2


class Scaling:
    """A preprocess that nobody knows, and that scales."""

    def __call__(self, picture: Image.Image) -> Tensor:
        small = picture.resize((224, 224), box=(picture.width / 8, 0, picture.width, picture.height))
        return torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 64 - 2


scaling = Scaling()


def test_a_file_that_the_preprocess_would_scale(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(here, tmp_path, "--preprocess", f"{__name__}:scaling") == 0
    assert "the file, scaled by the network's preprocess: class " in capsys.readouterr().out
    assert Image.open(tmp_path / "noise_fooled.png").size == (224, 224)


def test_ctrl_c_writes_what_there_is(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = bounded.attacked

    def stopped(*words: Any, **named: Any) -> Any:
        return whole(*words, **named)[0], KeyboardInterrupt()

    monkeypatch.setattr(bounded, "attacked", stopped)
    assert run(here, tmp_path, "--steps", "1") == 130
    assert (tmp_path / "noise_sheet.png").exists() and str(tmp_path) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--epsilon", "-1"), "--epsilon: expected pixel values above 0, at most 255, got -1"),
        (("--epsilon", "0"), "--epsilon: expected pixel values above 0"),
        (("--epsilon", "nan"), "--epsilon: expected pixel values above 0"),
        (("--epsilon", "300"), "--epsilon: expected pixel values above 0, at most 255, got 300"),
        (("--norm", "1"), "--norm: invalid choice"),
        (("--method", "cw"), "--method: invalid choice"),
        (("--method", "ascend"), "--method ascend: expected a --target"),
        (("--method", "ascend", "--target", "1", "--epsilon", "4"), "--method ascend: expected no --epsilon"),
        (("--method", "fgsm", "--steps", "3"), "--steps: expected none with --method fgsm"),
        (("--steps", "0"), "--steps: expected at least 1, got 0"),
        (("--smallest", "--epsilon", "4"), "not allowed with"),
        (("--target", "99"), "target: the model has classes 0 to 2, got 99"),
        (("--target", "tabby"), "no class 'tabby'"),
    ],
)
def test_bad_input(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], said: str
) -> None:
    out = tmp_path / "new"
    assert run(here, out, *more) == 2
    err = capsys.readouterr().err
    assert said in err and len(err.strip().splitlines()) == 1 + err.count("warning")
    assert not out.exists()
