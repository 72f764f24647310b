"""What is not known on the command line is refused with what comes near."""

from __future__ import annotations

import pytest

from zfcuda import cli


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("explain a.png --widow 3", "unrecognized arguments: --widow 3; did you mean --window?"),
        ("explain a.png --stirde=4", "unrecognized arguments: --stirde=4; did you mean --stride?"),
        ("layers --modle vgg16", "unrecognized arguments: --modle; did you mean --model?"),
        ("explain a.png --zzzz", "unrecognized arguments: --zzzz"),
        ("explain a.png --mean 0.5 0.4 0.3", "unrecognized arguments: 0.4 0.3; several numbers are joined by commas"),
        ("backend now", "unrecognized arguments: now"),
        ("explian a.png", "; did you mean explain?"),
        ("sumary vgg16", "; did you mean summary?"),
        ("qqqq", "invalid choice: 'qqqq' (choose from "),
        ("explain a.png --window x", "argument --window: invalid int value: 'x'"),
    ],
)
def test_what_is_near_is_named(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(words.split())
    printed = capsys.readouterr().err
    assert stop.value.code == 2 and printed.count("\n") == 1 and said in printed
    assert ("did you mean" in printed) == ("did you mean" in said)
