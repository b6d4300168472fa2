"""Shapes of regions: discs and crosses whose solidity is known, and what speaks against nuclei."""

from __future__ import annotations

import numpy as np
import pytest

from polyclinic.tools.classical.nucleus_shapes import Shapes, no_nuclei, shapes


def test_a_disc_is_solid_and_a_cross_is_notched() -> None:
    rows, columns = np.mgrid[:100, :200]
    labels = np.where(np.hypot(rows - 50, columns - 50) < 20, 1, 0)
    found = shapes(labels)
    assert found.size == pytest.approx(0.4, abs=0.02)
    assert found.solidity > 0.95
    assert found.notched == 0.0
    down, across = abs(rows - 50), abs(columns - 150)
    labels[(down < 30) & (across < 6) | (down < 6) & (across < 30)] = 2
    assert shapes(labels).notched == 0.5
    assert shapes(labels).solidity < found.solidity


@pytest.mark.parametrize(
    ("size", "solidity", "notched", "said"),
    [
        (0.1, 0.95, 0.1, ""),
        (0.3, 0.85, 0.25, ""),
        (0.5, 0.95, 0.1, "as wide as 50 %"),
        (0.1, 0.8, 0.1, "not round or oval"),
        (0.1, 0.95, 0.3, "not round or oval"),
    ],
)
def test_each_limit_speaks_for_itself(size: float, solidity: float, notched: float, said: str) -> None:
    found = Shapes(size=size, solidity=solidity, notched=notched)
    wrong = no_nuclei(found, largest=0.3, solidity=0.85, notched=0.25)
    assert said in wrong
    assert bool(wrong) == bool(said)
