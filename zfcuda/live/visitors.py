"""Who is there: visitors, and the pictures that each of them uploaded, in memory and for him alone.

A visitor is a tab of a browser. What he uploads is kept as it came, bounded in number and bytes, and let go of some
minutes after his last connection has closed.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from zfcuda.data.pictures import decoded_picture
from zfcuda.live.limits import Limits

_IDENTITY = re.compile(r"[A-Za-z0-9_-]{8,64}")


class RefusedError(ValueError):
    """What a visitor asks for and cannot have; the message is one sentence for him."""


@dataclass(frozen=True)
class Kept:
    """A picture that is there to be looked at.

    Attributes:
        identity: what its visitor calls it. content: tells other pictures, for what is kept of answers.
        name: as the visitor or the owner calls it; width, height: upright.
        read: gives it in RGB.
        bytes: how much memory it takes.
        network: the one that knows such pictures, where it is not whichever is chosen.
    """

    identity: str
    content: str
    name: str
    width: int
    height: int
    read: Callable[[], Image.Image] = field(repr=False, compare=False)
    bytes: int = 0
    network: str | None = None


@dataclass
class Visitor:
    """One visitor. sockets: how many connections for work he has. left: when the last of them closed."""

    identity: str
    pictures: dict[str, Kept] = field(default_factory=dict)
    sockets: int = 0
    left: float = 0.0

    @property
    def bytes(self) -> int:
        """What his uploads take."""
        return sum(picture.bytes for picture in self.pictures.values())


class Visitors:
    """All of them; any thread may ask. now: the time in seconds."""

    def __init__(self, limits: Limits, now: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._now = limits, now
        self._all: dict[str, Visitor] = {}
        self._lock = threading.RLock()

    def visitor(self, identity: str | None) -> Visitor:
        """The visitor of that identity, who is new where nobody has it.

        Raises:
            RefusedError: it is no identity; there are too many visitors.
        """
        if identity is None or not _IDENTITY.fullmatch(identity):
            raise RefusedError("visitor: expected 8 to 64 letters, digits and hyphens")
        with self._lock:
            if identity not in self._all:
                self.tidy()
                if len(self._all) >= self._limits.visitors:
                    raise RefusedError(f"there are {self._limits.visitors} visitors already; try again later")
                self._all[identity] = Visitor(identity, left=self._now())
            return self._all[identity]

    def known(self, identity: str | None) -> Visitor | None:
        """The visitor of that identity, where there is one."""
        with self._lock:
            return self._all.get(identity or "")

    def came(self, identity: str | None) -> Visitor:
        """Counts a connection of a visitor.

        Raises:
            RefusedError: as :meth:`visitor`; he has too many.
        """
        with self._lock:
            visitor = self.visitor(identity)
            if visitor.sockets >= self._limits.sockets:
                raise RefusedError(f"there are {visitor.sockets} connections of this visitor already")
            visitor.sockets += 1
            return visitor

    def left(self, visitor: Visitor) -> None:
        """Counts a connection that has closed."""
        with self._lock:
            visitor.sockets -= 1
            visitor.left = self._now()

    def tidy(self) -> set[str]:
        """Lets go of visitors who left a while ago, and of what they uploaded. Returns the contents that are left."""
        with self._lock:
            for identity, visitor in list(self._all.items()):
                if not visitor.sockets and self._now() - visitor.left > self._limits.idle:
                    del self._all[identity]
            return {kept.content for visitor in self._all.values() for kept in visitor.pictures.values()}

    def add(self, visitor: Visitor, data: bytes, name: str) -> Kept:
        """Keeps an upload, which is decoded once to see that it is a picture.

        Raises:
            ValueError: it is none, or too large, or too much; in one sentence.
        """
        content = hashlib.sha256(data).hexdigest()
        identity = hashlib.sha256(f"{visitor.identity} {content}".encode()).hexdigest()[:32]
        with self._lock:
            if identity in visitor.pictures:
                return visitor.pictures[identity]
            self._room(visitor, len(data), name)  # before it is decoded
        width, height = decoded_picture(data, name, most=self._limits.pixels).size
        kept = Kept(
            identity,
            content,
            name,
            width,
            height,
            lambda: decoded_picture(data, name, most=self._limits.pixels),
            len(data),
        )
        with self._lock:
            self._room(visitor, len(data), name)
            visitor.pictures[identity] = kept
            if not visitor.sockets:
                visitor.left = self._now()
        return kept

    def remove(self, visitor: Visitor, identity: str) -> bool:
        """Lets go of an upload; whether there was one."""
        with self._lock:
            return visitor.pictures.pop(identity, None) is not None

    def _room(self, visitor: Visitor, count: int, name: str) -> None:
        limits = self._limits
        if len(visitor.pictures) >= limits.pictures:
            raise RefusedError(f"{name}: {limits.pictures} pictures are here already; remove some first")
        if visitor.bytes + count > limits.kept:
            raise RefusedError(f"{name}: the pictures here take {limits.kept >> 20} MB already; remove some first")
        if sum(each.bytes for each in self._all.values()) + count > limits.kept_in_all:
            self.tidy()
            if sum(each.bytes for each in self._all.values()) + count > limits.kept_in_all:
                raise RefusedError(f"{name}: the server's memory for pictures is full; try again later")
