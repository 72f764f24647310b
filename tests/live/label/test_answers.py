"""The answers of a labeller: kept after each, whatever ends the process, and nothing of them ever lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.orphans import ends_with_parent
from zfcuda.live.label.answers import Answers, labeller_name, labellers

FACTS = {"answers": 1, "view": "whole"}
ROOT = Path(__file__).resolve().parents[3]
# Answers picture after picture, and says so once each is kept, until it is killed.
WORK = """
import sys
from pathlib import Path
from zfcuda.live.label.answers import Answers
with Answers(Path(sys.argv[1]), "Ann", {"answers": 1, "view": "whole"}) as own:
    for number in range(10**6):
        own.answer(f"picture {number}", ["hat"], 0.5)
        print(number, flush=True)
"""


def opened(folder: Path, name: str = "Ann", **facts: object) -> Answers:
    return Answers(folder, name, {**FACTS, **facts})


def lines(own: Answers) -> list[dict]:
    return [json.loads(line) for line in own.path.read_text().splitlines()]


def test_a_kill_loses_no_answer_that_was_confirmed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=ends_with_parent,
    )
    confirmed = [int(process.stdout.readline()) for _ in range(7)]
    process.send_signal(signal.SIGKILL)
    confirmed += [int(line) for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    with opened(tmp_path) as own:
        assert set(own.given) >= {f"picture {number}" for number in confirmed}
        own.answer("one more", ["hat"], None)
    with opened(tmp_path) as own:
        assert own.given["one more"]["answers"] == ["hat"]


def test_each_answer_is_synced_before_it_is_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    with opened(tmp_path) as own:
        monkeypatch.setattr(os, "fsync", lambda file: synced.append(own.path.read_text().splitlines()[-1]))
        own.answer("a", ["hat"], 1.0)
        assert [json.loads(line)["picture"] for line in synced] == ["a"]


def test_half_a_line_is_cut_and_the_rest_stays(tmp_path: Path) -> None:
    with opened(tmp_path) as own:
        own.answer("a", ["hat"], 1.0)
    with own.path.open("a") as file:
        file.write('{"picture": "b", "ans')
    with opened(tmp_path) as own:
        assert list(own.given) == ["a"]
        own.answer("c", ["shoe"], 1.0)
    assert [line.get("picture") for line in lines(own)] == [None, "a", "c"]


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        '{"picture": "a"}',
        '{"picture": 1, "answers": []}',
        "{}",
        "[" * 100_000,
        '{"shown": Infinity}',
        '{"shown": "many"}',
    ],
    ids=lambda line: line[:30],
)
def test_a_damaged_line_is_told_and_not_dropped(tmp_path: Path, line: str) -> None:
    with opened(tmp_path) as own:
        own.answer("a", ["hat"], 1.0)
    with own.path.open("a") as file:
        file.write(f"{line}\n")
    before = own.path.read_bytes()
    with pytest.raises(ValueError, match="line 3 is damaged"), opened(tmp_path):
        pass
    assert own.path.read_bytes() == before


def test_the_last_answer_counts_and_all_are_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as own:
        own.answer("a", ["hat"], 1.0)
        own.answer("b", [], 1.0)
        own.answer("a", ["shoe"], 2.0)
        assert own.given["a"]["answers"] == ["shoe"] and own.given["b"]["answers"] == []
        assert own.undo() == "a"  # the newest, not the first
        assert list(own.given) == ["b"]
        assert own.undo() == "b" and own.undo() is None and not own.undoable
    kept = [line.get("picture") or line.get("undone") for line in lines(own)]
    assert kept == [None, "a", "b", "a", "a", "b"]
    with opened(tmp_path) as own:
        assert own.given == {}


def test_what_was_answered_before_the_results_is_final(tmp_path: Path) -> None:
    with opened(tmp_path) as own:
        own.answer("a", ["hat"], 1.0)
        own.show()
    with opened(tmp_path) as own:
        assert own.shown == 1 and own.undo() is None
        with pytest.raises(ValueError, match="its answer stays"):
            own.answer("a", ["shoe"], 1.0)
        own.answer("b", ["shoe"], 1.0)
        assert list(own.final()) == ["a"]
        assert own.undo() == "b"
        own.show()
        own.show()  # nothing new: nothing is written
    assert sum("shown" in line for line in lines(own)) == 1


def test_nobody_else_opens_a_file_that_is_open(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with (
        opened(tmp_path),
        opened(tmp_path, "Bob"),
        pytest.raises(ValueError, match="another zfcuda label has it open"),
        opened(tmp_path, "ann"),
    ):
        pass
    with opened(tmp_path, "ANN") as own:
        assert own.labeller == "Ann"  # as it was written first


@pytest.mark.parametrize("facts", [{"answers": 5}, {"view": "network"}])
def test_a_file_that_was_begun_otherwise_is_refused(tmp_path: Path, facts: dict) -> None:
    with opened(tmp_path):
        pass
    with pytest.raises(ValueError, match=f"begun with --{next(iter(facts))} "), opened(tmp_path, **facts):
        pass


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with opened(tmp_path) as own:
        own.answer("a", ["hat"], 1.0)
        before = own.path.read_bytes()
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:5]))
        with pytest.raises(OSError, match="no space"):
            own.answer("b", ["hat"], 1.0)
        monkeypatch.undo()
        assert own.path.read_bytes() == before and list(own.given) == ["a"]


@pytest.mark.parametrize("name", ["", " ", "..", "a/b", "../x", "a\\b", "x" * 41, "a\0", "a\nb\x07", None, 3, "<b>"])
def test_names_that_none_can_have(tmp_path: Path, name: object) -> None:
    with pytest.raises(ValueError, match=r"labeller: expected a name"):
        Answers(tmp_path, name, FACTS)
    assert not list(tmp_path.iterdir())


def test_names_of_all_tongues(tmp_path: Path) -> None:
    assert labeller_name("  Zoé   Müller ") == "Zoé Müller"
    for name in ("李雷", "Ann", "bob.2"):
        with opened(tmp_path, name):
            pass
    (tmp_path / "answers-broken.jsonl").write_text("x\n")
    assert labellers(tmp_path) == ["Ann", "bob.2", "李雷"]


def test_a_name_of_a_file_that_is_no_text(tmp_path: Path) -> None:
    with opened(tmp_path) as own:
        own.answer("bad\udcff.png", ["hat"], 1.0)
    with opened(tmp_path) as own:
        assert list(own.given) == ["bad\udcff.png"]


def test_a_bomb_among_the_answers_is_no_labeller(tmp_path: Path) -> None:
    (tmp_path / "answers-bomb.jsonl").write_text("[" * 100_000 + "\n")
    with opened(tmp_path):
        assert labellers(tmp_path) == ["Ann"]
