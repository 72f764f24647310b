"""Energy inside: how much of what a map says for the class lies on what the picture is about."""

from __future__ import annotations

from zfcuda.faithfulness.checks import Values, checked_map, checked_mask


def energy_inside(map: Values, mask: Values) -> float:
    """The share of a map's positive values, added up, that lies inside a mask: 0 ... 1.

    The "energy-based pointing game" (Wang et al. 2020, Score-CAM, section 4.2), which Quantus calls relevance mass
    accuracy. Values below zero speak against the class and count nowhere (Quantus counts them negatively in both sums,
    so that its share can leave 0 ... 1); give the magnitudes of a map, `map.abs()`, to count them as well. A map
    without any positive value has 0 inside.

    A map that is the same everywhere scores the mask's share of the picture: that is the chance level.

    Args:
        map: [H,W], of any real dtype.
        mask: bool [H,W], a Tensor or an array.

    Raises:
        TypeError, ValueError: naming the argument: the map is not finite, the mask empty or of another size.
    """
    values = checked_map(map)
    inside = checked_mask(mask, values.shape)
    positive = values.clamp(min=0)
    largest = positive.amax()
    if not largest:
        return 0.0
    positive = positive / largest  # sums of values as large as floats can be would be infinite
    return float(positive[inside].sum() / positive.sum())
