"""``zfcuda paper``: the figures and tables of the paper, on a network and pictures that are there."""

from __future__ import annotations

import argparse
import shlex
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfcuda.cli.options import add_device, add_model, checked_device
from zfcuda.cli.photos import default_network, tell_of_drawn_things
from zfcuda.cli.preprocessing import add_preprocessing, preprocessing, tell_of_assumed
from zfcuda.complaint import CommandError, naming, one_line
from zfcuda.paper_names import ALL, Option, chosen, homes, options, titles

if TYPE_CHECKING:
    from zfcuda.cli.options import Verbs
    from zfcuda.paper.figure import Setting
    from zfcuda.paper.making import Outcome
    from zfcuda.report import Subject

_ROWS = 12  # of a table that are printed
_MOST = 1_000_000  # drawn pictures, hours of drawing; of far more not even the numbers fit into memory


def add(verbs: Verbs) -> None:
    """Adds the verb and its options."""
    wide = max(map(len, homes())) + 2
    listed = [f"  {name.ljust(wide)}{title}" for name, title in titles().items()]
    parser = verbs.add_parser(
        "paper",
        help="the figures and tables of the paper, on your network and pictures",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="\n".join(
            [
                "The figures and tables of Zeiler & Fergus (arXiv 1311.2901), on your network and pictures, each",
                "with what its claims come to there. WHAT is one or several of these:",
                "",
                *listed,
                f"  {ALL.ljust(wide)}each of them; one that cannot be made says why, and what makes what it needs",
            ]
        ),
    )
    parser.add_argument("what", nargs="+", type=_name, metavar="WHAT", help="which figures and tables; see above")
    add_model(
        parser,
        "demo for parts; for a folder the one of the package that knows its classes, else efficientnet_lite0 or demo",
    )
    parser.add_argument(
        "--data",
        default="parts",
        metavar="FOLDER",
        help="pictures: a folder, of one with train/ and test/ those of test/; or the word parts, for drawn ones whose "
        "truth is known (the default)",
    )
    parser.add_argument(
        "--pictures", type=int, metavar="N", help="how many of them (default: 1,200 of parts; all of a folder)"
    )
    parser.add_argument("--out", default="out/paper", metavar="DIR", help="where it goes (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="make anew what is there already")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn (default: %(default)s)")
    add_device(parser)
    group = parser.add_argument_group("trainings", "which some figures need; without them they are left out")
    group.add_argument("--runs", metavar="DIR", help="where they lie (default: runs in DIR of --out)")
    group.add_argument("--train", action="store_true", help="make those that are missing; minutes to hours each")
    group.add_argument("--run", dest="finished", metavar="RUN", help="fig4: a finished run with snapshots")
    own = parser.add_argument_group("options of single figures")
    for option, whose in _merged().values():
        _add_option(own, option, whose)
    add_preprocessing(parser)
    parser.set_defaults(run=_run)


def _name(word: str) -> str:
    """A figure's name, or all; a mistake is told before torch is imported."""
    try:
        chosen([word])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("what: ")) from None
    return word


def _run(arguments: argparse.Namespace) -> int:
    from zfcuda.cli import sheets
    from zfcuda.cli.paper_progress import Progress
    from zfcuda.paper.making import make
    from zfcuda.paper.page import write_page

    names = chosen(arguments.what)
    given = _given(arguments, names)
    if arguments.seed < 0:
        raise ValueError(f"--seed: expected at least 0, got {arguments.seed}")
    with sheets.folder(arguments.out) as out:
        setting = _setting(arguments, out)
        print(f"{setting.title}; {setting.gallery.title}", flush=True)
        facts, done = _facts(arguments, setting), []
        with Progress(names, out / "cache") as progress:
            for name in names:
                progress.begin(name)
                mine = {"command": _command(arguments, name), **facts}
                outcome = make(name, setting, out, given=given, facts=mine, again=arguments.again)
                progress.end(name, outcome.made)
                _tell(outcome)
                done.append(outcome)
                left_out = {each.name: each.why for each in done if each.known is None and not each.failed}
                page = write_page(out, titles(), left_out)
    if page:
        print(f"\nAll that is there, on one page: {page}")
    return _code(done, ALL in arguments.what)


