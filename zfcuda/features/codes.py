"""The code of each picture: what a layer gives for it, as one row of numbers."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from zfcuda import render
from zfcuda.complaint import one_line
from zfcuda.data.collection import Pictures
from zfcuda.features.loading import Skipped
from zfcuda.features.stream import Stream
from zfcuda.features.writable import checked_place
from zfcuda.files.drafts import whole
from zfcuda.files.regular import refusal
from zfcuda.files.tensors import save_tensors
from zfcuda.sheets.numbered import Bar
from zfcuda.shown import Display, Displayed, View

_MARK = "zfcuda.codes"
_OTHER = "whose code has another length than that of the first"
_DRAWN, _WIDE = 128, 256  # codes in their picture, and numbers of each
_AT_ONCE = 256  # rows that are copied together


@dataclass(frozen=True, repr=False)
class Codes(Displayed):
    """The codes of pictures.

    Attributes:
        values: float32 [N,D] on the CPU, a row for each picture that could be used, maps flattened channel by channel.
        labels: int64 [N], the class of each; None where the pictures have none.
        names: what the pictures are called, N of them.
        classes: the names of the classes by label; empty where they are unknown.
        layer: the layer that they are of.
        relu: whether negative values were replaced by zero.
        skipped: the pictures that could not be used, each with .index, .name and .reason; not saved.
    """

    values: Tensor
    labels: Tensor | None
    names: list[str]
    classes: list[str] = field(default_factory=list)
    layer: str = ""
    relu: bool = True
    skipped: list[Skipped] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        count, width = self.values.shape
        rectified = ", after the ReLU" if self.relu else ""
        classes = f"; {len(self.classes):,} classes" if self.classes else ""
        out = f"; {len(self.skipped):,} left out" if self.skipped else ""
        first = f": {one_line(self.names[0])}{', ...' if count > 1 else ''}" if count else ""
        return f"Codes of {self.layer!r}{rectified}: {count:,} pictures x {width:,} numbers{classes}{out}{first}"

    def display(self) -> Display:
        """How large the numbers are: a row for each of the first pictures, neighbouring numbers drawn as one."""
        count, width = self.values.shape
        facts = [
            ("layer", f"{self.layer}{', after the ReLU' if self.relu else ''}"),
            ("codes", f"{count:,} x {width:,}"),
        ]
        if not count or not width:
            return Display("Codes", facts)
        zero = float((self.values == 0).float().mean())
        facts += [("zero", f"{100 * zero:.3g} % of the numbers")]
        facts += [("classes", ", ".join(self.classes))] if self.classes else []
        facts += [("left out", f"{len(self.skipped):,} pictures")] if self.skipped else []
        rows = F.adaptive_max_pool1d(self.values[:_DRAWN].float(), min(width, _WIDE))
        low, high = render.value_range(rows)
        bar = Bar("viridis", f"{low:.3g}", f"{high:.3g}")
        said = f"a row for each of the first {len(rows)} pictures" if len(rows) < count else "a row for each picture"
        return Display("Codes", facts, [View(render.enlarged(render.heatmap(rows), 2), said, bar, sheet=True)], 1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes all but what was skipped into a safetensors file, whole or not at all.

        The file has the tensors "values" and, where there are any, "labels", and in its metadata the rest, as JSON.

        Raises:
            ValueError: the path does not end in .safetensors, or the disk refuses; what was there stays.
        """
        path = checked_path(path)
        tensors = {"values": self.values.contiguous()}
        if self.labels is not None:
            tensors["labels"] = self.labels.contiguous()
        known = {name: getattr(self, name) for name in ("names", "classes", "layer", "relu")}
        metadata = {"is": _MARK} | {name: json.dumps(value) for name, value in known.items()}
        try:
            with whole(path) as [draft]:
                save_tensors(tensors, draft, metadata)
        except (OSError, SafetensorError) as error:
            said = getattr(error, "strerror", None) or error
            raise ValueError(f"path: {_shown(path)}: cannot be written ({said})") from None

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Codes:
        """Reads what :meth:`save` wrote; nothing in the file is executed.

        Raises:
            ValueError: it cannot be read, or holds something else.
        """
        why = refusal(path)
        if why is None:
            try:
                with safe_open(path, framework="pt") as file:
                    known = file.metadata() or {}
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            except Exception as error:  # a damaged file
                why = f"no safetensors file, or a damaged one ({one_line(str(error))})"
            else:
                found = _found(known, tensors)
                if found is not None:
                    return found
                why = "not codes that zfcuda saved"
        raise ValueError(f"path: {_shown(path)}: {why}")


def _found(known: Mapping[str, str], tensors: Mapping[str, Tensor]) -> Codes | None:
    """What a file holds; None where it is something else."""
    values, labels = tensors.get("values"), tensors.get("labels")
    if known.get("is") != _MARK or values is None or values.dim() != 2 or values.dtype != torch.float32:
        return None
    try:
        rest = {name: json.loads(known[name]) for name in ("names", "classes", "layer", "relu")}
    except (KeyError, ValueError):
        return None
    lists = all(isinstance(rest[name], list) for name in ("names", "classes"))
    if not lists or len(rest["names"]) != len(values) or (labels is not None and labels.shape != values.shape[:1]):
        return None
    return Codes(values, labels, **rest)


