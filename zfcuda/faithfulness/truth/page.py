"""The page: the table, what each column asks, and what passes and fails, in words for somebody new to all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zfcuda.faithfulness.truth.figures import Figure, Figures
from zfcuda.faithfulness.truth.measure import CURVES_EVERY, DRAWS, RANDOM, RANDOMIZATION_EVERY, STEPS
from zfcuda.faithfulness.truth.paper import CONTRAST, LAYER, STRIDE, WINDOW
from zfcuda.faithfulness.truth.table import HEADINGS, cell, halves, headings, plain, rows
from zfcuda.methods import METHODS

#: The pictures of the page, beside it.
MAPS, SHUFFLED = "truth-maps.png", "truth-shuffled.png"
#: What was wanted of the pointing game before it was measured, in percent.
WANTED = {"occlusion": 95, "gradcam": 80}
_KEPT = 0.5  # of the order of the pixels: more than this after all layers were shuffled is a failed check


def page(found: Figures, facts: dict[str, Any], methods: str = "[methods.md](methods.md)") -> str:
    """The page as Markdown.

    facts: command, date, zfcuda, torch, python, device, minutes (of the processor), seed.
    methods: where the methods are described.
    """
    first, second = (_markdown(head, body) for head, *body in halves([headings(found), *rows(found)]))
    accuracy, without = (cell(found.network[name], "percent") for name in ("accuracy", "accuracy_without"))
    return f"""# Are the explanations true?

A map that looks convincing proves nothing: it may show what people expect to see, and not what the network looks at.
So each method of zfcuda is asked about pictures in which it is known what decides. `zfcuda.data.Parts` draws them: a
creature before a cluttered background, which wears or holds one **defining part**, a star, a gear, a ladder. That part
alone tells the class; everything else was chosen before the class was looked at. The small network in the package was
trained on such pictures, and looks at the part indeed: it is right in {accuracy} of those below, and where the part is
left out, in {without} (a guess: 8.3 %).

Measured {facts["date"]} with zfcuda {facts["zfcuda"]}, torch {facts["torch"]}, Python {facts["python"]}, on
`{facts["device"]}`, by `{facts["command"]}`, which writes this page, in {facts["minutes"]} minutes of
processor time: {found.pictures} pictures of seed {facts["seed"]}, none of which the network was trained on.
{methods} says what each method computes.

![Maps of all methods for several pictures]({MAPS})

The defining part is outlined, the largest value of each map ringed. Each map is drawn on one scale, from minus to plus
the 99.5th percentile of its magnitudes: where the sign means something, red speaks for the class, blue against it, and
white is zero; else black is zero and yellow is much. The first rows are the first pictures, as they came; the last are
the first that occlusion or Grad-CAM point beside, where there are such. The class explained is always the true one,
also where the network errs.

## Each method, in figures

{first}

{second}

In brackets behind a figure: the 95 % interval, within which it would probably lie if other pictures were drawn
(Wilson's for shares, else the bootstrap's). In brackets above: how many pictures were measured. Figures whose intervals
overlap do not differ as far as anybody can tell from this. The row `{RANDOM}` is noise, {DRAWS} maps
of it for each picture, or one where the network has to run for each map; "by chance" is what noise comes to in the long
run, where that can be computed.

What each column asks:

- **pointing game** (Zhang et al. 2016). Does the one pixel with the largest value lie on the defining part, or at most
  15 pixels off it? High is good. A pixel chosen blindly hits in {100 * found.chance["pointing"]:.1f} %; the row
  `centre`, which always points at the middle of the picture, is the one to beat. It asks for one pixel: the rest of the
  map may be anything.
- **energy inside** (Wang et al. 2020). Of all that the map says for the class, its values above zero added up, how much
  lies on the part? High is good; a map that is the same everywhere has {100 * found.chance["energy"]:.1f} %, the part's
  share of the picture. Maps that are coarse spill over the edge of the part and cannot reach 100 %.
