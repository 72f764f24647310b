"""`python -m benchmarks.readme`: writes the tables of README.md and docs/benchmarks.md from benchmarks/results/*.json.

So none of them is typed. docs/zoo.png is drawn too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import attribution as methods
from benchmarks import deconvnet as projections
from benchmarks import live as hand
from benchmarks import made_tables, page_tables
from benchmarks import many as in_turn
from benchmarks import occlusion as maps
from benchmarks import synthesis as made
from benchmarks import training as steps
from benchmarks.maximized import summary as summary_of_images
from benchmarks.tables import NOT_MEASURED, RESULTS, ROOT, Row, markdown
from benchmarks.truth_tables import truth
from benchmarks.zoo_maps import scatter
from benchmarks.zoo_maps import tables as of_zoo

# One file per device. cpu: with THP_MEM_ALLOC_ENABLE=1, torch at its best; cpu_as_it_comes: without.
DEVICES = {"cpu": "CPU", "cpu_as_it_comes": "CPU, torch as it comes", "h100": "H100", "h200": "H200"}

PICTURE = ROOT / "docs" / "zoo.png"


def _against(row: Row, opponents: Mapping[str, str], unit: str, scale: float = 1.0) -> list[str]:
    """A cell for each opponent: how many times our time, and its own time."""
    return [
        f"{row['ratio'][name]:.1f}x ({row['seconds'][name] * scale:.3g} {unit})" if name in row["ratio"] else "-"
        for name in opponents
    ]


def _ours(row: Row, scale: float = 1.0, times: str = "seconds") -> str:
    low, high = (value * scale for value in row["quartiles"]["zfcuda"])
    return f"{row[times]['zfcuda'] * scale:.3g} ({low:.3g} to {high:.3g})"


# ---------------------------------------------------------------- one table per section and device


def operators(rows: Sequence[Row]) -> list[str]:
    columns = ["operator", "pictures", "dtype", "format", "ms (quartiles)", "against", "torch.compile's bytes"]
    columns += ["bytes moved", "of a copy"]
    table = []
    for row in rows:
        table.append(
            [
                row["operator"],
                row["shape"][0],
                row["dtype"],
                row["format"],
                _ours(row, times="milliseconds"),
                ", ".join(f"{ratio:.1f}x {side}" for side, ratio in row["ratio"].items()),
                f"{row['byte_ratio']:.2f}x" if "byte_ratio" in row else "-",
                f"{row['gigabytes_per_second']} GB/s",
                f"{row['of_copy']:.0%} of {row['copy_gigabytes_per_second']} GB/s",
            ]
        )
    return markdown(columns, table)


def speed(rows: Sequence[Row]) -> list[str]:
    """The README's table: five rows, four columns."""
    table = []
    for row in rows:
        if row["dtype"] == "float32":
            window = f"{row['title']}, window {row['window']}, stride {row['stride']}"
            best = min(
                (name for name in LOOPS if name != "captum" and name in row["ratio"]), key=row["ratio"].__getitem__
            )
            cells = [f"{row['ratio'][name]:.1f}x ({row['seconds'][name]:.3g} s)" for name in ("captum", best)]
            table.append([window, f"{row['seconds']['zfcuda']:.2f} s", cells[0], f"{cells[1]}, {LOOPS[best]}"])
    return markdown(["exact map of", "zfcuda", "Captum takes", "the best loop by hand takes"], table)


# The opponents, as columns.
LOOPS = {
    "captum": "Captum",
    "loop": "loop by hand",
    "loop, torch.compile": "loop, torch.compile",
    "loop, fused layers": "loop, zfcuda's layers",
}


def occlusion(rows: Sequence[Row]) -> list[str]:
    columns = ["network", "window / stride", "windows", "dtype", "zfcuda, s (quartiles)", "repeated, s"]
    columns += LOOPS.values()
    columns += ["the arithmetic allows", "reached of it", "worst logit, of the tolerance"]
    table = []
    for row in rows:
        table.append(
            [
                row["title"],
                f"{row['window']} / {row['stride']}",
                row["windows"],
                row["dtype"],
                f"{_ours(row)}, {row['method']}",
                f"{row['seconds'][maps.REPEATED]:.3g}" if maps.REPEATED in row["seconds"] else "-",
                *_against(row, LOOPS, "s"),
                f"{row['bound']:.2f}x",
                f"{min(row['of_bound'].values()):.0%}",  # beside the faster loop
                f"{row['deviation_over_tolerance']:.2g}",
            ]
        )
    return markdown(columns, table)


PROJECTIONS = {
    projections.CAPTUM: "Captum",
    projections.AUTOGRAD: "autograd by hand",
    projections.BATCH: "autograd, one batch",
    projections.COMPILED: "torch.compile",
}


