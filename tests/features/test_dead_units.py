"""Dead, rare and saturated units, against counts by NumPy."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import zfcuda
from zfcuda.features.dead_units import DeadUnits, UnitActivity, _Activity, dead_units
from zfcuda.features.stream import Stream


class Shifted(nn.Module):
    """Passes its image on, with a constant added to each channel."""

    def __init__(self, shifts: list[float]) -> None:
        super().__init__()
        self.shift = nn.Conv2d(len(shifts), len(shifts), 1)
        self.relu = nn.ReLU(inplace=True)
        with torch.no_grad():
            self.shift.weight.copy_(torch.eye(len(shifts))[..., None, None])
            self.shift.bias.copy_(torch.tensor(shifts))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.shift(x)).mean((2, 3))
        return y


def images(count: int = 200) -> Tensor:
    """Between 0 and 1; the last channel is above zero at one place of one picture."""
    values = torch.rand(count, 4, 5, 6)
    values[:, 3] = 0
    values[7, 3, 2, 2] = 1
    return values


def test_the_kinds(device: torch.device) -> None:
    model = Shifted([-2.0, 0.5, -0.5, 0.0]).to(device)
    values = images().to(device)
    for layer in (None, "shift"):  # before the ReLU the same counts
        rows = dead_units(model, values, layers=layer)
        assert [(row.layer, row.unit, row.kind) for row in rows] == [
            (layer or "relu", 0, "dead"),
            (layer or "relu", 1, "saturated"),
            (layer or "relu", 2, ""),
            (layer or "relu", 3, "rare"),
        ]
        assert [row.share_active for row in rows][::3] == [0.0, 1 / 200] and rows.seen == 200
        largest = (values.cpu() + torch.tensor([-2, 0.5, -0.5, 0])[:, None, None]).amax((0, 2, 3))
        expected = largest if layer else largest.clamp(min=0)
        np.testing.assert_allclose([row.largest for row in rows], expected, rtol=1e-6)
    assert dead_units(model, values[:100])[3].kind == "" == dead_units(model, values[7:9])[3].kind  # 1 of 100, 1 of 2


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.relu(self.head(self.relu(self.conv(x)).mean((2, 3))))
        return y


def by_numpy(model: Net, values: Tensor) -> list[tuple[float, float]]:
    """The share of pictures and the largest value of each unit of both layers."""
    with torch.no_grad():
        maps = model.relu(model.conv(values))
        scores = model.head(maps.mean((2, 3)))
    found = []
    for layer in (maps.flatten(2).numpy(), scores[..., None].numpy()):
        for unit in range(layer.shape[1]):
            found.append((float((layer[:, unit] > 0).any(1).mean()), float(layer[:, unit].max())))
    return found


def test_against_numpy() -> None:
    model, values = Net(), torch.randn(70, 3, 9, 9)
    rows = dead_units(model, values)
    assert [(row.layer, row.unit) for row in rows] == [("relu", i) for i in range(8)] + [("head", i) for i in range(6)]
    np.testing.assert_allclose([(r.share_active, r.largest) for r in rows], by_numpy(model, values), rtol=1e-5)
    assert model.training and dead_units(model, values, layers=["head", "relu"])[:6] == rows[8:]
    assert dead_units(model, values.flip(0)) == rows


def test_processes_share_the_pictures() -> None:
    model, values = Net(), torch.randn(70, 3, 9, 9)
    stream = Stream(model, values, ["relu", "head"])
    one, other = _Activity(stream), _Activity(stream)
    for part, activity in ((values[:30], one), (values[30:], other)):
        Stream(model, part, ["relu", "head"]).run(activity)
    one.merge(other.state_dict())
    assert one.rows(70) == dead_units(model, values)


class Interrupted:
    """A data set that Ctrl-C meets on the way, once."""

    def __init__(self, values: Tensor, at: int) -> None:
        self.values, self.at = values, at

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Tensor:
        if index == self.at:
            self.at = -1
            raise KeyboardInterrupt
        return self.values[index]


def test_an_interrupted_pass_goes_on(tmp_path: Path) -> None:
    model, values, state = Net(), torch.randn(600, 3, 9, 9), tmp_path / "state"
    data = Interrupted(values, 550)
    with pytest.raises(KeyboardInterrupt, match="of 600 pictures are kept in"):
        dead_units(model, data, state=state)
    assert state.exists() and data.at == -1
    done = dead_units(model, data, state=state)
    assert done == dead_units(model, values) and done.seen == 600
    with pytest.raises(ValueError, match=r"state: .* other layers"):
        dead_units(model, data, layers="conv", state=state)


def test_it_prints_as_a_table_of_a_screenful() -> None:
    rows = [
        UnitActivity(f"features.{layer}.a.very.long.name.of.a.layer", unit, 0.0, 0.0, "dead" if unit < layer else "")
        for layer in range(40)
        for unit in range(2000)
    ]
    text = repr(DeadUnits(rows, 12345, []))
    lines = text.splitlines()
    assert len(lines) == 23 and max(map(len, lines)) <= 120
    assert lines[0] == (
        "80,000 units of 40 layers over 12,345 pictures: 780 dead (1.0 %), 0 rare (0.0 %), 0 saturated (0.0 %)"
    )
    assert lines[-1] == "and 20 layers more: 190 dead (0.5 %), 0 rare (0.0 %), 0 saturated (0.0 %)"
    assert lines[2].endswith(" 2,000     20      0          0  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...")
    assert "layer.. " not in text and "...features" not in text and ".of.a.layer" in lines[2]


def test_broken_pictures_are_named_and_left_out(tmp_path: Path) -> None:
    for i in range(3):
        Image.new("RGB", (9, 9), (80 * i, 10, 10)).save(tmp_path / f"{i}.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:40])
    preprocess = zfcuda.Preprocess(9, 9)
    with pytest.warns(UserWarning, match="pictures: 1 of 3 left out: 1.png"):
        rows = dead_units(Net(), tmp_path, preprocess=preprocess)
    assert rows.seen == 2 and [each.name for each in rows.skipped] == ["1.png"]
    assert "over 2 pictures, 1 left out" in repr(rows)
    with pytest.raises(ValueError, match=r"pictures: .*: no such folder"):
        dead_units(Net(), tmp_path / "none", preprocess=preprocess)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"pictures: .*: no picture in this folder"):
        dead_units(Net(), tmp_path / "empty", preprocess=preprocess)


def test_nan_is_said_and_is_of_no_kind() -> None:
    model = nn.Sequential(nn.ReLU())
    values = torch.rand(3, 2, 4, 4) + 0.1
    values[1, 0, 0, 0] = math.nan
    with pytest.warns(UserWarning, match="dead_units: NaN among the activations of 0"):
        rows = dead_units(model, values)
    assert math.isnan(rows[0].largest) and rows[0].kind == "" and rows[1].kind == "saturated"


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"layers": "rulu"}, ValueError, "has no layer 'rulu'"),
        ({"layers": []}, ValueError, "layers: expected at least one"),
        ({"model": nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU())}, ValueError, "layers: expected names, .* no ReLU"),
        ({"model": "net"}, TypeError, "model: expected a torch.nn.Module, got str"),
        ({"pictures": []}, ValueError, "pictures: expected at least one, got none"),
    ],
)
def test_bad_input(arguments: dict[str, Any], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        dead_units(**({"model": Net(), "pictures": torch.rand(2, 3, 9, 9)} | arguments))


def test_a_table_in_a_file(tmp_path: Path) -> None:
    rows = dead_units(Net(), torch.rand(2, 3, 9, 9))
    rows.save(tmp_path / "units.csv")
    with (tmp_path / "units.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 14 and lines[0]["layer"] == "relu" and float(lines[3]["largest"]) == rows[3].largest
    with pytest.raises(ValueError, match=r"path: expected a name that ends in .csv, got 'units.txt'"):
        rows.save(tmp_path / "units.txt")
    with pytest.raises(ValueError, match=r"path: .*: there is no folder"):
        rows.save(tmp_path / "none" / "units.csv")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtypes(dtype: torch.dtype) -> None:
    rows = dead_units(Net().to(dtype), torch.rand(3, 3, 9, 9, dtype=dtype))
    assert all(math.isfinite(row.largest) for row in rows)