- **deletion** and **insertion** (Petsiuk et al. 2018). Pixels are greyed in the order of the map, the largest values
  first, in {STEPS} steps, and the network says each time how probable the class still is. The figure is the area under
  that curve, from 0 to 1: a good map makes the probability fall at once, so **low is good for deletion**. For
  insertion it goes the other way, from the blurred picture to the whole one: **high is good**. Measured on one picture
  in {CURVES_EVERY}. A picture with scattered grey pixels is none that the network has ever seen, so a map of scattered
  dots may score well by that alone; compare with the row `{RANDOM}`.
- **first piece** and **all pieces** (after Hesse et al. 2023, FunnyBirds). Each picture is drawn again without each of
  its pieces: the part, the body, the face, an arm, every bit of clutter. What the score of the class truly loses is
  then known. *First piece*: is the one to which the map gives most, its values over the piece added up, the one without
  which the score drops most (nearly always the part)? High is good. *All pieces*: the rank correlation, from -1 to 1,
  of what the map gives to each piece with what the score loses without it. High is good; but most pieces matter next
  to nothing, so that their order is hard to get right, and a large piece collects more of any map and matters more as
  well, so that even `{RANDOM}` is above 0.
- **shuffled** (Adebayo et al. 2018, the "sanity check"). The weights of the network are shuffled, its last layer
  first, then the one before it as well, down to the first: it knows less and less, in the end nothing. A map that
  shows what the network has learned has to change. The figure is the rank correlation of the map (of its magnitudes)
  with that of the trained network, with the last layer shuffled, and with all: **near 0 is good**, 1 says that the map
  did not notice. **Structure** asks for the likeness as pictures (SSIM) when all are shuffled; maps that are black
  nearly everywhere, as Grad-CAM's, are alike in that alone. Measured on one picture in {RANDOMIZATION_EVERY}.

## What was wanted, and what came of it

{_wanted(found)}

## What passes, and what fails

{_verdicts(found)}

## Layer by layer

The rank correlation of the magnitudes with the map of the trained network, once the layers from the last one down to
this one are shuffled:

{_layers(found)}

![The maps of one picture while the layers are shuffled]({SHUFFLED})

The top row is the trained network; in each row below, one layer more is shuffled. A method whose column hardly changes
draws the picture, not what the network knows.{_known(found)}

## The paper's own two questions

{_paper(found)}

## What these figures cannot tell

They are of one small network and of drawn pictures, in which one part decides and has sharp edges. On photographs a
network may look at a whole scene, there is no mask of what it looks at, and coarse methods fare differently: on
PASCAL VOC the deconvnet loses the pointing game to the centre, 67.5 against 69.6 % (Zhang et al. 2016). A method that
fails here is not to be trusted elsewhere; one that passes here has passed here.

## Ask about a network of your own

