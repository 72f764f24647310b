"""The page on which a person labels: by keys, through a kill, to results that a direct computation gives too."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from tests.harness.serving import Server, serving
from zfcuda.data import HELD_OUT_SEED, Parts
from zfcuda.data.collection import Collection
from zfcuda.live.label.task import task
from zfcuda.models import load_demo

LABEL = (sys.executable, "-m", "zfcuda", "label", "--no-browser", "--port", "0")
KEYS = "1234567890qw"


@pytest.fixture
def label(tmp_path: Path) -> Callable[..., AbstractContextManager[Server]]:
    """`label(*arguments)`: a `zfcuda label` whose answers are kept for the next one."""
    for package in ("starlette", "uvicorn", "selenium"):
        pytest.importorskip(package)
    return partial(serving, "--out", str(tmp_path / "out"), command=LABEL, errors=tmp_path / "errors.txt")


def ready(browser, position: int) -> None:
    """Waits until a picture is there and can be answered."""
    browser.wait(
        "document.getElementById('picture').dataset.position === String(arguments[0]) && "
        "!document.body.classList.contains('busy')",
        position,
    )


def test_six_pictures_by_keys_through_a_kill(browser, label, tmp_path: Path) -> None:
    words = ("parts", "--model", "demo", "--count", "6", "--labeller", "Ann")
    demo = load_demo()
    asks = task(Collection.of(Parts(seed=HELD_OUT_SEED), preprocess=demo.preprocess), None, count=6)
    said = [*asks.truth[:3], None, (asks.truth[4] + 1) % 12, asks.truth[5]]
    with label(*words) as server:
        browser.open(server.address)
        for position in range(3):
            ready(browser, position)
            browser.press(KEYS[said[position]])
        ready(browser, 3)
        assert browser.find("#count").text == "3 of 6" and not browser.too_wide()
        server.process.kill()
        server.process.wait()
        browser.press(KEYS[0])
        browser.wait("document.getElementById('said').textContent.startsWith('Not kept yet')")
        assert browser.find("#count").text == "3 of 6"
    with label(*words) as server:
        browser.open(server.address)
        # Of the page before: the answer that was refused, and a picture that was fetched ahead when the kill came.
        assert all("net::ERR_" in line for line in browser.console())
        ready(browser, 3)
        browser.press("x")
        ready(browser, 4)
        browser.press(KEYS[asks.truth[4]])
        ready(browser, 5)
        browser.press("BACKSPACE")
        ready(browser, 4)
        assert browser.find("#count").text == "4 of 6" and "Taken back: picture 5" in browser.find("#said").text
        browser.press(KEYS[said[4]])
        ready(browser, 5)
        asked = browser.requests()
        assert not any("results" in address for address in asked)
        browser.size("phone")
        assert not browser.too_wide()
        browser.click(f"button.class:nth-child({said[5] + 1})", touch=True)
        browser.wait("!document.getElementById('done').hidden")
        browser.click("#see", touch=True)
        browser.wait("location.pathname.endsWith('/results') && document.readyState === 'complete'")
        assert not browser.too_wide()
        browser.size("desktop")

        network = [int(demo(asks.pictures.image(i)[None]).argmax()) for i in range(6)]
        right = [sum(a == b for a, b in zip(each, asks.truth, strict=True)) for each in (said, network)]
        shown = [each.text for each in browser.find_all(".share > .num")]
        assert [text.split(",")[0] for text in shown] == [f"{hits} of 6" for hits in right] and right[0] == 4
        numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())["labellers"]["Ann"]
        assert [row["person"] for row in numbers["rows"]] == [[asks.classes[i]] if i is not None else [] for i in said]
        assert [row["network"][0] for row in numbers["rows"]] == [asks.classes[i] for i in network]
        cards = browser.ask("[...document.querySelectorAll('.cards > li')].map(card => ({...card.dataset}))")
        assert len(cards) == 6
        wrong = [c for c in cards if c["truth"] != c["person"]]
        browser.click(".matrices .miss button")
        left = [card.get_attribute("data-person") for card in browser.find_all(".cards > li:not([hidden])")]
        assert len(left) == 1 and left[0] in [c["person"] for c in wrong]
        browser.click(".cards > li:not([hidden]) .open")
        browser.wait("document.querySelector('dialog img').naturalWidth === 224")
    browser.open(tmp_path / "out" / "label.html")
    assert [each.text for each in browser.find_all(".share > .num")] == shown and not browser.too_wide()


def test_many_classes_are_typed(browser, label, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(3):
        Image.new("RGB", (60, 40), (90 * index, 0, 0)).save(pictures / f"{index}.png")
    names = [f"thing {number}" for number in range(24)] + ["great owl", "owl"]
    (tmp_path / "classes.txt").write_text("\n".join(names))
    with label(str(pictures), "--classes", str(tmp_path / "classes.txt"), "--answers", "2") as server:
        browser.open(server.address)
        browser.wait("!document.getElementById('join').hidden")
        browser.press(*"Zoe", "ENTER")
        ready(browser, 0)
        browser.press(*"owl")
        options = [each.text for each in browser.find_all("#options li")]
        assert options == ["owl", "great owl"]
        browser.press("BACKSPACE", "l", "ENTER", *"GREAT", "ENTER", *"thing", "ENTER")  # the third is one too many
        assert "No more than 2" in browser.find("#said").text
        browser.press("ENTER")
        ready(browser, 1)
        browser.press("?")
        ready(browser, 2)
        browser.press("BACKSPACE")
        ready(browser, 1)
        browser.press(*"thing", "ARROW_DOWN", "ENTER", "ENTER")
        ready(browser, 2)
        browser.press("?")
        browser.wait("!document.getElementById('done').hidden")
    lines = [json.loads(line) for line in (tmp_path / "out" / "answers-zoe.jsonl").read_text().splitlines()]
    assert [line["answers"] for line in lines[1:] if "picture" in line] == [
        ["owl", "great owl"],
        [],
        ["thing 1"],
        [],
    ]
    assert all(line["seconds"] >= 0 for line in lines[1:] if "picture" in line)
