"""The report: its numbers, its pictures, its page in a browser, and what happens to the files."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from tests.report.small import CLASSES, SIDE, drawing, explained, network, preprocess, subject
from zfcuda.data.preprocessing import assumed
from zfcuda.files import drafts as drafts_module
from zfcuda.report import Explanation, Folder, Subject, prepare
from zfcuda.report import files as files_module
from zfcuda.report.files import free_stem
from zfcuda.report.layers import chosen, conv_layers
from zfcuda.report.numbers import numbers_of
from zfcuda.report.panels import draw
from zfcuda.report.record import weights_checksum
from zfcuda.report.subject import read_classes

ODD_NAME = "<img src=x onerror=alert(1)> \"quoted' ünï 猫.png"


@pytest.fixture(scope="module")
def two() -> list[Explanation]:
    truth = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    truth[10:20, 12:30] = True
    of = subject()
    return [explained(ODD_NAME, of=of, truth=truth), explained("two.png", 1, of=of, target="cat")]


@pytest.fixture(scope="module")
def written(two: list[Explanation], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    with Folder(folder) as report:
        assert report.write(two) == folder / "index.html"
    return folder


# ---------------------------------------------------------------- the numbers


def test_explanation_says_what_the_network_says(two: list[Explanation]) -> None:
    e = two[0]
    image = preprocess(drawing())
    with torch.no_grad():
        logits = network()(image)[0]
    assert torch.allclose(e.probabilities, logits.softmax(0), atol=1e-6)
    assert e.target == int(logits.argmax()) and not e.chosen_target
    assert two[1].target == 0 and two[1].chosen_target
    rows, columns = e.occlusion.probability.shape
    assert (rows, columns) == (5, 5) == tuple(e.occlusion.label.shape)
    assert e.occlusion.probability[e.occlusion.worst] == e.occlusion.probability.min()
    top, left, bottom, right = e.occlusion.rectangle(*e.occlusion.worst)
    assert (bottom - top, right - left) == (16, 16)


def test_units_are_the_strongest_maps(two: list[Explanation]) -> None:
    e = two[0]
    model, image = network(), preprocess(drawing())
    with torch.no_grad():
        maps = functional.relu(model[3](model[2](model[1](model[0](image)))))[0]
    layer = e.layers[1]
    assert layer.name == "3" and layer.maps == 6 and layer.size == tuple(maps.shape[1:])
    peaks = maps.flatten(1).max(1).values
    assert [unit.number for unit in layer.units] == peaks.argsort(descending=True)[:3].tolist()
    for unit in layer.units:
        assert unit.value == pytest.approx(float(maps[unit.number][unit.position]), rel=1e-5)
        assert torch.allclose(unit.activity, maps[unit.number], atol=1e-6)
        outside = unit.projection.clone()
        assert unit.field is not None
        top, left, bottom, right = unit.field
        outside[:, top:bottom, left:right] = 0
        assert unit.projection.any() and not outside.any(), "a projection reaches no further than the receptive field"
    assert e.followed is layer.units[0] and e.followed_layer == "3"


def test_activity_is_that_of_the_followed_map(two: list[Explanation]) -> None:
    e = two[0]
    row, column = 1, 2
    top, left, bottom, right = e.occlusion.rectangle(row, column)
    view, _, grey = subject().view(drawing())
    view[0, :, top:bottom, left:right] = grey[:, top:bottom, left:right]
    model = network()
    with torch.no_grad():
        maps = model[4](model[3](model[2](model[1](model[0](view)))))
        logits = model[5:](maps)
    assert e.followed is not None and e.occlusion.activity is not None
    assert float(e.occlusion.activity[row, column]) == pytest.approx(float(maps[0, e.followed.number].sum()), rel=1e-4)
    assert float(e.occlusion.probability[row, column]) == pytest.approx(float(logits.softmax(1)[0, e.target]), abs=1e-5)


def test_view_finds_the_way_back_to_pixels() -> None:
    image, pixels, grey = subject().view(drawing())
    back = (pixels * 255).round().byte().permute(1, 2, 0).numpy()
    assert (back == torch.tensor(list(drawing().tobytes())).view(SIDE, SIDE, 3).numpy()).all()
    assert grey[:, 0, 0].tolist() == pytest.approx([0.0, 0.4, 0.8], abs=1e-5)
    assert image.shape == (1, 3, SIDE, SIDE)


@pytest.mark.parametrize("size", [(1, 1), (5000, 2), (640, 480), (224, 224)])
def test_what_is_assumed_takes_pictures_of_any_size(size: tuple[int, int]) -> None:
    image = assumed(nn.Identity())(Image.new("RGB", size, (124, 116, 104)))
    assert image.shape == (1, 3, 224, 224) and image.abs().max() < 0.02  # ImageNet's mean colour becomes zero


def test_the_users_network_is_left_as_it_was() -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explained(of=subject(model))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


# ---------------------------------------------------------------- the layers


class Block(nn.Module):
    """One ReLU module used twice, a functional one, and an in-place one behind batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.c, self.d = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.shared, self.norm, self.own = nn.ReLU(), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.unused = nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared(self.b(self.shared(self.a(x))))
        x = functional.relu(self.c(x))
        return self.own(self.norm(self.d(x))).mean((2, 3))


