"""Any exception as one line that names what it is about: for the commands, where nobody wants a traceback.

torch is imported where an exception is looked at: a command that needs no torch has a mistake to tell, too.
"""

from __future__ import annotations

import dis
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

_PACKAGE = Path(__file__).parent
_LONGEST = 300  # characters of what somebody else's exception says
_NO_MEMORY = (
    "DefaultCPUAllocator: ",  # the allocator of torch on a CPU, "not enough memory" or "can't allocate memory"
    "CUDA out of memory",
    "CUDA error: out of memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "std::bad_alloc",
)


class CommandError(ValueError):
    """What a command says to its user; the message is one line."""


@contextmanager
def naming(what: str, hint: str = "") -> Iterator[None]:
    """Turns what the block raises into a CommandError that begins with `what`: a file, a network, an argument.

    A user's model, preprocess or module may raise anything, SystemExit too. What the package itself says about its
    arguments, names them already, and stays as it is; so does KeyboardInterrupt.

    Args:
        hint: what helps where the memory is not enough.

    Raises:
        CommandError: from the exception.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if own(error):
            raise
        if out_of_memory(error):
            raise CommandError(f"{what}: out of memory{hint and '; '}{hint}") from error
        raise CommandError(f"{what}: {reason(error)}") from error


def own(error: BaseException) -> bool:
    """Whether a raise statement of this package told its user something, and not from within a module's call."""
    if isinstance(error, CommandError):
        return True
    at = error.__traceback__
    if at is None or called(error) or not isinstance(error, ValueError | TypeError | NotImplementedError):
        return False
    while at.tb_next is not None:
        at = at.tb_next
    code = at.tb_frame.f_code
    # At any other instruction something below raised, that has no frame: torch, NumPy.
    return _PACKAGE in Path(code.co_filename).parents and code.co_code[at.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def out_of_memory(error: BaseException) -> bool:
    """Whether memory is what was missing; an exception that only talks about memory is another one."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in _text(error) for words in _NO_MEMORY)


def reason(error: BaseException) -> str:
    """The kind of an exception, the first line of what it says, and the layer that raised it, where one did."""
    lines = _text(error).strip().splitlines()
    said = lines[0] if lines else ""
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]} ..."
    return type(error).__name__ + (f": {said}" if said else "") + _layer(error)


def one_line(text: str) -> str:
    """Text for an error message: control characters and line breaks escaped, undecodable bytes of a file name too."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in writable(text))


def writable(text: str) -> str:
    """Text that can be written as UTF-8: undecodable bytes of a file name escaped, all else as it is."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an exception of the user's own may not even be able to say what it is
        return ""


def called(error: BaseException) -> list[nn.Module]:
    """The modules whose calls the exception left, outermost first."""
    from torch import nn

    return [
        module
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name == "_call_impl" and isinstance(module := frame.f_locals.get("self"), nn.Module)
    ]


def _layer(error: BaseException) -> str:
    calls = called(error)
    if len(calls) < 2:
        return ""
    name = next((name for name, module in calls[0].named_modules() if module is calls[-1]), "")
    return f" (in layer {name!r}, {type(calls[-1]).__name__})"
