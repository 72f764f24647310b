"""Ctrl-C while a command is still importing torch, which takes seconds: one line, as later, and no traceback."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from types import FrameType

_MODULES = ("zfcuda", "zfcuda.train")


def end_quietly() -> None:
    """Lets Ctrl-C end the process at once, if it is one of the commands: a program of the user's keeps its own way."""
    if (
        is_command(sys.orig_argv)
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _end)


def is_command(words: list[str]) -> bool:
    """Whether Python was started as `zfcuda ...` or `python -m zfcuda ...`, with options of its own before that."""
    options = iter(words[1:])
    for word in options:
        if word in ("-W", "-X"):
            next(options, None)
        elif re.fullmatch(r"-[bBdEiIOPqsSuvx]*m", word):
            return next(options, "") in _MODULES
        elif word == "-c":
            return False
        elif not word.startswith("-"):
            return os.path.splitext(os.path.basename(word))[0] == "zfcuda"
    return False


def _end(number: int, frame: FrameType | None) -> None:
    # Not an exception: an import that it leaves half done may swallow it, or end in a traceback of its own.
    try:
        os.write(2, b"zfcuda: interrupted\n")
    finally:
        os._exit(130)
