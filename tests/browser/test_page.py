"""The page that `explain` writes, as people use it: what it tells under the pointer is held against the numbers."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.report.small import CLASSES, SIDE, explained, network, preprocess, subject
from zfcuda import render
from zfcuda.method_names import chosen
from zfcuda.occlusion import areas
from zfcuda.report import Explanation, Folder, Subject
from zfcuda.report import files as files_module
from zfcuda.report.panels import draw
from zfcuda.web import text_of

ODD_NAME = "<img src=x onerror=alert(1)> \"quoted' ünï 猫.png"
STEM = "img-src-x-onerror-alert-1-quoted-n"
HOSTILE = ("</script><script>alert(2)</script>", "<!--", "]]>")
FIRST = "#picture-0 "
DATA = f"{FIRST}[data-map='{{}}']"


@pytest.fixture(scope="module")
def two() -> list[Explanation]:
    truth = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    truth[10:20, 12:30] = True
    of = subject()
    return [
        explained(ODD_NAME, of=of, methods=chosen("all"), stride=7),
        explained("two.png", 1, of=of, target="cat", truth=truth),
    ]


@pytest.fixture(scope="module")
def written(two: list[Explanation], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(two, tmp_path_factory.mktemp("page"))


def page_of(shown: list[Explanation], folder: Path) -> Path:
    with Folder(folder) as report:
        return report.write(shown)


def opened(browser, page: Path) -> dict[str, object]:
    """Opens a page, and waits for its first picture -> what numbers.json says of that one."""
    browser.open(page)
    browser.wait("document.querySelector('#picture-0[data-open]') !== null")
    numbers: dict[str, object] = json.loads((page.parent / "numbers.json").read_text())["pictures"][0]
    return numbers


def at(browser, css: str, row: int, column: int, rows: int, columns: int) -> None:
    """Moves the mouse to the middle of a cell of a map."""
    box = browser.ask(
        "(document.querySelector(arguments[0]).scrollIntoView({block: 'center'}), "
        "document.querySelector(arguments[0]).getBoundingClientRect().toJSON())",
        css,
    )
    browser.move(css, ((column + 0.5) / columns * box["width"], (row + 0.5) / rows * box["height"]))


def said(browser, css: str) -> str:
    return str(browser.ask("document.querySelector(arguments[0]).textContent", css)).replace("\u00a0", " ")


def number(text: str) -> float:
    """The last number of a text."""
    return float(re.findall(r"[+−]?[\d.]+(?:e[+−]?\d+)?", text)[-1].replace("−", "-"))


def percent(share: float) -> str:
    from zfcuda.report.pieces import percent as written

    return written(share).replace("\u00a0", " ")


def canvas(browser, css: str) -> np.ndarray:
    """The pixels of a canvas, [H,W,3]."""
    address = browser.ask("document.querySelector(arguments[0]).toDataURL()", css)
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def choose(browser, kind: str, value: str | int) -> None:
    """Sets a switch or a slider of the first picture."""
    browser.ask(
        """((kind, value) => {
          const all = [...document.querySelectorAll(`#picture-0 [data-choice='${kind}']`)];
          const one = all.find(input => input.type === 'range' || input.value === value);
          if (one.type === 'radio') return one.click();
          one.value = value;
          one.dispatchEvent(new Event('input', {bubbles: true}));
        })(...arguments)""",
        kind,
        value,
    )


def ends(browser, key: str) -> list[str]:
    """What stands at the ends of the colour bar of a map of the first picture."""
    css = f"{FIRST}[data-scale='{key}'] .ends span"
    found = browser.ask("[...document.querySelectorAll(arguments[0])].map(span => span.textContent)", css)
    return [end.replace("\u00a0", " ") for end in found]


# ---------------------------------------------------------------- under the pointer


def test_the_square_tells_what_the_network_says_there(browser, written: Path, two: list[Explanation]) -> None:
    numbers = opened(browser, written)
    o = numbers["occlusion"]
    rows, columns = o["rows"], o["columns"]
    readout = f"{FIRST}.readout"
    finding = browser.ask("document.querySelector(arguments[0]).innerHTML", readout)

    def expected(row: int, column: int) -> None:
        text = said(browser, readout)
        y, x = o["origins_y"][row], o["origins_x"][column]
        assert text.startswith(
            f"Square over rows {y} to {min(y + 16, SIDE) - 1}, columns {x} to {min(x + 16, SIDE) - 1}: "
        )
        name = numbers["target"]["name"]
        assert f": {name} {percent(o['probability'][row][column])} (log-odds " in text
        odds = re.search(r"log-odds ([+−\d.]+), ([+−\d.]+) by the square", text)
        assert odds and float(odds[1].replace("−", "-")) == pytest.approx(o["log_odds"][row][column], rel=6e-3)
        change = float(odds[2].replace("−", "-"))
        assert change == pytest.approx(o["log_odds"][row][column] - numbers["target"]["log_odds"], rel=6e-3)
        assert f"most probable {o['names'][str(o['label'][row][column])]}, activity" in text
        assert number(text[:-1]) == pytest.approx(o["activity"][row][column], rel=6e-3, abs=1e-6)

    for key in ("probability", "labels", "activity"):
        at(browser, DATA.format(key), 1, 2, rows, columns)
        expected(1, 2)
    browser.ask("document.querySelector(arguments[0]).focus()", DATA.format("probability"))
    browser.press("ARROW_RIGHT", "ARROW_DOWN")
    expected(2, 3)
    browser.press("ARROW_LEFT", shift=True)
    expected(2, 0)
    square = browser.ask("document.querySelector('#picture-0 .stage .square').style.cssText")
    assert f"top: {100 * 14 / SIDE:.4f}"[:10] in square and "left: 0%" in square
    browser.press("ESCAPE")
    assert browser.ask("document.querySelector(arguments[0]).innerHTML", readout) == finding
    # On the picture itself the square goes where its middle comes nearest to the pointer.
    at(browser, f"{FIRST}.stage", 30, 17, SIDE, SIDE)
    expected(3, 1)  # 21 + 8 is nearest to 30.5, 7 + 8 to 17.5
    browser.move("#picture-0 h2")
    assert browser.ask("document.querySelector(arguments[0]).innerHTML", readout) == finding


@pytest.mark.parametrize("of", ["log_odds", "score", "probability"])
def test_the_evidence_is_told_of_each_pixel(browser, written: Path, two: list[Explanation], of: str) -> None:
    opened(browser, written)
    choose(browser, "quantity", of)
    heat = two[0].occlusion.heatmap(of=of)
    page = torch.tensor(
        browser.ask("[...zfcuda.pictures.get(document.querySelector('#picture-0')).evidence(arguments[0])]", of)
    ).view(SIDE, SIDE)
    torch.testing.assert_close(page, heat, rtol=1e-5, atol=1e-6)
    words = {"log_odds": "log-odds", "score": "logit", "probability": "probability"}[of]
    flat = heat.flatten()
    for place in (int(flat.argmax()), int(flat.argmin())):
        row, column = divmod(place, SIDE)
        at(browser, DATA.format("evidence"), row, column, SIDE, SIDE)
        text = said(browser, f"{FIRST}[data-value='evidence']")
        value = float(heat[row, column]) * (100 if of == "probability" else 1)
        way = "lowers" if value > 0 else "raises"
        assert text.startswith(f"row {row}, column {column}: hiding it {way} the {words} by ")
        shown = float(re.search(r"by ([\d.]+(?:e−\d+)?)", text)[1].replace("−", "-"))
        assert shown == pytest.approx(abs(value), rel=6e-3)
    assert said(browser, f"{FIRST}[data-quantity]") == words


def test_all_methods_tell_their_value_at_one_pixel(browser, written: Path, two: list[Explanation]) -> None:
    opened(browser, written)
    there = [one for one in two[0].methods if one.values is not None]
    assert len(there) >= 7
    for row, column in ((3, 40), (24, 24)):
        at(browser, DATA.format("method-gradient"), row, column, SIDE, SIDE)
        for one in there:
            text = said(browser, f"{FIRST}[data-value='method-{one.method.name}']")
            value = float(one.values[row, column])
            assert text.startswith(f"row {row}, column {column}: ")
            assert number(text) == pytest.approx(value, rel=6e-3, abs=one.largest * 1e-6), one.method.name
    browser.press("ESCAPE")
    browser.move("#picture-0 h2")
    assert "largest" in said(browser, f"{FIRST}[data-value='method-gradient']")


def test_a_unit_tells_its_activation(browser, written: Path, two: list[Explanation]) -> None:
    opened(browser, written)
    unit = two[0].layers[1].units[2]
    rows, columns = unit.activity.shape
    at(browser, DATA.format("unit-1-2"), *unit.position, rows, columns)
    text = said(browser, f"{FIRST}[data-value='unit-1-2']")
    assert text.startswith(f"row {unit.position[0]}, column {unit.position[1]}: ")
    assert number(text) == pytest.approx(unit.value, rel=6e-3)


# ---------------------------------------------------------------- colours and scales


def test_maps_have_the_colours_that_python_gives_them(browser, written: Path, two: list[Explanation]) -> None:
    opened(browser, written)
    e = two[0]
    assert (
        canvas(browser, DATA.format("probability") + " canvas") == np.asarray(render.heatmap(e.occlusion.probability))
    ).all()
    labels, _ = render.label_map(e.occlusion.label, first=e.occlusion.target_label)
    assert (canvas(browser, DATA.format("labels") + " canvas") == np.asarray(labels)).all()
    for one in e.methods:
        if one.values is not None:
            with Image.open(written.parent / "pictures" / f"{STEM}-method-{one.method.name}.png") as file:
                expected = np.asarray(file.convert("RGB")).astype(int)
            off = np.abs(canvas(browser, DATA.format(f"method-{one.method.name}") + " canvas") - expected)
            assert off.max() <= 8 and off.mean() < 0.3, one.method.name  # float16 where the square root is steep
    choose(browser, "probability-scale", "shared")
    assert (
        canvas(browser, DATA.format("probability") + " canvas")
        == np.asarray(render.heatmap(e.occlusion.probability, 0, 1))
    ).all()
    assert ends(browser, "probability") == ["0.0 %", "100.0 %"]


def test_methods_share_a_scale_or_have_their_own(browser, written: Path, two: list[Explanation]) -> None:
    opened(browser, written)
    there = {one.method.name: one for one in two[0].methods if one.values is not None}

    def top(name: str) -> float:
        return number(ends(browser, f"method-{name}")[-1])

    for name, one in there.items():
        assert top(name) == pytest.approx(one.largest, rel=6e-3)
    choose(browser, "methods-scale", "shared")
    largest = max(one.largest for one in there.values())
    assert [top(name) for name in there] == [pytest.approx(largest, rel=6e-3)] * len(there)
    weak = min(there.values(), key=lambda one: one.largest if not one.method.signed else math.inf)
    assert canvas(browser, DATA.format(f"method-{weak.method.name}") + " canvas").max() < 255
    choose(browser, "methods-scale", "own")
    assert top("gradient") == pytest.approx(there["gradient"].largest, rel=6e-3)


def test_pictures_share_the_scale_of_their_evidence(browser, written: Path, two: list[Explanation]) -> None:
    opened(browser, written)
    limits = [draw(e).evidence["log_odds"].limit for e in two]
    browser.ask("document.querySelector('#picture-1').scrollIntoView()")
    browser.wait("document.querySelector('#picture-1[data-open]') !== null")

    def tops() -> list[float]:
        return [
            number(end)
            for end in browser.ask(
                "[...document.querySelectorAll(\"[data-scale='evidence'] .ends\")].map(e => e.lastChild.textContent)"
            )
        ]

    assert tops() == [pytest.approx(limit, rel=6e-3) for limit in limits]
    choose(browser, "evidence-scale", "shared")
    assert tops() == [pytest.approx(max(limits), rel=6e-3)] * 2
    assert browser.ask("document.querySelector('#scale-1-shared').checked"), "one switch, wherever it stands"


def test_the_map_lies_over_the_picture_as_strongly_as_told(browser, written: Path, two: list[Explanation]) -> None:
    opened(browser, written)
    grey = np.asarray(render.picture(two[0].pixels).convert("L")).astype(int)[..., None].repeat(3, -1)
    css = DATA.format("method-gradcam") + " canvas"
    full = canvas(browser, css)
    choose(browser, "methods-strength", 0)
    assert np.abs(canvas(browser, css) - grey).mean() < 6  # the page has the picture as a JPEG
    choose(browser, "methods-strength", 50)
    assert np.abs(canvas(browser, css) - (full + canvas_grey(browser)) / 2).max() <= 2
    heat = two[0].occlusion.heatmap(of="log_odds")
    over = np.asarray(render.overlay(render.picture(two[0].pixels), heat)).astype(int)
    assert np.abs(canvas(browser, DATA.format("evidence") + " canvas") - over).mean() < 10
    choose(browser, "evidence-strength", 0)
    assert np.abs(canvas(browser, DATA.format("evidence") + " canvas") - grey).mean() < 6


def canvas_grey(browser) -> np.ndarray:
    choose(browser, "methods-strength", 0)
    found = canvas(browser, DATA.format("method-gradcam") + " canvas")
    choose(browser, "methods-strength", 50)
    return found


def test_a_map_of_zeros_says_so_on_every_scale(browser, two: list[Explanation], tmp_path: Path) -> None:
    signed = next(one for one in two[0].methods if one.method.name == "gradient")
    zero = replace(signed, values=torch.zeros(SIDE, SIDE))
    other = next(one for one in two[0].methods if one.method.name == "centre")
    opened(browser, page_of([replace(two[0], methods=(zero, other))], tmp_path))
    for scale in ("own", "shared"):
        choose(browser, "methods-scale", scale)
        assert (canvas(browser, DATA.format("method-gradient") + " canvas") == 0xF7).all()
        assert said(browser, f"{FIRST}[data-value='method-gradient']").startswith("nothing at all")


# ---------------------------------------------------------------- files


def test_every_panel_can_be_saved(browser, written: Path, two: list[Explanation], tmp_path: Path) -> None:
    opened(browser, written)
    browser.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    holders = browser.ask("[...document.querySelectorAll('#picture-0 .holder')].length")
    assert holders == browser.ask("document.querySelectorAll('#picture-0 .png').length") > 20
    for css, name, expected in (
        (DATA.format("probability"), "probability", render.heatmap(two[0].occlusion.probability)),
        (f"{FIRST}.stage", "occluded", None),
        (f"{FIRST}[data-image]", "projection-1-0", None),
        (f"{FIRST}[data-picture] img", "picture", render.picture(two[0].pixels)),
    ):
        browser.ask("document.querySelector(arguments[0]).parentElement.querySelector('.png').click()", css)
        file = tmp_path / f"{STEM}-{name}.png"
        until = time.monotonic() + 10
        while not file.exists() and time.monotonic() < until:
            time.sleep(0.02)
        with Image.open(file) as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        assert max(pixels.shape) >= (400 if name == "probability" else 5)
        if expected is not None:
            large = np.asarray(expected.resize(pixels.shape[1::-1], Image.Resampling.NEAREST)).astype(int)
            assert np.abs(pixels - large).mean() < (1e-9 if name == "probability" else 6)


def test_commands_are_copied(browser, written: Path) -> None:
    opened(browser, written)
    browser.command("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    browser.click("[data-copy='python']")
    browser.wait("document.querySelector('[data-copy=python]').textContent === 'Copied'")
    numbers = json.loads((written.parent / "numbers.json").read_text())
    assert said(browser, "#python") == numbers["reproduce"]["python"]


# ---------------------------------------------------------------- many pictures


def repeated(e: Explanation, count: int, folder: Path) -> Path:
    """The page of many pictures, which are drawn once."""
    drawn, many = draw(e), [replace(e, name=f"picture {i}.png") for i in range(count)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files_module, "draw", lambda e: drawn)
        patch.setattr(files_module, "png", lambda picture: b"")
        return page_of(many, folder)


def test_pictures_open_as_they_come_near(browser, two: list[Explanation], tmp_path: Path) -> None:
    browser.open(repeated(two[1], 100, tmp_path))
    open_now = "document.querySelectorAll('article[data-open]').length"
    assert browser.ask(open_now) <= 3 and browser.ask("document.querySelectorAll('[data-map]').length") < 40
    assert len(browser.find_all(".overview li")) == 100
    browser.click(".overview li:nth-child(58) a")
    browser.wait("document.querySelector('#picture-57[data-open]') !== null")
    assert browser.ask(open_now) <= 8, "a jump opens none on its way"
    assert abs(browser.ask("document.querySelector('#picture-57').getBoundingClientRect().top")) < 50
    for i in range(100):
        browser.ask("document.getElementById(`picture-${arguments[0]}`).scrollIntoView()", i)
        browser.wait("document.querySelector(`#picture-${arguments[0]}[data-open]`) !== null", i)
    assert browser.ask(open_now) == 100
    assert browser.ask("[...document.images].filter(i => !i.complete || !i.naturalWidth).length") == 0


def test_all_of_it_is_printed(browser, two: list[Explanation], tmp_path: Path) -> None:
    browser.open(repeated(two[1], 12, tmp_path))
    assert browser.ask("document.querySelectorAll('article[data-open]').length") < 12
    browser.command("Page.printToPDF", printBackground=True)
    assert browser.ask("document.querySelectorAll('article[data-open]').length") == 12


def test_without_javascript_the_answer_and_the_evidence_are_there(browser, written: Path) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(written)
        text = browser.find("body").text
        assert "Without JavaScript" in text and "The network says" in text and "Most probable classes" in text
        assert "What several methods say" not in text
        shown = browser.find_all(".overview img")
        assert len(shown) == 4 and all(image.size["height"] > 40 for image in shown)
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)


# ---------------------------------------------------------------- for everybody


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_and_follows_the_system(browser, written: Path, size: str, dark: bool) -> None:
    browser.size(size)
    browser.prefer(dark=dark)
    opened(browser, written)
    browser.ask("document.querySelector('#picture-1').scrollIntoView()")
    browser.wait("document.querySelector('#picture-1[data-open]') !== null")
    assert browser.too_wide() == []
    light = sum(map(int, re.findall(r"\d+", browser.ask("getComputedStyle(document.body).backgroundColor"))[:3])) / 3
    assert (light < 60) == dark
    browser.ask("scrollTo(0, 0)")
    browser.picture(f"page-{size}-{'dark' if dark else 'light'}", whole=False)


def test_everything_has_a_name_and_can_be_reached(browser, written: Path) -> None:
    opened(browser, written)
    nameless = browser.ask("""(() => {
      const name = e => e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length);
      const bad = [...document.querySelectorAll('button, input, a, [tabindex], [role]')]
        .filter(e => !name(e) && !e.closest('[aria-hidden]')).map(e => e.outerHTML.slice(0, 80));
      const pictures = [...document.images].filter(i => !i.hasAttribute('alt')).map(i => i.outerHTML.slice(0, 80));
      const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
      return [...bad, ...pictures, ...ids.filter((id, i) => ids.indexOf(id) !== i)];
    })()""")
    assert nameless == []
    assert browser.ask(
        "[...document.querySelectorAll('#picture-0 [data-map], #picture-0 [data-stage]')]"
        ".every(e => e.tabIndex === 0 && e.getAttribute('role') === 'application')"
    )
    browser.ask("document.querySelector('#evidence-0-log_odds').focus()")
    browser.press("ARROW_RIGHT")
    assert said(browser, f"{FIRST}[data-quantity]") == "logit"


def test_colours_of_text_stand_out_in_light_and_dark() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    modes = re.findall(r":root \{(.*?)\}", text_of("theme.css"), re.S)
    assert len(modes) >= 2
    for mode in modes[:2]:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", mode))
        for front in ("ink", "soft", "accent", "link"):
            for back in ("page", "card"):
                one, other = sorted((luminance(colours[front]), luminance(colours[back])))
                assert (other + 0.05) / (one + 0.05) >= 4.5, (front, back)


# ---------------------------------------------------------------- networks of every kind


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = network()[:5], nn.Conv2d(6, len(CLASSES), 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.head(self.features(x))}


class Dark(nn.Module):
    """Answers with NaN where much of the picture is grey."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.calls = network(), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.inner(x) * (1.0 if self.calls < 3 else float("nan"))