def deconvnet(rows: Sequence[Row]) -> list[str]:
    columns = ["layer", "units", "dtype", "zfcuda, ms (quartiles)", "zfcuda.project, ms"]
    columns += PROJECTIONS.values()
    columns += ["forward alone, ms", "share of the deconvnet", "worst picture off by"]
    table = []
    for row in rows:
        table.append(
            [
                row["title"],
                row["top"],
                row["dtype"],
                _ours(row, 1e3),
                f"{row['seconds'][projections.SINGLE] * 1e3:.3g}",
                *_against(row, PROJECTIONS, "ms", 1e3),
                f"{row['seconds'][projections.FORWARD] * 1e3:.3g}",
                f"{projections.share(row):.0%}",
                f"{max(row['deviation'].values()):.1g}",
            ]
        )
    return markdown(columns, table)


OTHERS = {methods.CAPTUM: "Captum", methods.GRAD_CAM: "pytorch-grad-cam", methods.SINGLE: "zfcuda, one by one"}


def attribution(rows: Sequence[Row]) -> list[str]:
    columns = ["network", "method", "images", "dtype", "zfcuda, ms (quartiles)", *OTHERS.values()]
    columns += ["worst map off by, in float64"]
    table = []
    for row in rows:
        exact = [row["deviation"][side] for side in methods.OPPONENTS if side in row["deviation"]]
        table.append(
            [
                row["title"],
                row["what"],
                row["batch"],
                row["dtype"],
                _ours(row, 1e3),
                *_against(row, OTHERS, "ms", 1e3),
                f"{max(exact):.1g}" if exact else "-",
            ]
        )
    return markdown(columns, table)


STEPS = {steps.TORCH: "torch", steps.TORCH_NCHW: "torch, NCHW", steps.COMPILED: "torch.compile"}


def training(rows: Sequence[Row]) -> list[str]:
    columns = ["network", "batch", "dtype", "zfcuda, ms (quartiles)", *STEPS.values(), "zfcuda, torch.compile, ms"]
    columns += ["pictures per second", "losses of 20 steps, off torch's"]
    table = []
    for row in rows:
        compiled = row["seconds"].get(steps.OURS_COMPILED)
        table.append(
            [
                row["title"],
                row["batch"],
                f"{row['dtype']} autocast" if row["settings"]["autocast"] else row["dtype"],
                _ours(row, 1e3),
                *_against(row, STEPS, "ms", 1e3),
                "-" if compiled is None else f"{compiled * 1e3:.3g}",
                f"{row['pictures_per_second']:.0f}",
                f"{row['curve']['difference']:.2g}" if "curve" in row else "-",
            ]
        )
    return markdown(columns, table)


def synthesis(rows: Sequence[Row]) -> list[str]:
    columns = ["network", "what", "pixels", "dtype", "s (quartiles)", "nine runs", "its images off by"]
    table = []
    for row in rows:
        name = next(iter(row["seconds"]))
        low, high = row["quartiles"][name]
        off = f"{row['deviation']:.2g}" if "deviation" in row else "-"
        seconds = f"{row['seconds'][name]:.3g} ({low:.3g} to {high:.3g})"
        table.append(
            [
                row["title"],
                name if row["ratio"] else row["what"],
                f"{row['side']} x {row['side']}",
                row["dtype"],
                seconds,
                *_against(row, {made.RUNS: "nine runs"}, "s", 1),
                off,
            ]
        )
    return markdown(columns, table)


def live(rows: Sequence[Row]) -> list[str]:
    """One rectangle at a time beside the whole network."""
    columns = ["network", "ms (quartiles)", *(f"{name} takes" for name in hand.FORWARDS), "prepared in", "off by"]
    return markdown(
        columns,
        [
            [
                row["title"],
                _ours(row, 1e3),
                *_forwards(row),
                f"{1e3 * row['prepared_seconds']:.0f} ms",
                f"{row['deviation']:.1g}",
            ]
            for row in rows
        ],
    )


def _forwards(row: Row) -> list[str]:
    ours = row["seconds"][hand.OURS]
    return [f"{row['seconds'][name] / ours:.2f}x ({1e3 * row['seconds'][name]:.3g} ms)" for name in hand.FORWARDS]


def many(rows: Sequence[Row]) -> list[str]:
    """The maps of many pictures by one mapper beside one call each."""
    columns = ["network", "window / stride", "pictures", "s for all (quartiles)", "maps a minute"]
    columns += ["maps a minute, one call each", "takes", "peak of the memory", "off by"]
    table = []
    for row in rows:
        minute, peaks = row["maps_per_minute"], row["peak_bytes"].items()
        table.append(
            [
                row["title"],
                f"{row['window']} / {row['stride']}",
                row["pictures"],
                f"{_ours(row)}, {row['method']}",
                f"{minute[in_turn.OURS]:.0f}",
                f"{minute[in_turn.EACH]:.0f}",
                f"{row['ratio'][in_turn.EACH]:.2f}x",
                ", ".join(f"{size / 2**20:.0f} MiB after {number}" for number, size in peaks) or "-",
                f"{row['deviation']:.1g}",
            ]
        )
    return markdown(columns, table)


