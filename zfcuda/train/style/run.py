"""One start of a style training: what is checked before any long work, where it goes on, and how it ends."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zfcuda.autograd import module_of
from zfcuda.complaint import one_line
from zfcuda.data.pictures import Picture
from zfcuda.data.preprocess import Preprocess
from zfcuda.synthesis.pixel_range import PixelRange
from zfcuda.synthesis.style_network.network import StyleNetwork
from zfcuda.train.caller import undisturbed
from zfcuda.train.generators import seed_generators
from zfcuda.train.loading import Samples, check_pictures, workers_for
from zfcuda.train.options import refuse_unknown
from zfcuda.train.order import Order
from zfcuda.train.run_folder import RunFolder
from zfcuda.train.style.loop import StyleLoop
from zfcuda.train.style.loss import LossNetwork
from zfcuda.train.style.options import OF_THE_START, StyleOptions
from zfcuda.train.style.pictures import Photographs, style_images, style_names
from zfcuda.train.style.state import StyleTraining
from zfcuda.train.views.resized_crops import ResizedCrops
from zfcuda.version import __version__

_SMALLEST = 0.25  # share of a picture's area that is looked at


def train_style(
    pictures: str | os.PathLike[str],
    styles: Sequence[Picture],
    out: str | os.PathLike[str],
    *,
    model: nn.Module,
    names: Sequence[str] | None = None,
    limits: Any = None,
    content_layer: str | None = None,
    style_layers: Sequence[str] | None = None,
    progress: bool = False,
    command: str = "",
    **options: Any,
) -> StyleNetwork:
    """Trains a network that draws any picture in a style, or goes on where the same call was broken off.

    What it draws is to have the layers of a picture in the content layer of a fixed network, and the Gram matrices of a
    style picture in the style layers: Johnson, Alahi & Fei-Fei 2016, with one network for several styles (Dumoulin,
    Shlens & Kudlur 2017).

    Args:
        pictures: a folder; all pictures in it and below it are trained on.
        styles: the style pictures: PIL pictures, paths or arrays uint8 [H,W,C].
        out: the run's folder: config.json, log.jsonl, checkpoints/, weights.safetensors and, at the end, result.json.
        model: the fixed network, in colours, on the device of the training.
        names: of the styles; None: those of the files.
        limits: what black and white are to it, as :meth:`zfcuda.synthesis.pixel_range.PixelRange.of` takes it.
        content_layer, style_layers: of the fixed network, maps before its first fully connected layer; None: see
            :func:`zfcuda.synthesis.style_choice.style_choice`.
        progress: shows a bar with the time left.
        command: what is written down as the command that made the weights.
        options: of :class:`StyleOptions`.

    Returns:
        the network, on the CPU. The generators of the program that calls it are left as they are.

    Raises:
        TypeError, ValueError: naming the option, or what is wrong with the pictures, the layers or the folder, before
            any work is done; NotFiniteError (a ValueError) where the loss of a step is not finite.
    """
    refuse_unknown(options, StyleOptions)
    inner = module_of(model)
    folder = RunFolder(Path(out))
    with undisturbed(), closing(folder):
        photographs = Photographs(pictures)
        if "batch" not in options:  # what usually holds is for more pictures than some have
            options["batch"] = min(StyleOptions.batch, len(photographs.names))
        chosen = StyleOptions(**options)
        order = Order(chosen.seed, len(photographs.names), chosen.batch)
        images = style_images(styles, chosen.style_size)
        seed_generators(chosen.seed)
        found = style_names(styles) if names is None else list(names)
        network = StyleNetwork(len(images), width=chosen.width, names=found)
        loss = LossNetwork(
            inner,
            PixelRange.of(inner, limits),
            images,
            content_layer=content_layer,
            style_layers=style_layers,
            size=chosen.size,
        )
        known = _identity(chosen, photographs, images, inner, loss, network)
        size = sum(each.numel() * each.element_size() for each in network.state_dict().values())
        here = {name: getattr(chosen, name) for name in OF_THE_START}
        here |= {"zfcuda": __version__, "torch": torch.__version__}
        folder.claim(known, bytes_needed=size * (3 * (chosen.keep + 1) + 2), changing=here)
        shown = one_line(os.fspath(folder.path))
        if folder.result() is not None:
            if not folder.weights.exists():
                raise ValueError(f"out: {shown}: the run is finished, but its {folder.weights.name} is gone")
            if progress:
                print(f"{shown}: this run is finished")
            return StyleNetwork.load(folder.weights)
        # Pillow scales; what the fixed network reads is made of the pixels later.
        samples = Samples(photographs, ResizedCrops(Preprocess(chosen.size, chosen.size), _SMALLEST, 0.0), chosen.seed)
        check_pictures(samples)
        if progress:
            print(_opening(network, loss, chosen, photographs.title, shown), flush=True)
        facts = {"command": command, **{name: known[name] for name in ("data", "layers")}}
        facts |= {name: value for name, value in dataclasses.asdict(chosen).items() if name not in OF_THE_START}
        training = StyleTraining(network, loss, chosen)
        loop = StyleLoop(training, order, samples, folder, facts, workers=workers_for(chosen.workers, 1), show=progress)
        loop.run()
        loop.write()  # a kill may have come between the last checkpoint and its weights
        last = (folder.rows() or [{}])[-1]
        folder.finish({"step": chosen.steps, **{name: last.get(name) for name in ("loss", "content", "style", "tv")}})
        return StyleNetwork.load(folder.weights)


def _identity(
    options: StyleOptions,
    photographs: Photographs,
    images: Sequence[Tensor],
    model: nn.Module,
    loss: LossNetwork,
    network: StyleNetwork,
) -> dict[str, Any]:
    """What a folder's config.json is compared with: a run goes on where all of it is equal."""
    chosen = {name: value for name, value in dataclasses.asdict(options).items() if name not in OF_THE_START}
    weights = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    count = sum(value.numel() for value in weights.values())
    return {
        "what": "style",
        **chosen,
        "data": {"title": photographs.title, "fingerprint": photographs.fingerprint},
        "styles": {name: _digest([image]) for name, image in zip(network.names, images, strict=True)},
        "layers": {"content": loss.content, "style": list(loss.styles)},
        "network": f"{len(weights)} tensors of {count:,} numbers ({_digest(list(weights.values()))})",
    }


def _digest(tensors: Sequence[Tensor]) -> str:
    known = hashlib.sha256()
    for each in tensors:
        known.update(f"{each.dtype} {list(each.shape)}".encode())
        known.update(each.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return known.hexdigest()[:16]


def _opening(network: StyleNetwork, loss: LossNetwork, options: StyleOptions, title: str, folder: str) -> str:
    """Three lines: the network, what it learns from, and what will be done."""
    count = sum(each.numel() for each in network.parameters())
    return "\n".join(
        [
            f"a style network of width {network.width:g}, {count:,} parameters, for {', '.join(network.names)}",
            f"{title}; content of {loss.content}, style of {', '.join(loss.styles)}",
            f"{options.steps:,} steps of {options.batch} pictures of {options.size} x {options.size} -> {folder}; "
            "Ctrl-C stops, the same command goes on",
        ]
    )