```python
from zfcuda.faithfulness import deletion, energy_inside, pointing_game, randomization

pointing_game(map, mask)                      # map [H,W], mask bool [H,W]
energy_inside(map, mask)
deletion(model, image, map).auc               # no mask is needed for these two
randomization(model, image, "gradcam")        # or a callable (model, images, targets) -> maps
```
"""


def _wanted(found: Figures) -> str:
    lines = []
    for name, least in WANTED.items():
        if name in found.methods:
            got = found.methods[name]["pointing"]
            word = "Reached" if 100 * got.value >= least else "**Not reached**"
            lines.append(
                f"- {METHODS[name].title}: the largest value on the part, or within 15 pixels of it, in at least "
                f"{least} % of the pictures. {word}: {cell(got, 'percent')}."
            )
    if "gradcam" in found.methods:
        lines.append(
            "- Grad-CAM is drawn of the last map before its pooling, as its authors do (VGG16's `relu5_3`, not its "
            "`pool5`). That was chosen on 200 pictures of another seed, 77: the maximum lies on the part in 97 % of "
            "them, and in 80 % where it is drawn of the pooled map of 6 x 6."
        )
    return "\n".join(lines) or "Nothing was wanted of these methods."


def _verdicts(found: Figures) -> str:
    methods = {name: measured for name, measured in found.methods.items() if name not in (RANDOM, "centre")}
    lines = []
    if "centre" in found.methods:
        centre = found.methods["centre"]["pointing"]
        lines.append(
            f"- The pointing game against the centre ({cell(centre, 'percent')}): "
            + _compared(methods, "pointing", centre, 1)
        )
    for measure, sign in (("deletion", -1), ("insertion", 1), ("first", 1), ("pieces", 1)):
        luck = found.methods[RANDOM].get(measure)
        if luck is not None:
            name, how = HEADINGS[measure]
            lines.append(
                f"- {name.capitalize()} against a random map ({cell(luck, how)}): "
                + _compared(methods, measure, luck, sign)
            )
    check = {
        name: "passed" if one.high < _KEPT else "**failed**" if one.low > _KEPT else "undecided"
        for name, one in ((name, measured.get("after_all")) for name, measured in methods.items())
        if one is not None
    }
    lines.append(
        f"- The sanity check, with all layers shuffled. It has no agreed bar; here a method fails where more than "
        f"{_KEPT:g} of the order surely stays: {_piles(check, ('passed', 'undecided', '**failed**'))}"
    )
    if "gradient" in methods:
        lines.append(
            "- Why the plain gradient does badly in all that orders pixels by their value: its sign says whether the "
            "class wants the pixel brighter or darker, not whether it matters. `saliency` is the same without the sign."
        )
    return "\n".join(lines)


def _compared(methods: dict[str, dict[str, Figure]], measure: str, other: Figure, sign: int) -> str:
    """Which methods are surely better or worse than another figure. sign: 1 where more is better, -1 where less is."""
    words = {1: "better", 0: "no different", -1: "**worse**"}
    found = {}
    for name, measured in methods.items():
        if measure in measured:
            one = measured[measure]
            found[name] = words[sign * ((one.low > other.high) - (one.high < other.low))]
    return _piles(found, tuple(words.values()))


def _piles(found: dict[str, str], words: Sequence[str]) -> str:
    """Names under what became of them."""
    piles = {word: [name for name, what in found.items() if what == word] for word in words}
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in piles.items() if names) + "."


def _layers(found: Figures) -> str:
    names = [name for name in found.layers if found.layers[name]]
    if not names:
        return "Not measured."
    layers = list(found.layers[names[0]])
    body = [[name, *(plain(found.layers[name][layer].value) for layer in layers)] for name in names]
    return _markdown(["", *layers], body)


def _known(found: Figures) -> str:
    """What was known before of two methods, and what is seen of it here."""
    kept = [(name, list(found.layers.get(name, {}).values())) for name in ("guided", "deconvnet")]
    seen = [f"`{name}` keeps {plain(layers[2].value)} of its order" for name, layers in kept if len(layers) > 2]
    if not seen:
        return ""
    return f"""

Guided backpropagation is known to fail this check (Adebayo et al. 2018), and it is known why it and the deconvnet
partly redraw the picture (Nie et al. 2018). Here, once the three layers from the top are shuffled, after which nothing
is known of any class, {" and ".join(seen)}."""


def _paper(found: Figures) -> str:
    asked = {name: cell(figure, "percent") for name, figure in found.paper.items()}
    ratio = found.paper["projection_ratio"]
    body = [
        [
            f"the occluder ({WINDOW} pixels, steps of {STRIDE}) under which the class is least probable overlaps the "
            "defining part",
            asked["occluder"],
            f"{asked['occluder_at_random']} of all its positions",
        ],
        [
            f"the strongest {LAYER} unit's projection has {CONTRAST:g} times the energy per pixel on the object than "
            "off it",
            f"{asked['projection']}; in the middle {ratio.value:.1f} times",
            f"{asked['projection_evenly']}, spread evenly over the pixels that it reaches",
        ],
    ]
    return _markdown(["question", "answer", "by chance"], body)


def _markdown(columns: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *body))
