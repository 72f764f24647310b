"""The fuzz cases that are kept (see fuzz.py): each reaches code that none before it does, or has failed before."""

from __future__ import annotations

import pytest

from tests.harness import fuzz_cases
from tests.harness.fuzz import kept


@pytest.mark.parametrize("seed", kept())
def test_kept_case(seed: int) -> None:
    fuzz_cases.run(seed)


def test_a_case_is_its_seed() -> None:
    assert len(kept()) == len(set(kept())) and {fuzz_cases.run(seed) for seed in range(100)} == set(fuzz_cases.CASES)


def test_what_should_be_refused_is_noticed() -> None:
    def refuse() -> None:
        raise RuntimeError("no")

    assert fuzz_cases.refused(refuse, wrong=True) is None
    assert fuzz_cases.refused(lambda: 1, wrong=False) == 1
    for call, wrong in ((refuse, False), (lambda: 1, True)):
        with pytest.raises(AssertionError):
            fuzz_cases.refused(call, wrong)
