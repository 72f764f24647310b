"""One small network of each family: what the engine follows to its end, what is projected, and by what that is refused.

A step that is refused here and done one day is a line less; one that is done here has to stay so.
"""

from __future__ import annotations

import pytest
import torch

from benchmarks.survey import trial
from benchmarks.zoo import picture
from benchmarks.zoo.families import FAMILIES, SIDE

# Steps that look at the whole map: from there on the engine runs each window in full.
IN_FULL_FROM = {
    "mobilenet_v3": "mul in layer '1.gate'",
    "efficientnet": "mul in layer '1.gate'",
    "big_transfer": "layer '1.norm1' (GroupNorm)",
    "vovnet": "mul in layer '1'",
    "poolformer": "layer '1.norm1' (GroupNorm)",
    "mixer": "Tensor.flatten in the model's forward",
    "vit": "Tensor.flatten in the model's forward",
    "swin": "Tensor.permute in the model's forward",
}
# The first step on the way down that cannot be undone.
REFUSED_BY = {
    "mobilenet_v3": "first; not middle, last: Hardswish (0.2)",
    "efficientnet": "first; not middle, last: SiLU (0.2)",
    "big_transfer": "first; not middle, last: GroupNorm (1.norm1)",
    "vovnet": "first, middle; not last: hardsigmoid (1)",
    "cspnet": "first; not middle, last: LeakyReLU (2.expand.2)",
    "convnext": "first; not middle, last: layer_norm (1)",
    "poolformer": "first; not middle, last: GroupNorm (1.norm1)",
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> tuple[str, trial.Subject]:
    network = FAMILIES[request.param]()
    image = picture(SIDE, seed=9)
    with torch.inference_mode():
        logits = network(image)[0]
    return request.param, trial.Subject(network, image, logits.clone())


def test_a_family_is_followed_projected_and_summarised(family: tuple[str, trial.Subject]) -> None:
    name, subject = family
    followed, projected, summarised = trial.followed(subject), trial.projected(subject), trial.summarised(subject)
    assert followed.holds, followed.text
    assert followed.text.partition("; in full from ")[2] == IN_FULL_FROM.get(name, "")
    assert summarised.holds, summarised.text
    if name in REFUSED_BY:
        assert projected == (False, REFUSED_BY[name])
    else:
        assert projected.holds, projected.text
