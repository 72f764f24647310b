"""Are the explanations true? ``python -m benchmarks.truth [--pictures 200]`` runs ``zfcuda truth`` for the documents.

It writes docs/truth.md with its pictures, and moves the figures to benchmarks/results/truth.json, of which
``python -m benchmarks.readme`` makes a table. The same command goes on with a run that was broken off.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from zfcuda import cli

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS, RESULTS = ROOT / "docs", ROOT / "benchmarks" / "results"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth", description="Are the explanations true?")
    parser.add_argument("--pictures", type=int, default=200, help="held-out pictures (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="where the network runs (default: %(default)s)")
    arguments = parser.parse_args()
    out = os.path.relpath(DOCUMENTS)  # it stands in the document
    code = cli.main(["truth", "--pictures", str(arguments.pictures), "--device", arguments.device, "--out", out])
    if code:
        sys.exit(code)
    (DOCUMENTS / "truth.json").replace(RESULTS / "truth.json")


if __name__ == "__main__":
    main()
