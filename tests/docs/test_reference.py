"""docs/api/ and docs/commands.md are what the docstrings and --help say now; every public name explains itself."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest
from torch import Tensor

from benchmarks.reference.docstring import read
from benchmarks.reference.names import MODULES, Name, explained, parts, public
from benchmarks.reference.pages import DOCS, links, pages, signature
from benchmarks.reference.prose import prose, wrapped
from benchmarks.reference.verbs import commands

EVERY = [one for module in MODULES for one in public(module)]
AGAIN = "run `python -m benchmarks.reference`"


def faults(of: Name, whole: Name | None = None) -> list[str]:
    """What a docstring leaves unsaid. whole: of a method or property, its class."""
    said = read(of.doc, explained(of), "Args" if of.kind == "function" else "Attributes")
    if not said.summary:
        fields = read(whole.doc, explained(whole), "Attributes").named("Attributes") if whole else []
        return [] if of.name.rpartition(".")[2] in fields else [f"{of.full}: no docstring"]
    found = []
    if not said.summary[0].isupper() and not said.summary.startswith(("[", "(")):
        found.append(f"{of.full}: begins with {said.summary[:20]!r}")
    if of.kind == "function":
        found += _of_function(of, said.named("Args"))
    elif of.kind == "class":
        fields = {*explained(of), *dir(of.value)}
        found += [
            f"{of.full}: explains {name!r}, which it has not" for name in said.named("Attributes") if name not in fields
        ]
    return found


def _of_function(of: Name, named: list[str]) -> list[str]:
    taken = inspect.signature(of.value).parameters
    wanted = [name for name in taken if name not in ("self", "cls")]
    found = [f"{of.full}: explains {name!r}, which it does not take" for name in named if name not in wanted]
    if named:
        found += [f"{of.full}: does not explain {name!r}" for name in wanted if name not in named]
    elif (
        len(wanted) > 3 and ":func:" not in of.doc and "memory_need" not in of.doc and not of.module.endswith("render")
    ):
        found.append(f"{of.full}: explains none of {', '.join(wanted)}")
    refers = re.search(r":(func|meth|class):", of.doc) or "memory_need" in of.doc
    annotations = [one.annotation for one in taken.values()] + [inspect.signature(of.value).return_annotation]
    if (
        any("Tensor" in str(one).split("[")[0] for one in annotations)
        and not refers
        and not re.search(r"\[[\w.,* ]+\]", of.doc)
    ):
        found.append(f"{of.full}: takes or gives a Tensor, and names no shape")
    if named and "Raises:" not in of.doc and not refers and of.module not in ("zfcuda.render", "zfcuda.network"):
        found.append(f"{of.full}: does not say what it raises")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_explains_itself(module: str) -> None:
    own = public(module)
    assert own
    found = [fault for one in own for fault in faults(one)]
    found += [fault for one in own if one.kind == "class" for part in parts(one) for fault in faults(part, one)]
    assert not found


def test_every_name_of_the_package_has_a_page() -> None:
    import zfcuda

    names = {one.name for one in public("zfcuda")}
    modules = {name for name in zfcuda.__all__ if inspect.ismodule(getattr(zfcuda, name))}
    assert names | modules | {"__version__"} == set(zfcuda.__all__)
    assert {f"zfcuda.{name}" for name in modules} <= set(MODULES)
    assert {one.full for one in EVERY} <= set(links().of)


def test_the_api_reference_is_up_to_date() -> None:
    written = pages()
    for name, text in written.items():
        assert (DOCS / name).read_text("utf-8") == text, f"docs/{name}: {AGAIN}"
    assert {f"api/{path.name}" for path in (DOCS / "api").iterdir()} == set(written)


def test_the_command_reference_is_up_to_date() -> None:
    """The text is that of Python 3.11's argparse; another one may break lines and join options otherwise."""
    there, now = (DOCS / "commands.md").read_text("utf-8"), commands()
    if sys.version_info[:2] != (3, 11):
        there, now = "".join(there.split()), "".join(now.split())
        if sys.version_info >= (3, 13):
            pytest.skip("argparse of Python 3.13 writes usages otherwise")
    assert there == now, AGAIN


def test_the_command_reference_needs_no_torch() -> None:
    code = "import sys; sys.orig_argv = ['python', '-m', 'zfcuda']\n"
    code += "from benchmarks.reference.verbs import commands; assert '## zfcuda explain' in commands()\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=DOCS.parent)


def blurred(image: Tensor, sigma: float = 1.0, *, times: int = 1) -> Tensor:
    """Blurs an image, as :func:`zfcuda.gradient` does not.

    Twice where `times` says so:

        a  table
        of two rows

    sigma: how far.

    Args:
        image: [N,C,H,W], any dtype; one of
            - a photograph;
            - a drawing, with a line
              that goes on.
        times: how often.

    Returns:
        [N,C,H,W].

    Raises:
        ValueError: sigma is not above 0 < 1.

    Source: Somebody 2020,
    section *2*.

    Example:
        blurred(image)
    """
    return image


def unsaid(image: Tensor, missing: int) -> Tensor:
    """Does something.

    Args:
        image: an image.
        other: what it does not take.
    """
    return image


def test_a_docstring_is_read() -> None:
    name = Name("zfcuda.here", "blurred", blurred, "zfcuda.here", inspect.getdoc(blurred) or "")
    said = read(name.doc, explained(name))
    assert said.summary == "Blurs an image, as :func:`zfcuda.gradient` does not."
    assert said.text == ["Twice where `times` says so:", "a  table\nof two rows"]
    assert said.named("Args") == ["sigma", "image", "times"]
    assert (
        said.lists["Args"][1][1]
        == "[N,C,H,W], any dtype; one of\n- a photograph;\n- a drawing, with a line that goes on."
    )
    assert said.parts == {"Returns": "[N,C,H,W].", "Source": "Somebody 2020, section *2*.", "Example": "blurred(image)"}
    assert faults(name) == []
    assert prose(said.summary, links()) == "Blurs an image, as [`zfcuda.gradient`](zfcuda.md#gradient) does not."
    assert prose("0 < 1, section *2*, `a * b`", links()) == "0 \\< 1, section \\*2*, `a * b`"
    assert signature(name) == "zfcuda.here.blurred(image: Tensor, sigma: float = 1.0, *, times: int = 1) -> Tensor"
    assert wrapped(f"{'word ' * 24}- 3 is no list", "  ")[0].endswith("word - 3 is no list")


def test_what_a_docstring_leaves_unsaid_is_found() -> None:
    name = Name("zfcuda.here", "unsaid", unsaid, "zfcuda.here", inspect.getdoc(unsaid) or "")
    assert [fault.partition(": ")[2] for fault in faults(name)] == [
        "explains 'other', which it does not take",
        "does not explain 'missing'",
        "takes or gives a Tensor, and names no shape",
        "does not say what it raises",
    ]
    assert faults(Name("zfcuda.here", "unsaid", unsaid, "zfcuda.here", "")) == ["zfcuda.here.unsaid: no docstring"]
