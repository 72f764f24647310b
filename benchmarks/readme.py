"""`python -m benchmarks.readme`: writes the README's tables from benchmarks/results/*.json, so that none is typed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
# cpu_huge_pages: torch at its best setting, THP_MEM_ALLOC_ENABLE=1; cpu: torch as it comes.
DEVICES = ("cpu_huge_pages", "cpu", "h100", "h200")
OCCLUSION = ("occlusion_cpu", "occlusion_h100", "occlusion_h200")
TITLES = {"cpu_huge_pages": "CPU, torch at its best: huge pages for its outputs too", "cpu": "CPU, torch as it comes"}


def operators(result: dict[str, Any]) -> str:
    """One device's operators as a table."""
    environment = result["environment"]
    lines = [
        f"{environment['device']}, torch {environment['torch']}, {environment['date']}, `{environment['command']}`; "
        f"a large copy moved {result['copy_gigabytes_per_second']} GB/s.",
        "",
        "| operator | pictures | dtype | format | ms (quartiles) | against | bytes moved |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["operators"]:
        low, high = row["quartiles"]["zfcuda"]
        ratios = ", ".join(f"{ratio:.1f}x {side}" for side, ratio in row["ratio"].items())
        cells = [
            row["operator"],
            row["shape"][0],
            row["dtype"],
            row["format"],
            f"{row['milliseconds']['zfcuda']:.3g} ({low:.3g} to {high:.3g})",
            ratios,
            f"{row['gigabytes_per_second']} GB/s, {row['of_copy']:.0%} of copy",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


# The opponents, as columns.
OPPONENTS = {
    "captum": "Captum",
    "loop": "loop by hand",
    "loop, torch.compile": "loop, torch.compile",
    "loop, fused layers": "loop, zfcuda's layers",
}


def occlusion(result: dict[str, Any]) -> str:
    """One device's occlusion maps as a table."""
    environment = result["environment"]
    columns = ["network", "window / stride", "windows", "dtype", "zfcuda, s (quartiles)", *OPPONENTS.values()]
    columns += ["the arithmetic allows", "reached of it", "worst logit, of the tolerance"]
    lines = [
        f"{environment['device']}, torch {environment['torch']}, {environment['date']}, `{environment['command']}`.",
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    for row in result["occlusion"]:
        low, high = row["quartiles"]["zfcuda"]
        against = [
            f"{row['ratio'][name]:.1f}x ({row['seconds'][name]:.3g} s)" if name in row["ratio"] else "-"
            for name in OPPONENTS
        ]
        cells = [
            row["title"],
            f"{row['window']} / {row['stride']}",
            row["windows"],
            row["dtype"],
            f"{row['seconds']['zfcuda']:.3g} ({low:.3g} to {high:.3g}), {row['method']}",
            *against,
            f"{row['bound']:.2f}x",
            f"{min(row['of_bound'].values()):.0%}",  # beside the faster loop
            f"{row['deviation_over_tolerance']:.2g}",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def truth() -> str:
    """Whether the explanations are true, held against the masks of the procedural pictures."""
    path = RESULTS / "truth.json"
    if not path.exists():
        return "Not yet measured."
    result = json.loads(path.read_text())
    percent = {key: f"{100 * value:.1f} %" for key, value in result.items() if isinstance(value, float)}
    return "\n".join(
        [
            f"`{result['command']}`, {result['pictures']} held-out pictures:",
            "",
            "| question | answer | by chance |",
            "|---|---|---|",
            f"| the occluder position where the true class is least probable overlaps the defining part | "
            f"{percent['occlusion']} | {percent['occlusion_at_random']} (a random position) |",
            f"| the strongest conv5 unit's projection has 3 times the energy density on the object than off it | "
            f"{percent['projection']} (median {result['projection_median_ratio']:.1f} times) | "
            f"{percent['projection_spread_evenly']} (spread evenly over its receptive field) |",
            f"| accuracy | {percent['accuracy']} | {percent['chance']} |",
            f"| accuracy with the defining part removed (should be chance) | {percent['control_accuracy']} | "
            f"{percent['chance']} |",
        ]
    )


def tables(files: Sequence[str], table: Callable[[dict[str, Any]], str]) -> str:
    """One table per file of results; "not yet measured" where there is none."""
    parts = []
    for file in files:
        path = RESULTS / f"{file}.json"
        title = f"**{TITLES.get(file, file.removeprefix('occlusion_').upper())}**\n\n"
        parts.append(title + (table(json.loads(path.read_text())) if path.exists() else "Not yet measured."))
    return "\n\n".join(parts)


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text()
    blocks = {
        "operators": tables(DEVICES, operators),
        "occlusion": tables(OCCLUSION, occlusion),
        "truth": truth(),
    }
    for name, table in blocks.items():
        block = re.compile(rf"(<!-- {name}: python -m benchmarks\.readme -->\n).*?(\n<!-- end -->)", re.DOTALL)
        text, found = block.subn(lambda match, table=table: match[1] + table + match[2], text)  # type: ignore[misc]
        if found != 1:
            raise SystemExit(f"README.md: expected one block {name!r}, found {found}")
    readme.write_text(text)


if __name__ == "__main__":
    main()
