"""A folder of coloured pictures, and a network whose answers are known: the brightest of red, green and blue."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from torch import nn

from zfcuda import Preprocess
from zfcuda.data.collection import Collection
from zfcuda.live.label.task import Task, task
from zfcuda.report import Subject

CLASSES = ["apple", "leaf", "sky"]
# In the folder of a class: the colour of each picture. The network takes a red leaf for an apple, green sky for a leaf.
COLOURS = {
    "apple": ["#c00000", "#a01010"],
    "leaf": ["#00c000", "#c02010"],
    "sky": ["#0000c0", "#10b020"],
}
SAYS = {"#c00000": 0, "#a01010": 0, "#00c000": 1, "#c02010": 0, "#0000c0": 2, "#10b020": 1}


def pictures(folder: Path) -> Path:
    """Six pictures, whose names tell their class, and so does what is written in them."""
    for name, colours in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for index, colour in enumerate(colours):
            picture = Image.new("RGB", (12, 10), colour)
            exif = picture.getexif()
            exif[270] = f"secret {name}"
            picture.save(folder / name / f"secret-{name}-{index}.jpg", exif=exif, comment=f"secret {name}", quality=100)
    return folder


def subject() -> Subject:
    """The network, which takes pictures of 8 x 8."""
    preprocess = Preprocess(size=8, short_side=8, mean=(0, 0, 0), std=(0.1, 0.1, 0.1))
    return Subject(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), preprocess, CLASSES, "brightest")


def asked(folder: Path, **settings: object) -> Task:
    """All pictures of the folder, as the network sees them."""
    found = Collection.of(folder, preprocess=subject().preprocess)
    return task(found, None, **{"view": "network", **settings})


def network_says(task: Task) -> list[int]:
    """The class that the network has to answer, by position."""
    colours = [colour for name in CLASSES for colour in COLOURS[name]]
    names = [f"{name}/secret-{name}-{i}.jpg" for name in CLASSES for i in range(2)]
    by_name = dict(zip(names, colours, strict=True))
    return [SAYS[by_name[name]] for name in task.pictures.names]
