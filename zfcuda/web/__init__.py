"""What pages are made of, as files: styles (CSS) and scripts (JavaScript), the same for a page that is one file and for
the live one. Nothing is built, and nothing comes from elsewhere.
"""

from __future__ import annotations

from importlib.resources import files


def text_of(name: str) -> str:
    """The text of a file in this folder, by its name.

    Raises:
        FileNotFoundError: there is none of this name.
    """
    return files(__package__).joinpath(name).read_text("utf-8")
