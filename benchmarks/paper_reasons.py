"""Why claims of the paper do not hold here, where they do not: what a document says below them."""

from __future__ import annotations

#: (figure, setting or "" for each of them, how the claim begins) -> why it does not hold there.
WHY: dict[tuple[str, str, str], str] = {
    ("fig2", "", "Within each grid the patches vary more than their projections, pixel by pixel"): (
        "Correlating pixel by pixel asks for the same pixels. By where their edges are, which the next line asks, the "
        "projections are more alike than the patches in most layers: perhaps the same structure lies a few pixels off, "
        "or in another contrast; that was not tested."
    ),
    ("fig2", "photographs", "The projections of a unit show"): (
        "It holds in the two upper layers and fails in block 4. In blocks 4 and 8 projections of any two units are "
        "nearly as alike as those of one: perhaps the depthwise convolutions imprint a pattern of their own; that was "
        "not tested."
    ),
    ("fig5", "parts", "The output is stable"): (
        "The part that tells the class is drawn at all angles, so that nothing is lost by turning. Enlargement costs "
        "probability even where the part stays in view: perhaps because parts so large are rare in training; that was "
        "not tested."
    ),
    ("fig5", "parts", "Deeper layers are not more invariant to rotation"): (
        "Training on parts at all angles is what makes the top layers indifferent to their turn."
    ),
    ("fig5", "clothing", "Deeper layers are not more invariant to rotation"): (
        "Only the last layer is lower than the first, barely, and there is no order along the depth; the class keeps a "
        "third of its probability when turned. The paper says this of the output, this project expected it of layers."
    ),
    ("fig5", "photographs", "Deeper layers are not more invariant to rotation"): (
        "The layers up to block 10 are not; the last two are, as much of a map goes into one number there. The paper "
        "says this of the output, this project expected it of layers."
    ),
    ("fig6", "parts", "Filters of 7x7 stride 2 are more distinctive"): (
        "The filters themselves are as distinct: the mean cosine of two is about twice that of noise of their size in "
        "both. Smaller filters have fewer numbers to differ in, which may be all; that was not tested."
    ),
    ("table1", "parts", "At layer 7 parts and random places"): (
        "At pool5 the plain distance shows nothing, as it counts units that do not change as agreeing; by kappa parts "
        "are ahead there. relu7 is nearer by 12 %: perhaps because one part tells the class; that was not tested."
    ),
    ("localisation", "parts", "A box around a map finds the object"): (
        "The part alone tells the class (covering the rest of the object changes nothing, covering the part nearly "
        "all): maps show the part, whose box they find far better than the centre box does."
    ),
}
