"""Makes one figure after another: what is there already stays, what cannot be made says why, and the others go on."""

from __future__ import annotations

import hashlib
import os
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zfcuda.command import DEBUG
from zfcuda.complaint import naming, own, reason
from zfcuda.files.signals import raised
from zfcuda.paper.figure import Figure, NotApplicableError, Setting
from zfcuda.paper.figures import figure
from zfcuda.paper.plots import can_plot
from zfcuda.paper.trainings import MissingRunsError, stamps
from zfcuda.paper.written import read, written
from zfcuda.report.record import versions

#: What brings a package, by the name that is imported.
_PIP = {"matplotlib": "zfcuda[plot]", "sklearn": "zfcuda[features]", "skimage": "zfcuda[photos]"}


@dataclass(frozen=True)
class Outcome:
    """What came of a figure.

    Attributes:
        name: of the figure.
        known: what its JSON says; None where there is no figure.
        files: those that belong to it.
        made: whether it was made now, and not before.
        why: where there is none, the reason.
        failed: whether the reason is a fault, and not something that this network or these pictures do not have.
    """

    name: str
    known: dict[str, Any] | None = None
    files: tuple[Path, ...] = ()
    made: bool = False
    why: str = ""
    failed: bool = False


def make(
    name: str,
    setting: Setting,
    out: Path,
    *,
    given: Mapping[str, Any],
    facts: Mapping[str, Any],
    again: bool = False,
) -> Outcome:
    """Makes a figure and writes its files, unless they are there and of the same.

    Args:
        name: of a figure that there is.
        setting: what it is made of; its options are not looked at.
        out: a folder that is there.
        given: options of figures by their names; this one takes those that are its own.
        facts: for its JSON; nothing that it depends on.
        again: make it in any case.

    Raises:
        KeyboardInterrupt: a signal came; earlier files are as before.
    """
    with raised() as came:
        try:
            this = figure(name)
            mine = setting.of(this, given)
            of = _depends_on(this, mine)
            known = None if again else read(out, name)
            if known is not None and known.get("of") == of:
                return Outcome(name, known, _paths(out, known))
            missing = [package for package in this.packages if find_spec(package) is None]
            if missing:
                needed = ", ".join(dict.fromkeys(_PIP.get(package, package) for package in missing))
                return Outcome(name, why=f"it needs what pip install {needed} brings")
            began = time.monotonic()
            result = this.run(mine)
            said = {"title": this.title, "source": this.source, "says": this.says, **facts}
            written(out, name, result, {**said, "seconds": round(time.monotonic() - began, 1), "of": of})
            known = read(out, name)
            assert known is not None
            return Outcome(name, known, _paths(out, known), made=True)
        except (MissingRunsError, NotApplicableError) as missing_things:
            return Outcome(name, why=str(missing_things))
        except Exception as error:
            if came:  # what a signal raised, and code that is not Python has turned into an exception of its own
                raise came[-1] from error
            if isinstance(error, ImportError) and not (error.name or "zfcuda").startswith("zfcuda"):
                return Outcome(name, why=str(error))
            if os.environ.get(DEBUG, "0") not in ("", "0"):
                traceback.print_exception(error)
            return Outcome(name, why=str(error) if own(error) else reason(error), failed=True)


def _paths(out: Path, known: Mapping[str, Any]) -> tuple[Path, ...]:
    return tuple(out / file for file in [*known["files"], f"{known['name']}.json"])


def _depends_on(this: Figure, setting: Setting) -> dict[str, Any]:
    """What a figure that is there must be of, to be taken as it is."""
    found = versions()
    return {
        "zfcuda": found["zfcuda"],
        "torch": found["torch"],
        "network and pictures": setting.gallery.fingerprint,
        "seed": setting.seed,
        "options": {name: _content(value) for name, value in setting.options.items()},
        "plots": can_plot(),
        **({"trainings": stamps(setting.runs, setting.run)} if this.trainings else {}),
    }


def _content(value: Any) -> Any:
    """The value of an option; of one that is the path of a file, what is in it too."""
    if isinstance(value, str) and value and os.path.isfile(value):
        with naming(value):
            return [value, hashlib.sha256(Path(value).read_bytes()).hexdigest()]
    return value
