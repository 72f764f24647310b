"""``zfcuda paper``: one figure does not stop the others, what is done stays, whatever ends the command."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.paper import small
from zfcuda import cli
from zfcuda.paper.figure import NotApplicableError, Setting
from zfcuda.paper.result import Result
from zfcuda.paper.trainings import MissingRunsError
from zfcuda.paper_names import Option

MODEL = "tests.paper.small:network"


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    pictures = small.folder(tmp_path / "pictures", {"green": 3, "red things": 2})
    return ["--model", MODEL, "--data", str(pictures), "--out", str(tmp_path / "out")]


class Counted:
    """A figure that counts how often it is made."""

    def __init__(self, result: Result | None = None) -> None:
        self.settings: list[Setting] = []
        self.result = result or small.result()

    def __call__(self, setting: Setting) -> Result:
        self.settings.append(setting)
        return self.result


def failing(error: BaseException) -> Counted:
    class Failing(Counted):
        def __call__(self, setting: Setting) -> Result:
            super().__call__(setting)
            raise error

    return Failing()


def interrupted(number: int) -> Counted:
    class Interrupted(Counted):
        def __call__(self, setting: Setting) -> Result:
            super().__call__(setting)
            try:
                signal.raise_signal(number)
            except KeyboardInterrupt as stop:  # as code that is not Python may do
                raise RuntimeError("lost") from stop
            return small.result()

    return Interrupted()


def test_one_does_not_stop_the_others(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {
        "fig1": Counted(),
        "fig2": failing(MissingRunsError("it needs a training, and it is missing, made by:\n  zfcuda train parts")),
        "fig4": failing(NotApplicableError("these pictures have no classes")),
        "fig5": failing(ImportError("it needs paint", name="paint")),
        "table2": Counted(Result(notes=["Nothing."])),
    }
    small.planted(monkeypatch, runs)
    assert cli.main(["paper", "all", *words]) == 0
    said, err = capsys.readouterr()
    assert "Title of fig1" in said and "holds: It is 1. It is 1." in said and "does not hold: It is <2>." in said
    assert "undecided: It is 3. No." in said and "picture  red\n" in said and str(tmp_path / "out" / "fig1.png") in said
    assert "fig2 was left out: it needs a training, and it is missing, made by:\n  zfcuda train parts" in said
    assert "fig4 was left out: these pictures have no classes" in said and "fig5 was left out: it needs paint" in said
    assert "error" not in err and "5 of 5 figures" in err
    assert {path.name for path in (tmp_path / "out").glob("*.json")} == {"fig1.json", "table2.json", "paper.json"}
    assert "Title of table2" in (tmp_path / "out" / "paper.html").read_text()
    runs["fig2"] = failing(ZeroDivisionError("planted"))
    runs["fig4"] = failing(ImportError("no figures here", name="zfcuda.paper.nothing"))
    small.planted(monkeypatch, runs)
    assert cli.main(["paper", "all", *words]) == 2
    said, err = capsys.readouterr()
    assert "Title of fig1 (made before; --again makes it anew)" in said and len(runs["fig1"].settings) == 1
    assert "fig2 failed: ZeroDivisionError: planted" in said
    assert "zfcuda: error: fig2: ZeroDivisionError: planted\n" in err and "zfcuda: error: fig4: ImportError" in err


def test_what_is_asked_for_by_its_name_is_missed(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small.planted(monkeypatch, {"fig1": failing(MissingRunsError("it needs one:\n  zfcuda train")), "fig2": Counted()})
    assert cli.main(["paper", "fig1", "fig2", *words]) == 2
    said, err = capsys.readouterr()
    assert "fig1 was left out: it needs one:\n  zfcuda train" in said and "Title of fig2" in said
    assert err.endswith("zfcuda: error: fig1: it needs one (see above)\n")


def test_a_figure_is_made_again_where_something_is_another(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = Counted()
    small.planted(
        monkeypatch, {"fig1": figure}, (Option("seeds", 3, "N", "how many"), Option("points", "", "FILE", "a"))
    )
    points = tmp_path / "points.csv"
    points.write_text("1")

    def made(*more: str) -> bool:
        before = len(figure.settings)
        assert cli.main(["paper", "fig1", *words, *more]) == 0
        return len(figure.settings) > before

    assert made() and not made() and not made("--seeds", "3")
    assert figure.settings[-1].options == {"seeds": 3, "points": ""} and figure.settings[-1].progress
    assert made("--seeds", "4") and not made("--seeds", "4") and figure.settings[-1].options["seeds"] == 4
    assert made("--seed", "4") and made("--pictures", "4") and made("--mean", "0.5,0.5,0.5") and made("--again")
    assert made("--points", str(points)) and not made("--points", str(points))
    points.write_text("2")
    assert made("--points", str(points))
    (tmp_path / "out" / "fig1.csv").unlink()
    assert made("--points", str(points))
    known = json.loads((tmp_path / "out" / "fig1.json").read_text())
    assert known["command"].startswith("zfcuda paper fig1 --model tests.paper.small:network --data ")
    assert known["command"].endswith(f"--points {points}") and known["pictures of"] == "5 pictures of pictures"
    assert known["versions"]["zfcuda"] and known["device"] == "cpu" and known["source"] == "section 4"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_what_is_done_stays(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    code: int,
) -> None:
    first, third = Counted(), Counted()
    small.planted(monkeypatch, {"fig1": first, "fig2": interrupted(number), "fig3": third})
    assert cli.main(["paper", "all", *words]) == code
    err = capsys.readouterr().err
    assert "zfcuda: interrupted: after 1 of 3 figures; the same command goes on from there" in err
    assert (tmp_path / "out" / "fig1.json").is_file() and not third.settings
    small.planted(monkeypatch, {"fig1": first, "fig2": Counted(), "fig3": third})
    assert cli.main(["paper", "all", *words]) == 0
    assert len(first.settings) == len(third.settings) == 1


def test_kill_9_loses_nothing_that_was_done(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "tests.paper.killed", "paper", "all", *words]
    root = Path(__file__).parents[2]
    began = time.monotonic()
    with subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (tmp_path / "out" / "second").exists():
            assert process.poll() is None and time.monotonic() - began < 120
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "out" / "fig1.json").is_file() and (tmp_path / "out" / "paper.html").is_file()
    first = Counted()
    found = []

    def second(setting: Setting) -> Result:
        with setting.cache.kept(setting.gallery, "moved", {}) as kept:
            found.append(kept.records)
        return Result()

    small.planted(monkeypatch, {"fig1": first, "fig2": second})
    assert cli.main(["paper", "all", *words]) == 0
    assert not first.settings and found == [{0: {"picture": 0, "far": 0.5}}]
    assert (tmp_path / "out" / "fig2.json").is_file()
    assert not [path for path in (tmp_path / "out").rglob(".draft*")]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--pictures", "0"], "--pictures: expected at least 1, got 0"),
        (["--seed", "-1"], "--seed: expected at least 0, got -1"),
        (["--data", "nowhere"], "pictures: nowhere: no such folder"),
        (["--device", "cuda:99"], "--device cuda:99: not available here"),
        (["--model", "nonet"], "nonet"),
        (["--run", "nowhere"], "--run nowhere: not the folder of a run of zfcuda train"),
        (["--seeds", "3"], "--seeds: expected with fig1, got fig2 alone"),
    ],
)
def test_mistakes_are_one_line_before_any_work(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    said: str,
) -> None:
    figure = Counted()
    small.planted(monkeypatch, {"fig1": Counted(), "fig2": figure}, (Option("seeds", 3, "N", "how many"),))
    assert cli.main(["paper", "fig2", *words, *more]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1 and not figure.settings and not (tmp_path / "out").exists()


def test_an_unknown_name_is_told_with_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["paper", "fig22"])
    err = capsys.readouterr().err
    assert "expected some of " in err and "or all, got 'fig22'; did you mean 'fig2'?" in err and err.count("\n") == 1


def test_help_lists_titles_and_options(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    options = (
        Option("seeds", 3, "N", "how many, of 100 %"),
        Option("deep", False, "", "looks deeper"),
        Option("shown", (), "FILE", "some of 100 %"),
    )
    small.planted(monkeypatch, {"fig1": Counted(), "fig2": Counted()}, options)
    with pytest.raises(SystemExit, match="0"):
        cli.main(["paper", "--help"])
    text = capsys.readouterr().out
    assert "\n  fig1  Title of fig1\n  fig2  Title of fig2\n  all " in text
    assert "--seeds N" in text and "fig1: how many, of 100 % (default: 3)" in " ".join(text.split())
    assert "--deep " in text and "fig1: looks deeper" in text
    assert "--shown FILE [FILE ...]" in text and "fig1: some of 100 %" in " ".join(text.split())


def test_an_option_of_several_words(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure, again = Counted(), Counted()
    options = (Option("shown", (), "FILE", "which"),)
    small.planted(monkeypatch, {"fig1": figure}, options)
    (tmp_path / "b c.txt").write_text("one")
    shown = ["--shown", "a", str(tmp_path / "b c.txt")]
    assert cli.main(["paper", "fig1", *words, *shown]) == 0
    assert figure.settings[0].options == {"shown": shown[1:]}
    known = json.loads((tmp_path / "out" / "fig1.json").read_text())
    assert shlex.split(known["command"])[-3:] == shown
    small.planted(monkeypatch, {"fig1": again}, options)
    assert cli.main(["paper", "fig1", *words, *shown]) == 0 and not again.settings
    (tmp_path / "b c.txt").write_text("two")  # another file of this name
    assert cli.main(["paper", "fig1", *words, *shown]) == 0 and len(again.settings) == 1


def test_the_network_that_knows_the_classes_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = Counted()
    small.planted(monkeypatch, {"fig1": figure})
    pictures = small.folder(tmp_path / "clothes", {"T-shirt": 1, "pants": 1})
    assert cli.main(["paper", "fig1", "--data", str(pictures), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.startswith("clothing, a small ZFNet trained on photographs of clothes; 2 pictures")
    assert figure.settings[0].gallery.label(0) is not None
    monkeypatch.setattr("zfcuda.cli.paper.default_network", lambda: MODEL)
    others = small.folder(tmp_path / "others", {"T-shirt": 1, "star": 1})
    assert cli.main(["paper", "fig1", "--data", str(others), "--out", str(tmp_path / "out")]) == 0
    assert figure.settings[1].gallery.classes == list(small.CLASSES)
    assert cli.main(["paper", "fig1", "--pictures", "3", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.rpartition("\ndemo, a small ZFNet")[2].startswith(" trained on drawn pictures; 3 p")
    assert figure.settings[2].gallery.parts is not None and figure.settings[2].data == "parts"
