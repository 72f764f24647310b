"""The numbers behind a report: what one network answers to one picture, and why."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from zfcuda.backward.deconvnet import projections
from zfcuda.complaint import naming, one_line
from zfcuda.inputs import probabilities
from zfcuda.network import Network, receptive_field, trace
from zfcuda.network.example import image_dtypes, takes
from zfcuda.occlusion import OcclusionMap, occlusion_map
from zfcuda.report.layers import ConvLayer, chosen, conv_layers
from zfcuda.report.subject import Subject

Rectangle = tuple[int, int, int, int]  # top, left, bottom, right in pixels; bottom and right are exclusive


@dataclass(frozen=True)
class Unit:
    """The strongest place of one feature map.

    Attributes:
        number: which map of the layer.
        value: its activation there.
        position: (y, x) on the map.
        activity: [h,w] the whole map.
        projection: [3,H,W] the activation projected back to the pixels by the deconvnet.
        field: the pixels that the unit at this position can see; None: not known.
    """

    number: int
    value: float
    position: tuple[int, int]
    activity: Tensor
    projection: Tensor
    field: Rectangle | None


@dataclass(frozen=True)
class Layer:
    """The strongest units of one convolution layer, strongest first; none where nothing in it is positive.

    field_size: rows and columns that a unit sees; None: not known.
    """

    name: str
    maps: int
    size: tuple[int, int]
    field_size: tuple[int, int] | None
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class Prepared:
    """A picture that passed every check, and the network's answer to it: what the long work starts from."""

    subject: Subject
    name: str
    image: Tensor  # [1,3,H,W] on the network's device
    pixels: Tensor  # [3,H,W] in 0..1
    grey: Tensor  # [3,H,W] the network's values of middle grey
    logits: Tensor  # [classes]
    target: int
    chosen_target: bool  # the user named it
    layers: list[ConvLayer]
    followed: ConvLayer  # whose strongest map is watched under the occluder
    window: int
    stride: int
    truth: Tensor | None  # bool [H,W]


@dataclass(frozen=True)
class Explanation:
    """All that the page says about one picture.

    Attributes:
        name: what to call the picture.
        pixels: [3,H,W] in 0..1, the picture as the network sees it (cropped, resized).
        class_names: the names of the classes by index.
        probabilities: [classes] for the whole picture.
        target: the class that the occlusion panels are about; `chosen_target`: the user asked for it.
        layers: in forward order; `all_layers`: how many convolution layers there are in all.
        followed: the unit watched under the occluder, `followed_layer` its layer; None where that layer is silent.
        occlusion: the map; its activity is that of `followed`.
        window, stride: side and step of the occluder, in pixels of the picture as the network sees it.
        truth: bool [H,W], the part that truly decides, where that is known.
        seconds: how long the occlusion map took.
        filters: [N,C,kh,kw] the weights of the first convolution.
    """

    name: str
    pixels: Tensor
    class_names: tuple[str, ...]
    probabilities: Tensor
    target: int
    chosen_target: bool
    layers: tuple[Layer, ...]
    all_layers: int
    followed: Unit | None
    followed_layer: str
    occlusion: OcclusionMap
    window: int
    stride: int
    truth: Tensor | None
    seconds: float
    filters: Tensor

    def label_name(self, label: int) -> str:
        """The name of an entry of the occlusion map's labels; of a network of one output, 1 is its class, 0 is not."""
        if len(self.class_names) > 1:
            return self.class_names[label]
        return self.class_names[0] if label else f"not {self.class_names[0]}"

    @property
    def target_label(self) -> int:
        """The target as an entry of the occlusion map's labels."""
        return self.target if len(self.class_names) > 1 else 1

    @property
    def worst(self) -> tuple[int, int]:
        """(row, column) of the occluder position where the target is least probable."""
        grid = torch.nan_to_num(self.occlusion.probability, nan=torch.inf)
        row, column = divmod(int(grid.argmin()), grid.shape[1])
        return row, column

    def occluder(self, row: int, column: int) -> Rectangle:
        """The pixels covered at a position; the last positions are cut off at the border."""
        y, x = (int(v) for v in self.occlusion.origins[row, column])
        high, wide = self.pixels.shape[-2:]
        return y, x, min(y + self.window, high), min(x + self.window, wide)


