"""Work that would hold up the event loop, in a thread that does not hold up the end of the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

_T = TypeVar("_T")


async def aside(work: Callable[[], _T]) -> _T:
    """Does the work in a thread of its own; asyncio's own threads would be waited for when the server ends."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(how: Callable[[Any], None], what: Any) -> None:
        if not future.done():
            how(what)

    def run() -> None:
        try:
            result: Any = work()
            how: Callable[[Any], None] = future.set_result
        except BaseException as error:
            result, how = error, future.set_exception
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, how, result)

    threading.Thread(target=run, name="zfcuda live, aside", daemon=True).start()
    return await future
