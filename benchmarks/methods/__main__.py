"""Runs every method once, and writes docs/methods/*.png and what docs/methods.md has places for.

``--only gradcam`` tries one (repeat it for several) and leaves the others as they are, and the date with them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from benchmarks.environment import environment
from benchmarks.methods import attribution, faithfulness, features, further, synthesis
from benchmarks.methods.document import filled, write_picture
from benchmarks.methods.scene import Scene, Shown, Trial

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def trials() -> dict[str, Trial]:
    """Every method's trial by its name."""
    return attribution.trials() | further.trials() | features.trials() | synthesis.trials() | faithfulness.trials()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(trials()), help="a method, and no other")
    only = parser.parse_args().only
    scene, shown, failed = Scene(), dict[str, Shown](), 0
    scene.prepare()
    folder = DOCS / "methods"
    folder.mkdir(exist_ok=True)
    for name in only or trials():
        try:
            one = trials()[name](scene)
        except Exception as error:  # the others are still worth having
            failed += 1
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        size = write_picture(one, folder)
        shown[name] = one
        print(f"{name}: {one.seconds:.3g} s, {size / 1024:.0f} KiB, {one.said}")
    document = DOCS / "methods.md"
    document.write_text(filled(document.read_text("utf-8"), shown, None if only else _measured()), "utf-8")
    print(document)
    return 1 if failed else 0


def _measured() -> str:
    where = environment(torch.device("cpu"))
    return f"{where['device']}, float32, torch {where['torch']}, {where['date']}, by `python -m benchmarks.methods`"


if __name__ == "__main__":
    sys.exit(main())
