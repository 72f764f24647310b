"""What the first screen of `zfcuda serve` offers."""

from __future__ import annotations

from zfcuda.cli.serve import _own_networks, _samples


def test_drawn_samples_name_the_network_that_knows_them() -> None:
    drawn = [kept for kept in _samples(named=False).values() if "(drawn)" in kept.name]
    assert drawn and {kept.network for kept in drawn} == {"demo"} and "demo" in _own_networks()
    assert all(kept.network is None for kept in _samples(named=True).values())
