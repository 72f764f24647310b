"""How much the server takes from anybody, and keeps."""

from __future__ import annotations

from dataclasses import dataclass

_MEGA = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Bounds of what is received, decoded, kept and waited for. Bytes, unless a name says otherwise.

    Attributes:
        bytes: of one picture that is uploaded.
        pixels: of one picture, decoded; looked up in its header before anything is decoded.
        pictures: how many a visitor may have.
        kept: of all uploads of one visitor. kept_in_all: of all visitors' together.
        visitors: how many at a time.
        sockets: open connections for work, of one visitor.
        parts: of one multipart body. headers: of each part.
        idle: seconds after which the uploads of a visitor without a connection are let go.
        patience: seconds without a byte of an upload after which it is given up.
        frame: of one message of a client.
        unread: of answers that wait for a client who does not read.
        cache: of answers that are kept for whoever asks the same again. prepared: of pictures made ready for networks.
    """

    bytes: int = 32 * _MEGA
    pixels: int = 50_000_000
    pictures: int = 200
    kept: int = 256 * _MEGA
    kept_in_all: int = 1024 * _MEGA
    visitors: int = 64
    sockets: int = 4
    parts: int = 200
    headers: int = 8192
    idle: float = 600.0
    patience: float = 30.0
    frame: int = 64 * 1024
    unread: int = 8 * _MEGA
    cache: int = 64 * _MEGA
    prepared: int = 512 * _MEGA
