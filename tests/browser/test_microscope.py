"""The page of `zfcuda serve` in a real Chromium: what it shows are the numbers of a direct call, however it is held."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import zfcuda
from zfcuda.data import Parts

HELD = "JSON.stringify(zfcuda.hand.box) === JSON.stringify(zfcuda.answer.shown)"
DATA = "({...document.getElementById('answer').dataset})"


@cache
def drawn(index: int = 0):
    return Parts(seed=0)[index].image


@cache
def model() -> Any:
    return zfcuda.models.load_demo().eval()


@cache
def image(index: int = 0) -> torch.Tensor:
    return model().preprocess(drawn(index))


@cache
def grey() -> list[float]:
    """Middle grey as the network gets it."""
    preprocess = model().preprocess
    return [(0.5 - mean) / std for mean, std in zip(preprocess.mean, preprocess.std, strict=True)]


@pytest.fixture
def page(browser, served: Callable[..., Any], tmp_path: Path):
    """The microscope with a drawn picture under it."""
    browser.open(served("--model", "demo").address)
    put(browser, tmp_path)
    return browser


def put(browser, folder: Path, *names: str) -> None:
    """Uploads drawn pictures, the first of which is opened, and waits for the whole picture's numbers."""
    paths = [folder / name for name in names or ("drawn.png",)]
    for i, path in enumerate(paths):
        drawn(i).save(path)
    browser.wait("globalThis.zfcuda?.live.networks !== null && document.getElementById('network').value")
    browser.find("#files").send_keys("\n".join(map(str, paths)))
    browser.wait("document.getElementById('answer').dataset.box === 'none'")


def shown(browser) -> tuple[list[int], dict[str, Any]]:
    """The box of the numbers, once it is the one that is held; and the numbers."""
    browser.wait(HELD)
    data = browser.ask(DATA)
    return [int(side) for side in data["box"].split(",")], data


def hold_to(browser, fill: Any = None) -> list[int]:
    """Holds what is shown against the network's own answer to the picture with that box covered."""
    box, data = shown(browser)
    logits = zfcuda.Occluder(model(), image(), fill=grey() if fill is None else fill)(*box)
    target = int(data["target"])
    top, left, height, width = box
    covered = image().clone()
    patch = torch.tensor(grey()).view(1, 3, 1, 1) if fill is None else None
    if patch is not None:
        covered[:, :, top : top + height, left : left + width] = patch
        torch.testing.assert_close(logits, model()(covered)[0].detach(), rtol=1e-3, atol=1e-3)
    share = float(logits.softmax(0)[target])
    assert float(data["probability"]) == pytest.approx(share, abs=1e-5)
    assert float(data["logit"]) == pytest.approx(float(logits[target]), rel=1e-4, abs=1e-4)
    assert int(data["top"]) == int(logits.argmax())
    first = browser.find("#answer-classes li .name").text
    assert first == model().classes[int(logits.argmax())]
    number = browser.find("#answer-probability").text
    assert number == browser.ask("zfcuda.numbers.percent(arguments[0])", float(data["probability"])).replace(
        "\u00a0", " "
    )
    return box


def test_the_pointer_wheel_and_drag_show_what_a_direct_call_says(page) -> None:
    whole = page.ask(DATA)
    assert float(whole["probability"]) == pytest.approx(float(model()(image()).softmax(1).max()), abs=1e-5)
    side = page.ask("document.getElementById('stage').getBoundingClientRect().width") / 224
    page.move("#stage", (100 * side, 60 * side))
    assert hold_to(page) == [44, 84, 32, 32]
    page.wheel("#stage", -120, (100 * side, 60 * side))
    page.wait("zfcuda.hand.box.height > 32")
    top, left, height, width = hold_to(page)
    assert height == width == 36 and (top, left) == (42, 82)
    page.move("#stage", (2, 2))
    assert hold_to(page) == [0, 0, 36, 36]  # within the picture
    page.drag("#stage", (40.5 * side, 50.5 * side), (90.5 * side, 60.5 * side), (140.5 * side, 80.5 * side))
    assert hold_to(page) == [50, 40, 31, 101]
    page.move("#stage", (20 * side, 20 * side))
    assert hold_to(page) == [50, 40, 31, 101]  # it stays where it was drawn
    page.press("ESCAPE")
    assert shown(page)[0][2:] == [36, 36]
    page.move("#stage", (112 * side, 112 * side))
    page.move("#help-open")
    page.wait("document.getElementById('answer').dataset.box === 'none'")  # nothing is covered
    assert page.ask(DATA)["probability"] == whole["probability"]


