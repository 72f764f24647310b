"""The page from Python: of a model and of pictures that a program has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import nn

from zfcuda.data.folders import folder_source, is_folder
from zfcuda.data.pictures import PICTURES, Picture, as_picture
from zfcuda.inputs import integer
from zfcuda.method_names import chosen
from zfcuda.occlusion.output import Output
from zfcuda.report.checked import Checked
from zfcuda.report.cover import Paint
from zfcuda.report.explain import explain as explain_picture
from zfcuda.report.explanation import Explanation
from zfcuda.report.files import Folder
from zfcuda.report.occlusion_maps import OcclusionMaps
from zfcuda.report.prepare import Prepared, prepare
from zfcuda.report.reproduce import Asked
from zfcuda.report.source import source_of
from zfcuda.report.subject import subject_of
from zfcuda.report.written import written


def explain(
    model: nn.Module,
    pictures: Picture | Sequence[Picture],
    *,
    out: str | os.PathLike[str],
    target: str | int | None = None,
    classes: Sequence[str] | str | os.PathLike[str] | None = None,
    preprocess: Any = None,
    window: int = 32,
    stride: int = 8,
    layer: str | None = None,
    fill: Paint = "grey",
    output: Output | None = None,
    top: int = 4,
    methods: Sequence[str] | str | None = None,
    title: str | None = None,
    progress: bool = False,
) -> Path:
    """Explains what a network says about pictures, on one HTML page: what ``zfcuda explain`` writes, from Python.

    For each picture the page has the answer, the map of the evidence, what an occluder changes (Zeiler & Fergus,
    section 4.2, Fig. 7), and the strongest feature maps with their projections (section 2.1). What cannot be had of
    this network, is named on the page in its place.

    Args:
        model: any network [1,C,H,W] -> [1,classes] (another: see output) in any mode; it is run as in eval, where it
            is, and left as it was.
        pictures: one or several: a path, a PIL picture, or an array uint8 [H,W,C] or [H,W]; or a folder, of which all
            pictures are taken, those of the folders in it too, sorted by path. All are checked, then each is read anew
            for its part of the page, which takes half a MB of memory a picture of 224 x 224 until it is written.
        out: the folder for index.html, numbers.json and pictures/*.png. It is made where it is missing; an earlier
            report there is replaced, whole or not at all.
        target: the class to ask about, its name or its number; None: the most probable one of each picture.
        classes: the names of the classes in the order of the outputs, a text file with one on each line, or "imagenet"
            for its 1,000; None: `model.classes` where that is a list, else numbers.
        preprocess: how a picture becomes the network's image: a :class:`zfcuda.Preprocess`, a transform of torchvision
            or timm, timm's data config, or a function PIL picture -> Tensor [1,C,H,W] or [C,H,W]; None: what the model
            carries, `model.preprocess` for one, else ImageNet's usual, which the page then says was assumed.
        window, stride: side and step of the square that hides a part, in pixels of the picture as the network sees it.
        layer: the convolution whose strongest map is watched under the square, by its dotted name; None: the last one.
        fill: what the square is: "grey", the picture's "mean" colour, its "blur" or "noise" as in
            :func:`zfcuda.occlusion_map`; a colour: a number or three, red, green and blue, from 0 to 255.
        output: what makes scores of the model's answer, as in :func:`zfcuda.occlusion_map`; for a segmentation,
            zfcuda.occlusion.areas.
        top: how many maps of each layer are shown.
        methods: whose maps of the target are shown side by side: names as in zfcuda.methods.METHODS, or "all"; None:
            no others than the occlusion map.
        title: what to call the network; None: the name of its class.
        progress: show bars on stderr.

    Returns:
        The path of the page, out/index.html.

    Raises:
        TypeError, ValueError: naming the argument and its value, before any long work is done.
        KeyboardInterrupt: after Ctrl-C; what was done by then is in out/interrupted, as the message says.

    Example:
        zfcuda.explain(model, ["cat.jpg", "dog.jpg"], out="page", methods=["occlusion", "gradcam"])
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(out, str | os.PathLike):
        raise TypeError(f"out: expected the path of a folder, got {out!r:.200}")
    named = named_pictures(pictures)
    window, stride, top = integer("window", window), integer("stride", stride), integer("top", top)
    if top < 1:
        raise ValueError(f"top: expected at least 1, got {top}")
    names = chosen(methods)
    with Folder(out) as folder:
        subject = subject_of(model, classes=classes, preprocess=preprocess, title=title)
        maps = OcclusionMaps()

        def prepared(of: tuple[str, Picture]) -> Prepared:
            name, picture = of
            return prepare(
                subject,
                as_picture(picture),
                name,
                target=target,
                window=window,
                stride=stride,
                layer=layer,
                fill=fill,
                output=output,
                source=source_of(picture),
            )

        def explained(one: Prepared) -> Explanation:
            return explain_picture(one, top=top, methods=names, progress=progress, maps=maps)

        explanations = map(explained, Checked(named, prepared))
        return written(folder, explanations, len(named), Asked(out=os.fspath(out), more=_given(classes, preprocess)))


def _given(classes: Any, preprocess: Any) -> dict[str, str]:
    """What a page says of arguments that no text stands for."""
    of = {"classes": classes, "preprocess": preprocess}
    return {
        name: repr(os.fspath(value)) if isinstance(value, str | os.PathLike) else "...  # as it was given"
        for name, value in of.items()
        if value is not None
    }


def names_of(pictures: Sequence[Picture]) -> list[str]:
    """What to call each picture: its file's name, or the path where several share that; else its number, from 1 on."""
    paths = [_path(picture) for picture in pictures]
    short = ["" if path is None else Path(path).name for path in paths]
    return [
        f"picture {i + 1}" if path is None else name if short.count(name) == 1 else path
        for i, (path, name) in enumerate(zip(paths, short, strict=True))
    ]


def named_pictures(pictures: Picture | Sequence[Picture]) -> list[tuple[str, Picture]]:
    """The pictures, all of them where it is a folder, each with its name.

    Raises:
        TypeError, ValueError: there is none, or what is given is none.
    """
    if isinstance(pictures, str | os.PathLike) and is_folder(pictures):
        pictures = folder_source(Path(pictures)).pictures
    elif isinstance(pictures, PICTURES):
        pictures = [pictures]
    if not isinstance(pictures, Sequence):
        kind = type(pictures).__name__
        raise TypeError(
            f"pictures: expected a path, a PIL picture, an array uint8 [H,W,C] or a list of them, got {kind}"
        )
    if not pictures:
        raise ValueError("pictures: expected at least one, got none")
    return list(zip(names_of(pictures), pictures, strict=True))


def _path(picture: Picture) -> str | None:
    """The path of a picture's file; None: it is not known."""
    if isinstance(picture, Image.Image):
        return str(name) if (name := getattr(picture, "filename", "")) else None
    return os.fspath(picture) if isinstance(picture, str | os.PathLike) else None
