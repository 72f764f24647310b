"""The names of the methods, read off their files, and what somebody asks for by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from zfcuda import method_names
from zfcuda.method_names import chosen, homes, known
from zfcuda.methods import METHODS


def test_the_names_are_those_of_the_table() -> None:
    assert list(homes()) == list(METHODS) == sorted(METHODS)
    assert all(one.name == name for name, one in METHODS.items())


def test_a_method_whose_name_cannot_be_read_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_names, "_FOLDER", tmp_path)
    (tmp_path / "one.py").write_text('METHOD = Method(name="uno", title="One")')
    (tmp_path / "helper.py").write_text("METHODS = 3")
    assert homes.__wrapped__() == {"uno": "one"}
    (tmp_path / "two.py").write_text("METHOD = made(NAME)")
    with pytest.raises(ValueError, match=r"two.py: METHOD: expected a call with name=, .*got made\(NAME\)"):
        homes.__wrapped__()


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (None, ()),
        ("occlusion", ("occlusion",)),
        (" occlusion, centre,occlusion", ("occlusion", "centre")),
        (["centre", "occlusion"], ("centre", "occlusion")),
        ("all", tuple(METHODS)),
        ("occlusion,all", ("occlusion", *(name for name in METHODS if name != "occlusion"))),
    ],
)
def test_what_is_asked_for(asked: str | list[str] | None, names: tuple[str, ...]) -> None:
    assert chosen(asked) == names


@pytest.mark.parametrize("asked", ["", "occlusion,", "nothing", [""], [], 3, [3]])
def test_what_is_no_method(asked: object) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^--methods: expected "):
        chosen(asked, "--methods")  # type: ignore[arg-type]


def test_an_unknown_name_is_told_its_neighbour() -> None:
    with pytest.raises(
        ValueError, match=r"^method: expected one of centre, .*, got 'oclusion'; did you mean 'occlusion'"
    ):
        known("oclusion")
