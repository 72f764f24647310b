"""What covers a rectangle, for the page to show; and the whole picture's numbers without one."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.live.served import Client, client
from tests.report import small
from zfcuda.occlusion.fill import Filling

PICTURE = small.drawing(3)
MODEL = small.network()
SUBJECT = small.subject(MODEL)
IMAGE = SUBJECT.view(PICTURE)[0]


@pytest.fixture(scope="module")
def here():  # type: ignore[no-untyped-def]
    with client(MODEL) as c:
        yield c


def asked(here: Client, kind: str, **fields: Any) -> dict[str, Any]:
    with here.work() as talk:
        return talk.ask(kind, picture=here.upload(PICTURE), network="small", **fields)


def test_a_plain_one_is_a_colour(here: Client) -> None:
    assert asked(here, "cover", fill="#12ab34")["fill"] == "#12ab34"
    assert asked(here, "cover", fill="grey")["fill"] == "#808080"
    mean = IMAGE[0].mean((1, 2), keepdim=True).expand_as(IMAGE[0])
    colour = SUBJECT.pixels(mean, PICTURE)[:, 0, 0].mul(255).round().to(torch.uint8)
    assert asked(here, "cover", fill="mean")["fill"] == f"#{bytes(colour.tolist()).hex()}"


@pytest.mark.parametrize("sides", [(8, 8), (8, 30), (500, 500)])
def test_a_blurred_one_goes_by_the_sides_of_the_rectangle(here: Client, sides: tuple[int, int]) -> None:
    found = asked(here, "cover", fill="blur", window=list(sides))["fill"]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.split(",")[1])))).astype(int)
    inside = (min(sides[0], small.SIDE), min(sides[1], small.SIDE))
    expected = SUBJECT.pixels(Filling("blur", IMAGE[0], inside).of(IMAGE[0]), PICTURE)
    assert abs(shown - (expected * 255).round().permute(1, 2, 0).numpy()).max() <= 1


def test_no_box_is_the_whole_picture(here: Client) -> None:
    found = asked(here, "occlude", boxes=[], target=1)
    assert found["answers"] == []
    assert found["base"]["logit"] == pytest.approx(float(MODEL(IMAGE)[0, 1].detach()), abs=1e-5)