def test_keys_move_the_occluder_and_change_it(page) -> None:
    page.ask("document.getElementById('stage').focus()")
    page.press("ARROW_LEFT")
    assert hold_to(page) == [96, 95, 32, 32]
    page.press("ARROW_DOWN", "ARROW_DOWN", shift=True)
    assert hold_to(page) == [112, 95, 32, 32]
    page.press("+", "+", "-")
    box = hold_to(page)
    assert box[2:] == [34, 34]
    page.press("[", "[")
    assert hold_to(page)[2:] == [30, 30]
    page.press("ENTER")
    assert page.find("#pin").get_attribute("aria-pressed") == "true"
    page.wait("document.getElementById('spoken').textContent.startsWith('Rows ')")  # read out, once it rests
    page.press("ESCAPE", "ESCAPE")
    page.wait("document.getElementById('answer').dataset.box === 'none'")
    page.ask(
        "(fill => { fill.value = 'mean'; fill.dispatchEvent(new Event('change')); })(document.getElementById('fill'))"
    )
    page.press("ARROW_RIGHT")
    page.wait(HELD)
    hold_to(page, "mean")


def test_one_question_is_under_way_and_the_newest_is_next(page) -> None:
    page.ask("""(() => {
      const {connection} = zfcuda.answer, {socket} = connection, send = socket.send.bind(socket);
      globalThis.seen = {waiting: 0, most: 0, asked: 0};
      socket.send = text => {
        const occludes = JSON.parse(text).kind === 'occlude';
        if (occludes) { seen.asked += 1; seen.most = Math.max(seen.most, seen.waiting += 1); }
        send(text);
      };
      const tell = connection.tell.bind(connection);
      connection.tell = (answer, floats) => { if (answer.kind === 'occlude') seen.waiting -= 1; tell(answer, floats); };
      for (let i = 0; i < 150; i++) zfcuda.hand.place(20 + i, 30 + i, 32, 32);
    })()""")
    assert hold_to(page) == [153, 163, 32, 32]
    seen = page.ask("seen")
    assert seen["most"] == 1 and seen["waiting"] == 0
    assert seen["asked"] <= 3  # 150 moves in one frame are not 150 questions
    # An answer to a question that nobody asks any more changes nothing.
    page.ask(
        "zfcuda.answer.connection.tell(arguments[0], null)",
        {"kind": "occlude", "id": 1, "base": {}, "answers": [{"classes": [], "probability": 7}]},
    )
    assert hold_to(page) == [153, 163, 32, 32]
    # A connection that is lost comes back, to the same visitor, and the answers with it.
    page.ask("zfcuda.answer.connection.socket.close()")
    page.wait("document.getElementById('connection').className === 'bad'")
    page.ask("zfcuda.hand.place(50, 50, 20, 20)")
    page.wait("document.getElementById('connection').textContent === 'connected'")
    assert hold_to(page) == [40, 40, 20, 20]


def test_the_map_streams_in_and_shares_its_place_with_the_picture(page) -> None:
    page.wait("document.getElementById('map-frame').dataset.state === 'complete'")
    expected = zfcuda.occlusion_map(model(), image()[0], window=32, stride=8, fill=grey())
    rows, columns = expected.probability.shape
    got = {name: page.ask("[...zfcuda.map.fields[arguments[0]]]", name) for name in ("probability", "label")}
    torch.testing.assert_close(
        torch.tensor(got["probability"]).view(rows, columns), expected.probability, rtol=0, atol=1e-5
    )
    assert [int(label) for label in got["label"]] == expected.label.flatten().tolist()
    # The map lies on the picture: a position stands at the middle of its window.
    pixel = page.ask("document.getElementById('map-frame').getBoundingClientRect().width") / 224
    page.move("#map-frame", ((80 + 16) * pixel, (56 + 16) * pixel))
    box, data = shown(page)
    assert box == [56, 80, 32, 32]
    assert float(data["probability"]) == pytest.approx(float(expected.probability[7, 10]), abs=1e-5)
    percent = page.ask("zfcuda.numbers.percent(arguments[0])", float(expected.probability[7, 10]))
    assert percent in page.ask("document.getElementById('map-readout').textContent")
    mark = page.ask(
        "(({left, top, width, height}) => [left, top, width, height])(document.querySelector('.cell').style)"
    )
    assert [round(float(share.removesuffix("%")) * 2.24) for share in mark] == [92, 68, 8, 8]
    assert "tick: nothing covered" in page.find("#map-scale").text and page.find("#map-scale .ramp b")
    page.move("#help-open")
    page.wait("document.getElementById('answer').dataset.box === 'none'")
    for view, said in (("log_odds", "lowered by"), ("label", model().classes[int(expected.label[0, 0])])):
        page.click(f"label[for=view-{view}]")
        page.wait("document.getElementById('map-frame').dataset.view === arguments[0]", view)
        assert said in page.find("#map-scale").text
    page.click("label[for=view-probability]")
    page.click("label[for=range-whole]")
    page.wait("/0\\.0\\s%\\s*100\\.0\\s%/.test(document.getElementById('map-scale').textContent)")
    # Another size of the square asks for another map, which can be cancelled.
    page.ask("zfcuda.hand.resize(24, 24)")
    page.wait("document.getElementById('map-run').textContent === 'Run 24 × 24'")
    page.ask("(document.getElementById('map-run').click(), document.getElementById('map-run').click())")
    assert page.ask("document.getElementById('map-frame').dataset.state") == "none"


