"""What the commands share: one line for every mistake, exit codes, Ctrl-C, warnings."""

from __future__ import annotations

import argparse
import atexit
import difflib
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, NoReturn, TextIO

from tqdm import tqdm

from zfcuda._startup import is_command
from zfcuda.complaint import CommandError, one_line, own, reason
from zfcuda.files.signals import Terminated, raised

_LONGEST = 2000  # characters of a line: more than two paths
DEBUG = "ZFCUDA_TRACEBACK"
EPILOG = f"{DEBUG}=1 in the environment shows the Python traceback of an error above its line."


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuses options that it does not know, here and not one level up, where nobody knows what is near them."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [word.partition("=")[0].lstrip("-") for word in unknown if word.startswith("-")]
            known = {option.lstrip("-"): option for option in self._option_string_actions}
            near = [known[name] for name in difflib.get_close_matches(options[0], known, n=1)] if options else []
            meant = f"; did you mean {near[0]}?" if near else ""
            if all(re.fullmatch(r"[\d.]+", word) for word in unknown):
                meant = "; several numbers are joined by commas, as in 0.5,0.5,0.5"
            self.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Ends the program with this as its one line: of the processes of torchrun, which all say it, the first."""
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        near = difflib.get_close_matches(choice[1], re.findall(r"[^\s,']+", choice[2]), n=1) if choice else []
        if _speaks():
            complain("error", message + (f"; did you mean {near[0]}?" if near else ""))
        sys.exit(2)


def run(parser: Parser, argv: Sequence[str] | None, work: Callable[[argparse.Namespace], int]) -> int:
    """Runs a command.

    Args:
        parser: of its arguments.
        argv: the arguments; None: those of the process.
        work: what it does with them; returns the exit code. Variables that torch is to find, where the user has set
            none, are in their `environment`, if they have one.

    Returns:
        The exit code: that of `work`; 2 for an error, with one line on stderr; 130 after Ctrl-C, 143 after SIGTERM.
    """
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by who started the command
            setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115
    came: list[KeyboardInterrupt] = []
    try:
        logging.getLogger("PIL").addHandler(logging.NullHandler())  # it logs what it then raises
        arguments = parser.parse_args(argv)
        if "torch" not in sys.modules:  # which reads them once, as it is loaded
            for name, value in getattr(arguments, "environment", {}).items():
                os.environ.setdefault(name, value)
        import_module("torch")  # takes seconds, and is no place for an exception: a command ends there at once
        with raised() as came, _plain_warnings():
            try:
                code = work(arguments)
            except SystemExit as error:  # a module of the user's; the parser has its own way
                raise CommandError(reason(error)) from error
            sys.stdout.flush()
            return code
    except KeyboardInterrupt as stop:
        return _ended(stop)
    except BrokenPipeError:  # `zfcuda layers | head`
        # Nobody reads on; without this the interpreter would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if came:
            return _ended(came[-1])
        if os.environ.get(DEBUG, "0") not in ("", "0"):
            traceback.print_exception(error)
        complain("error", str(error) if own(error) else reason(error))
        return 2


def _ended(stop: KeyboardInterrupt) -> int:
    """Says that a signal ended the program, and returns the exit code; a process that is a command ends here.

    To take the interpreter and torch apart would let whoever pressed Ctrl-C wait for another second.
    """
    if _speaks():
        complain("interrupted", str(stop) or "nothing was changed")
    code = 128 + (stop.number if isinstance(stop, Terminated) else 2)
    if is_command(sys.orig_argv):
        with suppress(OSError, ValueError):  # nobody reads on
            sys.stdout.flush()
        atexit._run_exitfuncs()
        os._exit(code)
    return code


def _speaks() -> bool:
    """Whether this process says what each process of torchrun has to say."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"


def complain(what: str, message: str) -> None:
    """Prints a line on stderr, whatever the message holds, in the place of bars that are still there."""
    for bar in list(getattr(tqdm, "_instances", ())):
        bar.leave = False
        bar.close()
    line = one_line(" ".join(message.split()))
    line = line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
    with suppress(OSError):  # stderr may be on a full disk: the exit code still tells
        print(f"zfcuda: {what}: {line}", file=sys.stderr, flush=True)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Warnings as one line each, without the source line that raised them."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        complain("warning", str(message))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
