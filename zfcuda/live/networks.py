"""The networks to choose from, each loaded once, when somebody first asks for it, beside the work."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from zfcuda.complaint import own, reason
from zfcuda.data.preprocess_facts import facts, line
from zfcuda.network.example import image_dtypes, takes
from zfcuda.report import Subject
from zfcuda.report.layers import conv_layers
from zfcuda.report.record import weights_checksum


@dataclass
class Loaded:
    """A network that is loaded, and what the page needs to know of it.

    Attributes:
        name: by which it is asked for. subject: the network.
        layers: its convolutions, in forward order, as a grey picture has them: "name", "output" (the layer that
            rectifies it, or itself), "kind", "units", "rows", "columns".
        input: [C,H,W], of that picture.
        classes: the names of the outputs.
    """

    name: str
    subject: Subject
    layers: list[dict[str, Any]]
    input: tuple[int, ...]
    classes: list[str]

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next((p.device for p in self.subject.model.parameters()), torch.device("cpu"))

    @cached_property
    def apart(self) -> Subject:
        """The same network in other modules, which share its parameters and buffers: hooks on these do not disturb it,
        where a computation of the one is half done while the other is asked."""
        model = self.subject.model
        shared: dict[int, Any] = {id(value): value for value in (*model.parameters(), *model.buffers())}
        try:
            other = copy.deepcopy(model, shared)
        except Exception:  # a module of the user's that cannot be copied
            return self.subject
        return Subject(other, self.subject.preprocess, self.subject.classes, self.subject.title)

    @cached_property
    def checksum(self) -> str:
        """Of its weights."""
        return weights_checksum(self.subject.model)

    @cached_property
    def held(self) -> int:
        """Bytes that an occluder may take, about: filters laid out anew, and the maps of a picture."""
        weights = sum(value.nbytes for value in self.subject.model.parameters())
        maps = sum(4 * layer["units"] * layer["rows"] * layer["columns"] for layer in self.layers)
        return int(weights + 3 * maps)

    def facts(self) -> dict[str, Any]:
        """What the page needs to know, for JSON."""
        return {
            "name": self.name,
            "title": self.subject.title,
            "classes": self.classes,
            "layers": self.layers,
            "input": list(self.input),
            "preprocess": line(facts(self.subject.preprocess)),
            "loaded": True,
        }


class Networks:
    """Networks by name.

    Args:
        load: makes the subject of a name; called once for each, in a thread of its own.
        titles: what to call each, in order; the first is the one that answers where nobody chooses.
        changed: called when one has been loaded, or could not be.
    """

    def __init__(self, load: Callable[[str], Subject], titles: dict[str, str]) -> None:
        self._load, self._titles = load, titles
        self._found: dict[str, Loaded | str] = {}
        self._events: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self.changed: Callable[[], None] = lambda: None

    @property
    def names(self) -> Sequence[str]:
        """The names, in order."""
        return list(self._titles)

    def listed(self) -> list[dict[str, Any]]:
        """All of them for JSON, with what is known of each before it is loaded."""
        rows = []
        for name, title in self._titles.items():
            found = self._found.get(name)
            row: dict[str, Any] = {"name": name, "title": title, "classes": [], "layers": [], "input": None}
            row |= {"loaded": False} if found is None else {}
            rows.append(found.facts() if isinstance(found, Loaded) else row | ({"error": found} if found else {}))
        return rows

    def begin(self, name: str) -> threading.Event:
        """Begins to load a network, where nobody did yet; the event is set when it is there, or cannot be.

        Raises:
            ValueError: there is none of that name.
        """
        if name not in self._titles:
            raise ValueError(f"network: expected one of {', '.join(self._titles)}, got {name!r:.100}")
        with self._lock:
            if name not in self._events:
                self._events[name] = threading.Event()
                threading.Thread(target=self._loading, args=(name,), name=f"zfcuda loads {name}", daemon=True).start()
            return self._events[name]

    def get(self, name: str) -> Loaded:
        """A network, once it is loaded.

        Raises:
            ValueError: there is none of that name; why it cannot be loaded.
        """
        self.begin(name).wait()
        found = self._found[name]
        if isinstance(found, str):
            raise ValueError(found)
        return found

    def _loading(self, name: str) -> None:
        try:
            subject = replace(self._load(name), title=self._titles[name])  # one name, loaded or not
            self._found[name] = _measured(name, subject)
        except BaseException as error:  # a module of the user's may raise anything
            self._found[name] = " ".join(str(error).split()) if own(error) else f"{name}: {reason(error)}"
        self._events[name].set()
        self.changed()


def _measured(name: str, subject: Subject) -> Loaded:
    """Shows the network a grey picture, to see what it has."""
    image, _, _ = subject.view(Image.new("RGB", (256, 256), (128, 128, 128)))
    device = next((p.device for p in subject.model.parameters()), torch.device("cpu"))
    found, logits = conv_layers(subject.model, accepted(subject.model, image.to(device)))
    layers = []
    for layer in found:
        units, rows, columns = layer.activity.shape
        kind = type(subject.model.get_submodule(layer.name)).__name__
        layers.append(
            {
                "name": layer.name,
                "output": layer.output,
                "kind": kind,
                "units": units,
                "rows": rows,
                "columns": columns,
            }
        )
    return Loaded(name, subject, layers, tuple(image.shape[1:]), [subject.class_name(i) for i in range(len(logits))])


def accepted(model: nn.Module, image: Tensor) -> Tensor:
    """An image in a dtype that the model takes."""
    dtypes = image_dtypes(model)
    return image if image.dtype in dtypes or takes(model, image) else image.to(dtypes[0])