SECTIONS: dict[str, Callable[[Sequence[Row]], list[str]]] = {
    "operators": operators,
    "occlusion": occlusion,
    "deconvnet": deconvnet,
    "attribution": attribution,
    "training": training,
    "synthesis": synthesis,
    "live": live,
    "many": many,
}


def _measured(environment: Mapping[str, Any]) -> str:
    when = environment["date"] + (f", commit {environment['commit']}" if "commit" in environment else "")
    return f"{environment['device']}, torch {environment['torch']}, {when}, `{environment['command']}`"


def recorded(file: str, section: str) -> tuple[list[Row], list[str]]:
    """The rows of one device and section, and how they were measured; both empty where they were not."""
    path = RESULTS / f"{file}.json"
    parts = json.loads(path.read_text(encoding="utf-8")).get(section) if path.exists() else None
    if not parts:
        return [], []
    said = dict.fromkeys(_measured(part["environment"]) for part in parts.values())
    return [row for part in parts.values() for row in part["rows"]], list(said)


def block(section: str) -> str:
    """A table for each device that it was measured on."""
    pieces = []
    for file, title in DEVICES.items():
        rows, said = recorded(file, section)
        if rows:
            lines = [f"**{title}**", "", *(f"{sentence}." for sentence in said), "", *SECTIONS[section](rows)]
            pieces.append("\n".join(lines))
    return "\n\n".join(pieces) or NOT_MEASURED


def summary() -> str:
    """What the README shows of the CPU's occlusion maps."""
    rows, said = recorded("cpu", "occlusion")
    return "\n".join([*speed(rows), "", *(f"{sentence}." for sentence in said)]) if rows else NOT_MEASURED


def maximized() -> str:
    """Whether another network sees in made images what they were made for."""
    path = RESULTS / "synthesis.json"
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if "photographs" not in result:
        return NOT_MEASURED
    lines = markdown(summary_of_images.COLUMNS, summary_of_images.rows(result))
    measured = _measured(result["photographs"]["environment"])
    return "\n".join([f"{measured}.", "", *lines, "", *(f"- {said}." for said in summary_of_images.sentences(result))])


def beside(name: str, what: Callable[[Mapping[str, Any]], made_tables.Lines], environment: Sequence[str]) -> str:
    """A table of made images of a file of results. environment: the keys under which it says where it was measured."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return NOT_MEASURED
    result = json.loads(path.read_text(encoding="utf-8"))
    columns, rows, said = what(result)
    where: Any = result
    for key in environment:
        where = where[key]
    return "\n".join([f"{_measured(where)}.", "", *markdown(columns, rows), "", *(f"- {one}." for one in said)])


def zoo() -> str:
    """The zoo's occlusion maps, their plot, and where the time of the slowest goes."""
    path = RESULTS / "zoo.json"
    if not path.exists():
        return NOT_MEASURED
    result = json.loads(path.read_text(encoding="utf-8"))
    said = dict.fromkeys(_measured(result[dtype]["environment"]) for dtype in result if dtype != "device")
    return "\n".join([*(f"{sentence}." for sentence in said), "", *of_zoo.lines(result, PICTURE.name)])


def written(text: str, tables: Mapping[str, str]) -> str:
    """A page with its tables renewed.

    Raises:
        ValueError: the page does not have one block for each table.
    """
    for name, table in tables.items():
        marks = re.compile(rf"(<!-- {name}: python -m benchmarks\.readme -->\n).*?(\n?<!-- end -->)", re.DOTALL)
        count = len(marks.findall(text))
        if count != 1:
            raise ValueError(f"expected one block {name!r}, got {count}")
        text = marks.sub(lambda match, table=table: f"{match[1]}{table}\n<!-- end -->", text)  # type: ignore[misc]
    return text


def pages() -> dict[str, dict[str, str]]:
    """File -> name of a block -> its table."""
    return {
        "README.md": {"speed": summary()},
        "docs/benchmarks.md": {name: block(name) for name in SECTIONS}
        | {
            "zoo": zoo(),
            "truth": truth(RESULTS / "truth.json"),
            "maximized": maximized(),
            "adversaries": beside("adversaries", made_tables.adversaries, ["beside", "environment"]),
            "textures": beside("textures", made_tables.textures, ["environment"]),
            "live_page": beside("live_page", page_tables.live_page, ["environment"]),
            "pages": beside("pages", page_tables.pages, ["none", "environment"]),
        },
    }


def main() -> None:
    for file, tables in pages().items():
        page = ROOT / file
        try:
            text = written(page.read_text(encoding="utf-8"), tables)
        except ValueError as error:
            raise SystemExit(f"{file}: {error}") from None
        page.write_text(text, encoding="utf-8")
    measured = RESULTS / "zoo.json"
    if measured.exists():
        scatter.draw(json.loads(measured.read_text(encoding="utf-8"))).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
