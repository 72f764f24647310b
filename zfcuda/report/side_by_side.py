"""The maps of several methods for the same picture and class, or the reason why one is not to be had."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Sequence

from torch import Tensor, nn
from tqdm import tqdm

from zfcuda.backward.deconvnet import depends_on_image
from zfcuda.complaint import one_line
from zfcuda.methods import Method, method
from zfcuda.network import trace
from zfcuda.occlusion import OcclusionMap
from zfcuda.occlusion.output import ModelWithOutput
from zfcuda.report.attempt import attempted
from zfcuda.report.explanation import MethodMap
from zfcuda.report.prepare import Prepared

# How warnings begin: the reader of the page called no function.
_FUNCTION = re.compile(r"\w+: ")
_BLIND = "no max pooling lies between the class and the pixels, so this map is the same whatever the picture"


def side_by_side(
    p: Prepared, names: Sequence[str], occlusion: OcclusionMap, seconds: float, *, progress: bool = False
) -> tuple[MethodMap, ...]:
    """What each of the methods says about the picture.

    Args:
        names: from zfcuda.method_names.chosen.
        occlusion: the page's own map, which stands for the method of that name; `seconds`: how long it took.
        progress: show a bar on stderr.
    """
    found = []
    # Within a with statement: an error must not be printed behind a bar that still stands.
    show = progress and bool(names)
    with tqdm(names, f"{one_line(p.name)}: methods", unit="method", disable=not show, leave=False) as bar:
        for name in bar:
            one = method(name)
            if one.name == "occlusion":
                found.append(MethodMap(one, occlusion.heatmap(of="log_odds").cpu(), seconds))
            else:
                found.append(_computed(p, one))
    return tuple(found)


def _computed(p: Prepared, one: Method) -> MethodMap:
    model = p.subject.model if p.output is None else ModelWithOutput(p.subject.model, p.output)

    def work() -> Tensor:
        return one.compute(model, p.image, [p.target])[0].float().cpu()

    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as came:
        warnings.simplefilter("always", UserWarning)
        values, refusal = attempted(work)
    seconds = time.perf_counter() - start
    said = [str(each.message) for each in came]
    return MethodMap(one, values, seconds, refusal, remarks(one, model, p.image, said))


def remarks(one: Method, model: nn.Module, image: Tensor, warned: Sequence[str]) -> tuple[str, ...]:
    """What is to be said beside the map of a method. warned: what it warned of."""
    said = [_FUNCTION.sub("", " ".join(each.split()), count=1) for each in warned]
    if one.name == "deconvnet" and not _sees_the_picture(model, image):
        said.append(_BLIND)
    return tuple(dict.fromkeys(said))


def _sees_the_picture(model: nn.Module, image: Tensor) -> bool:
    """Whether the deconvnet's map of a class differs from picture to picture; yes, where that cannot be told."""
    depends, _ = attempted(lambda: depends_on_image(trace(model, image), ""))
    return depends is not False
