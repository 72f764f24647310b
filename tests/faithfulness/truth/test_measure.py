"""What is measured of a drawn picture, and what the figures of several come to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from zfcuda.data import HELD_OUT_SEED, Parts
from zfcuda.faithfulness import pointing_game
from zfcuda.faithfulness.truth import DRAWS, RANDOM, Settings, figures, measure
from zfcuda.faithfulness.truth.paper import CONTRAST, contrast, overlaps, paper_questions
from zfcuda.methods import METHODS
from zfcuda.models import load_demo

PICTURES = 12  # one of every class


@pytest.fixture(scope="module")
def network() -> Any:
    return load_demo()


def test_explanations_of_the_demo_network_are_true(network: Any) -> None:
    """Over 200 pictures the figures are in docs/truth.md; a few pictures must not fall below the same bars."""
    parts, asked, right, control, hits = Parts(seed=HELD_OUT_SEED), [], [], [], []
    for index in range(PICTURES):
        picture = parts[index]
        image = network.preprocess(picture.image)
        blank = network.preprocess(parts.draw(index, part=False).image)
        with torch.inference_mode():
            guess = network(torch.cat([image, blank])).argmax(1).tolist()
        right.append(guess[0] == picture.label)
        control.append(guess[1] == picture.label)
        asked.append(paper_questions(network, image, picture))
        maps = METHODS["gradcam"].compute(network, image, [picture.label])
        hits.append(pointing_game(maps[0], picture.part_mask))
    assert sum(right) >= PICTURES - 1 and sum(control) <= 3  # two more than chance
    assert sum(each["occluder"] for each in asked) >= PICTURES - 1
    assert np.mean([each["occluder_at_random"] for each in asked]) <= 0.3
    assert sum(each["projection"] >= CONTRAST for each in asked) >= 0.8 * PICTURES
    assert sum(hits) >= 0.8 * PICTURES


def test_the_papers_measures_by_hand() -> None:
    part = np.zeros((6, 6), dtype=bool)
    part[2, 3] = True
    origins = np.stack(np.meshgrid([0, 2, 4], [0, 2, 4], indexing="ij"), axis=-1)
    # windows of 2: only the one from (2, 2) holds pixel (2, 3); of 3, cut off at the border: those from 0 and 2, and 2
    assert overlaps(part, origins, 2).tolist() == [[False] * 3, [False, True, False], [False] * 3]
    assert overlaps(part, origins, 3).tolist() == [[False, True, False]] * 2 + [[False] * 3]
    energy = np.where(part, 6.0, 2.0)
    assert contrast(energy, part) == 3.0
    assert contrast(part.astype(float), part) == float("inf")


def test_a_picture_measured(network: Any) -> None:
    settings = Settings(methods=("centre",), seed=5)
    record = measure(network, settings, 0)
    second = measure(network, settings, 1)
    assert second == measure(network, settings, 1) and "deletion" not in second["methods"]["centre"]
    centre, luck = record["methods"]["centre"], record["methods"][RANDOM]
    picture = Parts(5)[0]
    assert record["part"] == picture.part_mask.mean() < record["pointing_chance"] < 0.5
    map = METHODS["centre"].compute(network, network.preprocess(picture.image), [0])[0]
    assert centre["pointing"] == pointing_game(map, picture.part_mask)
    assert set(centre) == {"pointing", "energy", "pieces", "first", "deletion", "insertion", "layers"} == set(luck)
    assert list(centre["layers"]) == ["fc8", "fc7", "fc6", "conv5", "conv4", "conv3", "conv2", "conv1"]
    assert all(alike[:2] == [1.0, 1.0] for alike in centre["layers"].values())
    assert all(abs(each) < 0.05 for alike in luck["layers"].values() for each in alike)
    assert luck["energy"] == pytest.approx(record["part"], abs=0.01)
    assert luck["pointing"] * DRAWS == round(luck["pointing"] * DRAWS)


def test_random_maps_are_others_at_each_call_and_for_each_picture(network: Any) -> None:
    settings, image = Settings(methods=("centre",)), torch.zeros(1, 3, 224, 224)
    computes = [settings.computes(index)[RANDOM] for index in range(20)]
    peaks = [int(compute(network, image, [0]).argmax()) for _ in range(3) for compute in computes]
    assert len(set(peaks)) == 60
    again = settings.computes(3)[RANDOM]
    assert [int(again(network, image, [0]).argmax()) for _ in range(3)] == peaks[3::20]


def rows(pointing: list[bool], after: list[float]) -> list[dict[str, Any]]:
    """Records of planted figures."""
    return [
        {
            "picture": index,
            "right": True,
            "right_without": index == 0,
            "pointing_chance": 0.1,
            "part": 0.05,
            "paper": {"occluder": 1.0, "occluder_at_random": 0.2, "projection": 4.0, "projection_evenly": 1.0},
            "methods": {
                name: {"pointing": hit, "first": hit, "energy": 0.5, "pieces": 0.25}
                | ({"layers": {"b": [0.0, 0.9, 0.8], "a": [0.0, after[index], 0.1]}} if index < len(after) else {})
                for name in ("centre", RANDOM)
            },
        }
        for index, hit in enumerate(pointing)
    ]


def test_figures_of_records() -> None:
    found = figures(rows([True, True, True, False], [0.2, 0.4]))
    centre = found.methods["centre"]
    assert (centre["pointing"].value, centre["pointing"].pictures) == (0.75, 4)
    assert centre["pointing"].low < 0.75 < centre["pointing"].high
    assert "deletion" not in centre and centre["energy"].value == 0.5 == centre["energy"].low
    assert centre["after_top"].value == pytest.approx(0.9) and centre["after_all"].value == pytest.approx(0.3)
    assert centre["after_all"].pictures == 2 and centre["ssim_after_all"].value == pytest.approx(0.1)
    assert list(found.layers["centre"]) == ["b", "a"]
    assert found.network["accuracy"].value == 1 and found.network["accuracy_without"].value == 0.25
    assert found.paper["projection"].value == 1 and found.paper["projection_ratio"].value == 4
    assert found.plain()["methods"]["centre"]["pointing"]["value"] == 0.75
    with pytest.raises(ValueError, match="records: expected at least one"):
        figures([])


def test_the_figures_of_random_maps_are_means_over_the_draws_of_each_picture() -> None:
    records = rows([True, True], [])
    for record, share in zip(records, (0.25, 0.5), strict=True):
        record["methods"][RANDOM] |= {"pointing": share, "first": share}
    found = figures(records).methods
    assert found[RANDOM]["pointing"].value == found[RANDOM]["first"].value == 0.375
    assert found[RANDOM]["pointing"].low == 0.25 and found["centre"]["pointing"].value == 1


def test_settings_are_checked() -> None:
    assert Settings().methods == tuple(METHODS)
    with pytest.raises(ValueError, match=r"method: expected one of .*, got 'oclusion'; did you mean 'occlusion'"):
        Settings(methods=("oclusion",))
    with pytest.raises(ValueError, match="methods: expected at least one, got none"):
        Settings(methods=())
    with pytest.raises(ValueError, match="methods: expected each once, got centre, centre"):
        Settings(methods=("centre", "centre"))
    with pytest.raises(ValueError, match="seed: expected at least 0, got -1"):
        Settings(seed=-1)
