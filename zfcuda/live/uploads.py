"""The body of an upload: multipart, read bounded, nothing of it in a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from zfcuda.live.limits import Limits

_FIELD = b"picture"


class UploadError(ValueError):
    """Why a body is not read on; status: the answer's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Part:
    """One file of a body. data: its bytes; None where there are more than one picture may have."""

    name: str
    data: bytearray | None = field(default_factory=bytearray)


class Room:
    """The memory that all uploads under way may take together."""

    def __init__(self, limits: Limits) -> None:
        self._left = limits.kept_in_all

    def take(self, count: int) -> None:
        """Takes so many bytes.

        Raises:
            UploadError: there are no more.
        """
        if count > self._left:
            raise UploadError(503, "too much is being uploaded at the moment; try again later")
        self._left -= count

    def give(self, count: int) -> None:
        """Gives them back."""
        self._left += count


async def read_upload(
    headers: Mapping[str, str], chunks: AsyncIterator[bytes], limits: Limits, room: Room
) -> list[Part]:
    """The files of the fields called "picture" of a multipart body.

    Args:
        headers: of the request.
        chunks: the body, as it comes.
        room: what it takes while it is read.

    Raises:
        UploadError: it is no such body, or larger than it may be, or stops coming.
    """
    most = limits.kept
    kind, options = parse_options_header(headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
        raise UploadError(415, "expected multipart/form-data with a boundary and fields called 'picture'")
    length = headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > 18 or int(length) > most:  # what cannot be kept, need not come
        raise UploadError(413, f"expected at most {most:,} bytes in one upload")
    reader = _Reader(limits)
    parser = MultipartParser(boundary, reader.callbacks)
    read = 0
    following = aiter(chunks)
    try:
        while True:
            try:
                chunk = await asyncio.wait_for(anext(following), limits.patience)
            except StopAsyncIteration:
                break
            room.take(len(chunk))
            read += len(chunk)
            if read > most:
                raise UploadError(413, f"expected at most {most:,} bytes in one upload")
            parser.write(chunk)
        parser.finalize()
    except asyncio.TimeoutError:
        raise UploadError(408, "the upload stopped coming") from None
    except FormParserError:
        raise UploadError(400, "expected a multipart body, got something else") from None
    finally:
        room.give(read)
    if not reader.ended:
        raise UploadError(400, "the multipart body has no end")
    return reader.parts


class _Reader:
    """Collects the files while the parser goes over the body."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.parts: list[Part] = []
        self.ended = False
        self._count = 0
        self._into: Part | None = None
        self._header = self._value = self._disposition = b""
        self._headers = 0
        self.callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._on_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._count += 1
        if self._count > self._limits.parts:
            raise UploadError(413, f"expected at most {self._limits.parts} parts in one upload")
        self._into, self._disposition, self._headers = None, b"", 0

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._counted(end - start)
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._counted(end - start)
        self._value += data[start:end]

    def _counted(self, count: int) -> None:
        self._headers += count
        if self._headers > self._limits.headers:
            raise UploadError(413, f"expected at most {self._limits.headers} bytes of headers in a part")

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") == _FIELD and b"filename" in options:
            self._into = Part(options[b"filename"].decode("utf-8", "replace"))
            self.parts.append(self._into)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._into is None or self._into.data is None:
            return
        if len(self._into.data) + end - start > self._limits.bytes:
            self._into.data = None  # the rest of the body is still counted, and the others are taken
        else:
            self._into.data += data[start:end]

    def _end(self) -> None:
        self.ended = True
