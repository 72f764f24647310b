"""What pages are made of, as files: styles (CSS) and scripts (JavaScript), for the static page and the live one.

Nothing is built, and nothing comes from elsewhere. ``theme.css`` and ``report.css`` are the look; ``colours.js`` knows
the scales of :mod:`zfcuda.render`, ``numbers.js`` how numbers are written, ``map.js`` a map in a canvas,
``evidence.js`` the mean of what squares change, ``occluder.js`` the square on a picture; ``picture.js`` is one picture
of a report, ``report.js`` its page. The scripts are classic ones, in this order, and share one global object,
``zfcuda``. ``elements.js``, ``legend.js``, ``live*.js`` and ``live.css`` are the microscope's: its connection, what is
looked at (in the address), the hand that holds the occluder, the answer, the map, units, methods, uploads.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from zfcuda import render


def text_of(name: str) -> str:
    """The text of a file in this folder, by its name.

    Raises:
        FileNotFoundError: there is none of this name.
    """
    return files(__package__).joinpath(name).read_text("utf-8")


def data_block(identity: str, data: Any) -> str:
    """Data for a script as an element of HTML that no browser runs, whatever text is in it."""
    inert = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{identity}">{inert}</script>'


def colours() -> dict[str, Any]:
    """The colours of :mod:`zfcuda.render` as hexadecimal digits, which colours.js reads from an element of the page."""
    return {
        "scales": {name: list(stops) for name, stops in render.COLOURS.items()},
        "categories": [bytes(colour).hex() for colour in render.CATEGORIES],
        "other": bytes(render.OTHER_COLOUR).hex(),
        "nan": bytes(render.NAN_COLOUR).hex(),
    }


def ramps() -> str:
    """The colour bars as CSS: an element of the classes "ramp" and a scale's name has its colours."""
    return "".join(f".ramp.{name} {{ background: {render.gradient(name)}; }}\n" for name in render.COLOURS)


def colours_block() -> str:
    """The same as that element, which stands before the scripts."""
    return data_block("zfcuda-colours", colours())