def _code(done: list[Outcome], all_of_them: bool) -> int:
    """The exit code; what was asked for and is not there is said once more, where the last lines are read."""
    from zfcuda.command import complain

    missing = [each for each in done if each.known is None and (each.failed or not all_of_them)]
    for each in missing:
        said, _, commands = each.why.partition("\n")
        complain("error", f"{each.name}: {said.removesuffix(':')}{' (see above)' if commands else ''}")
    return 2 if missing else 0


def _tell(outcome: Outcome) -> None:
    """Prints what came of a figure, above the bars."""
    from tqdm import tqdm

    from zfcuda.paper.words import VERDICTS, WIDE, aligned, sentence

    known = outcome.known
    if known is None:
        done = "failed" if outcome.failed else "was left out"
        tqdm.write(f"\n{titles()[outcome.name]}\n{outcome.name} {done}: {outcome.why}", file=sys.stdout)
        return
    lines = [known["title"] + ("" if outcome.made else " (made before; --again makes it anew)")]
    for title, rows in known["tables"].items():
        more = [f"... {len(rows) - _ROWS} more rows"] if len(rows) > _ROWS else []
        lines += ["", sentence(title), aligned(rows, _ROWS), *more]
    if known["claims"]:
        lines.append("")
    for claim in known["claims"]:
        said = f"{VERDICTS[claim['holds']]}: {claim['says']} {claim['found']}"
        lines.append(textwrap.fill(said, WIDE, subsequent_indent="    ", break_on_hyphens=False))
    lines += ["", *map(str, outcome.files)] if outcome.made else []
    tqdm.write("\n" + "\n".join(lines), file=sys.stdout)
    sys.stdout.flush()


def _setting(arguments: argparse.Namespace, out: Path) -> Setting:
    from zfcuda.data import HELD_OUT_SEED, Parts
    from zfcuda.data.collection import Collection
    from zfcuda.paper.cache import Cache
    from zfcuda.paper.figure import Setting
    from zfcuda.paper.gallery import Gallery, held_out

    drawn = arguments.data == "parts" and not Path("parts").exists()
    given = Parts(seed=HELD_OUT_SEED) if drawn else held_out(arguments.data)
    classes = Collection.of(given).classes
    if arguments.pictures is not None and arguments.pictures < 1:
        raise ValueError(f"--pictures: expected at least 1, got {arguments.pictures}")
    if drawn and (arguments.pictures or 0) > _MOST:
        raise ValueError(f"--pictures: expected at most {_MOST:,} drawn ones, got {arguments.pictures:,}")
    run = Path(arguments.finished) if arguments.finished else None
    if run is not None and not (run / "config.json").is_file():
        raise CommandError(f"--run {one_line(arguments.finished)}: not the folder of a run of zfcuda train")
    subject = _subject(arguments, drawn, classes)
    pictures = given if drawn else arguments.data
    return Setting(
        Gallery(subject.model, pictures, preprocess=subject.preprocess, count=arguments.pictures),
        subject.title,
        arguments.data,
        Cache(out / "cache"),
        Path(arguments.runs) if arguments.runs else out / "runs",
        train=arguments.train,
        run=run,
        seed=arguments.seed,
        progress=True,
    )


def _subject(arguments: argparse.Namespace, drawn: bool, classes: list[str]) -> Subject:
    from zfcuda.report import load_subject

    device = checked_device(arguments.device)
    model = arguments.model or ("demo" if drawn else _knowing(classes) or default_network())
    if arguments.model is None and model == "demo" and not drawn:
        tell_of_drawn_things()
    with naming(model):
        subject = load_subject(model, weights=arguments.weights, device=device, **preprocessing(arguments))
    tell_of_assumed(subject)
    return subject


