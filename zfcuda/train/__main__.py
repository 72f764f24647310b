"""``python -m zfcuda.train``: as ``zfcuda train``, for torchrun."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from zfcuda.command import EPILOG, Parser, run
from zfcuda.train.command import add_options, run_training


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, 2 for an error, with one line on stderr, 130 after Ctrl-C."""
    parser = Parser(prog="python -m zfcuda.train", description="Trains a network on pictures.", epilog=EPILOG)
    add_options(parser)
    words = list(sys.argv[1:] if argv is None else argv)
    return run(parser, words, lambda arguments: run_training(arguments, ["python", "-m", "zfcuda.train", *words]))


if __name__ == "__main__":
    raise SystemExit(main())
