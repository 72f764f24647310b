"""``zfcuda truth``: what it writes, and that a run that was broken off goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.faithfulness.truth.test_measure import rows
from zfcuda import cli
from zfcuda.faithfulness import truth
from zfcuda.files.kept import Kept

WORDS = ["truth", "--pictures", "2", "--methods", "centre,gradcam", "--seed", "3", "--out"]


def test_what_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*WORDS, str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 drawn pictures; the network is right in ") and "gradcam" in said and "truth.md" in said
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"truth.md", "truth.json", "truth-maps.png", "truth-shuffled.png"}
    found = json.loads((tmp_path / "out" / "truth.json").read_text())
    assert list(found["methods"]) == ["centre", "gradcam", truth.RANDOM] and found["pictures"] == 2
    assert found["command"] == f"zfcuda truth --pictures 2 --out {tmp_path / 'out'} --methods centre,gradcam --seed 3"
    assert found["seed"] == 3 and found["methods"]["centre"]["after_all"]["value"] == pytest.approx(1)
    text = (tmp_path / "out" / "truth.md").read_text()
    assert found["command"] in text and "| gradcam | " in text
    for name in ("truth-maps.png", "truth-shuffled.png"):
        assert f"({name})" in text and Image.open(tmp_path / "out" / name).width > 300


def test_it_goes_on_where_it_was_broken_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures of the pictures are planted."""
    measured: list[int] = []
    planted = rows([True, False], [0.5])

    def once(model: Any, settings: truth.Settings, index: int) -> truth.Record:
        measured.append(index)
        if len(measured) == 2:
            raise KeyboardInterrupt
        return planted[index]

    words = ["truth", "--pictures", "2", "--methods", "centre", "--out", str(tmp_path)]
    monkeypatch.setattr(truth, "measure", once)
    assert cli.main(words) == 130
    out, err = capsys.readouterr()
    assert "1 drawn pictures" in out
    assert "interrupted: after 1 of 2 pictures, of which the table is; the same command goes on from there" in err
    kept = tmp_path / "truth.partial.jsonl"
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]
    kept.write_text(kept.read_text() + '{"picture": 1, "half a li')  # as after kill -9
    assert cli.main(words) == 0
    assert measured == [0, 1, 1] and not kept.exists()
    found = json.loads((tmp_path / "truth.json").read_text())
    assert found["methods"] == truth.figures(planted).plain()["methods"]


def test_records_of_other_settings_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    with pytest.raises(KeyboardInterrupt), Kept(path, {"seed": 1}) as kept:
        kept.add({"picture": 4})
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), Kept(path, {"seed": 1}) as kept:
        assert kept.records == {4: {"picture": 4}}
        raise KeyboardInterrupt
    with Kept(path, {"seed": 2}) as kept:
        assert kept.records == {}
    assert not path.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pictures", "0"], "--pictures: expected at least 1, got 0"),
        (["--seed", "-4"], "seed: expected at least 0, got -4"),
        (["--device", "cuda:99"], "--device cuda:99: not available here"),
    ],
)
def test_mistakes_are_one_line(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["truth", "--out", str(tmp_path / "out"), *words]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("mine")
    assert cli.main(["truth", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"zfcuda: error: --out {tmp_path / 'out'}: a file, not a folder\n"


def test_an_unknown_method_is_told_with_the_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["truth", "--out", str(tmp_path / "out"), "--methods", "oclusion"])
    err = capsys.readouterr().err
    assert "did you mean 'occlusion'?" in err and err.count("\n") == 1 and not (tmp_path / "out").exists()
