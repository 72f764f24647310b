"""What the figures say, for a table and in sentences."""

from __future__ import annotations

from typing import Any

COLUMNS = ("images by", "classes", "steps", "processor s an image", "named", "among the first five", "probability")
_OTHERS = {"notebook": "dreamlens, as its notebook sets it", "defaults": "dreamlens, as it comes"}


def rows(result: dict[str, Any]) -> list[list[Any]]:
    """A row for each way to make images of classes."""
    made = [("zfcuda", result["photographs"])]
    for setting, title in _OTHERS.items():
        ways = result.get("dreamlens", {}).get(setting, {})
        made += [(f"{title}, {fair}", way) for fair, way in ways.items()]
    return [
        [
            name,
            row["images"],
            row["steps"],
            f"{row['seconds_each']:.2f}",
            share(row["top1"]),
            share(row["top5"]),
            f"{row['probability']:.2f}",
        ]
        for name, row in made
    ]


def sentences(result: dict[str, Any]) -> list[str]:
    """What was measured besides, without the points at their ends."""
    said = []
    if "parts" in result:
        row = result["parts"]
        said.append(f"Of the drawn classes a second network names {share(row['top1'])} of {row['images']} images")
    if "percentile" in result:
        row = result["percentile"]
        classes = row["classes"]
        said.append(
            f"An image excites its class more than {classes['percentile']:.4g} % of {row['photographs']:,} photographs "
            f"of clothing do, in the median {classes['times_strongest']:.3g} times as much as the strongest of them"
        )
    if "diversity" in result:
        parts = result["diversity"]["share"]
        said.append(
            f"Nine images of a class are {share(parts['codes'])} as far from each other as nine photographs by their "
            f"codes, {share(parts['places'])} by what layers say place by place"
        )
    if "grey" in result:
        row = result["grey"]
        said.append(
            f"Of {row['units']} units {row['failed']} get a grey image or one that does not excite them, "
            f"{row['silent']} of these without a warning"
        )
    return said


def share(value: float) -> str:
    """A part of one in words."""
    return f"{100 * value:.0f} %"