def kinds() -> dict[str, Explanation]:
    torch.manual_seed(0)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 3)).eval()
    one = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 1)).eval()
    two_methods = chosen("occlusion,gradient")
    blank = explained(methods=two_methods)
    nothing = torch.full_like(blank.occlusion.logits, float("nan"))
    nan = replace(blank.occlusion, logits=nothing, score=nothing[..., 0], probability=nothing[..., 0])
    return {
        "segmentation": explained(of=subject(Dense().eval()), output=areas, methods=two_methods),
        "no layers": explained(of=subject(flat), methods=two_methods),
        "one output": explained(of=Subject(one, preprocess, ("a <b>",), "one"), methods=two_methods),
        "a thousand classes": explained(of=Subject(network(1000), preprocess, (), "many"), methods=two_methods),
        "no numbers": replace(blank, occlusion=nan),
        "a window as large as the picture": explained(window=SIDE),
        "gaps between the squares": explained(window=4, stride=11, fill="noise"),
        HOSTILE[0]: explained(HOSTILE[0], of=Subject(network(), preprocess, HOSTILE, "<svg onload=alert(3)>")),
    }


def test_networks_of_every_kind_are_shown(browser, tmp_path: Path) -> None:
    for i, (kind, e) in enumerate(kinds().items()):
        opened(browser, page_of([e], tmp_path / str(i)))
        maps = browser.ask("[...document.querySelectorAll('[data-map]')].map(m => m.dataset.map)")
        assert {"evidence", "probability", "labels"} <= set(maps), kind
        assert browser.ask("document.querySelectorAll('svg[onload]').length") == 0
        heat = e.occlusion.heatmap(of="log_odds")
        expression = "[...zfcuda.pictures.get(document.querySelector('#picture-0')).evidence('log_odds')].map(String)"
        page = torch.tensor([float(value) for value in browser.ask(expression)])
        torch.testing.assert_close(page.view(SIDE, SIDE), heat, rtol=1e-5, atol=1e-5, equal_nan=True)
        at(browser, DATA.format("probability"), 0, 0, *e.occlusion.probability.shape)
        assert said(browser, f"{FIRST}.readout").startswith("Square over rows 0 to "), kind
        assert browser.complaints() == [], kind
        if kind == "no numbers":
            assert "unknown" in said(browser, f"{FIRST}.readout")
            at(browser, DATA.format("evidence"), 5, 5, SIDE, SIDE)
            assert said(browser, f"{FIRST}[data-value='evidence']") == "row 5, column 5: no number"
