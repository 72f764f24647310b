"""``zfcuda paper``: the figures and tables of the paper, on a network and pictures that are there."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfcuda.cli.options import add_device, add_model, checked_device
from zfcuda.complaint import naming
from zfcuda.paper_names import ALL, chosen, homes

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs
    from zfcuda.paper.figure import Setting
    from zfcuda.report import Subject


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    parser = verbs.add_parser("paper", help="the figures and tables of the paper, on your network and pictures")
    parser.add_argument("what", nargs="+", metavar="WHAT", help=f"{', '.join(homes())}; or {ALL}")
    add_model(parser)
    parser.add_argument(
        "--data",
        default="parts",
        metavar="FOLDER",
        help="pictures: a folder, of one with train/ and test/ those of test/; or the word parts, for drawn ones whose "
        "truth is known (the default)",
    )
    parser.add_argument("--out", default="out/paper", metavar="DIR", help="where it goes (default: %(default)s)")
    parser.add_argument(
        "--runs", metavar="DIR", help="the trainings that some figures need (default: DIR of --out, /runs)"
    )
    parser.add_argument(
        "--train", action="store_true", help="make the trainings that are missing; minutes to hours each"
    )
    parser.add_argument(
        "--run", dest="finished", metavar="RUN", help="fig4: a finished run with snapshots, in their place"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn (default: %(default)s)")
    add_device(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.cli import sheets
    from zfcuda.paper.figure import NotApplicableError
    from zfcuda.paper.figures import figure
    from zfcuda.paper.trainings import MissingRunsError
    from zfcuda.paper.written import written

    names = chosen(arguments.what)
    with sheets.folder(arguments.out) as out:
        setting = _setting(arguments, out)
        for name in names:
            each = figure(name)
            print(each.title, flush=True)
            try:
                result = each.run(setting)
            except (MissingRunsError, NotApplicableError) as missing:
                if ALL not in arguments.what:
                    raise ValueError(str(missing)) from None
                print(f"{name} was left out: {missing}", flush=True)
                continue
            print(*written(out, each, result, _facts(arguments, setting)), sep="\n", flush=True)
    return 0


def _setting(arguments: argparse.Namespace, out: Path) -> Setting:
    from zfcuda.paper.cache import Cache
    from zfcuda.paper.figure import Setting
    from zfcuda.paper.gallery import Gallery

    subject = _subject(arguments)
    drawn = arguments.data == "parts" and not Path("parts").exists()
    gallery = Gallery(subject.model, None if drawn else arguments.data, preprocess=subject.preprocess)
    return Setting(
        gallery,
        subject.title,
        arguments.data,
        Cache(out / "cache"),
        Path(arguments.runs) if arguments.runs else out / "runs",
        train=arguments.train,
        run=Path(arguments.finished) if arguments.finished else None,
        seed=arguments.seed,
        progress=True,
    )


def _subject(arguments: argparse.Namespace) -> Subject:
    from zfcuda.report import load_subject

    model = arguments.model or "demo"
    with naming(model):
        return load_subject(model, weights=arguments.weights, device=checked_device(arguments.device))


def _facts(arguments: argparse.Namespace, setting: Setting) -> dict[str, Any]:
    """What has to be known to make it again."""
    import datetime

    from zfcuda.report.record import versions

    return {
        "command": shlex.join(["zfcuda", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "versions": versions(),
        "network": setting.title,
        "pictures": setting.gallery.title,
        "seed": arguments.seed,
    }
