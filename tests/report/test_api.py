"""The page from Python: any model, pictures of every kind, and what is refused before the work."""

from __future__ import annotations

import gc
import hashlib
import json
import re
import shlex
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tqdm import tqdm

import zfcuda
from tests.report.small import CLASSES, SIDE, drawing, network, preprocess
from zfcuda import cli
from zfcuda.report import Explanation, Prepared
from zfcuda.report.api import names_of

OPTIONS = {"window": 24, "stride": 24, "top": 1}


def numbers(page: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((page.parent / "numbers.json").read_text())
    return read


def test_pictures_of_every_kind(tmp_path: Path) -> None:
    drawing().save(tmp_path / "file.png")
    given = [tmp_path / "file.png", str(tmp_path / "file.png"), drawing(), np.asarray(drawing())]
    page = zfcuda.explain(
        network(), given, out=tmp_path / "out", preprocess=preprocess, classes=CLASSES, target="cat", **OPTIONS
    )
    assert page == tmp_path / "out" / "index.html"
    pictures = numbers(page)["pictures"]
    assert isinstance(pictures, list)
    path = str(tmp_path / "file.png")
    assert [picture["name"] for picture in pictures] == [path, path, "picture 3", "picture 4"]
    assert len({str(picture["occlusion"]["score"]) for picture in pictures}) == 1
    assert all(picture["target"]["name"] == "cat" for picture in pictures)
    alone = zfcuda.explain(network(), drawing(), out=tmp_path / "one", preprocess=preprocess, title="mine", **OPTIONS)
    assert "class 0" in alone.read_text() and numbers(alone)["network"] == "mine"
    assert numbers(page)["network"] == "Sequential"


def test_names_of_pictures() -> None:
    assert names_of(["a/x.png", Path("b/y.png")]) == ["x.png", "y.png"]
    assert names_of(["a/x.png", "b/x.png", drawing()]) == ["a/x.png", "b/x.png", "picture 3"]


def test_what_the_model_carries_is_taken_and_what_is_assumed_is_said(tmp_path: Path) -> None:
    model = network()
    page = zfcuda.explain(model, drawing(), out=tmp_path / "assumed", window=112, stride=112, top=1)
    known = numbers(page)["networks"][0]["preprocess"]
    assert isinstance(known, dict) and "assumed" in known["note"] and known["size"] == [224, 224]
    assert "assumed: the network does not say" in page.read_text()
    model.preprocess, model.classes = zfcuda.Preprocess(SIDE, SIDE), list(CLASSES)  # type: ignore[assignment]
    page = zfcuda.explain(model, drawing(), out=tmp_path / "own", **OPTIONS)
    assert "assumed" not in page.read_text() and numbers(page)["networks"][0]["preprocess"]["size"] == [SIDE, SIDE]  # type: ignore[index]
    assert {each["name"] for each in numbers(page)["pictures"][0]["classes"]} == set(CLASSES)  # type: ignore[index]


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        zfcuda.explain(model, drawing(), out=tmp_path, preprocess=preprocess, **OPTIONS)
    assert model.training and all(module.training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_the_command_and_the_call_write_the_same_page(tmp_path: Path) -> None:
    drawing().save(tmp_path / "picture.png")
    options = [str(tmp_path / "picture.png"), "--window", "64", "--stride", "80", "--top", "1", "--model", "demo"]
    options += ["--methods", "occlusion,centre"]
    assert cli.main(["explain", *options, "--out", str(tmp_path / "command")]) == 0
    one = json.loads((tmp_path / "command/numbers.json").read_text())
    demo, sizes = zfcuda.models.load_demo(), {"window": 64, "stride": 80, "top": 1, "methods": ["occlusion", "centre"]}
    page = zfcuda.explain(demo, tmp_path / "picture.png", out=tmp_path / "call", title=one["network"], **sizes)
    other = json.loads((page.parent / "numbers.json").read_text())
    for numbers in (one, other):
        of = numbers["pictures"][0]
        again = numbers.pop("reproduce")
        assert again["seed"] == {} and "zfcuda.explain(" in again["python"]
        assert of["source"] == {
            "path": str(tmp_path / "picture.png"),
            "bytes": (tmp_path / "picture.png").stat().st_size,
            "sha256": hashlib.sha256((tmp_path / "picture.png").read_bytes()).hexdigest(),
        }
        del numbers["made"], of["occlusion"]["seconds"], of["methods"][0]["seconds"], of["methods"][1]["seconds"]
    assert one == other


def test_what_the_page_says_of_itself_makes_it_again(tmp_path: Path) -> None:
    name = 'two words & "quotes".png'
    drawing().save(tmp_path / name)
    (tmp_path / "classes.txt").write_text("\n".join(f"class <{i}>" for i in range(12)), "utf-8")
    out = tmp_path / "page"
    typed = [
        str(tmp_path / name),
        "--window",
        "64",
        "--stride",
        "80",
        "--top",
        "1",
        "--model",
        "demo",
        "--fill",
        "noise",
    ]
    typed += ["--methods", "centre,smoothgrad", "--classes", str(tmp_path / "classes.txt"), "--target", "class <3>"]
    assert cli.main(["explain", *typed, "--out", str(out)]) == 0
    first = json.loads((out / "numbers.json").read_text())
    again = first["reproduce"]
    assert again["seed"] == {"noise of the square": 0, "smoothgrad": 0}
    assert shlex.split(again["command"]) == ["zfcuda", "explain", *typed, "--out", str(out)]
    (out / "index.html").unlink()
    exec(again["python"], {})
    second = json.loads((out / "numbers.json").read_text())
    for numbers in (first, second):
        of = numbers["pictures"][0]
        del numbers["made"], of["occlusion"]["seconds"], of["methods"][0]["seconds"], of["methods"][1]["seconds"]
        del numbers["reproduce"]["command"], numbers["reproduce"]["python"], numbers["networks"][0]["title"]
        del numbers["network"]
    assert first == second and (out / "index.html").exists()


def test_what_a_program_had_is_said_to_be_so(tmp_path: Path) -> None:
    page = zfcuda.explain(network(), drawing(), out=tmp_path, preprocess=preprocess, classes=CLASSES, **OPTIONS)
    again = numbers(page)["reproduce"]
    assert again["command"] is None and numbers(page)["pictures"][0]["source"] is None  # type: ignore[index]
    assert "model = ...  # Sequential, with weights of the SHA-256 " in again["python"]  # type: ignore[index]
    assert "    preprocess=...,  # as it was given\n" in again["python"]  # type: ignore[index]
    compile(again["python"], "page", "exec")  # type: ignore[index]
    assert "made by a program" in page.read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": 3}, "model: expected a torch.nn.Module, got int"),
        ({"pictures": []}, "pictures: expected at least one, got none"),
        (
            {"pictures": 3},
            "pictures: expected a path, a PIL picture, an array uint8 [H,W,C] or a list of them, got int",
        ),
        ({"pictures": [3.5]}, "picture: expected a PIL picture, a path or an array uint8 [H,W,C], got float"),
        ({"out": None}, "out: expected the path of a folder, got None"),
        ({"top": 0}, "top: expected at least 1, got 0"),
        ({"methods": "occlusion,centr"}, "methods: expected one of centre, "),
        ({"methods": ["oclusion"]}, "got 'oclusion'; did you mean 'occlusion'?"),
        ({"methods": []}, "methods: expected names of methods or 'all', got []"),
        ({"methods": 3}, "methods: expected names of methods or 'all', got 3"),
        ({"window": 2.5}, "window: expected an integer, got 2.5"),
        ({"window": 99}, "window: expected 1 to 48 pixels"),
        ({"target": 2.5}, "target: expected an integer, got 2.5"),
        ({"target": "zebra"}, "no class 'zebra'"),
        ({"classes": ["a"]}, "classes: expected 3 names"),
        ({"classes": 7}, "classes: expected a list of names, a text file of them or 'imagenet', got 7"),
        ({"preprocess": 7}, "preprocess: expected a zfcuda.Preprocess"),
    ],
)
def test_mistakes_are_named_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object], message: str
) -> None:
    monkeypatch.setattr("zfcuda.report.api.explain_picture", lambda *_, **__: pytest.fail("the long work began"))
    arguments = {"model": network(), "pictures": drawing(), "preprocess": preprocess, "classes": CLASSES} | options
    arguments = {"out": tmp_path / "out"} | arguments
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        zfcuda.explain(**arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_ctrl_c_keeps_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zfcuda.report.api as module

    real, calls = module.explain_picture, []

    def pressed(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "explain_picture", pressed)
    with pytest.raises(KeyboardInterrupt, match=r"1 of 2 pictures are in .*interrupted"):
        zfcuda.explain(network(), [drawing(), drawing(1)], out=tmp_path, preprocess=preprocess, **OPTIONS)
    assert (tmp_path / "interrupted" / "index.html").exists() and not (tmp_path / "index.html").exists()
    files = numbers(tmp_path / "interrupted" / "index.html")["files"]
    assert sorted(path.name for path in (tmp_path / "interrupted/pictures").iterdir()) == files
    assert not (tmp_path / "pictures").exists() and not list(tmp_path.rglob(".draft*"))


def test_a_picture_is_let_go_before_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zfcuda.report.api as module

    real_prepare, real_explain = module.prepare, module.explain_picture
    there: list[weakref.ref[torch.Tensor]] = []
    calls: list[str] = []

    def nothing_left() -> None:
        gc.collect()  # what lies in a circle goes then
        assert all(one() is None for one in there)

    def prepared(*arguments: Any, **options: Any) -> Prepared:
        nothing_left()
        calls.append("prepared")
        one = real_prepare(*arguments, **options)
        if len(calls) > 1:  # the first one is kept for its turn, which comes next
            there.extend(map(weakref.ref, (one.image, one.pixels, *(layer.activity for layer in one.layers))))
        return one

    def explained(one: Prepared, **options: Any) -> Explanation:
        calls.append("explained")
        e = real_explain(one, **options)
        activities = [unit.activity for layer in e.layers for unit in layer.units]
        there.extend(map(weakref.ref, (e.pixels, e.logits, *activities)))
        return e

    monkeypatch.setattr(module, "prepare", prepared)
    monkeypatch.setattr(module, "explain_picture", explained)
    pictures = []
    for i in range(3):
        pictures.append(tmp_path / f"{i}.png")
        drawing(i).save(pictures[-1])
    zfcuda.explain(network(), pictures, out=tmp_path / "out", preprocess=preprocess, **OPTIONS)
    nothing_left()
    assert calls == ["prepared"] * 3 + ["explained", *["prepared", "explained"] * 2]


def test_a_picture_that_cannot_be_read_is_named_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing().save(tmp_path / "0.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes()[:-40])
    monkeypatch.setattr("zfcuda.report.api.explain_picture", lambda *_, **__: pytest.fail("the long work began"))
    with pytest.raises(ValueError, match=r"1\.png: damaged or truncated"):
        zfcuda.explain(network(), tmp_path, out=tmp_path / "out", preprocess=preprocess, **OPTIONS)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), torch.OutOfMemoryError("CUDA out of memory")], ids=["key", "memory"]
)
@pytest.mark.parametrize("where", ["zfcuda.report.projected.projections", "zfcuda.occlusion.dispatch.prepare"])
def test_no_error_stands_behind_a_bar(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
    error: BaseException,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(where, fail)
    with pytest.raises(type(error)):
        zfcuda.explain(network(), drawing(), out=tmp_path, preprocess=preprocess, progress=True, **OPTIONS)
    printed = capsys.readouterr().err
    assert printed and printed.endswith(("\r", "\n")) and not list(tqdm._instances)  # type: ignore[attr-defined]
