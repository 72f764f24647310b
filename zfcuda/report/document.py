"""What stands around the text of every page: its head, what the browser may ask for, and how the facts are listed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime

from zfcuda.report.pieces import text
from zfcuda.report.record import versions


def document(title: str, body: str, *, images: str, style: str, script: str = "") -> str:
    """The HTML of a page. body: what people see; all else as in :func:`around`."""
    before, after = around(title, images=images, style=style, script=script)
    return before + body + after


def around(title: str, *, images: str, style: str, script: str = "") -> tuple[str, str]:
    """What stands before and after the body of a page, whose browser runs no other script and asks for nothing else,
    whatever ends up in it.

    Args:
        title: as the browser's tab shows it.
        images: where pictures may come from, as a Content-Security-Policy has it: "data:" for those in the page.
        style: CSS.
        script: JavaScript that runs when all of the page is there.
    """
    allowed = {"img-src": images, "style-src": _hash(style)} | ({"script-src": _hash(script)} if script else {})
    rules = "".join(f"; {kind} {what}" for kind, what in allowed.items())
    policy = f"default-src 'none'{rules}; base-uri 'none'; form-action 'none'"
    running = f"<script>{script}</script>\n" if script else ""
    before = f"""<!doctype html>
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
"""
    return before, f"{running}</body>\n</html>\n"


def _hash(text: str) -> str:
    """What allows this text alone, as a Content-Security-Policy has it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def made_with(made: datetime) -> dict[str, str]:
    """Facts for the end of a list: with which versions a page was made, and when."""
    return {
        "Versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "Made": made.strftime("%d %B %Y, %H:%M").lstrip("0"),
    }


def listed(facts: Mapping[str, str]) -> str:
    """Facts as a list of definitions."""
    return f"<dl>{''.join(f'<div><dt>{key}</dt><dd>{text(value)}</dd></div>' for key, value in facts.items())}</dl>"
