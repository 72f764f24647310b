"""What the answers are made with: networks, pictures as they see them, occluders; each made once, and kept a while."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from zfcuda.inputs import normalization
from zfcuda.live.limits import Limits
from zfcuda.live.messages import Answer, Message, MessageError
from zfcuda.live.networks import Loaded, Networks, accepted
from zfcuda.live.occluders import Occluder, occluder_of
from zfcuda.live.store import Store
from zfcuda.live.visitors import Kept, Visitor
from zfcuda.report.cover import Cover, Paint, cover_of


@dataclass(frozen=True)
class Seen:
    """A picture before a network.

    Attributes:
        network: which. picture: RGB, upright. content: tells other pictures.
        image: [1,C,H,W] on the network's device. pixels: [3,H,W] in 0..1. grey: [C,H,W] of a middle grey picture.
        logits: [classes], float32 on the CPU, for the whole picture.
        normalization: how they become probabilities.
    """

    network: Loaded
    picture: Image.Image
    content: str
    image: Tensor
    pixels: Tensor
    grey: Tensor
    logits: Tensor
    normalization: str

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) as the network sees it."""
        return int(self.image.shape[2]), int(self.image.shape[3])

    def target(self, asked: int | str | None) -> int:
        """The class that is asked about; None: the most probable.

        Raises:
            MessageError: there is none.
        """
        if asked is None:
            return int(self.logits.argmax())
        if isinstance(asked, str):
            try:
                asked = self.network.subject.class_index(asked)
            except ValueError as error:
                raise MessageError(f"target: {error}") from None
        if asked >= len(self.logits):
            raise MessageError(f"target: expected a class from 0 to {len(self.logits) - 1}, got {asked}")
        return asked


class Desk:
    """Where questions are answered, one at a time.

    Args:
        networks: to choose from. offered: pictures of the owner's, by identity, that every visitor may ask about.
        patches: the folder that `zfcuda patches` left, for each network that has one.
    """

    def __init__(
        self, networks: Networks, offered: Mapping[str, Kept], limits: Limits, patches: Mapping[str, Any] | None = None
    ) -> None:
        self.networks, self.offered, self.limits = networks, offered, limits
        self.patches = dict(patches or {})
        self.answers = Store(limits.cache)
        self._prepared = Store(limits.prepared)

    def picture(self, visitor: Visitor, identity: str) -> Kept:
        """A picture that a visitor may see.

        Raises:
            MessageError: there is none, for him.
        """
        kept = visitor.pictures.get(identity) or self.offered.get(identity)
        if kept is None:
            raise MessageError("picture: there is none of that name; it may have been let go of: upload it again")
        return kept

    def seen(self, visitor: Visitor, message: Message) -> Seen:
        """The picture that a message is about, before the network that it is about; the network runs once."""
        kept = self.picture(visitor, message.text("picture"))
        network = self.networks.get(message.text("network"))
        return self.kept(("seen", kept.content, network.name), lambda: _seen(network, kept), _bytes_of_seen)

    def cover(self, seen: Seen, fill: Paint, window: tuple[int, int]) -> Cover:
        """What covers a picture. window: (rows, columns), on which the blurred one depends."""
        sides = window if fill == "blur" else (1, 1)
        key = ("cover", seen.content, seen.network.name, str(fill), sides)

        def make() -> Cover:
            subject = seen.network.subject
            if fill == "blur":
                return _blurred(seen, sides)
            return cover_of(subject, seen.picture, seen.image, seen.grey.to(seen.image), fill, 1)

        return self.kept(key, make, lambda cover: cover.values.nbytes + cover.pixels.nbytes)

    def occluder(self, seen: Seen, fill: Paint, window: tuple[int, int]) -> Occluder:
        """What answers with a rectangle of the picture covered."""
        sides = window if fill == "blur" else (1, 1)
        key = ("occluder", seen.content, seen.network.name, str(fill), sides)
        cover = self.cover(seen, fill, window)
        return self.kept(key, lambda: occluder_of(seen.network.subject.model, seen.image, cover), lambda one: one.bytes)

    def kept(self, key: tuple[Any, ...], make: Callable[[], Any], size: Callable[[Any], int]) -> Any:
        """What was made for a key before, or is made now."""
        value = self._prepared.get(key)
        if value is None:
            value = make()
            self._prepared.put(key, value, size(value))
        return value

    def keep_answers(self, key: tuple[Any, ...], answers: list[Answer]) -> None:
        """Keeps answers for whoever asks the same."""
        self.answers.put(key, answers, sum(answer.size for answer in answers) + 200)


def _seen(network: Loaded, kept: Kept) -> Seen:
    picture = kept.read()
    image, pixels, grey = network.subject.view(picture)
    image = accepted(network.subject.model, image.to(network.device))
    logits = logits_of(network, image)[0]
    if not torch.isfinite(logits).all():
        raise MessageError(f"{network.subject.title} answers {kept.name} with numbers that are not finite")
    how = normalization(logits[None])
    return Seen(network, picture, kept.content, image, pixels.cpu(), grey, logits, how)


def logits_of(network: Loaded, images: Tensor) -> Tensor:
    """What a network answers to images [n,C,H,W]: float32 [n,classes] on the CPU."""
    from zfcuda.network import evaluating
    from zfcuda.occlusion.output import scores_of

    model = network.subject.model
    with evaluating(model), torch.no_grad():
        return scores_of(model(images), len(images), picked=False).cpu()


def _bytes_of_seen(seen: Seen) -> int:
    return seen.image.nbytes + seen.pixels.nbytes + seen.grey.nbytes + 3 * seen.picture.width * seen.picture.height


def _blurred(seen: Seen, window: tuple[int, int]) -> Cover:
    """The picture blurred as zfcuda.occlusion_map does it for a window of these sides, which need not be equal."""
    from zfcuda.occlusion.fill import Filling

    values = Filling("blur", seen.image[0], window).of(seen.image[0])
    pixels = seen.network.subject.pixels(values.float().cpu(), seen.picture)
    return Cover("blur", "blur", values, pixels, "a rectangle of the blurred picture")
