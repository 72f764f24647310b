"""``zfcuda truth``: every method held against drawn pictures in which it is known what decides."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zfcuda.cli.options import checked_device, method_names
from zfcuda.method_names import ALL, homes

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs

_PARTIAL = "truth.partial.jsonl"


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("truth", help="which methods tell the truth, on drawn pictures whose truth is known")
    parser.add_argument("--out", default="out/truth", metavar="DIR", help="where the page goes (default: %(default)s)")
    parser.add_argument(
        "--pictures", type=int, default=200, metavar="N", help="how many are drawn (default: %(default)s)"
    )
    parser.add_argument(
        "--methods",
        type=method_names,
        default=ALL,
        metavar="NAMES",
        help="which methods: all (the default), or some of: " + ", ".join(homes()),
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of the pictures (default: the one that is kept for measuring)"
    )
    parser.add_argument(
        "--device", default="cpu", help="where the network runs, as in cuda or cuda:1 (default: %(default)s)"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    import time

    from tqdm import tqdm

    from zfcuda.cli import sheets
    from zfcuda.data import HELD_OUT_SEED
    from zfcuda.faithfulness.truth import DRAWS, Settings, figures, measure, table, write
    from zfcuda.files.kept import Kept
    from zfcuda.models import load_demo
    from zfcuda.report.record import versions, weights_checksum

    if arguments.pictures < 1:
        raise ValueError(f"--pictures: expected at least 1, got {arguments.pictures}")
    settings = Settings(arguments.methods, HELD_OUT_SEED if arguments.seed is None else arguments.seed)
    network = load_demo().to(checked_device(arguments.device))
    same = {
        **versions(),
        "weights": weights_checksum(network),
        "methods": list(settings.methods),
        "seed": settings.seed,
        "draws": DRAWS,
    }
    with sheets.folder(arguments.out) as folder, Kept(folder / _PARTIAL, same) as kept:
        try:
            for index in tqdm(range(arguments.pictures), unit="picture"):
                if index not in kept.records:
                    began = time.process_time()
                    record = measure(network, settings, index)
                    kept.add({**record, "seconds": time.process_time() - began})
            records = [kept.records[index] for index in range(arguments.pictures)]
            print(table(figures(records)), flush=True)
            page, *beside = write(folder, network, settings, records, _facts(arguments, settings.seed, records))
        except KeyboardInterrupt as stop:
            if kept.records:
                print(table(figures(list(kept.records.values()))), flush=True)
                stop.args = (
                    f"after {len(kept.records)} of {arguments.pictures} pictures, of which the table is; the same "
                    "command goes on from there",
                )
            raise
    print(f"{page} explains the table; beside it: {', '.join(path.name for path in beside)}")
    return 0


def _facts(arguments: argparse.Namespace, seed: int, records: Sequence[Any]) -> dict[str, Any]:
    """What has to be known to measure it again."""
    import datetime

    from zfcuda.report.record import versions

    words = ["zfcuda truth", f"--pictures {arguments.pictures}", f"--out {arguments.out}"]
    if arguments.methods != tuple(homes()):
        words.append(f"--methods {','.join(arguments.methods)}")
    if arguments.seed is not None:
        words.append(f"--seed {arguments.seed}")
    return {
        "command": " ".join(words),
        "date": datetime.date.today().isoformat(),
        **versions(),
        "device": arguments.device,
        "seed": seed,
        "minutes": round(sum(record["seconds"] for record in records) / 60, 1),
    }