def test_activity_is_rectified_only_where_that_is_sure() -> None:
    layers, logits = conv_layers(Block().eval(), torch.rand(1, 3, 8, 8))
    assert [(layer.name, layer.output) for layer in layers] == [("a", "a"), ("b", "b"), ("c", "c"), ("d", "own")]
    assert (layers[3].activity >= 0).all() and (layers[0].activity < 0).any()
    assert logits.shape == (4,)


def test_an_in_place_relu_does_not_spoil_the_convolution() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    model(torch.rand(1, 3, 8, 8))
    layers, _ = conv_layers(model.eval(), torch.rand(1, 3, 8, 8))
    assert [(layer.name, layer.output) for layer in layers] == [("0", "1")]


def test_deep_networks_show_some_layers_evenly() -> None:
    layers = list(range(20))
    assert chosen(layers, 5) == [0, 5, 10, 14, 19]  # type: ignore[arg-type, comparison-overlap]
    assert chosen(layers[:8]) == layers[:8]  # type: ignore[arg-type, comparison-overlap]


def test_a_deep_network_still_follows_the_chosen_layer() -> None:
    torch.manual_seed(0)
    body = [m for i in range(11) for m in (nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())]
    model = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)).eval()
    e = explained(of=subject(model), layer="4", window=24, stride=24)
    assert e.followed_layer == "4" and "4" in [layer.name for layer in e.layers]
    assert e.all_layers == 11 and len(e.layers) == 9


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": SIDE + 1}, "window: expected 1 to 48 pixels, since the network sees one.png as 48 x 48, got 49"),
        ({"window": 0}, "window: expected 1 to 48 pixels, since the network sees one.png as 48 x 48, got 0"),
        ({"stride": 0}, "stride: expected at least 1, got 0"),
        ({"layer": "conv9"}, "layer: expected a convolution layer, one of 0, 3, got 'conv9'"),
        ({"target": 3}, "target: expected a class from 0 to 2, got 3"),
        ({"target": "17"}, "target: expected a class from 0 to 2, got 17"),
        ({"target": "doc <b>"}, "no class 'doc <b>'; did you mean dog <b>&"),
        ({"target": "zzzzzz"}, "no class 'zzzzzz'; there are cat, dog <b>&, Ärmel"),
    ],
)
def test_what_cannot_work_is_refused_before_the_work(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message).replace("\\ ", " ")):
        prepare(subject(), drawing(), "one.png", **options)  # type: ignore[arg-type]


def test_unfit_networks_are_refused() -> None:
    broken = network()
    nn.init.constant_(broken[0].weight, float("nan"))
    with pytest.raises(ValueError, match="not finite: are the weights damaged"):
        prepare(subject(broken), drawing(), "one.png", window=8)
    with pytest.raises(ValueError, match="classes: expected 5 names, one for each output of the network, got 3"):
        prepare(subject(network(5)), drawing(), "one.png", window=8)


def test_class_names() -> None:
    named = subject()
    assert named.class_index("cat") == 0 and named.class_index("CAT") == 0 and named.class_index("ärmel") == 2
    assert named.class_name(2) == "Ärmel" and named.class_name(7) == "class 7"
    assert subject(classes=("1", "0")).class_index("0") == 1, "a name goes before a number"
    with pytest.raises(ValueError, match="without names"):
        subject(classes=()).class_index("cat")


