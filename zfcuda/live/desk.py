"""What the answers are made with: networks, pictures as they see them, occluders; each made once, and kept a while."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from zfcuda.inputs import normalization
from zfcuda.live.limits import Limits
from zfcuda.live.messages import Answer, Message, MessageError
from zfcuda.live.networks import Loaded, Networks, accepted
from zfcuda.live.patches import Patches
from zfcuda.live.stepped import stepped
from zfcuda.live.store import Store
from zfcuda.live.visitors import Kept, Visitor
from zfcuda.network import evaluating
from zfcuda.occlusion import Occluder
from zfcuda.occlusion.output import scores_of
from zfcuda.report.cover import Cover, Paint, cover_of
from zfcuda.report.layers import ConvLayer, conv_layers

_T = TypeVar("_T")
Work = Generator[Any, None, _T]  # gives a value, in blocks between which it yields None


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
    def key(self) -> tuple[str, str]:
        """Tells other pictures and networks."""
        return self.content, self.network.name

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
        patches: what `zfcuda patches` left of some of the networks.
    """

    def __init__(
        self, networks: Networks, offered: Mapping[str, Kept], limits: Limits, patches: Sequence[Patches] = ()
    ) -> None:
        self.networks, self.offered, self.limits = networks, offered, limits
        self._patches = patches
        self._answers = Store(limits.cache)
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

    def seen(self, visitor: Visitor, message: Message) -> Work[Seen]:
        """The picture that a message is about, before the network that it is about; the network runs once."""
        kept = self.picture(visitor, message.text("picture"))
        network = self.networks.get(message.text("network"))
        return self.kept(("seen", kept.content, network.name), lambda: _seen(network, kept), _bytes_of_seen)

    def cover(self, seen: Seen, fill: Paint, window: int) -> Work[Cover]:
        """What covers a picture. window: its side, on which the blurred one depends."""
        key = ("cover", *seen.key, str(fill), window if fill == "blur" else 1)
        subject, grey = seen.network.subject, seen.grey.to(seen.image)
        return self.kept(
            key,
            lambda: cover_of(subject, seen.picture, seen.image, grey, fill, key[-1]),
            lambda cover: cover.values.nbytes + cover.pixels.nbytes,
        )

    def occluder(self, seen: Seen, fill: Paint) -> Work[Occluder]:
        """What answers with any rectangle of the picture covered; it is laid out once."""
        self._prepared.most = max(self._prepared.most, 3 * seen.network.held)  # of the largest network, a few pictures
        found = self._prepared.get(("occluder", *seen.key, str(fill)))
        if found is not None:
            return found
        cover = yield from self.cover(seen, fill, 1)
        return (
            yield from self.kept(
                ("occluder", *seen.key, str(fill)),
                lambda: Occluder(seen.network.subject.model, seen.image, fill=cover.fill),
                lambda _: seen.network.held,
            )
        )

    def patches(self, network: Loaded) -> Patches | None:
        """What `zfcuda patches` left of the very same network, by the checksum of its weights."""
        if not self._patches:
            return None
        return next((one for one in self._patches if one.checksum == network.checksum), None)

    def layers(self, seen: Seen) -> Work[dict[str, ConvLayer]]:
        """What each convolution answers to the picture, by its name."""
        return self.kept(
            ("layers", *seen.key),
            lambda: {layer.name: layer for layer in conv_layers(seen.network.apart.model, seen.image)[0]},
            lambda layers: sum(layer.activity.nbytes for layer in layers.values()),
        )

    def kept(self, key: tuple[Any, ...], make: Callable[[], _T], size: Callable[[_T], int]) -> Work[_T]:
        """What was made for a key before, or is made now, in blocks."""
        value = self._prepared.get(key)
        if value is None:
            value = yield from stepped(make)
            self._prepared.put(key, value, size(value))
        return value

    def forget(self, contents: set[str]) -> None:
        """Lets go of all that is of other pictures than these and the offered ones: who brought them has left."""
        wanted = contents | {kept.content for kept in self.offered.values()}
        for store in (self._prepared, self._answers):
            store.forget(lambda key: key[1] not in wanted)

    def answered(self, key: tuple[Any, ...]) -> list[Answer] | None:
        """What was answered to the same before."""
        return self._answers.get(key)

    def answer(self, key: tuple[Any, ...], answers: list[Answer]) -> None:
        """Keeps answers for whoever asks the same."""
        self._answers.put(key, answers, sum(answer.size for answer in answers) + 200)


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
    model = network.subject.model
    with evaluating(model), torch.no_grad():
        return scores_of(model(images), len(images), picked=False).cpu()


def _bytes_of_seen(seen: Seen) -> int:
    return seen.image.nbytes + seen.pixels.nbytes + seen.grey.nbytes + 3 * seen.picture.width * seen.picture.height
