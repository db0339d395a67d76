"""Damaged and hostile models: a few of the mutants of tests/fuzz_importer.py."""

from __future__ import annotations

import pytest
from fuzz_importer import faults, fuzz

SEED = 20261122


@pytest.mark.slow
def test_mutants_end_in_c_or_in_one_refusal() -> None:
    outcomes = fuzz(range(SEED, SEED + 300), jobs=2)
    assert not faults(outcomes)
    values = [outcome.value for outcome in outcomes.values()]
    assert values.count("generated") > 20 and any(value.startswith("refused") for value in values)
