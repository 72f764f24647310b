"""The zoo's part of `python -m benchmarks occlusion`: its options, and what they run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch

from benchmarks.environment import environment
from benchmarks.record import RecordError
from benchmarks.zoo_maps import running, subjects
from benchmarks.zoo_maps.record import Rows
from benchmarks.zoo_maps.trial import SECONDS, Settings


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that hold for the zoo alone."""
    zoo = parser.add_argument_group("occlusion --networks zoo")
    zoo.add_argument("--resume", action="store_true", help="leave out networks that the file of --json has")
    zoo.add_argument("--without-compile", action="store_true", help="no torch.compile, which takes minutes a network")
    zoo.add_argument(
        "--seconds", type=float, default=SECONDS, help="for the rounds of a network, one at least (default %(default)g)"
    )
    zoo.add_argument(
        "--profile",
        action="store_true",
        help="measure where the engine's time goes instead, with zoo of the three rows of --json that reach the "
        "smallest part of their bound",
    )


def run(
    parser: argparse.ArgumentParser, options: argparse.Namespace, networks: list[str], dtypes: Sequence[torch.dtype]
) -> None:
    """Measures networks of the zoo, or where their time goes."""
    if options.device.type != "cpu":
        parser.error(f"--device: the zoo is measured on the cpu alone, got {options.device}")
    try:
        names = running.chosen(networks)
    except (ValueError, subjects.MissingError) as error:
        parser.error(f"--networks: {error}")
    for dtype in dtypes:
        settings = Settings(dtype, options.seconds, not options.without_compile and not options.quick, options.quick)
        try:
            rows = Rows(environment(options.device), str(dtype).removeprefix("torch."), options.json)
        except RecordError as error:
            parser.error(f"--json: {error}")
        if options.profile:
            running.profiled(None if subjects.ZOO in networks else names, settings, rows)
        else:
            running.run(names, settings, rows, resume=options.resume)
    if options.json is not None:
        print(f"written: {options.json}")