def test_a_unit_opens_and_methods_stand_side_by_side(page) -> None:
    page.ask("document.getElementById('units-section').scrollIntoView({behavior: 'instant'})")
    page.wait("document.querySelectorAll('.tile').length > 20")
    layer = page.ask("document.getElementById('layer').value")
    strongest = zfcuda.activations(model(), image(), [layer])[layer][0].flatten(1).relu().amax(1)
    assert int(page.find(".tile").get_attribute("data-unit")) == int(strongest.argmax())
    page.click(".tile")
    page.wait("document.querySelectorAll('#unit .figures img').length === 3")
    assert f"Unit {int(strongest.argmax())}" in page.find("#unit").text
    assert all(page.ask("[...document.querySelectorAll('#unit img')].map(one => one.alt.length)"))
    page.ask("[...document.querySelectorAll('#unit button')].find(one => /Occlude/.test(one.textContent)).click()")
    page.wait("document.getElementById('map-frame').dataset.state === 'complete' && 'activity' in zfcuda.map.fields")
    assert page.ask("document.getElementById('map-frame').dataset.view") == "activity"
    page.ask("document.getElementById('methods-section').scrollIntoView({behavior: 'instant'})")
    page.wait("document.getElementById('methods-run').textContent === 'Run again'")
    most = "[...document.querySelectorAll('.method')].map(one => Number(one.dataset.most))"
    own = page.ask(most)
    assert len(own) >= 6 and len(set(own)) == len(own)
    page.click("label[for=scale-shared]")
    assert page.ask(most) == [max(own)] * len(own)
    page.click("label[for=scale-own]")
    assert page.ask(most) == own


def test_pictures_come_and_go_and_their_names_are_text(browser, served, tmp_path: Path) -> None:
    browser.open(served("--model", "demo").address)
    odd = "<img src=x onerror=alert(1)>.png"
    put(browser, tmp_path, odd, "second.png", "third.png")
    browser.wait("document.querySelectorAll('#strip li').length - zfcuda.live.networks.offered.length === 3")
    assert odd in browser.find("#seen").text and not browser.find_all("img[src=x]")
    name = "document.title.split(' · ')[0]"
    browser.ask("document.querySelector('#strip [aria-selected=true]').focus()")
    browser.press("ARROW_RIGHT")
    assert browser.wait(f"{name} === 'second.png'")
    browser.press("DELETE")
    browser.wait(f"{name} === 'third.png'")
    browser.ask("zfcuda.hand.place(100, 90, 40, 20, true)")
    box, data = shown(browser)
    browser.wait("location.hash.includes('pinned=true')")
    browser.driver.refresh()  # everything stands in the address
    browser.wait("globalThis.zfcuda?.answer?.shown")
    assert shown(browser)[0] == box and browser.ask(DATA)["probability"] == data["probability"]
    (tmp_path / "text.png").write_text("no picture")
    browser.find("#files").send_keys(str(tmp_path / "text.png"))
    browser.wait("/text\\.png/.test(document.getElementById('refusals').textContent)")


def test_a_phone_is_wide_enough_and_a_finger_holds_the_occluder(page) -> None:
    page.size("phone")
    page.wait("document.getElementById('stage').getBoundingClientRect().width < 360")
    page.ask("document.getElementById('units-section').scrollIntoView({behavior: 'instant'})")
    page.wait("document.querySelectorAll('.tile').length > 20")
    page.click(".tile")
    page.wait("document.querySelectorAll('#unit .figures img').length === 3")
    assert page.too_wide() == []
    page.ask("scrollTo({top: 0, behavior: 'instant'})")
    side = page.ask("document.getElementById('stage').getBoundingClientRect().width") / 224
    page.drag("#stage", (100.5 * side, 60.5 * side), (120.5 * side, 90.5 * side), touch=True)
    top, left, height, width = hold_to(page)
    assert (height, width) == (32, 32) and abs(top - 74) <= 1 and abs(left - 104) <= 1
    page.find("#larger").click()
    page.wait("zfcuda.hand.box.height === 34")


