"""Every answer against a direct call of what it is about."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import zfcuda
from tests.live.served import ANNA, BERT, Client, client, png
from tests.report import small
from zfcuda.cli import main
from zfcuda.live.patches import Patches
from zfcuda.methods import METHODS
from zfcuda.report.cover import cover_of
from zfcuda.report.side_by_side import remarks

PICTURE = small.drawing(3)
MODEL = small.network()
SUBJECT = small.subject(MODEL)
IMAGE, PIXELS, GREY = SUBJECT.view(PICTURE)
LOGITS = MODEL(IMAGE)[0].detach()


@pytest.fixture(scope="module")
def here():  # type: ignore[no-untyped-def]
    with client(MODEL) as c:
        yield c


@pytest.fixture
def about(here: Client) -> dict[str, Any]:
    """The picture and the network, which every question names."""
    return {"picture": here.upload(PICTURE), "network": "small"}


def decoded(src: str) -> Image.Image:
    kind, data = src.split(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def fill_of(word: str) -> Any:
    return cover_of(SUBJECT, PICTURE, IMAGE, GREY, word, 16).fill


def test_networks(here: Client) -> None:
    with here.work():
        found = here.get("networks/small").json()
    assert found["classes"] == list(small.CLASSES) and found["input"] == [3, small.SIDE, small.SIDE]
    assert [(layer["name"], layer["output"], layer["units"]) for layer in found["layers"]] == [
        ("0", "1", 8),
        ("3", "4", 6),
    ]
    answer = here.get("networks").json()
    assert answer["networks"] == [found] and found["loaded"]
    assert {one["name"] for one in answer["methods"]} == set(METHODS) and answer["version"] == zfcuda.__version__
    assert here.get("networks/none").status_code == 404


def test_look(here: Client, about: dict[str, Any]) -> None:
    with here.work() as talk:
        found = talk.ask("look", **about)
    order = LOGITS.argsort(descending=True).tolist()
    assert [each["index"] for each in found["classes"]] == order
    assert [each["name"] for each in found["classes"]] == [small.CLASSES[i] for i in order]
    shares = [each["probability"] for each in found["classes"]]
    assert shares == pytest.approx(LOGITS.softmax(0)[order].tolist(), rel=1e-5)
    assert found["size"] == [small.SIDE, small.SIDE]
    shown = np.asarray(decoded(found["image"])).astype(int)
    assert abs(shown - (PIXELS * 255).round().permute(1, 2, 0).numpy()).max() <= 1


@pytest.mark.parametrize("fill", ["grey", "mean", "blur", "noise", "#ff0010"])
def test_occlude(fill: str, here: Client, about: dict[str, Any]) -> None:
    boxes = [[0, 0, 16, 16], [5, 30, 20, 9], [40, 40, 8, 8], [0, 0, small.SIDE, small.SIDE]]
    with here.work() as talk:
        found = talk.ask("occlude", boxes=boxes, fill=fill, target=2, **about)
    occluder = zfcuda.Occluder(MODEL, IMAGE, fill=fill_of(fill) if fill[0] != "#" else fill_of([255, 0, 16]))  # type: ignore[arg-type]
    assert found["target"] == 2 and found["base"]["logit"] == pytest.approx(float(LOGITS[2]), abs=1e-5)
    for box, answer in zip(boxes, found["answers"], strict=True):
        logits = occluder(*box)
        assert answer["box"] == box
        assert answer["logit"] == pytest.approx(float(logits[2]), abs=1e-5)
        assert answer["probability"] == pytest.approx(float(logits.softmax(0)[2]), abs=1e-6)
        others = logits[[0, 1]].logsumexp(0)
        assert answer["log_odds"] == pytest.approx(float(logits[2] - others), abs=1e-5)
        assert answer["classes"][0]["index"] == int(logits.argmax())


@pytest.mark.parametrize("layer", [None, "3"])
@pytest.mark.parametrize(
    ("fill", "window", "stride"), [("grey", 16, 4), ("blur", [9, 20], [5, 3]), ("noise", 48, 48), ("mean", 7, 2)]
)
def test_a_map_ends_with_the_numbers_of_occlusion_map(
    layer: str | None, fill: str, window: Any, stride: Any, here: Client, about: dict[str, Any]
) -> None:
    question = {"window": window, "stride": stride, "fill": fill, "layer": layer, "target": "cat", **about}
    there = zfcuda.occlusion_map(
        MODEL, IMAGE, window=window, stride=stride, fill=fill_of(fill), target=0, layer=None if layer is None else "4"
    )
    with here.work() as talk:
        for _ in range(2):  # the second time it is known
            *parts, end = talk.asks("map", **question)
            found = joined(parts)
            for name, expected in {
                "probability": there.probability,
                "log_odds": there.log_odds,
                "logit": there.score,
                **({} if there.activity is None else {"activity": there.activity}),
            }.items():
                np.testing.assert_allclose(found[name], expected.numpy(), rtol=1e-5, atol=1e-5)
            assert (found["label"] == there.label.numpy()).all()
            assert tuple(end["worst"]) == there.worst and end["unit"] == there.unit and end["target"] == 0
            assert end["reason"] and end["method"] in ("incremental", "batched")
        assert len(parts) == 1  # known


def joined(parts: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The fields of a map, from all its answers; each position comes once, coarse before fine."""
    rows, columns = parts[0]["rows"], parts[0]["columns"]
    came = np.zeros(rows * columns, int)
    found = {name: np.full(rows * columns, np.nan) for name in parts[0]["fields"]}
    done, steps = 0, []
    for part in parts:
        values = part["values"].reshape(1 + len(part["fields"]), part["count"])
        index = values[0].astype(int)
        came[index] += 1
        done += part["count"]
        assert part["done"] == done and part["of"] == rows * columns
        y, x = np.divmod(index, columns)
        assert ((y % part["step"] == 0) & (x % part["step"] == 0)).all() or part["step"] == 1
        steps.append(part["step"])
        for name, each in zip(part["fields"], values[1:], strict=True):
            found[name][index] = each
    assert (came == 1).all() and steps == sorted(steps, reverse=True) and steps[-1] == 1
    return {name: each.reshape(rows, columns) for name, each in found.items()}


