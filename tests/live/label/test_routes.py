"""What the page may ask: answers are kept, and nothing tells what a picture is before it has been answered."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from tests.live.label.small import CLASSES, asked, network_says, pictures, subject
from zfcuda.live.label.compare import Row, compare
from zfcuda.live.label.examples import Examples
from zfcuda.live.label.labelling import Labelling
from zfcuda.live.label.network import NetworkAnswers

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")


class Page:
    """What a page of a labeller asks."""

    def __init__(self, client: Any, labelling: Labelling) -> None:
        self.client, self.labelling = client, labelling

    def get(self, what: str) -> Any:
        return self.client.get(f"/token/label/{what}", follow_redirects=False)

    def post(self, what: str, labeller: Any = "Ann", **body: Any) -> Any:
        return self.client.post(f"/token/label/{what}", json={"labeller": labeller, **body})

    def answer(self, position: int, *answers: int, labeller: str = "Ann", seconds: float = 1.5) -> dict[str, Any]:
        answer = self.post("answer", labeller, position=position, answers=list(answers), seconds=seconds)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Page]]:
    from starlette.testclient import TestClient

    from zfcuda.live.app import application
    from zfcuda.live.guard import Hosts
    from zfcuda.live.label.routes import routes

    folder = pictures(tmp_path / "test")
    with contextlib.ExitStack() as stack:

        def serve(
            *, network: bool = True, labeller: str | None = None, examples: bool = False, **settings: Any
        ) -> Page:
            (tmp_path / "out").mkdir(exist_ok=True)
            asks = asked(folder, **settings)
            theirs = stack.enter_context(NetworkAnswers(subject(), asks, tmp_path / "out")) if network else None
            shown = Examples(pictures(tmp_path / "train"), asks.classes, folder) if examples else None
            labelling = stack.enter_context(Labelling(asks, tmp_path / "out", theirs, shown, labeller))
            app = application(None, "token", Hosts(8000), routes(labelling, "zfcuda label test"))
            return Page(stack.enter_context(TestClient(app, base_url="http://127.0.0.1:8000")), labelling)

        yield serve


def test_nothing_tells_what_a_picture_is_before_it_is_answered(served: Callable[..., Page]) -> None:
    page = served()
    page.labelling.network.wait()
    asks = ["", "task", *(f"pictures/{i}" for i in range(6))]
    answers = [page.get(what) for what in asks] + [page.post("state")]
    assert all(answer.status_code == 200 for answer in answers)
    for answer in answers:
        said = answer.content + str(answer.headers).encode() + str(answer.url).encode()
        assert b"secret" not in said and b"Exif" not in said
    state = answers[-1].json()
    assert state == {
        "labeller": "Ann",
        "position": 0,
        "after": 1,
        "answered": 0,
        "of": 6,
        "undoable": False,
        "shown": 0,
    }
    assert page.get("results?labeller=Ann").status_code == 403
    assert page.post("show").status_code == 400  # nothing is answered
    after = page.answer(0, 1)
    assert after.keys() == state.keys()
    assert page.get("results?labeller=Ann").status_code == 403  # answered, and not asked for
    assert page.post("show").status_code == 200
    text = page.get("results?labeller=Ann").text
    first, *others = page.labelling.task.pictures.names
    assert first in text and not any(name in text for name in others)
    assert page.get("results?labeller=Bob").status_code == 403
    assert page.get("results").status_code == 403 and page.get("results?labeller=../x").status_code == 403


def test_pictures_are_what_the_network_sees(served: Callable[..., Page]) -> None:
    page = served()
    for position in range(6):
        answer = page.get(f"pictures/{position}")
        shown = Image.open(io.BytesIO(answer.content))
        assert answer.headers["content-type"] == "image/png" and answer.headers["cache-control"] == "no-store"
        assert not shown.info and shown.size == (8, 8)
        assert not ImageChops.difference(shown, page.labelling.task.pictures.picture(position)).getbbox()
    for wrong in (
        "pictures/6",
        "pictures/-1",
        "pictures/x",
        "pictures/99999999999999999999",
        "pictures/",
        "examples/0/0",
    ):
        assert page.get(wrong).status_code == 404


def test_six_answers_and_what_comes_of_them(served: Callable[..., Page], tmp_path: Path) -> None:
    page = served()
    truth, network = page.labelling.task.truth, network_says(page.labelling.task)
    said: list[list[int]] = [[truth[0]], [], [(truth[2] + 1) % 3], [network[3]], [truth[4]], [2]]
    for position, answers in enumerate(said):
        state = page.answer(position, *answers, seconds=position + 1)
        assert state["answered"] == position + 1
        assert state["position"] == (position + 1 if position < 5 else None)
    page.labelling.network.wait()
    assert page.post("show").json()["network"] == {"done": 6, "of": 6, "error": ""}
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())["labellers"]["Ann"]
    expected = compare(
        [
            Row(
                i,
                page.labelling.task.pictures.names[i],
                CLASSES[truth[i]],
                tuple(CLASSES[a] for a in said[i]),
                tuple(page.labelling.network.found[page.labelling.task.pictures.names[i]]["answers"]),
                tuple(page.labelling.network.found[page.labelling.task.pictures.names[i]]["probabilities"]),
                i + 1,
            )
            for i in range(6)
        ],
        CLASSES,
    )
    assert numbers == json.loads(json.dumps(expected.plain()))
    assert numbers["scores"][0]["network"]["hits"] == 4
    page_of_it = (tmp_path / "out" / "label.html").read_text()
    for text in (page_of_it, page.get("results?labeller=Ann").text):
        hits = numbers["scores"][0]["person"]["hits"]
        assert f"{hits} of 6" in text and "4 of 6" in text and "zfcuda label test" in text
    assert "http" not in page_of_it.replace("http-equiv", "") and page_of_it.count("data:image/jpeg") == 6
    table = list(csv.DictReader((tmp_path / "out" / "labels.csv").open(newline="")))
    assert [line["answers"] for line in table] == [", ".join(CLASSES[a] for a in answers) for answers in said]
    assert [line["truth"] for line in table] == [CLASSES[label] for label in truth]


def test_two_windows_of_one_labeller_lose_nothing(served: Callable[..., Page], tmp_path: Path) -> None:
    page = served()
    page.answer(0, 1)
    page.answer(0, 2)  # the other window, later
    page.answer(3, 0)
    assert page.post("state").json()["position"] == 1
    lines = [json.loads(line) for line in (tmp_path / "out" / "answers-ann.jsonl").read_text().splitlines()[1:]]
    first = page.labelling.task.pictures.names[0]
    assert [line["answers"] for line in lines if line["picture"] == first] == [["leaf"], ["sky"]]
    assert page.labelling.answers("Ann").given[first]["answers"] == ["sky"]
    state = page.post("undo").json()
    assert (state["position"], state["after"], state["answered"]) == (3, 1, 1)


def test_two_labellers_do_not_mix(served: Callable[..., Page], tmp_path: Path) -> None:
    page = served()
    page.labelling.network.wait()
    for position in range(6):
        page.answer(position, 0)
        page.answer(position, position % 2, labeller="Bob")
    assert page.post("undo", "Bob").json()["answered"] == 5
    assert page.post("state").json()["answered"] == 6
    assert page.get("task").json()["labellers"] == ["Ann", "Bob"]
    page.post("show")
    assert page.get("results?labeller=Bob").status_code == 403
    assert "Bob" not in (tmp_path / "out" / "label.html").read_text()
    page.post("show", "Bob")
    assert "Ann" not in page.get("results?labeller=Bob").text
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert numbers["labellers"].keys() == {"Ann", "Bob"}
    (between,) = numbers["between"]
    assert between["agreement"]["hits"] == 3 and between["agreement"]["count"] == 5
    assert "among themselves" in (tmp_path / "out" / "label.html").read_text()


def test_the_answers_that_the_results_told_are_final(served: Callable[..., Page]) -> None:
    page = served()
    page.answer(0, 1)
    page.post("show")
    refused = page.post("answer", position=0, answers=[2], seconds=1)
    assert refused.status_code == 400 and "its answer stays" in refused.json()["error"]
    assert page.post("undo").json()["answered"] == 1
    page.answer(1, 1)
    assert page.post("undo").json()["position"] == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"position": 6, "answers": [0]}, "position: expected 0 to 5, got 6"),
        ({"position": -1, "answers": [0]}, "position"),
        ({"position": "0", "answers": [0]}, "position"),
        ({"position": True, "answers": [0]}, "position"),
        ({"answers": [0]}, "position"),
        ({"position": 0}, "answers: expected at most 1 different classes"),
        ({"position": 0, "answers": [3]}, "answers"),
        ({"position": 0, "answers": [-1]}, "answers"),
        ({"position": 0, "answers": [0, 1]}, "answers"),
        ({"position": 0, "answers": "0"}, "answers"),
        ({"position": 0, "answers": [True]}, "answers"),
        ({"position": 0, "answers": [[0]]}, "answers"),
        ({"position": 0, "answers": [0], "seconds": -1}, "seconds"),
        ({"position": 0, "answers": [0], "seconds": "1"}, "seconds"),
        ({"position": 0, "answers": [0], "labeller": "../../x"}, "labeller: expected a name"),
        ({"position": 0, "answers": [0], "labeller": None}, "labeller: expected a name"),
    ],
)
def test_what_is_no_answer_is_refused(served: Callable[..., Page], tmp_path: Path, body: dict, said: str) -> None:
    page = served(network=False)
    answer = page.client.post("/token/label/answer", json={"labeller": "Ann", **body})
    assert answer.status_code == 400 and said in answer.json()["error"]
    assert page.post("state").json()["answered"] == 0
    assert not [path for path in tmp_path.rglob("*x.jsonl")]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 4000, b'{"labeller": "' + b"a" * 5000 + b'"}'])
def test_what_is_no_question_is_refused(served: Callable[..., Page], body: bytes) -> None:
    answer = served(network=False).client.post("/token/label/answer", content=body)
    assert answer.status_code == 400 and answer.json() == {"error": "expected a small JSON object"}


def test_nobody_labels_from_elsewhere(served: Callable[..., Page]) -> None:
    page = served(network=False)
    foreign = page.client.post("/token/label/undo", json={"labeller": "Ann"}, headers={"origin": "http://evil.example"})
    assert foreign.status_code == 403
    assert page.client.get("/token/label/task", headers={"host": "evil.example:8000"}).status_code == 403
    assert page.client.get("/nekot/label/task").status_code == 404
    assert page.client.get("/token/", follow_redirects=False).headers["location"] == "label/"
    for beyond in ("networks", "label/../../etc/passwd", "label/pictures/%2e%2e", "work"):
        assert page.client.get(f"/token/{beyond}").status_code == 404


def test_who_is_at_it_where_the_command_says(served: Callable[..., Page]) -> None:
    page = served(network=False, labeller="Ann")
    assert page.get("task").json()["labeller"] == "Ann"
    assert page.post("state", "ann").json()["labeller"] == "Ann"
    assert "expected Ann" in page.post("state", "Bob").json()["error"]


def test_several_answers_without_a_network(served: Callable[..., Page], tmp_path: Path) -> None:
    page = served(network=False, answers=2, view="whole")
    truth = page.labelling.task.truth
    page.answer(0, (truth[0] + 1) % 3, truth[0])
    refused = page.post("answer", position=1, answers=[0, 0], seconds=None)
    assert refused.status_code == 400
    page.post("show")
    scores = json.loads((tmp_path / "out" / "numbers.json").read_text())["labellers"]["Ann"]["scores"]
    assert [(score["top"], score["person"]["hits"], score["network"]) for score in scores] == [
        (1, 0, None),
        (2, 1, None),
    ]
    assert "One of up to 2 answers" in (tmp_path / "out" / "label.html").read_text()


def test_a_picture_that_cannot_be_read_is_not_asked(served: Callable[..., Page], tmp_path: Path) -> None:
    page = served()
    names = page.labelling.task.pictures.names
    (tmp_path / "test" / names[0]).write_bytes(b"no picture")
    (tmp_path / "test" / names[1]).write_bytes(b"")
    state = page.post("state").json()
    assert (state["position"], state["of"]) == (2, 4)
    assert page.get("pictures/0").status_code == 404
    for position in range(2, 6):
        state = page.answer(position, 0)
    assert state["position"] is None
    page.post("show")
    assert "2 that cannot be read" in page.get("results?labeller=Ann").text


def test_examples_of_each_class(served: Callable[..., Page]) -> None:
    page = served(examples=True)
    assert [each["examples"] for each in page.get("task").json()["classes"]] == [2, 2, 2]
    answer = page.get("examples/2/1")
    assert answer.headers["content-type"] == "image/jpeg" and b"secret" not in answer.content
    assert page.get("examples/2/2").status_code == 404 and page.get("examples/3/0").status_code == 404


def test_answers_that_are_none_of_the_classes_any_more(served: Callable[..., Page], tmp_path: Path) -> None:
    page = served(network=False)
    page.answer(0, 2)
    page.labelling.__exit__(None, None, None)
    (tmp_path / "test" / "sky").rename(tmp_path / "test" / "air")
    other = served(network=False)
    assert "not among them: 'sky'" in other.post("state").json()["error"]