def _knowing(classes: list[str]) -> str | None:
    """The network of the package that knows all of these classes; None where there are none, or none knows them."""
    from zfcuda.class_names import as_compared
    from zfcuda.models.pretrained.demo import DEMOS, load_demo

    wanted = set(map(as_compared, classes))
    return next((name for name in DEMOS if wanted and wanted <= set(map(as_compared, load_demo(name).classes))), None)


def _merged() -> dict[str, tuple[Option, list[str]]]:
    """The options of single figures by their names, each with the figures whose it is."""
    found: dict[str, tuple[Option, list[str]]] = {}
    for figure, each in options().items():
        for option in each:
            found.setdefault(option.name, (option, []))[1].append(figure)
    return found


def _add_option(group: argparse._ArgumentGroup, option: Option, whose: list[str]) -> None:
    own = {figure: each for figure in whose for each in options()[figure] if each.name == option.name}
    defaults = {figure: each.default for figure, each in own.items()}
    helps = dict.fromkeys(each.help for each in own.values())
    said = "; ".join(f"{', '.join(name for name in own if own[name].help == text)}: {text}" for text in helps)
    if isinstance(option.default, bool):
        group.add_argument(option.flag, action="store_true", default=None, help=said)
        return
    if isinstance(option.default, tuple):
        group.add_argument(option.flag, nargs="+", metavar=option.metavar, help=said.replace("%", "%%"))
        return
    different = len(set(defaults.values())) > 1
    shown = ", ".join(f"{value} for {name}" for name, value in defaults.items() if value != "")
    shown = shown if different else str(option.default)
    text = f"{said} (default: {shown})" if shown else said
    kind = type(option.default)
    group.add_argument(option.flag, type=kind, metavar=option.metavar or None, help=text.replace("%", "%%"))


def _given(arguments: argparse.Namespace, names: list[str]) -> dict[str, Any]:
    """The options of single figures that the command line has.

    Raises:
        ValueError: one is of figures that nobody asked for.
    """
    found = {}
    for name, (option, whose) in _merged().items():
        value = getattr(arguments, name)
        if value is None:
            continue
        if not set(whose) & set(names):
            raise ValueError(f"{option.flag}: expected with {' or '.join(whose)}, got {', '.join(names)} alone")
        found[name] = value
    return found


def _command(arguments: argparse.Namespace, figure: str) -> str:
    """The command that makes this figure alone."""
    words = ["zfcuda", "paper", figure]
    own = [(each.flag, getattr(arguments, each.name), None) for each in options().get(figure, ())]
    shared = [
        (f"--{name.replace('_', '-')}", getattr(arguments, place), usual)
        for name, place, usual in (
            ("model", "model", None),
            ("weights", "weights", None),
            ("data", "data", "parts"),
            ("pictures", "pictures", None),
            ("out", "out", "out/paper"),
            ("seed", "seed", 0),
            ("device", "device", "cpu"),
            ("runs", "runs", None),
            ("run", "finished", None),
            *((name, name, None) for name in preprocessing(arguments)),
        )
    ]
    for flag, value, usual in [*shared, *own]:
        if value is True:
            words.append(flag)
        elif isinstance(value, list):
            words += [flag, *value]
        elif value not in (None, usual):
            words += [flag, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return shlex.join(words)


def _facts(arguments: argparse.Namespace, setting: Setting) -> dict[str, Any]:
    """What has to be known to make it again, for all figures."""
    import datetime

    from zfcuda.data.preprocess_facts import facts, line
    from zfcuda.report.record import device_of, versions

    return {
        "date": datetime.date.today().isoformat(),
        "versions": versions(),
        "device": device_of(setting.model),
        "network": setting.title,
        "pictures of": setting.gallery.title,
        "preprocess": line(facts(setting.gallery.pictures.preprocess)),
        "seed": arguments.seed,
    }