def test_units_by_strength(here: Client, about: dict[str, Any]) -> None:
    activity = MODEL[:2](IMAGE)[0]
    strength = activity.flatten(1).amax(1)
    with here.work() as talk:
        first, rest = (talk.ask("units", layer="0", count=5, **{"from": start}, **about) for start in (0, 5))
    assert first["of"] == 8 and len(first["units"]) == 5 and len(rest["units"]) == 3
    every = first["units"] + rest["units"]
    assert [each["unit"] for each in every] == strength.argsort(descending=True, stable=True).tolist()
    for each in every:
        assert each["strength"] == pytest.approx(float(strength[each["unit"]]), rel=1e-6)
        y, x = each["place"]
        assert float(activity[each["unit"], y, x]) == float(strength[each["unit"]])
        assert decoded(each["image"]).size == (first["columns"], first["rows"]) == tuple(activity.shape[:0:-1])


def test_a_unit_is_projected_as_project_does(here: Client, about: dict[str, Any]) -> None:
    with here.work() as talk:
        [best] = talk.ask("units", layer="3", count=1, **about)["units"]
        found = talk.ask("unit", layer="3", unit=best["unit"], **about)
        again = talk.ask("unit", layer="4", unit=best["unit"], **about)
    assert {**found, "values": 0} == {**again, "id": found["id"], "values": 0}  # a layer goes by both names
    expected = zfcuda.render.projection(zfcuda.project(MODEL, IMAGE, "4", unit=best["unit"])[0])
    assert (np.asarray(decoded(found["projection"])) == np.asarray(expected)).all()
    assert found["form"] == "deconvnet" and found["refused"] == "" and found["strongest"] is None
    top, left, bottom, right = found["field"]
    field = zfcuda.network.receptive_field(MODEL, "4", (3, small.SIDE, small.SIDE))
    assert field is not None and (top, left, bottom, right) == field.rectangle(*best["place"])
    assert decoded(found["patch"]).size == decoded(found["projected_patch"]).size == (right - left, bottom - top)
    activity = MODEL[:5](IMAGE)[0, best["unit"]].detach()
    np.testing.assert_allclose(found["values"].reshape(found["rows"], found["columns"]), activity, rtol=1e-5, atol=1e-6)


