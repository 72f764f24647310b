"""What the network answers to the same question, found in the background while a person labels."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any

import torch

from zfcuda.class_names import ClassNames, class_names
from zfcuda.complaint import naming, one_line
from zfcuda.data.preprocess_facts import facts, line
from zfcuda.files.kept import Kept
from zfcuda.inputs import probabilities
from zfcuda.live.label.task import Task, matched
from zfcuda.network.intact import evaluating
from zfcuda.report.record import device_of, versions, weights_checksum
from zfcuda.report.subject import Subject

FILE = "network.jsonl"
_MOST = 5  # of its most probable classes are kept, as many as a person may give where that is more


class NetworkAnswers:
    """The most probable classes for each picture, among those that the labeller chooses from; as a context.

    They are kept in the folder, so that the same command does not compute them again.

    Args:
        subject: the network. Its preprocess is that of the task's pictures.
        task: what is asked.
        folder: where they are kept.

    Attributes:
        found: by the picture's name: "answers", class names, the most probable first, and their "probabilities" among
            the classes that there are to choose from.
        broken: by the picture's name: why it has no answer.
        error: why it answers no more; "" where it does.

    Raises:
        ValueError: the classes are not among the network's.
        CommandError: the network fails on the first picture that can be read.
    """

    def __init__(self, subject: Subject, task: Task, folder: Path) -> None:
        self.subject, self._task, self._folder = subject, task, folder
        self.found: dict[str, dict[str, Any]] = {}
        self.broken: dict[str, str] = {}
        self.error = ""
        self._columns = _columns(subject, task.classes)
        self._stop = Event()
        self._thread: Thread | None = None
        self._first()

    def __enter__(self) -> NetworkAnswers:
        self._thread = Thread(target=self._work, name="network", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self.wait()

    @property
    def done(self) -> int:
        """How many pictures it has looked at."""
        return len(self.found) + len(self.broken)

    @property
    def whole(self) -> bool:
        """Whether it chooses from all its classes, not only from some."""
        return self._columns is None or len(self._columns) == len(self.subject.classes)

    def wait(self) -> None:
        """Waits until it has looked at all pictures, or was stopped."""
        if self._thread is not None:
            self._thread.join()

    @cached_property
    def known(self) -> dict[str, Any]:
        """What has to be known to ask it again."""
        return {
            "title": self.subject.title,
            "preprocess": line(facts(self.subject.preprocess)),
            "weights": weights_checksum(self.subject.model),
            "device": device_of(self.subject.model),
            "classes": list(self._task.classes),
            "pictures": self._task.pictures.fingerprint,
            "answers": self._most,
            **versions(),
        }

    @property
    def _most(self) -> int:
        return min(len(self._task.classes), max(_MOST, self._task.answers))

    def _first(self) -> None:
        """Asks of one picture: what is wrong with the network is told before anybody labels anything."""
        for index in range(len(self._task.pictures)):
            try:
                image = self._task.pictures.image(index)
            except (ValueError, TypeError):
                continue
            with naming(self.subject.title):
                outputs = self._outputs(image)
            wanted = len(self.subject.classes) or len(self._task.classes)
            if outputs.shape != (wanted,):
                raise ValueError(
                    f"--classes: expected as many as the network has outputs, which have no names, got {wanted} for "
                    f"{list(outputs.shape)}"
                )
            return
        raise ValueError("pictures: expected at least one that can be read, got none")

    def _outputs(self, image: torch.Tensor) -> torch.Tensor:
        device = next((p.device for p in self.subject.model.parameters()), torch.device("cpu"))
        with torch.inference_mode(), evaluating(self.subject.model):
            outputs: torch.Tensor = self.subject.model(image[None].to(device))
        return outputs[0].float().cpu()

    def _answered(self, image: torch.Tensor) -> dict[str, Any]:
        shares = probabilities(self._outputs(image)[None])[0]
        if self._columns is not None:
            shares = shares[self._columns]
        shares = shares / shares.sum()
        best = shares.topk(self._most)
        names = [self._task.classes[index] for index in best.indices.tolist()]
        return {"answers": names, "probabilities": [round(p, 6) for p in best.values.tolist()]}

    def _work(self) -> None:
        try:
            with Kept(self._folder / FILE, self.known, stays=True) as kept:
                for index, name in enumerate(self._task.pictures.names):
                    if index in kept.records:
                        self.found[name] = kept.records[index]
                        continue
                    if self._stop.is_set():
                        return
                    self._one(index, name, kept)
        except Exception as error:
            self.error = one_line(str(error)) or type(error).__name__

    def _one(self, index: int, name: str, kept: Kept) -> None:
        try:
            image = self._task.pictures.image(index)
        except (ValueError, TypeError) as error:
            self.broken[name] = one_line(str(error))
            return
        record = {"picture": index, **self._answered(image)}
        kept.add(record)
        self.found[name] = record


def _columns(subject: Subject, classes: ClassNames) -> list[int] | None:
    """Which of the network's outputs each class is; None where the outputs have no names, and stand in this order.

    Raises:
        ValueError: a class is not among the network's.
    """
    if not subject.classes:
        return None
    names = class_names(subject.classes) or ClassNames()
    found = matched(classes, names)
    strange = [name for name, index in zip(classes, found, strict=True) if index is None]
    if strange:
        raise ValueError(
            f"--classes: expected classes that {subject.title} knows, got {', '.join(map(repr, strange[:5]))}"
            f"{f' and {len(strange) - 5} more' if len(strange) > 5 else ''}; it knows {', '.join(names[:8])}"
            f"{', ...' if len(names) > 8 else ''}"
        )
    return [index for index in found if index is not None]
