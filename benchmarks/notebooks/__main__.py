"""Writes docs/notebooks anew: ``python -m benchmarks.notebooks [NAME ...]``. Needs nbclient, ipykernel, matplotlib."""

from __future__ import annotations

import argparse

from benchmarks.notebooks import NAMES, PLACE, notebook, outputs, run


def main() -> None:
    """Runs the notebooks that are named, or all, and stores them with what they show."""
    import nbformat

    parser = argparse.ArgumentParser(prog="python -m benchmarks.notebooks", description="The notebooks of docs.")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=f"of {', '.join(NAMES)}")
    PLACE.mkdir(exist_ok=True)
    for name in parser.parse_args().names or NAMES:
        made = notebook(name)
        run(made)
        path = PLACE / f"{name}.ipynb"
        nbformat.write(made, path)
        shown = [kind for cell in outputs(made) for kind in cell]
        print(f"{path}: {path.stat().st_size:,} bytes, {shown.count('picture')} pictures")


if __name__ == "__main__":
    main()
