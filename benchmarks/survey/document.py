"""docs/networks.md, from what was tried."""

from __future__ import annotations

import datetime
import platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import torch

from benchmarks.survey import subjects
from benchmarks.survey.running import Result
from benchmarks.survey.trial import ABILITIES
from zfcuda.version import __version__

Results = Mapping[str, Result]  # "owner/name" ->

_TITLES = {
    "followed": "followed exactly",
    "projected": "projected",
    "summarised": "summarised, multiply-adds",
    "explained": "explained",
}


def whole(results: Results, own_columns: Sequence[str]) -> str:
    """The document.

    own_columns: of the table of zfcuda.models.
    """
    others = {
        owner: {name: result for name, result in results.items() if _of(name, owner)}
        for owner in ("torchvision", "timm")
    }
    own = {name: result for name, result in results.items() if _of(name, "ours")}
    rows = [[result.cells[column][1] for column in own_columns] for result in own.values()]
    versions = ", ".join(f"{package} {subjects.version_of(package)}" for package in others)
    date = datetime.date.today().isoformat()
    return f"""# Networks

{_headline(others, len(own))}

{_in_patches(others)}

Measured {date} with zfcuda {__version__}, torch {torch.__version__},
{versions}, Python {platform.python_version()}, on a CPU, by `python -m benchmarks.networks`, which writes this page.
Every cell was tried there, with random weights and a drawn picture.

## zfcuda.models

`zfcuda.models.NAMES` lists them, but for the last ones, those of the paper's Table 3, which may be named wherever a
network may, too. What does not hold here stops the command.

{_markdown(own_columns, rows)}

- Keys and shapes were held against the lists in tests/models/torchvision_keys.json and torchvision itself.
  torchvision's weights, random ones, were saved by `torch.save` as its published files are, and read by
  `zfcuda.models.load`. GoogLeNet's file has two side classifiers besides, `aux1` and `aux2`, which are used in training
  alone and left out here.
- `project`: from a convolution half way and from the last one (the one named), something comes down, and nothing
  outside the unit's receptive field.
- `occlusion_map`: six windows of about a quarter of the picture's side with `method="incremental"` and with
  `method="batched"`. The tolerance is 1e-4 of the standard deviation of all logits, and 1e-5 of the largest.
- `zfcuda explain`: the command wrote its page from the network's name and a file of weights, with so many of its layers
  and so many pictures.
- `zfcuda summary` gives the table behind the totals of parameters and multiply-adds, layer by layer.

## Networks of torchvision and timm

`pip install --no-deps torchvision timm` installs them beside any torch: without `--no-deps`, pip would bring another
torch, and where torchvision's compiled operators do not fit the one that is there, its networks need none of them.

All {len(others["torchvision"])} networks for classification of torchvision that have up to 150 M parameters, and
{len(others["timm"])} of timm's, of its many families. Weights are drawn at random, batch norm has statistics as after
training, the image is square, of the side that the column says.

- *followed exactly*: `occlusion_map(method="incremental")` gives the logits of brute force, for six windows; the worst
  logit, in the tolerance above. Else the engine's reason, and "auto" takes brute force.
  {_rounded(others)}
- *projected*: from the first, the middle and the last convolution, with nothing outside the receptive field. Else the
  step that cannot be undone, and where it stands.
- *summarised*: every parameter is in the table once, and the multiply-adds are those that
  `torch.utils.flop_counter` counts.
- *explained*: the page, with so many layers and pictures; what is not projected is named there, and the rest stays.

{table({name: result for those in others.values() for name, result in those.items()})}

{_refusals(others)}
"""


def table(results: Results) -> str:
    """A row for each network of others, a column for each ability."""
    columns = ["network", "parameters", "side", *(_TITLES[a] for a in ABILITIES)]
    rows = []
    for name, result in results.items():
        facts = [result.cells[column][1] if column in result.cells else "?" for column in ("parameters", "side")]
        rows.append([f"`{name}`", *facts, *(_cell(result, ability) for ability in ABILITIES)])
    return _markdown(columns, rows)


def failures(results: Results) -> list[str]:
    """Lines on the networks of which not all holds."""
    wrong = {name: [text for holds, text in result.cells.values() if not holds] for name, result in results.items()}
    return [
        f"{name}: {result.ended or wrong[name][0]}" for name, result in results.items() if result.ended or wrong[name]
    ]


def _of(name: str, owner: str) -> bool:
    return name.startswith(f"{owner}/")


def _cell(result: Result, ability: str) -> str:
    if ability not in result.cells:
        return f"**failed**: {_short(result.ended)}"
    holds, text = result.cells[ability]
    return f"yes, {text}" if holds else (f"**wrong**: {_short(text)}" if holds is None else f"no: {_short(text)}")


def _short(text: str) -> str:
    """A reason in a cell."""
    text = text.replace("|", "/").replace("\n", " ")
    return text if len(text) <= 160 else f"{text[:157]}..."


def _headline(others: Mapping[str, Results], own: int) -> str:
    columns = ["", "networks", *(_TITLES[a].split(",")[0] for a in ABILITIES)]
    rows = [["zfcuda.models", str(own), *["100 %"] * len(ABILITIES)]]
    every: dict[str, Result] = {}
    for owner, results in others.items():
        every |= results
        rows.append([owner, str(len(results)), *(_share(results, a) for a in ABILITIES)])
    rows.append(["both", str(len(every)), *(_share(every, a) for a in ABILITIES)])
    return _markdown(columns, rows)


def _in_patches(others: Mapping[str, Results]) -> str:
    cells = [result.cells.get("followed", (None, "")) for results in others.values() for result in results.values()]
    followed = [text for holds, text in cells if holds]
    to_the_end = sum("in full from" not in text for text in followed)
    return (
        f"Of the {len(followed)} of torchvision and timm that are followed, {to_the_end} are followed to their end in\n"
        "patches: only what a window changes is computed again. In the others something looks at the whole map (a\n"
        "gate, attention, a norm of groups) or turns it about; from that step on, named below, windows run in full."
    )


def _rounded(others: Mapping[str, Results]) -> str:
    cells = [result.cells.get("followed", (None, "")) for results in others.values() for result in results.values()]
    rounded = [text for holds, text in cells if holds and "in float64" in text]
    back = sum("steps back" in text for text in rounded)
    return (
        f"Deep networks of random weights multiply what float32 rounds off, until brute force itself is off by more:\n"
        f'  {len(rounded)} of them are held to it in float64; for {back} of these "auto" takes brute force in float32.'
    )


def _share(results: Results, ability: str) -> str:
    holding = sum(bool(result.cells.get(ability, (None, ""))[0]) for result in results.values())
    share = f"{100 * holding / len(results):.0f} %" if results else "-"
    return share if holding == len(results) else f"{share} ({holding})"


def _refusals(others: Mapping[str, Results]) -> str:
    """What stands in the way of projections, most frequent first."""
    steps: Counter[str] = Counter()
    first = total = 0
    for results in others.values():
        for result in results.values():
            holds, text = result.cells.get("projected", (None, ""))
            first, total = first + text.startswith("first"), total + 1
            if holds is False:
                steps.update({step.split(".")[-1] for step in re.findall(r"not [^:]*: ([^ ;]+) \(", text)})
    if not steps:
        return ""
    told = ", ".join(f"{step} ({count})" for step, count in steps.most_common())
    return (
        f"The first convolution is projected in {first} of {total} networks. On the way from deeper ones, projections\n"
        f"stop at these steps first, in so many networks: {told}."
    )


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows))
