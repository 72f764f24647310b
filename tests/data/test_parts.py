"""Parts: reproducible, balanced, and told apart by the defining part alone."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zfcuda.data import Parts, PartsDataset, Preprocess


def digest(parts: Parts, count: int) -> str:
    """A checksum of the first pictures, their masks and labels."""
    state = hashlib.sha256()
    for picture in itertools.islice(parts, count):
        state.update(picture.image.tobytes() + picture.object_mask.tobytes() + picture.part_mask.tobytes())
        state.update(bytes([picture.label]))
    return state.hexdigest()


def test_a_picture_is_always_the_same() -> None:
    parts = Parts(seed=4, size=96)
    first = digest(parts, 6)
    assert digest(parts, 6) == first  # drawing leaves nothing behind
    parts[17]
    assert digest(Parts(seed=4, size=96), 6) == first
    assert digest(Parts(seed=5, size=96), 6) != first


def test_a_picture_is_the_same_in_another_process() -> None:
    code = "from tests.data.test_parts import Parts, digest; print(digest(Parts(4, 64), 4))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert out.stdout.strip() == digest(Parts(4, 64), 4)


def test_the_scene_of_a_picture_stays_what_it_was() -> None:
    """The first doubles of a stream, which NumPy promises to keep: a change here redraws every picture there is."""
    from zfcuda.data.dice import Dice

    dice = Dice(1, 0, 2)
    assert [round(dice.unit(), 12) for _ in range(2)] == [0.931832944362, 0.022958114066]
    assert [Parts(1).label(i) for i in range(12)] == [9, 0, 6, 10, 8, 4, 1, 5, 7, 3, 2, 11]


def test_what_a_picture_says_of_itself() -> None:
    parts = Parts(seed=2)
    for i in range(40):
        picture = parts[i]
        assert picture.index == i
        assert picture.image.size == (224, 224) and picture.image.mode == "RGB"
        assert picture.class_name == parts.classes[picture.label]
        assert picture.label == parts.label(i)
        for mask in (picture.object_mask, picture.part_mask):
            assert mask.shape == (224, 224) and mask.dtype == np.bool_
        assert not (picture.part_mask & ~picture.object_mask).any()


def test_the_defining_part_covers_2_to_8_percent_and_is_never_cut() -> None:
    parts = Parts(seed=6, size=112)
    shares: dict[str, list[float]] = {name: [] for name in parts.classes}
    for picture in itertools.islice(parts, 360):
        mask = picture.part_mask
        shares[picture.class_name].append(float(mask.mean()))
        assert not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
    everything = list(itertools.chain.from_iterable(shares.values()))
    assert min(everything) >= 0.02 and max(everything) <= 0.08
    means = [float(np.mean(values)) for values in shares.values()]
    assert max(means) / min(means) < 1.25  # its size does not tell the class


@pytest.mark.parametrize("size", [64, 224])
def test_without_the_part_nothing_else_changes(size: int) -> None:
    parts = Parts(seed=8, size=size)
    for i in range(24):
        whole, without = parts[i], parts.draw(i, part=False)
        changed = (np.asarray(whole.image) != np.asarray(without.image)).any(axis=2)
        assert not (changed & ~whole.part_mask).any()
        assert changed[whole.part_mask].mean() > 0.85
        assert not without.part_mask.any() and without.label == whole.label
        assert not (without.object_mask & ~whole.object_mask).any()
        assert not ((whole.object_mask ^ without.object_mask) & ~whole.part_mask).any()


def test_a_piece_is_left_out_and_all_others_stay() -> None:
    parts = Parts(seed=12, size=112)
    named: set[str] = set()
    for i in range(8):
        whole, names = parts[i], parts.pieces(i)
        assert len(set(names)) == len(names) and {"stand", "body", "face", "clutter 1"} <= set(names)
        named |= set(names)
        pixels = np.asarray(whole.image)
        changed = {}
        for name in names:
            without = parts.draw(i, without=[name])
            changed[name] = (np.asarray(without.image) != pixels).any(axis=2)
            assert without.label == whole.label and (without.part_mask == whole.part_mask).all()
            # The defining part lies above all others, which shine through where its rim is finer than a pixel.
            assert changed[name][whole.part_mask].mean() < 0.3
        assert 0 < changed["face"].mean() < changed["body"].mean() < 0.6
        assert not changed["face"][~whole.object_mask].any()
        both = (np.asarray(parts.draw(i, without=["face", "clutter 1"]).image) != pixels).any(axis=2)
        assert (both == changed["face"] | changed["clutter 1"]).all()
        bare = parts.draw(i, part=False, without=names)
        assert not bare.object_mask.any()
        assert parts.draw(i).image.tobytes() == whole.image.tobytes()
    assert {"shadow", "tail", "crest", "mast", "left arm", "right arm", "belly trinket", "blade 1"} <= named


def test_nothing_but_the_part_depends_on_the_class() -> None:
    """Every class is drawn into the same scene, so no statistic of anything else can tell one from another."""
    parts = Parts(seed=9, size=96)
    for i in range(6):
        bare = parts.draw(i, part=False)
        images = []
        for label in range(len(parts.classes)):
            assert parts.draw(i, label=label, part=False).image.tobytes() == bare.image.tobytes()
            picture = parts.draw(i, label=label)
            assert picture.label == label
            images.append(picture.image.tobytes())
            outside = ~picture.part_mask
            assert (np.asarray(picture.image)[outside] == np.asarray(bare.image)[outside]).all()
        assert len(set(images)) == len(parts.classes)


def test_labels_are_balanced_and_not_in_a_fixed_order() -> None:
    parts = Parts(seed=3)
    n = len(parts.classes)
    assert n >= 10 and len(set(parts.classes)) == n
    labels = [parts.label(i) for i in range(20 * n)]
    blocks = [labels[k : k + n] for k in range(0, len(labels), n)]
    assert all(sorted(block) == list(range(n)) for block in blocks)
    assert len(set(map(tuple, blocks))) == len(blocks)


def test_the_scenes_vary() -> None:
    pictures = [Parts(seed=11, size=64)[i] for i in range(60)]
    sizes = [picture.object_mask.mean() for picture in pictures]
    centres = np.array([np.argwhere(picture.part_mask).mean(axis=0) for picture in pictures]) / 64
    light = [np.asarray(picture.image).mean() for picture in pictures]
    assert max(sizes) / min(sizes) > 1.8
    assert (centres.std(axis=0) > 0.1).all()
    assert np.std(light) > 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Parts(seed=-1), "seed: expected at least 0, got -1"),
        (lambda: Parts(size=20), "size: expected 32 to 2048 pixels, got 20"),
        (lambda: Parts(size=4000), "size: expected 32 to 2048 pixels, got 4000"),
        (lambda: Parts()[-1], "index: expected at least 0, got -1"),
        (lambda: Parts().label(-2), "index: expected at least 0, got -2"),
        (lambda: Parts().draw(0, label=99), "label: expected 0 to 11, got 99"),
        (lambda: Parts().draw(0, label=-1), "label: expected 0 to 11, got -1"),
        (lambda: Parts().draw(0, without=["hat"]), "without: picture 0 has no 'hat'; it has clutter 1, "),
        (lambda: Parts().pieces(-1), "index: expected at least 0, got -1"),
        (lambda: PartsDataset(-3), "count: expected at least 0, got -3"),
    ],
)
def test_bad_arguments_are_named(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_one_name_is_no_list_of_them() -> None:
    with pytest.raises(TypeError, match="without: expected a list of names, got 'face'"):
        Parts().draw(0, without="face")


def test_dataset_feeds_a_loader() -> None:
    data = PartsDataset(8, seed=1, size=64)
    images, labels = next(iter(torch.utils.data.DataLoader(data, batch_size=8)))
    assert images.shape == (8, 3, 64, 64) and images.dtype == torch.float32
    assert labels.tolist() == [Parts(1).label(i) for i in range(8)]
    assert len(data) == 8
    with pytest.raises(IndexError):
        data[8]


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
@pytest.mark.parametrize("size", [(224, 224), (300, 500), (640, 200), (50, 60), (1, 1)])
def test_preprocess_takes_any_picture(mode: str, size: tuple[int, int]) -> None:
    tensor = Preprocess.parts()(Image.new(mode, size))
    assert tensor.shape == (1, 3, 224, 224) and tensor.dtype == torch.float32


def test_preprocess_scales_the_short_side_and_crops_the_centre() -> None:
    picture = Image.new("RGB", (448, 224), (255, 0, 0))
    picture.paste((0, 255, 0), (112, 0, 336, 224))  # the central square
    colours = np.asarray(Preprocess.parts().crop(picture)).reshape(-1, 3)
    assert (colours == (0, 255, 0)).all()


def test_preprocess_makes_the_mean_colour_0_and_can_be_undone() -> None:
    preprocess = Preprocess.parts(8)
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(preprocess.restored(preprocess.normalized(pixels)), pixels)
    grey = preprocess.restored(torch.zeros(1, 3, 1, 1)).flatten().tolist()
    assert grey == [round(255 * mean) for mean in preprocess.mean]


def test_points_lie_on_what_they_are_named_after() -> None:
    """Where a piece is left out, the picture changes at its points; the body's edge may cover none of them."""
    parts = Parts(seed=8, size=112)
    seen: set[str] = set()
    for index in range(40):
        picture, points = parts[index], parts.points(index)
        seen |= set(points)
        assert np.array_equal(parts[index].image, picture.image)  # asking for points draws nothing
        y, x = (round(value) for value in points["defining part"])
        window = picture.part_mask[y - 4 : y + 5, x - 4 : x + 5]
        assert window.any()
        for piece, name in (("face", "eye"), ("stand", "foot"), ("crest", "ear"), ("face", "mouth")):
            if piece in parts.pieces(index):
                without = parts.draw(index, without=[piece])
                changed = (np.asarray(picture.image) != np.asarray(without.image)).any(axis=2)
                for at in (value for point, value in points.items() if point.endswith(name)):
                    y, x = (round(value) for value in at)
                    assert changed[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].any(), (index, name, at)
    assert seen == {
        *(f"{side} {name}" for side in ("left", "right") for name in ("eye", "ear", "hand", "foot")),
        *("middle eye", "mouth", "body", "defining part"),
    }