def test_files_of_class_names(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes("\ufeffcat\r\ndog\n\n".encode())
    assert read_classes(path) == ["cat", "dog"]
    for content, message in (
        (b"", "holds no class names"),
        (b"a\n\nb", "line 2 is empty"),
        (b"\xff\xfe", "not a text file"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_classes(path)
    with pytest.raises(ValueError, match="no such file"):
        read_classes(tmp_path / "none.txt")


# ---------------------------------------------------------------- the files


def test_numbers_are_plain_json(written: Path, two: list[Explanation]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    numbers = json.loads((written / "numbers.json").read_text(), parse_constant=refuse)
    first = numbers["pictures"][0]
    assert first["name"] == ODD_NAME and first["size"] == [SIDE, SIDE]
    assert first["classes"][0]["probability"] == pytest.approx(float(two[0].probabilities.max()), rel=1e-4)
    assert len(first["occlusion"]["probability"]) == first["occlusion"]["rows"] == 5
    assert 0 <= first["occlusion"]["worst"]["part_covered"] <= 1
    assert "part_covered" not in numbers["pictures"][1]["occlusion"]["worst"]
    assert [layer["name"] for layer in first["layers"]] == ["0", "3"]


def test_numbers_hold_enough_to_draw_the_page_again(written: Path, two: list[Explanation]) -> None:
    numbers = json.loads((written / "numbers.json").read_text())
    assert set(numbers["versions"]) == {"zfcuda", "torch", "python"}
    (of,) = numbers["networks"]
    assert (of["title"], of["device"]) == ("a test <network>", "cpu")
    model = network()
    assert of["weights"] == {
        "parameters": sum(p.numel() for p in model.parameters()),
        "sha256": weights_checksum(model),
    }
    assert of["preprocess"]["settings"] == "not known"
    for e, picture in zip(two, numbers["pictures"], strict=True):
        o, kept = e.occlusion, picture["occlusion"]
        grid = torch.tensor(kept["score"]), torch.tensor(kept["log_odds"]), torch.tensor(kept["probability"])
        torch.testing.assert_close(grid[0], o.score, rtol=5e-6, atol=0)
        torch.testing.assert_close(grid[1], o.log_odds, rtol=5e-6, atol=0)
        torch.testing.assert_close(grid[1].sigmoid(), grid[2], rtol=1e-4, atol=1e-5)
        assert picture["target"]["score"] == pytest.approx(float(o.base_score), rel=5e-6)
        assert picture["target"]["log_odds"] == pytest.approx(float(o.base_log_odds), rel=5e-6)
        assert picture["target"]["probability"] == pytest.approx(float(o.base_probability), rel=5e-5)
        assert kept["fill"]["colour"] == [128, 128, 128]
        assert kept["fill"]["values"] == pytest.approx([0.0, 0.4, 0.8], abs=1e-5)
        assert {kept["names"][str(label)] for row in kept["label"] for label in row} <= set(CLASSES)
        assert kept["normalization"] == "softmax"
    assert numbers["pictures"][0]["arguments"] == {
        "window": 16,
        "stride": 8,
        "top": 3,
        "layer": "3",
        "target": None,
        "fill": "grey",
        "output": None,
        "methods": None,
    }
    assert numbers["pictures"][1]["arguments"]["target"] == 0


def test_the_checksum_is_of_names_kinds_shapes_and_values() -> None:
    model = network()
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} torch.float32 {list(value.shape)}\n".encode() + value.numpy().tobytes())
    assert weights_checksum(model) == digest.hexdigest()
    assert weights_checksum(model.to(memory_format=torch.channels_last)) == digest.hexdigest()
    changed = {weights_checksum(network(4)), weights_checksum(network().bfloat16()), weights_checksum(network()[:5])}
    with torch.no_grad():
        model[0].bias[3] += 1e-6  # type: ignore[index, union-attr]
    assert len({*changed, weights_checksum(model), digest.hexdigest()}) == 5


def test_the_evidence_goes_with_the_probability(two: list[Explanation]) -> None:
    for e in two:
        panels = draw(e).evidence
        assert list(panels) == ["log_odds", "score", "probability"]
        for of, one in panels.items():
            assert (
                0
                < one.limit
                <= float(getattr(e.occlusion, f"base_{of}") - getattr(e.occlusion, of).min())
                + max(0.0, float(getattr(e.occlusion, of).max() - getattr(e.occlusion, f"base_{of}")))
            )
        odds, probability = (e.occlusion.heatmap(of=of) for of in ("log_odds", "probability"))
        clear = probability.abs() > 1e-3
        assert clear.any() and (odds.sign() == probability.sign())[clear].float().mean() > 0.99


def test_every_picture_is_a_png(written: Path) -> None:
    listed = json.loads((written / "numbers.json").read_text())["files"]
    assert sorted(p.name for p in (written / "pictures").iterdir()) == listed
    assert {"two-evidence.png", "two-evidence-score.png", "two-evidence-probability.png"} <= set(listed)
    assert {"filters.png", "two-occluded.png", "two-probability.png", "two-labels.png", "two-0.png"} <= set(listed)
    for name in listed:
        with Image.open(written / "pictures" / name) as picture:
            picture.load()
            assert picture.format == "PNG"


def test_a_report_of_two_networks_says_what_is_of_which(tmp_path: Path) -> None:
    of, other = subject(), replace(subject(), title="another")
    shown = [explained("one.png", of=of), explained("two.png", of=of), explained("three.png", of=other)]
    with Folder(tmp_path) as report:
        html = report.write(shown).read_text("utf-8")
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert [each["title"] for each in numbers["networks"]] == ["a test <network>", "another"]
    assert [each["network"] for each in numbers["pictures"]] == [0, 0, 1]
    assert (tmp_path / "pictures" / "filters.png").exists() and (tmp_path / "pictures" / "filters-2.png").exists()
    places = [html.index(words) for words in ("a test &lt;network&gt;", 'id="picture-0"', "another", 'id="picture-2"')]
    assert places == sorted(places) and html.count("First-layer filters") == 2


def stems(names: list[str]) -> list[str]:
    """Of pictures that come one after the other."""
    found: list[str] = []
    for name in names:
        found.append(free_stem(name, {stem.casefold() for stem in found}))
    return found


def test_file_names_are_plain_and_never_meet() -> None:
    assert stems(["a.png", "a.jpg", "A.gif", "x/a.png"]) == ["a", "a-2", "A-3", "a-4"]
    assert stems(["../../etc/passwd", "猫.png", "...", ODD_NAME])[:3] == ["passwd", "picture", "picture-2"]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", stem) for stem in stems([ODD_NAME, "\udcff.png", "a\nb.png"]))


def test_pictures_of_one_name_do_not_overwrite_each_other(two: list[Explanation], tmp_path: Path) -> None:
    with Folder(tmp_path / "out") as report:
        report.write([two[1], two[1]])
    assert (tmp_path / "out/pictures/two-picture.png").exists() and (
        tmp_path / "out/pictures/two-2-picture.png"
    ).exists()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_failed_run_leaves_the_earlier_results(
    two: list[Explanation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Folder(tmp_path) as report:
        report.write(two[:1])
    before = snapshot(tmp_path)

    with pytest.raises(KeyboardInterrupt), Folder(tmp_path):
        raise KeyboardInterrupt
    assert snapshot(tmp_path) == before

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files_module, "page", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), Folder(tmp_path) as report:
        report.write(two)
    assert snapshot(tmp_path) == before
    monkeypatch.undo()
    monkeypatch.setattr(drafts_module.os, "replace", full)
    with (
        pytest.raises(ValueError, match="cannot be written to \\(No space left on device\\)"),
        Folder(tmp_path) as report,
    ):
        report.write(two)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("refused", ["streamed", "replace"])
def test_a_disk_that_is_full_at_the_last_file_leaves_the_earlier_report(
    two: list[Explanation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    with Folder(tmp_path) as report:
        report.write(two[:1])
        assert report.page == tmp_path / "index.html"
    before = snapshot(tmp_path)
    where = files_module if refused == "streamed" else drafts_module.os
    real = getattr(where, refused)

    def full(first: Path, second: Path | Iterator[str]) -> None:
        second = second if isinstance(second, Path) else [*second]
        if second.name == "index.html" if isinstance(second, Path) else "<!doctype html>" in second[0]:
            raise OSError(28, "No space left on device")
        real(first, second)

    monkeypatch.setattr(where, refused, full)
    with pytest.raises(ValueError, match="No space left on device"), Folder(tmp_path) as report:
        report.write(two[1:])
    assert report.page is None and snapshot(tmp_path) == before and not list(tmp_path.glob(".draft*"))


def test_a_new_report_removes_only_the_pictures_of_the_old_one(two: list[Explanation], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with Folder(tmp_path) as report:
        report.write(two)
    (tmp_path / "pictures/mine.png").write_text("keep")
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    numbers["files"] += ["../mine.txt", "/etc/passwd", 3]
    (tmp_path / "numbers.json").write_text(json.dumps(numbers))
    with Folder(tmp_path) as report:
        report.write(two[1:])
    names = {p.name for p in (tmp_path / "pictures").iterdir()}
    assert "mine.png" in names and "two-picture.png" in names and not any(n.startswith("img") for n in names)
    assert (tmp_path / "mine.txt").read_text() == "keep"
    assert not list(tmp_path.glob(".draft*"))


def test_a_folder_that_cannot_be_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "deeper", tmp_path / "nul\0"):
        with (
            pytest.raises(ValueError, match=r"cannot be written to|expected a folder, got what is no folder"),
            Folder(path),
        ):
            pass
    with pytest.raises(KeyboardInterrupt), Folder(tmp_path / "a" / "b"):
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# ---------------------------------------------------------------- the page


def test_page_is_self_contained_and_escaped(written: Path) -> None:
    html = (written / "index.html").read_text("utf-8")
    assert (
        not re.search(r'(src|href|action|srcset)="(?!data:|#)', html) and "url(" not in html and "@import" not in html
    )
    assert "<img src=x" not in html and "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "dog &lt;b&gt;&amp;" in html and "<b>&" not in re.sub(r"<script.*?</script>", "", html, flags=re.S)
    images = re.findall(r"<img [^>]*>", html)
    assert len(images) > 20 and all(re.search(r'alt="[^"]*"', image) for image in images)
    assert len(html) < 500_000
    assert html.count("<section data-occlusion>") == 2
    for letter in "abcde":
        assert f'<span class="letter">{letter}</span>' in html


def test_the_browser_runs_the_page_s_own_script_and_nothing_else(written: Path) -> None:
    html = (written / "index.html").read_text("utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)
    assert "unsafe" not in policy and policy.startswith("default-src 'none'; img-src data: blob:; ")
    (script,), (style,) = (
        re.findall(r"<script>(.*?)</script>", html, re.S),
        re.findall(r"<style>(.*?)</style>", html, re.S),
    )
    for kind, text in ("script", script), ("style", style):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    plain = re.sub(r'<(script|style).*?</\1>|"[^"]*"', "", html, flags=re.S)
    assert not re.search(r"<[^>]* (style|on[a-z]+)=", plain)
    blocks = re.findall(r'<script type="application/json" id="[\w-]+">(.*?)</script>', html, re.S)
    assert len(blocks) == 3 and not any("<" in block for block in blocks)
    assert json.loads(blocks[0])["names"] and ODD_NAME in html.replace("&lt;", "<").replace("&gt;", ">").replace(
        "&quot;", '"'
    ).replace("&#x27;", "'")


def test_the_summary_stands_before_every_section(written: Path) -> None:
    html = (written / "index.html").read_text("utf-8")
    summary = html[: html.index("<article")]
    assert summary.count("<li>") == 2 and summary.count("<img ") == 4  # the picture and its evidence, of each
    assert 'href="#picture-1"' in summary and "and cat falls to" in summary


def test_nothing_is_on_the_page_twice(written: Path) -> None:
    html = (written / "index.html").read_text("utf-8")
    long = re.findall(r"[A-Za-z0-9+/=]{400,}", html[html.index("<article") :])
    assert len(long) > 10 and len(set(long)) == len(long)


def test_a_silent_network_is_explained_as_such(tmp_path: Path) -> None:
    model = network()
    for layer in (model[0], model[3]):
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, -1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # it is the page that says it
        e = explained(of=subject(model))
    assert e.followed is None and all(not layer.units for layer in e.layers)
    with Folder(tmp_path) as report:
        html = report.write([e]).read_text("utf-8")
    assert "Nothing in 3 is active for this picture" in html and html.count("Nothing in it is active") == 2
    assert "No square of this size changes anything" in html


def test_what_units_see_is_said_to_be_unknown_where_it_is(two: list[Explanation], tmp_path: Path) -> None:
    layer = two[0].layers[1]
    units = tuple(replace(unit, field=None) for unit in layer.units)
    e = replace(two[0], layers=(two[0].layers[0], replace(layer, field_size=None, units=units)))
    with Folder(tmp_path) as report:
        html = report.write([e]).read_text("utf-8")
    assert html.count("how much of the picture a unit sees is not known") == 1 and html.count("each unit sees 5") == 1
    assert "The whole picture: it is not known what part of it" in html
    shown = numbers_of(e)["layers"][1]
    assert shown["receptive_field"] is None and {unit["rectangle"] for unit in shown["units"]} == {None}


def test_one_output_and_one_channel(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 1)).eval()
    grey = Subject(model, lambda picture: preprocess(picture)[:, :1], (), "grey")
    e = explained(of=grey)
    assert float(e.probabilities[0]) == pytest.approx(model(preprocess(drawing())[:, :1]).sigmoid().item(), abs=1e-6)
    with Folder(tmp_path) as report:
        assert "The network gives <b>class 0</b> a probability of" in report.write([e]).read_text("utf-8")
