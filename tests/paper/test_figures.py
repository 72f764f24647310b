"""What every figure brings, and how it is read off its file."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import zfcuda.paper
from tests.paper import small
from zfcuda import paper_names
from zfcuda.cli import _parser
from zfcuda.paper.cache import Cache
from zfcuda.paper.figure import Figure, Setting
from zfcuda.paper.figures import figure
from zfcuda.paper.gallery import Gallery
from zfcuda.paper.making import make, sources
from zfcuda.paper_names import Option

_DECLARED = """
FIGURE = Figure(
    name="fig5", title="What " "moves", run=_run, options=(Option("seeds", 3, "N", help="how " "many"),),
)
"""


@pytest.mark.parametrize("name", paper_names.homes())
def test_what_it_says_of_itself(name: str) -> None:
    this = figure(name)
    assert this.name == name and this.title == paper_names.titles()[name]
    assert this.options == paper_names.options().get(name, ())
    assert (
        this.source and len(this.says) > 40 and this.says.rstrip().endswith((".", "?")) and not this.title.endswith(".")
    )
    for option in this.options:
        assert isinstance(option.default, int | float | str | tuple) and option.help and not option.help.endswith(".")
        parsed = vars(_parser().parse_args(["paper", name]))
        assert option.name in parsed and parsed[option.name] is None, "an option of the command is called so"


def test_one_option_of_several_figures_has_one_type() -> None:
    kinds: dict[str, set[type]] = {}
    for options in paper_names.options().values():
        for option in options:
            kinds.setdefault(option.name, set()).add(type(option.default))
    assert all(len(types) == 1 for types in kinds.values()), kinds


def planted(folder: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.setattr(paper_names, "_FOLDER", folder)
    for cached in (paper_names._found, paper_names.homes, paper_names.titles, paper_names.options):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def _forgotten() -> object:
    yield
    for cached in (paper_names._found, paper_names.homes, paper_names.titles, paper_names.options):
        cached.cache_clear()


def test_names_titles_and_options_are_read_off_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("table2", "fig10", "fig2", "attributes")
    files = {f"of_{name}": f'FIGURE = Figure(name="{name}", title="T")\n' for name in names}
    planted(tmp_path, monkeypatch, {**files, "moved": _DECLARED, "shared": "OTHER = Figure(name='no', title='no')\n"})
    assert list(paper_names.homes()) == ["fig2", "fig5", "fig10", "table2", "attributes"]
    assert paper_names.homes()["fig5"] == "moved" and paper_names.titles()["fig5"] == "What moves"
    assert paper_names.options() == {"fig5": (Option("seeds", 3, "N", "how many"),)}
    assert paper_names.chosen(["table2", "fig5", "table2"]) == ["fig5", "table2"]
    assert paper_names.chosen(["fig5", "all"]) == list(paper_names.homes())


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("FIGURE = Figure(name=NAME)", "expected a call with name=, a word in quotes, got Figure"),
        ("FIGURE = 3", "expected a call with name="),
        ('FIGURE = Figure(name="fig5", options=(Option("seeds", SEEDS, "N", "how many"),))', "values that stand there"),
        ('FIGURE = Figure(name="fig5", options=OPTIONS)', "values that stand there"),
        ('FIGURE = Figure(name="fig5", options=(Option("seeds"),))', "values that stand there"),
    ],
)
def test_what_cannot_be_read_off_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: str, said: str
) -> None:
    planted(tmp_path, monkeypatch, {"moved": declared})
    with pytest.raises(ValueError, match=f"moved.py: .*{said}"):
        paper_names.options()
        paper_names.titles()


def test_another_version_of_its_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folded").mkdir()
    (tmp_path / "folded" / "one.py").write_text("1")
    files = {"moved": _DECLARED + "from zfcuda.paper.folded.one import two\n", "other": ""}
    planted(tmp_path, monkeypatch, files)
    monkeypatch.setattr("zfcuda.paper.making.__file__", str(tmp_path / "making.py"))
    first = sources("fig5")
    (tmp_path / "other.py").write_text("3")
    assert sources("fig5") == first
    (tmp_path / "folded" / "one.py").write_text("2")
    second = sources("fig5")
    (tmp_path / "moved.py").write_text(_DECLARED)
    assert len({first, second, sources("fig5")}) == 3


def test_a_package_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_spec("sklearn_of_another_world") is None
    this = Figure("fig5", "T", "S", "P", lambda setting: small.result(), packages=("sklearn_of_another_world", "json"))
    monkeypatch.setattr("zfcuda.paper.making.figure", {"fig5": this}.__getitem__)
    monkeypatch.setattr("zfcuda.paper.making.sources", str)
    setting = Setting(Gallery(small.network(), count=2), "net", "parts", Cache(), tmp_path / "runs")
    outcome = make("fig5", setting, tmp_path, given={}, facts={})
    assert outcome.why == "it needs what pip install sklearn_of_another_world brings" and not outcome.failed
    assert outcome.known is None and not list(tmp_path.iterdir())


def test_every_module_and_folder_stands_in_the_map_of_the_room():
    room = Path(zfcuda.paper.__file__).parent
    there = {path.stem for path in room.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    named = set(re.findall(r"\w+", zfcuda.paper.__doc__))
    assert there - {"__init__"} <= named, there - named