def test_first_run_offers_samples_and_takes_what_is_dropped_or_pasted(browser, served) -> None:
    browser.prefer(dark=True)
    browser.open(served("--model", "demo").address)
    browser.wait("!document.getElementById('welcome').hidden")
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(19, 19, 21)"
    browser.press("?")
    assert browser.ask("document.getElementById('help').open")
    browser.press("ESCAPE")
    assert not browser.ask("document.getElementById('help').open")
    browser.size((360, 740))
    assert browser.too_wide() == []
    browser.size("desktop")
    browser.click("#offered button")
    browser.wait("document.getElementById('answer').dataset.box === 'none'")
    assert browser.find("#hint").is_displayed()  # what to do next, until it has been done
    browser.move("#stage")
    browser.wait("document.getElementById('hint').hidden")
    given = """(async (kind, colour) => {
      const canvas = Object.assign(document.createElement('canvas'), {width: 300, height: 200});
      const context = canvas.getContext('2d'), data = new DataTransfer();
      context.fillStyle = colour;
      context.fillRect(40, 60, 100, 90);
      const blob = await new Promise(done => canvas.toBlob(done));
      data.items.add(new File([blob], `${kind}.png`, {type: 'image/png'}));
      if (kind === 'pasted') return dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}));
      dispatchEvent(new DragEvent('dragenter', {dataTransfer: data}));
      const invited = !document.getElementById('dropping').hidden;
      dispatchEvent(new DragEvent('drop', {dataTransfer: data, cancelable: true}));
      return invited && document.getElementById('dropping').hidden;
    })(...arguments)"""
    for kind, colour in (("dropped", "red"), ("pasted", "teal")):
        assert browser.ask(given, kind, colour)
        browser.wait("document.title.startsWith(arguments[0])", kind)


def test_a_server_that_is_gone_is_told(page) -> None:
    page.ask("zfcuda.hand.place(60, 60, 32, 32)")
    box, before = shown(page)
    page.ask("""(() => {
      const real = WebSocket;
      globalThis.WebSocket = class extends real { constructor(address) { super(address.href.split('?')[0]); } };
      zfcuda.answer.connection.socket.close();
    })()""")
    page.wait("/has ended/.test(document.getElementById('connection').textContent)")
    page.ask("zfcuda.hand.place(90, 90, 32, 32)")
    # The numbers are those of the box that is drawn solid; the one that waits for its own is dashed.
    assert page.ask("document.getElementById('stage').classList.contains('following')")
    data = page.ask(DATA)
    assert [int(side) for side in data["box"].split(",")] == box and data["probability"] == before["probability"]
    assert all("WebSocket" in line for line in page.console())


def test_a_drawn_sample_is_opened_in_the_network_that_knows_it(browser, served) -> None:
    browser.open(served().address)
    browser.wait("document.querySelectorAll('#offered button').length")
    assert browser.ask("zfcuda.live.networks.networks.length") > 1
    browser.ask("[...document.querySelectorAll('#offered button')].find(one => /drawn/.test(one.textContent)).click()")
    browser.wait("document.getElementById('answer').dataset.box === 'none'")
    assert browser.ask("document.getElementById('network').value") == "demo"
    # What is told while a network is loaded is taken back when it is there.
    assert browser.ask("document.getElementById('connection').textContent") == "connected"


def test_a_map_of_a_units_activity_tells_where_that_is_lowest(page) -> None:
    page.wait("document.getElementById('map-frame').dataset.state === 'complete'")
    page.ask("(zfcuda.live.set({layer: 'conv5', unit: 3, view: 'activity'}), zfcuda.map.run())")
    page.wait("document.getElementById('map-frame').dataset.state === 'complete' && 'activity' in zfcuda.map.fields")
    lowest = page.ask("zfcuda.numbers.number(Math.min(...zfcuda.map.fields.activity))")
    page.wait("document.getElementById('map-readout').textContent.startsWith(`Lowest, ${arguments[0]},`)", lowest)


def test_a_square_that_was_let_go_does_not_come_back_with_the_next_picture(browser, served, tmp_path: Path) -> None:
    browser.open(served("--model", "demo").address)
    put(browser, tmp_path, "a.png", "b.png")
    browser.move("#stage")
    browser.wait("zfcuda.hand.box !== null")
    browser.press("n")  # held while the picture changes
    browser.wait(
        "document.title.startsWith('b.png') && document.getElementById('map-frame').dataset.state === 'complete'"
    )
    assert browser.ask("zfcuda.hand.box !== null")
    browser.move("#help-open")
    browser.wait("zfcuda.hand.box === null")
    browser.press("p")
    browser.wait(
        "document.title.startsWith('a.png') && document.getElementById('map-frame').dataset.state === 'complete'"
    )
    assert browser.ask("zfcuda.hand.box") is None
