"""The benchmark of what `zfcuda train` runs counts what it waits for; no test looks at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import training_run


def test_a_run_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(training_run, "PICTURES", 16)
    results = tmp_path / "rows.json"
    training_run.main(
        [
            "--width",
            "0.05",
            "--batch",
            "4",
            "--steps",
            "2",
            "--workers",
            "0",
            "1",
            "--json",
            str(results),
            "--device",
            "cpu",
        ]
    )
    rows = json.loads(results.read_text())["rows"]
    assert [row["workers"] for row in rows] == [0, 1]
    for row in rows:
        assert row["learning"] > 0 and 0 <= row["waiting_share"] < 1 and row["loading_processor_seconds"] > 0
    assert rows[0]["loss"] == rows[1]["loss"]  # the same pictures, seen alike, however many workers load them
    assert "waiting for pictures" in capsys.readouterr().out
