"""What stands around the text of every page: its head, what the browser may ask for, and how the facts are listed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from zfcuda.report.pieces import text
from zfcuda.report.record import versions


def document(title: str, body: str, *, policy: str, style: str) -> str:
    """The HTML of a page.

    Args:
        title: as the browser's tab shows it.
        body: what people see.
        policy: what the browser itself may ask for, whatever ends up in the page: a Content-Security-Policy.
        style: CSS.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<title>{text(title)}</title>
<style>{style}</style>
</head>
<body>
{body}</body>
</html>
"""


def made_with(made: datetime) -> dict[str, str]:
    """Facts for the end of a list: with which versions a page was made, and when."""
    return {
        "Versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "Made": made.strftime("%d %B %Y, %H:%M").lstrip("0"),
    }


def listed(facts: Mapping[str, str]) -> str:
    """Facts as a list of definitions."""
    return f"<dl>{''.join(f'<div><dt>{key}</dt><dd>{text(value)}</dd></div>' for key, value in facts.items())}</dl>"
