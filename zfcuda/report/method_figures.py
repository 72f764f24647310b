"""The section in which the maps of several methods stand side by side."""

from __future__ import annotations

from zfcuda.report.explanation import Explanation, MethodMap
from zfcuda.report.panels import Drawn
from zfcuda.report.pieces import chart, choice, cut, key_bar, slider, text, times, told
from zfcuda.report.pieces import number as digits

_COLUMNS = 5
# Whether a method has a sign -> how to read its colours.
_KEYS = {
    True: "With a sign: red is above zero, for {name}; blue is below, against it; white is zero.",
    False: "Without a sign: the brighter, the more the pixel has to do with {name}.",
}


def methods(number: int, e: Explanation, drawn: Drawn) -> str:
    """The section of picture `number`; nothing where no method was asked for."""
    if not e.methods:
        return ""
    name = text(e.class_names[e.target])
    signs = {one.method.signed for one in e.methods if one.values is not None}
    keys = " ".join(words.format(name=name) for sign, words in _KEYS.items() if sign in signs)
    outlined = "" if e.truth is None else " Yellow: the outline of the one part that makes it what it is."
    own = {"own": "each its own", "shared": "one for all"}
    controls = (
        f"{choice(f'methods-{number}', 'Scale', own, kind='methods-scale')}"
        f"{slider(f'over-{number}', 'Over the picture', 100, kind='methods-strength')}"
    )
    return f"""<section>
<h3>What several methods say</h3>
<p class="note">For each pixel of the picture, how much it has to do with {name}. The methods measure different things,
in different units: with a scale of its own, colours compare places within a map, not one map with another. They go with
the square root, or a fine map would show nothing but its few largest pixels. {keys}{outlined} Move over a map, or
select it and use the arrow keys: all of them then tell their value at that pixel.</p>
{f'<div class="controls">{controls}</div>' if signs else ""}
<div class="panels methods columns-{_COLUMNS}">
{_original(e, drawn)}{"".join(_figure(e, one, drawn) for one in e.methods)}</div>
</section>"""


def _original(e: Explanation, drawn: Drawn) -> str:
    return f"<figure>{cut(None, e.size, drawn.picture.alt)}<figcaption><b>The picture.</b></figcaption></figure>\n"


def _figure(e: Explanation, one: MethodMap, drawn: Drawn) -> str:
    method = one.method
    words = f"<b>{text(method.title)}.</b> {text(method.reading)}{_settings(e, one)}"
    words += "".join(f" <b>Beware:</b> {text(warning.rstrip('.'))}." for warning in one.warnings)
    caption = f'<figcaption>{words} <span class="source">{text(method.source)}.</span></figcaption>'
    if one.values is None:
        reason = text(one.refusal.rstrip("."))
        return f'<figure><p class="refused"><b>Not of this network:</b> {reason}.</p>{caption}</figure>\n'
    took = f"{one.seconds:.2g}" if one.seconds >= 0.01 else "below 0.01"
    key = f"method-{method.name}"
    return (
        f"<figure>{chart(key, drawn.methods[method.name])}{key_bar(key)}"
        f'<div class="row">{told(key, _size(one))}<span class="num">{took}\u00a0s</span></div>{caption}</figure>\n'
    )


def _size(one: MethodMap) -> str:
    """How large the map is at most, or that there is nothing in it."""
    assert one.values is not None
    if one.unknown == one.values.numel():
        return "no number anywhere"
    said = f'largest <span class="num">{digits(one.largest)}</span>' if one.largest else "nothing at all: 0 everywhere"
    some = f"; grey: {one.unknown:,} pixel{'s' * (one.unknown > 1)} without a number"
    return said + some * bool(one.unknown)


def _settings(e: Explanation, one: MethodMap) -> str:
    """What covers the picture in the page's own occlusion map."""
    if one.method.name != "occlusion":
        return ""
    return f" Here {text(e.cover.words)}, {times(e.window, e.window)} pixels, moved by {e.stride}."
