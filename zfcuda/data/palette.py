"""The colours of the drawn pictures, shared by all classes."""

from __future__ import annotations

from zfcuda.data.dice import Dice

Color = tuple[int, int, int]


def _rgb(text: str) -> Color:
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def _words(text: str) -> list[str]:
    return text.split()


VIVID: tuple[Color, ...] = tuple(
    _rgb(c)
    for c in _words(
        "e4572e f3a712 ffd23f a8c256 4f9d69 17bebb 3a86c8 5f5aa2 9b5de5 d65db1 f15bb5 ef767a "
        "c0392b 8d5a3b e9c46a 2a9d8f 264653 f4f1de b5c9d6 6d7f8c 3d405b 7fc8a9 f2a490 fefae0"
    )
)
MUTED: tuple[Color, ...] = tuple(
    _rgb(c)
    for c in _words(
        "8a9a83 a3b18a c2b59b b08968 7f7361 6b7a8f 8fa3b0 a9bcd0 94849b b7a3b4 c9ada7 9c8f7e "
        "5c6b5d 4a5a6a 70665c 9aa5a0 bfc8ad d0c3a8 7d8aa0 a58f86 607466 54627a 857a92 adb6a6"
    )
)
INK: Color = (30, 30, 42)
CHALK: Color = (250, 247, 238)


def luma(color: Color) -> float:
    """Brightness, 0 to 255."""
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def mix(a: Color, b: Color, share: float) -> Color:
    """``a`` with ``share`` (0 to 1) of ``b`` in it."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def distance(a: Color, b: Color) -> float:
    """How different two colours look, roughly 0 to 400: brightness counts twice."""
    chroma = abs(a[0] - b[0]) + abs(a[1] - b[1]) + abs(a[2] - b[2])
    return 0.5 * chroma + abs(luma(a) - luma(b))


def apart_from(dice: Dice, others: tuple[Color, ...], least: float, options: tuple[Color, ...] = VIVID) -> Color:
    """A random one of ``options`` at least ``least`` away from each of ``others``, or the one farthest away."""
    far = [c for c in options if all(distance(c, o) >= least for o in others)]
    return dice.pick(far) if far else max(options, key=lambda c: min(distance(c, o) for o in others))
