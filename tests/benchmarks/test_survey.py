"""The trials of networks that others wrote: what is wrong is told, and what came is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import zfcuda
from benchmarks import networks
from benchmarks.survey import document, running, subjects, trial
from benchmarks.zoo import picture, randomise
from benchmarks.zoo.families import FAMILIES, SIDE


def of(network: nn.Module) -> trial.Subject:
    image = picture(SIDE)
    with torch.inference_mode():
        logits = network(image)[0]
    return trial.Subject(network, image, logits.clone())


# ---------------------------------------------------------------- trials


def off(function: object, by: float) -> object:
    def run(*args: object, method: str, **kwargs: object) -> zfcuda.OcclusionMap:
        result = function(*args, method=method, **kwargs)  # type: ignore[operator]
        if method == "incremental":
            result.logits[0, 1, 2] += by * result.logits.std()
        return result

    return run


def test_a_wrong_logit_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = of(FAMILIES["repvgg"]())
    right = trial.followed(subject)
    assert right.holds and right.text.endswith("of the tolerance")
    monkeypatch.setattr(zfcuda, "occlusion_map", off(zfcuda.occlusion_map, 1e-3))
    with pytest.raises(trial.WrongError, match=r"a logit is .* times the tolerance off"):
        trial.followed(subject)


def test_what_float32_rounds_off_is_told_from_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that multiplies rounding; in float64 the engine gives brute force's answer."""
    many = [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()) for _ in range(60)]
    deep = nn.Sequential(nn.Conv2d(3, 8, 3, 2), *many, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    torch.manual_seed(0)
    randomise(deep, images=torch.cat([picture(SIDE, seed) for seed in range(8)]))
    subject = of(deep)
    told = trial.followed(subject)
    assert told.holds and "of the tolerance in float64; in float32 rounding puts brute force" in told.text
    monkeypatch.setattr(trial, "_in_float64", lambda *_: (9.0, 2.0))
    monkeypatch.setattr(zfcuda, "occlusion_map", off(zfcuda.occlusion_map, 1e-2))
    try:
        assert trial.followed(subject).holds is False
    except trial.WrongError as error:
        assert "2 in float64" in str(error)


class Blind(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) * 0 + 1


def test_a_network_that_sees_nothing_compares_nothing() -> None:
    with pytest.raises(trial.WrongError, match="most windows change nothing"):
        trial.followed(of(nn.Sequential(nn.Conv2d(3, 4, 3), Blind())))


def test_a_wrong_table_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = of(FAMILIES["vit"]())
    assert trial.summarised(subject).holds
    count = trial.counted(subject)
    monkeypatch.setattr(trial, "counted", lambda _: count + 1)
    with pytest.raises(trial.WrongError, match=r"multiply-adds, torch counts"):
        trial.summarised(subject)


def test_torch_counts_attention_that_it_would_fuse() -> None:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            words = x[..., :8].flatten(1, 2)
            return self.attention(words, words, words, need_weights=False)[0].mean(1)

    words, maps = 3 * SIDE, 8
    assert trial.counted(of(Layer().eval())) == 4 * words * maps**2 + 2 * words**2 * maps


def test_a_projection_that_leaves_its_field_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = of(FAMILIES["resnext"]())
    assert trial.projected(subject) == (True, "first, middle, last")
    monkeypatch.setattr(zfcuda, "project", lambda _, image, *__: torch.ones_like(image))
    with pytest.raises(trial.WrongError, match="leaves its receptive field"):
        trial.projected(subject)


def test_refusals_in_a_few_words() -> None:
    said = "layer: 'a' cannot be projected, because {} lies between it and the pixels"
    assert trial.in_a_few_words(said.format("layer 'b.c' (ReLU6)")) == "ReLU6 (b.c)"
    assert trial.in_a_few_words(said.format("Tensor.sigmoid in layer 'gate'")) == "Tensor.sigmoid (gate)"
    assert trial.in_a_few_words(said.format("sub in the model's forward")) == "sub (in its forward)"
    assert trial.in_a_few_words("something else") == "something else"


# ---------------------------------------------------------------- running, in processes of their own


def short(owner: str, name: str) -> Iterator[tuple[str, trial.Cell]]:
    """A trial that needs no network."""
    yield "followed", trial.Cell(True, f"{owner}'s")
    if name == "endless":
        time.sleep(60)
    if name == "killed":
        os._exit(3)
    if name == "wrong":
        raise trial.WrongError("no good")
    yield "projected", trial.Cell(False, "refused")


def test_what_came_is_kept_and_a_broken_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "out" / "kept.json"
    kept = running.Kept(path, resume=True)
    running.run(short, ["a/good", "a/wrong", "b/killed"], kept, 2)
    again = running.Kept(path, resume=True)
    assert again.results == kept.results
    cells = {"followed": (True, "a's"), "projected": (False, "refused")}
    assert again.results["a/good"].cells == cells and again.results["a/good"].ended == ""
    assert again.results["a/wrong"].ended == "WrongError: no good"
    assert again.results["b/killed"].ended == "its process ended with 3"
    assert again.results["b/killed"].cells == {"followed": (True, "b's")}
    again.results["a/good"].seconds = 77.0
    running.run(short, ["a/good", "b/more"], again, 1)
    assert again.results["a/good"].seconds == 77.0 and again.results["b/more"].ended == ""
    assert not running.Kept(path, resume=False).results


def test_a_network_that_takes_too_long() -> None:
    result = running.alone(short, "a", "endless", seconds=3.0)
    assert result.ended == running.OUT_OF_TIME and "projected" not in result.cells


# ---------------------------------------------------------------- the document


def test_the_document() -> None:
    """docs/networks.md names every network that is tried, and its shares are those of its rows."""
    lines = (networks.ROOT / "docs" / "networks.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| `")]
    for owner in ("torchvision", "timm"):
        those = {row[0].strip("`").removeprefix(f"{owner}/"): row for row in rows if row[0].startswith(f"`{owner}/")}
        assert those and (owner != "timm" or list(those) == list(subjects.TIMM))
        headline = next(line for line in lines if line.startswith(f"| {owner} |")).split("|")[2:-1]
        assert headline[0].strip() == str(len(those))
        for share, column in zip(headline[1:], range(3, 7), strict=True):
            yes = sum(row[column].startswith("yes") for row in those.values())
            assert share.split("%")[0].strip() == f"{100 * yes / len(those):.0f}"


def test_shares_and_refusals_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subjects, "version_of", lambda package: "1.0")

    def result(projected: tuple[bool | None, str]) -> running.Result:
        return running.Result(
            {"parameters": (True, "1.0 M"), "side": (True, "96"), "followed": (True, "0.1"), "projected": projected}
        )

    results = {
        "timm/a": result((True, "first, middle, last")),
        "timm/b": result((False, "first; not middle, last: ReLU6 (bn.act)")),
        "timm/c": running.Result({}, "out of time"),
    }
    whole = document.whole(results, ("network",))
    assert "| timm | 3 | 67 % (2) | 33 % (1) | 0 % (0) | 0 % (0) |" in whole
    assert "ReLU6 (1)" in whole
    assert "| `timm/c` | ? | ? | **failed**: out of time |" in whole
    assert document.failures(results)[0].startswith("timm/b: first; not middle")
