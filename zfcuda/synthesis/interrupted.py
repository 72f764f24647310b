"""What Ctrl-C leaves: what was made so far, a warning that says so, and the exception for who has to pass it on."""

from __future__ import annotations

from zfcuda.synthesis.warn import warn


def kept(stop: KeyboardInterrupt, said: str = "") -> KeyboardInterrupt:
    """A Ctrl-C or signal without the frames that it came through, which hold all memory of a run.

    said: what is warned of.
    """
    if said:
        warn(said)
    stop.__context__ = stop.__cause__ = None
    return stop.with_traceback(None)