def test_points_of_pairs_are_left_and_right_as_one_sees_them() -> None:
    """A turn of at most 24 degrees swaps no pair, and mirroring swaps none either."""
    for index in range(60):
        points = Parts(seed=8, size=64).points(index)
        for name in ("eye", "ear", "hand", "foot"):
            if f"left {name}" in points and f"right {name}" in points:
                assert points[f"left {name}"][1] < points[f"right {name}"][1]


def test_points_scale_with_the_picture() -> None:
    small, large = Parts(seed=8, size=112).points(3), Parts(seed=8, size=224).points(3)
    for name in small.keys() & large.keys():
        assert np.allclose(2 * np.array(small[name]), large[name], atol=3)  # the margin is of pixels, whatever the size


def test_points_that_something_covers_are_left_out() -> None:
    parts = Parts(seed=8, size=112)
    for index in range(30):
        mask = parts[index].part_mask
        for name, (y, x) in parts.points(index).items():
            assert name == "defining part" or not mask[round(y), round(x)]
    with pytest.raises(ValueError, match="index: expected at least 0, got -1"):
        parts.points(-1)


def test_these_pictures_stay_what_they_were() -> None:
    """Another throw of the dice anywhere would redraw them; versions of Pillow differ by less."""
    means = [float(np.asarray(Parts(1, 96)[index].image).mean()) for index in range(4)]
    assert means == pytest.approx([167.2, 137.3, 101.3, 126.9], abs=0.5)
