"""Whether upper layers converge late, as measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zfcuda.paper.evolution.convergence import rank_correlation
from zfcuda.paper.result import Claim

_SURE = 0.05  # chance alone gives less often what is called a trend
SAYS = "Lower layers converge within a few epochs; upper layers only develop after many more."


def upper_late(measures: Mapping[str, Mapping[str, Sequence[float]]], epochs: Sequence[int]) -> Claim:
    """The claim, held against several measures of how far a layer is from its end.

    A layer is the later, the farther it is from its end at these epochs, on average. The claim holds where by every
    measure layers are the later the higher they stand, more surely than chance (p < 0.05), and does not where they are
    the earlier by one and the later by none.

    Args:
        measures: what it is, in words -> layer, from the first to the last -> how far it is at each epoch.
        epochs: those of the measures, without the start and the end, where all layers are alike.
    """
    if not epochs:
        return Claim(SAYS, "Nothing is known of any moment between the start and the end.", None)
    said, signs = [], []
    for what, layers in measures.items():
        late = {name: sum(values) / len(values) for name, values in layers.items()}
        rho, chance = rank_correlation(list(late.values()))
        signs.append((rho > 0) - (rho < 0) if chance < _SURE else 0)
        listed = ", ".join(f"{name} {value:.2f}" for name, value in late.items())
        said.append(f"{what}: {listed}, rank correlation with depth {rho:+.2f} (p = {chance:.2g})")
    holds = True if all(sign > 0 for sign in signs) else False if min(signs) < 0 and max(signs) <= 0 else None
    listed = ", ".join(map(str, epochs))
    return Claim(SAYS, f"How far from the end at epochs {listed}, on average. By the {'. By the '.join(said)}.", holds)


def by_cosine(initial: Mapping[str, float], lasting: Mapping[str, int], end: int) -> Claim:
    """The epoch from which filters are like the last, as a finding that decides nothing.

    Args:
        initial: layer -> the cosine of its initial filters to the last; empty where these are not known.
        lasting: layer -> the epoch from which the cosine stays above 0.9.
        end: the last epoch.
    """
    said = ", ".join(f"{name} from epoch {epoch}" for name, epoch in lasting.items())
    found = f"The mean cosine of filters to those of epoch {end} stays above 0.9 in {said}."
    if initial:
        most = max(initial, key=lambda name: initial[name])
        found += (
            f" It decides nothing: initial weights that hardly move have a high cosine before anything is learned, "
            f"{initial[most]:.2f} in {most}."
        )
    return Claim("Filters of lower layers are like the last earlier than those of upper layers.", found, None)
