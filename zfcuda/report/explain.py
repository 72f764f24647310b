"""The long work on one picture: projections of the strongest maps, the occlusion map, other methods' maps."""

from __future__ import annotations

import time
from collections.abc import Sequence

from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.complaint import one_line
from zfcuda.inputs import probabilities
from zfcuda.report.attempt import attempted
from zfcuda.report.explanation import Explanation
from zfcuda.report.layers import ConvLayer, chosen
from zfcuda.report.occlusion_maps import OcclusionMaps
from zfcuda.report.prepare import Prepared
from zfcuda.report.projected import projected
from zfcuda.report.side_by_side import side_by_side


def explain(
    prepared: Prepared,
    *,
    top: int = 4,
    methods: Sequence[str] = (),
    progress: bool = False,
    maps: OcclusionMaps | None = None,
) -> Explanation:
    """Does the long work on one picture.

    Args:
        prepared: from :func:`prepare`.
        top: how many maps of each layer.
        methods: whose maps are shown side by side, from zfcuda.method_names.chosen.
        progress: show bars on stderr.
        maps: of the pictures before, which left what theirs and this one's have in common; None: there were none.
    """
    p = prepared
    title = f"{one_line(p.name)}: projections"
    # Within a with statement: an error must not be printed behind a bar that still stands.
    with tqdm(_shown(p), desc=title, unit="layer", disable=not progress, leave=False) as bar:
        layers = projected(p, bar, top)
    followed = next((layer for layer in layers if p.followed is not None and layer.name == p.followed.name), None)
    unit = followed.units[0] if followed is not None and followed.units else None

    start = time.perf_counter()
    occlusion = (maps or OcclusionMaps())(
        p.subject.model,
        p.image,
        window=p.window,
        stride=p.stride,
        fill=p.cover.fill,
        target=p.target,
        layer=None if unit is None or p.followed is None else p.followed.output,
        unit=None if unit is None else unit.number,
        progress=progress,
        output=p.output,
    )
    seconds = time.perf_counter() - start
    filters = None
    if p.layers:
        filters, _ = attempted(lambda: _weights(p.subject.model, p.layers[0].name))
    return Explanation(
        subject=p.subject,
        name=p.name,
        source=p.source,
        pixels=p.pixels,
        class_names=tuple(p.subject.class_name(i) for i in range(len(p.logits))),
        logits=p.logits,
        probabilities=probabilities(p.logits[None], occlusion.normalization)[0],
        target=p.target,
        chosen_target=p.chosen_target,
        layers=layers,
        all_layers=len(p.layers),
        followed=unit,
        followed_layer=None if p.followed is None else p.followed.name,
        occlusion=occlusion,
        window=p.window,
        stride=p.stride,
        cover=p.cover,
        top=top,
        truth=p.truth,
        output=p.output,
        seconds=seconds,
        methods=side_by_side(p, methods, occlusion, seconds, progress=progress),
        filters=p.subject.in_colour(filters) if filters is not None and filters.shape[1] == 3 else filters,
    )


def _shown(p: Prepared) -> list[ConvLayer]:
    """Some layers of a deep network, the followed one among them."""
    shown = chosen(p.layers)
    if p.followed is None or p.followed in shown:
        return shown
    return [layer for layer in p.layers if layer in shown or layer is p.followed]


def _weights(model: nn.Module, name: str) -> Tensor:
    weight = model.get_submodule(name).weight
    assert isinstance(weight, Tensor)
    return weight.detach().float().cpu()