def codes(
    model: nn.Module,
    pictures: Pictures,
    layer: str,
    *,
    relu: bool = True,
    preprocess: Any = None,
    state: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Codes:
    """The code of each picture: what a layer gives for it, flattened (the course notes' CNN codes), in one pass.

    In memory there are the codes and one batch. Broken pictures, and those whose code has another length, as of maps of
    another size, are left out, with a warning, and named in `.skipped`. Under torchrun the processes share the
    pictures, and each gets all codes.

    Args:
        model: any network in any mode; it is run as in eval, where it is, and left as it was.
        pictures: a folder, a list of paths or pictures, zfcuda.data.Parts, a torch Dataset or a Tensor [N,C,H,W], as
            zfcuda.strongest_patches takes them.
        layer: the dotted name of a submodule with a map or a vector; zfcuda.network.layers lists them.
        relu: replace negative values by zero, as the notes do: of the layer in front of a ReLU these are the values
            that the network goes on with. False: as the layer gives them.
        preprocess: how a picture becomes the network's image; None: what the model carries.
        state: a file that keeps what is done, so that the same call goes on after a crash, with the same answer.
        progress: show a bar on stderr.

    Raises:
        TypeError, ValueError: naming the argument, before the work: no picture, a folder that cannot be read, no such
            layer.
        MemoryError: there is no room for the codes.
        KeyboardInterrupt: after Ctrl-C; what was done is in the state, as the message says.

    Example:
        found = zfcuda.codes(model, "photos", "fc7", state="photos.state")
        found.save("photos.safetensors")
    """
    if not isinstance(layer, str):
        raise TypeError(f"layer: expected the dotted name of a submodule, got {layer!r}")
    stream = Stream(model, pictures, layer, preprocess=preprocess)
    rows = _Rows(stream, bool(relu))
    passed = stream.run(rows, state=state, progress=progress)
    names, known = stream.collection.names, {each.index for each in passed.skipped}
    other = [index for index in (~rows.have).nonzero().flatten().tolist() if index not in known]
    if other:
        warnings.warn(f"codes: {len(other):,} left out, {_OTHER}: {one_line(names[other[0]])}, ...", stacklevel=2)
    skipped = passed.skipped + [Skipped(index, names[index], _OTHER) for index in other]
    have = rows.have.nonzero().flatten()
    labels = stream.collection.labels
    return Codes(
        rows.taken(),
        None if labels is None else torch.tensor(labels, dtype=torch.int64)[have],
        [names[index] for index in have.tolist()],
        list(stream.collection.classes),
        layer,
        bool(relu),
        sorted(skipped, key=lambda each: each.index),
    )


class _Rows:
    """The codes so far, each in the row of its picture."""

    question = "codes"

    def __init__(self, stream: Stream, relu: bool) -> None:
        self.settings = {"relu": relu}
        [self._layer] = stream.layers
        count, width = len(stream.collection), torch.Size(stream.shapes[self._layer]).numel()
        try:
            self.values = torch.zeros(count, width)
        except RuntimeError as error:
            size = 4 * count * width / 2**30
            raise MemoryError(
                f"layer: {count:,} codes of {self._layer!r}, {width:,} numbers each, take {size:.1f} GiB"
            ) from error
        self.have = torch.zeros(count, dtype=torch.bool)

    def reduce(self, layer: str, activation: Tensor, indices: Tensor) -> Tensor:
        """The codes of some pictures, [n,D], in memory of their own."""
        flat = activation.flatten(1)
        # The clamp of a NaN is NaN.
        return flat.clamp(min=0) if self.settings["relu"] else flat.clone()

    def add(self, indices: Tensor, found: Mapping[str, Tensor], size: tuple[int, int]) -> None:
        """Puts them in their places."""
        some = found[self._layer]
        if some.shape[1] != self.values.shape[1]:
            return
        self.values[indices] = some.to("cpu", torch.float32)
        self.have[indices] = True

    def taken(self) -> Tensor:
        """The codes that there are, in the order of their pictures; in the first rows of the same memory."""
        places = self.have.nonzero().flatten().tolist()
        for row, index in enumerate(places):
            if row != index:  # one was left out before it
                self.values[row] = self.values[index]
        return self.values[: len(places)]

    def state_dict(self) -> dict[str, Tensor]:
        """The codes that there are, and whose they are; without a copy, unless most of those between are not there."""
        index = self.have.nonzero().flatten()
        first, last = (int(index[0]), int(index[-1])) if len(index) else (0, -1)
        span = self.values[first : last + 1]
        if 2 * len(index) >= len(span):
            return {"index": index, "place": index - first, "values": span}
        return {"index": index, "place": torch.arange(len(index)), "values": self.values[index]}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes the place of what there was."""
        self.have.zero_()
        self.merge(state)

    def merge(self, state: Mapping[str, Tensor]) -> None:
        """Adds the codes of others."""
        for index, place in zip(state["index"].split(_AT_ONCE), state["place"].split(_AT_ONCE), strict=True):
            self.values[index] = state["values"][place]
            self.have[index] = True


def checked_path(path: str | os.PathLike[str], name: str = "path") -> Path:
    """Where codes can be written, before the work. name: what errors call it.

    Raises:
        ValueError: its name does not end in .safetensors, or there is no such folder.
    """
    return checked_place(path, ".safetensors", name)


def _shown(path: str | os.PathLike[str]) -> str:
    return one_line(os.fspath(path))