def prepare(
    subject: Subject,
    picture: Image.Image,
    name: str,
    *,
    target: str | int | None = None,
    window: int = 32,
    stride: int = 8,
    layer: str | None = None,
    truth: Tensor | None = None,
) -> Prepared:
    """Runs the network once and checks everything that could stop the long work.

    Args:
        subject: the network.
        picture: RGB.
        name: what to call the picture.
        target: class name or index; None: the most probable class.
        window, stride: side and step of the square occluder, in pixels as the network sees them.
        layer: the convolution whose strongest map is followed under the occluder; None: the last one.
        truth: bool [H,W] in the network's pixels, drawn as an outline.

    Raises:
        ValueError: naming the argument and what would be right.
    """
    device = next((p.device for p in subject.model.parameters()), torch.device("cpu"))
    image, pixels, grey = (value.to(device) for value in subject.view(picture))
    dtypes = image_dtypes(subject.model)
    if image.dtype not in dtypes and not takes(subject.model, image):
        image, grey = image.to(dtypes[0]), grey.to(dtypes[0])
    high, wide = image.shape[-2:]
    if not 1 <= window <= min(high, wide):
        raise ValueError(
            f"window: expected 1 to {min(high, wide)} pixels, since the network sees {name} as {wide} x {high}, "
            f"got {window}"
        )
    if stride < 1:
        raise ValueError(f"stride: expected at least 1, got {stride}")
    layers, logits = _first_run(subject, image)
    if not layers:
        raise ValueError(f"{subject.title} has no convolution layer")
    if not torch.isfinite(logits).all():
        raise ValueError(f"{subject.title} answers {name} with numbers that are not finite: are the weights damaged?")
    followed = layers[-1]
    if layer is not None:
        match = [each for each in layers if layer in (each.name, each.output)]
        if not match:
            names = ", ".join(each.name for each in layers)
            raise ValueError(f"layer: expected a convolution layer, one of {names}, got {layer!r}")
        followed = match[0]
    if target is None:
        index = int(logits.argmax())
    else:
        index = subject.class_index(target) if isinstance(target, str) else target
        if not 0 <= index < len(logits):
            raise ValueError(f"target: expected a class from 0 to {len(logits) - 1}, got {target}")
    if subject.classes and len(subject.classes) != len(logits):
        raise ValueError(
            f"classes: expected {len(logits)} names, one for each output of the network, got {len(subject.classes)}"
        )
    return Prepared(
        subject,
        name,
        image,
        pixels.cpu(),
        grey,
        logits,
        index,
        target is not None,
        layers,
        followed,
        window,
        stride,
        truth,
    )


def explain(prepared: Prepared, *, top: int = 4, progress: bool = False) -> Explanation:
    """The long work on one picture: projections of the strongest maps, and the occlusion map.

    Args:
        prepared: from :func:`prepare`.
        top: how many maps of each layer.
        progress: show bars on stderr.
    """
    from tqdm import tqdm

    p = prepared
    shown = chosen(p.layers)
    if p.followed not in shown:
        shown = [layer for layer in p.layers if layer in shown or layer is p.followed]
    bar = tqdm(shown, desc=f"{one_line(p.name)}: projections", unit="layer", disable=not progress, leave=False)
    network = trace(p.subject.model, p.image)
    layers = tuple(_layer(p, network, layer, top) for layer in bar)
    followed = next(layer for layer in layers if layer.name == p.followed.name)
    unit = followed.units[0] if followed.units else None

    start = time.perf_counter()
    flat = p.grey.flatten(1)
    fill = flat[:, 0].tolist() if torch.equal(flat, flat[:, :1].expand_as(flat)) else p.grey
    occlusion = occlusion_map(
        p.subject.model,
        p.image,
        window=p.window,
        stride=p.stride,
        fill=fill,
        target=p.target,
        layer=p.followed.output,
        unit=0 if unit is None else unit.number,
        progress=progress,
    )
    seconds = time.perf_counter() - start
    weight = p.subject.model.get_submodule(p.layers[0].name).weight
    assert isinstance(weight, Tensor)
    return Explanation(
        name=p.name,
        pixels=p.pixels,
        class_names=tuple(p.subject.class_name(i) for i in range(len(p.logits))),
        probabilities=probabilities(p.logits[None])[0],
        target=p.target,
        chosen_target=p.chosen_target,
        layers=layers,
        all_layers=len(p.layers),
        followed=unit,
        followed_layer=p.followed.name,
        occlusion=occlusion,
        window=p.window,
        stride=p.stride,
        truth=p.truth,
        seconds=seconds,
        filters=_in_colour(p.subject, weight.detach().float().cpu()),
    )


def _first_run(subject: Subject, image: Tensor) -> tuple[list[ConvLayer], Tensor]:
    shape = ",".join(map(str, image.shape))
    with naming(f"{subject.title} cannot take its picture, a tensor [{shape}]"):
        return conv_layers(subject.model, image)


def _in_colour(subject: Subject, filters: Tensor) -> Tensor:
    return subject.in_colour(filters) if filters.shape[1] == 3 else filters


def _layer(p: Prepared, network: Network, layer: ConvLayer, top: int) -> Layer:
    maps, high, wide = layer.activity.shape
    # Projecting silence shows nothing.
    projected = projections(network, p.image, layer.output, top=min(top, maps), positive=True, own=layer.activity[None])
    field = receptive_field(network, layer.output, tuple(p.image.shape[-3:]))
    signals = p.subject.in_colour(projected.images.float().cpu())
    assert projected.positions is not None  # a convolution gives maps
    listed = zip(projected.units.tolist(), projected.values.tolist(), projected.positions.tolist(), strict=True)
    units = [
        Unit(
            number,
            value,
            (y, x),
            layer.activity[number].clone(),
            signal,
            None if field is None else field.rectangle(y, x),
        )
        for (number, value, (y, x)), signal in zip(listed, signals, strict=True)
    ]
    return Layer(layer.name, maps, (high, wide), None if field is None else field.size, tuple(units))