def test_a_unit_of_the_first_layer_shows_its_filter(here: Client, about: dict[str, Any]) -> None:
    with here.work() as talk:
        [best] = talk.ask("units", layer="0", count=1, **about)["units"]
        assert talk.ask("unit", layer="0", unit=best["unit"], **about)["form"] == "filter"


class Gated(nn.Module):
    """Has a layer that cannot be projected, and one that is silent."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.end = nn.Conv2d(3, 4, 5, stride=3), nn.Conv2d(4, 2, 3), nn.Linear(2, 3)
        self.relu = nn.ReLU()
        nn.init.constant_(self.one.bias, -100.0)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.end(self.two(self.relu(self.one(x)).sigmoid()).mean((2, 3)))


def test_what_cannot_be_projected_says_why() -> None:
    with client(Gated()) as c, c.work() as talk:
        about = {"picture": c.upload(PICTURE), "network": "small"}
        silent = talk.ask("unit", layer="one", unit=1, **about)
        assert silent["projection"] is None and silent["refused"] == "nothing in this picture excites this unit"
        best = talk.ask("units", layer="two", count=1, **about)["units"][0]
        gated = talk.ask("unit", layer="two", unit=best["unit"], **about)
        assert gated["projection"] is None and ("sigmoid" in gated["refused"] or best["strength"] <= 0)


@pytest.mark.parametrize("target", [None, 1])
def test_methods_one_after_the_other(target: int | None, here: Client, about: dict[str, Any]) -> None:
    names = ["gradient", "gradcam", "smoothgrad"]
    with here.work() as talk:
        *found, end = talk.asks("methods", names=names, target=target, **about)
        assert talk.asks("methods", names=["all"], **about)[-1]["complete"]
    assert [each["name"] for each in found] == names and end["complete"]
    index = int(LOGITS.argmax()) if target is None else target
    for each in found:
        expected = METHODS[each["name"]].compute(MODEL, IMAGE, [index])[0].detach().numpy()
        np.testing.assert_array_equal(each["values"].reshape(each["rows"], each["columns"]), expected)
        assert each["largest"] == pytest.approx(abs(expected).max()) and each["target"] == index
        assert each["signed"] == METHODS[each["name"]].signed


def test_a_method_that_cannot_be_had_says_why_and_the_next_comes() -> None:
    with client(Gated()) as c, c.work() as talk:
        found = talk.asks("methods", names=["deconvnet", "saliency"], picture=c.upload(PICTURE), network="small")
        assert "sigmoid" in found[0]["refused"] and found[1]["largest"] >= 0 and found[2]["complete"]


def test_a_method_warns_beside_its_map(here: Client, about: dict[str, Any]) -> None:
    import warnings

    from zfcuda.live.warned import heard, sorted_by_thread

    with sorted_by_thread(), heard() as said:
        warnings.warn("gradcam: dark", stacklevel=1)
        warnings.warn("gradcam: dark", stacklevel=1)
    assert said == ["gradcam: dark"] * 2
    found = remarks(METHODS["gradcam"], MODEL, IMAGE, said)
    assert found == ("dark",)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no picture": ({"picture": "x"}, "picture: there is none"),
    "a path": ({"picture": "../../etc/passwd"}, "picture: there is none"),
    "a number as picture": ({"picture": 7}, "picture: expected a string, got 7"),
    "no network": ({"network": "vgg"}, "network: expected one of small, got 'vgg'"),
    "a list as network": ({"network": ["small"]}, "network: expected a string"),
    "a class beyond": ({"target": 3}, "target: expected a class from 0 to 2, got 3"),
    "a class below": ({"target": -1}, "target: expected a whole number from 0"),
    "no class": ({"target": "mouse"}, "target: no class 'mouse'"),
    "a class in parts": ({"target": 0.5}, "target: expected a whole number"),
    "yes as class": ({"target": True}, "target: expected a whole number"),
    "no fill": ({"fill": "tartan"}, "fill: expected grey, mean, blur, noise or a colour"),
    "half a colour": ({"fill": "#ff00"}, "fill: expected"),
    "no list of boxes": ({"boxes": None}, "boxes: expected 0 to 8"),
    "many boxes": ({"boxes": [[0, 0, 1, 1]] * 9}, "boxes: expected 0 to 8"),
    "half a box": ({"boxes": [[0, 0, 1]]}, "boxes: expected [top, left, height, width]"),
    "a box outside": ({"boxes": [[40, 40, 9, 8]]}, "boxes: expected [top, left, height, width] within 48 x 48"),
    "an empty box": ({"boxes": [[0, 0, 0, 4]]}, "boxes: expected [top, left, height, width] within 48 x 48"),
    "a box of halves": ({"boxes": [[0.5, 0, 4, 4]]}, "boxes: expected [top, left, height, width] of pixels"),
    "a huge box": ({"boxes": [[0, 0, 10**30, 4]]}, "boxes: expected [top, left, height, width] of pixels"),
}


@pytest.mark.parametrize("case", BAD)
def test_mistakes_are_told(case: str, here: Client, about: dict[str, Any]) -> None:
    fields, said = BAD[case]
    with here.work() as talk:
        answer = talk.ask("occlude", **({"boxes": [[0, 0, 4, 4]], **about} | fields))
        assert answer["error"].startswith(said), answer
        assert "error" not in talk.ask("look", **about)  # the server goes on


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("map", {"window": 49}, "window: 49 x 49 is larger than the image, 48 x 48"),
        ("map", {"window": 0}, "window: expected a whole number above 0"),
        ("map", {"stride": [4]}, "stride: expected a whole number above 0, or two"),
        ("map", {"layer": "none"}, "layer: expected one of 0, 3"),
        ("map", {"layer": "3", "unit": 6}, "unit: expected 0 to 5"),
        ("map", {"unit": 1}, "unit: expected a layer to it"),
        ("units", {"layer": "none", "count": 4}, "layer: expected one of 0, 3"),
        ("units", {"layer": "3", "count": 0}, "count: expected a whole number from 1"),
        ("units", {"layer": "3", "from": -1}, "from: expected a whole number from 0"),
        ("unit", {"layer": "3", "unit": 6}, "unit: expected 0 to 5, got 6"),
        ("methods", {"names": ["gradcma"]}, "names: expected one of"),
        ("methods", {"names": []}, "names: expected a list of names"),
        ("methods", {"names": "all"}, "names: expected a list of names"),
    ],
)
def test_mistakes_of_other_questions(
    kind: str, fields: dict[str, Any], said: str, here: Client, about: dict[str, Any]
) -> None:
    with here.work() as talk:
        assert talk.ask(kind, **fields, **about)["error"].startswith(said)


def test_more_windows_than_fit(here: Client, about: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfcuda.live.answers.map._MOST", 1000)
    with here.work() as talk:
        assert "stride: expected a larger one" in talk.ask("map", window=4, stride=1, **about)["error"]


def test_pictures_of_another_visitor_are_not_there(here: Client, about: dict[str, Any]) -> None:
    with here.work(BERT) as talk:
        assert talk.ask("look", **about)["error"].startswith("picture: there is none")
    with here.work(ANNA) as talk:
        assert "error" not in talk.ask("look", **about)


def test_a_network_that_cannot_be_loaded_says_why() -> None:
    class Broken(nn.Module):
        def forward(self, x):  # type: ignore[no-untyped-def]
            raise SystemExit("broken")

    with client(Broken()) as c, c.work() as talk:
        assert "broken" in talk.ask("look", picture=c.upload(PICTURE), network="small")["error"]
        assert "broken" in c.get("networks/small").json()["error"]


def test_what_zfcuda_patches_left_stands_beside_the_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    for i in range(4):
        small.drawing(i).save(folder / f"{i}.png")
    words = ["patches", folder, "--model", "tests.report.small:network", "--layer", "3", "--out", out, "--top", "2"]
    assert main([str(word) for word in (*words, "--size", "48", "--units", "all")]) == 0
    capsys.readouterr()
    patches = Patches(out)
    numbers = json.loads((out / "numbers.json").read_text())
    unit = numbers["layers"][0]["units"][1]
    with client(small.network(), patches=(patches,)) as c, c.work() as talk:
        found = talk.ask("unit", layer="3", unit=unit["unit"], picture=c.upload(PICTURE), network="small")["strongest"]
    assert [each["name"] for each in found["patches"]] == [each["name"] for each in unit["patches"]]
    assert found["pictures"] == 4 and decoded(found["image"]).width > 100
    with client(nn.Sequential(*small.network(), nn.Linear(3, 3)), patches=(patches,)) as c, c.work() as talk:
        other = talk.ask("unit", layer="3", unit=unit["unit"], picture=c.upload(PICTURE), network="small")
    assert other["strongest"] is None  # of other weights


def test_of_the_folder_only_what_it_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png(PICTURE))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1-conv-0.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "pictures" / "1-conv-1.png").write_text("no picture")
    (tmp_path / "pictures" / "1-conv-2.png").write_bytes(png(PICTURE))
    units = [{"unit": i, "patches": [{"name": "a", "value": 1.0}]} for i in range(4)]
    numbers = {
        "network": {"title": "x", "weights": {"sha256": "y"}},
        "pictures": {"seen": 3},
        "files": ["1-conv-0.png", "1-conv-1.png"],
        "layers": [{"layer": "conv", "units": units}, {"layer": "../secret", "units": units}],
    }
    (tmp_path / "numbers.json").write_text(json.dumps(numbers))
    patches = Patches(tmp_path)
    for layer, unit in [("conv", 0), ("conv", 1), ("conv", 2), ("conv", 3), ("../secret", 0)]:
        found = patches.of((layer,), unit)
        assert found is not None and found["image"] is None
    assert patches.of(("none",), 0) is None and patches.of(("conv",), 9) is None


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"network": 1}', '{"network": {"title": "x", "weights": {}}}'])
def test_a_folder_of_something_else_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "numbers.json").write_text(text)
    with pytest.raises(ValueError, match=r"^--patches .*numbers.json"):
        Patches(tmp_path)
    with pytest.raises(ValueError, match="no such file"):
        Patches(tmp_path / "none")


@pytest.mark.parametrize("seen", ["Infinity", "NaN"])
def test_patches_of_numbers_that_are_none_are_refused(tmp_path: Path, seen: str) -> None:
    network = '{"title": "t", "weights": {"sha256": "0"}}'
    text = f'{{"network": {network}, "pictures": {{"seen": {seen}}}, "files": [], "layers": []}}'
    (tmp_path / "numbers.json").write_text(text)
    with pytest.raises(ValueError, match="not what zfcuda patches writes"):
        Patches(tmp_path)


def test_patches_that_json_cannot_say_are_not_said(tmp_path: Path) -> None:
    units = '[{"unit": 0, "patches": [{"name": "a", "value": Infinity}]}]'
    text = '{"network": {"title": "t", "weights": {"sha256": "0"}}, "pictures": {"seen": 1}, "files": [], '
    (tmp_path / "numbers.json").write_text(f'{text}"layers": [{{"layer": "1", "units": {units}}}]}}')
    assert Patches(tmp_path).of(("1",), 0) is None
