"""How a report is made again: the command, the Python call, the networks and pictures by their checksums, the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zfcuda.complaint import writable
from zfcuda.data.preprocess_facts import line
from zfcuda.occlusion.output import Output, named
from zfcuda.report.document import listed
from zfcuda.report.networks import Network
from zfcuda.report.part import Part
from zfcuda.report.pieces import text, times
from zfcuda.report.record import versions

_SEED = 0  # of all that is drawn by lot here: a square of noise, the copies of SmoothGrad
_RANDOM = "smoothgrad"
_ARGUMENTS = ("target", "window", "stride", "layer", "fill", "top", "methods")  # of zfcuda.explain


@dataclass(frozen=True)
class Asked:
    """What somebody asked for.

    Attributes:
        command: as it is typed into a shell; None where a program asked.
        model: Python that gives the network; None: a program had it.
        out: the folder of the page.
        more: further arguments of zfcuda.explain, as Python.
    """

    command: str | None = None
    model: str | None = None
    out: str = "page"
    more: Mapping[str, str] = field(default_factory=dict)


def reproduction(networks: Sequence[Network], asked: Asked) -> dict[str, Any]:
    """The same for numbers.json."""
    shown = [part for network in networks for part in network.parts]
    return {"command": asked.command, "python": _python(networks, asked), "seed": _seeds(shown)}


def section(networks: Sequence[Network], asked: Asked) -> str:
    """The section at the end of the page."""
    said = reproduction(networks, asked)
    code = ""
    for identity, words, of in (("command", "In a shell", said["command"]), ("python", "In Python", said["python"])):
        if of is not None:
            code += (
                f'<h3>{words}</h3><div class="code"><pre tabindex="0" id="{identity}"><code>{text(of)}</code></pre>'
                f'<button type="button" data-copy="{identity}">Copy</button></div>\n'
            )
    seeds = ", ".join(f"{name}: {seed}" for name, seed in said["seed"].items())
    facts = {
        "Versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "Seed": seeds or "nothing here is drawn by lot",
    }
    for network in networks:
        record, weights = network.record, network.record["weights"]
        number = f" {network.number + 1}" if len(networks) > 1 else ""
        facts |= {
            f"Network{number}": record["title"],
            f"Weights{number}": f"{weights['parameters']:,} parameters, SHA-256 {weights['sha256']}"
            if weights["sha256"]
            else f"{weights['parameters']:,} parameters",
            f"Preprocessing{number}": line(record["preprocess"]),
            f"Device{number}": record["device"],
        }
    rows = "".join(_row(part) for network in networks for part in network.parts)
    return f"""<article class="again" id="reproduce"><h2>How to reproduce</h2>
{code}{listed(facts)}
<div class="scroll"><table><thead><tr><th>Picture</th><th>As the network sees it</th><th>File</th>
<th>SHA-256 of the file</th></tr></thead><tbody>{rows}</tbody></table></div>
<p class="note">The same is in numbers.json, with all numbers of this page. On the page, maps of pixels and of units
are kept to the three significant digits that are written; what the square changes is kept as float32.</p></article>
"""


def _row(part: Part) -> str:
    high, wide = part.size
    size, checksum = "made by a program", "—"
    if part.source is not None:
        size, checksum = f"{part.source.bytes:,}\u00a0bytes", f"<code>{part.source.sha256}</code>"
    return (
        f'<tr><td>{text(part.name)}</td><td class="num">{times(wide, high)}</td><td class="num">{size}</td>'
        f"<td>{checksum}</td></tr>"
    )


def _seeds(shown: Sequence[Part]) -> dict[str, int]:
    seeds = {"noise of the square": _SEED} if any(part.arguments["fill"] == "noise" for part in shown) else {}
    return seeds | ({_RANDOM: _SEED} if any(_RANDOM in (part.arguments["methods"] or ()) for part in shown) else {})


def _python(networks: Sequence[Network], asked: Asked) -> str | None:
    """The call of zfcuda.explain; None where one call does not make such a page, as of several networks."""
    if len(networks) > 1:
        return None
    shown = networks[0].parts
    first = shown[0]
    if asked.command is not None and (asked.model is None or any(each.source is None for each in shown)):
        return None
    paths = [repr(writable(each.source.path)) if each.source else f"picture_{i + 1}" for i, each in enumerate(shown)]
    given = {
        "out": repr(asked.out),
        **{name: repr(first.arguments[name]) for name in _ARGUMENTS},
    }
    if first.output is not None:
        given["output"] = _output(first.output)
    given |= asked.more
    title = " ".join(writable(networks[0].record["title"]).split())
    sha256 = networks[0].record["weights"]["sha256"] or "not known"
    model = asked.model or f"...  # {title}, with weights of the SHA-256 {sha256}"
    lines = [_argument(name, value) for name, value in given.items() if value != "None"]
    pictures = ", ".join(paths)
    call = ["zfcuda.explain(", f"    model, [{pictures}],", *lines, ")"]
    return "\n".join(["import zfcuda", "", f"model = {model}", *call])


def _output(output: Output) -> str:
    """What makes scores of the network's answer, as Python."""
    name = str(named(output))
    if isinstance(output, str | int):
        return repr(output)
    return name.replace(":", ".") if name.startswith("zfcuda.") else f"...  # {name}"


def _argument(name: str, value: str) -> str:
    """An argument on a line of its own; what is not code stands behind the comma."""
    code, comment, words = value.partition("  # ")
    return f"    {name}={code},{comment}{words}"
