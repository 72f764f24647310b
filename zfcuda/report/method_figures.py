"""The section in which the maps of several methods stand side by side."""

from __future__ import annotations

from PIL import Image

from zfcuda import render
from zfcuda.report.explanation import Explanation, MethodMap
from zfcuda.report.panels import METHOD_COLOURS, Drawn, Panel
from zfcuda.report.pieces import number, picture, text, times

_COLUMNS = 5
# Whether a method has a sign -> what stands below its colour bar, evenly spaced, and how to read it.
_KEYS = {
    True: (
        ("−1", "−¼", "0", "+¼", "+1"),
        "Maps with a sign: red is above zero, for {name}; blue is below, against it; white is zero.",
    ),
    False: (("0", "¼", "1"), "Maps without a sign: the brighter, the more the pixel has to do with {name}."),
}


def methods(e: Explanation, drawn: Drawn) -> str:
    """The section of one picture; nothing where no method was asked for."""
    if not e.methods:
        return ""
    name = text(e.class_names[e.target])
    signs = {one.method.signed for one in e.methods if one.values is not None}
    keys = [_key(sign, name) for sign in _KEYS if sign in signs]
    outlined = "" if e.truth is None else " Yellow: the outline of the one part that makes it what it is."
    return f"""<section>
<h3>What several methods say</h3>
<p class="note">For each pixel of the picture, how much it has to do with {name}. The methods measure different things,
in different units, so each map is divided by its own largest magnitude, which stands below it: colours compare places
within a map, not one map with another. They go with the square root, or a fine map would show nothing but its few
largest pixels: half way along a bar is a quarter.{outlined}</p>
<div class="keys">{"".join(keys)}</div>
<div class="panels methods" style="--columns:{_COLUMNS}">
{_original(drawn)}{"".join(_figure(e, one, drawn) for one in e.methods)}</div>
</section>"""


def _key(sign: bool, name: str) -> str:
    ticks, words = _KEYS[sign]
    ends = "".join(f"<span>{tick}</span>" for tick in ticks)
    return (
        f'<div class="scale"><div class="ramp" style="background:{render.gradient(METHOD_COLOURS[sign])}"></div>'
        f'<div class="ends num">{ends}</div><p>{words.format(name=name)}</p></div>'
    )


def _original(drawn: Drawn) -> str:
    # 256 colours are enough to find a place again.
    small = drawn.picture.image.quantize(256, dither=Image.Dither.NONE)
    return f"<figure>{picture(Panel(small, drawn.picture.alt))}<figcaption><b>The picture.</b></figcaption></figure>\n"


def _figure(e: Explanation, one: MethodMap, drawn: Drawn) -> str:
    method = one.method
    words = f"<b>{text(method.title)}.</b> {text(method.reading)}{_settings(e, one)}"
    words += "".join(f" <b>Beware:</b> {text(warning.rstrip('.'))}." for warning in one.warnings)
    caption = f'<figcaption>{words} <span class="source">{text(method.source)}.</span></figcaption>'
    if one.values is None:
        reason = text(one.refusal.rstrip("."))
        return f'<figure><p class="refused"><b>Not of this network:</b> {reason}.</p>{caption}</figure>\n'
    took = f"{one.seconds:.2g}" if one.seconds >= 0.01 else "below 0.01"
    return (
        f"<figure>{picture(drawn.methods[method.name])}"
        f'<div class="row"><span>{_size(one)}</span><span class="num">{took}\u00a0s</span></div>{caption}</figure>\n'
    )


def _size(one: MethodMap) -> str:
    """How large the map is at most, or that there is nothing in it."""
    assert one.values is not None
    if one.unknown == one.values.numel():
        return "no number anywhere"
    said = f'largest <span class="num">{number(one.largest)}</span>' if one.largest else "nothing at all: 0 everywhere"
    some = f"; grey: {one.unknown:,} pixel{'s' * (one.unknown > 1)} without a number"
    return said + some * bool(one.unknown)


def _settings(e: Explanation, one: MethodMap) -> str:
    """What covers the picture in the page's own occlusion map."""
    if one.method.name != "occlusion":
        return ""
    return f" Here {text(e.cover.words)}, {times(e.window, e.window)} pixels, moved by {e.stride}."
