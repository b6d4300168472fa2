"""Citations against gold ids."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.evals.metrics.evidence import citations
from polyclinic.evals.metrics.overlap import Overlap

IDS = st.lists(st.sampled_from(["1", "2", "3", "4", "5"]), max_size=8)


@given(IDS, IDS)
def test_citations_are_shares_of_sets(cited: list[str], gold: list[str]) -> None:
    found = citations(cited, gold)
    common = len(set(cited) & set(gold))
    assert found.precision == pytest.approx(common / len(set(cited)) if cited else math.nan, nan_ok=True)
    assert found.recall == pytest.approx(common / len(set(gold)) if gold else math.nan, nan_ok=True)


def test_an_answer_that_cites_nothing_lowers_the_pooled_recall_alone() -> None:
    pooled = citations(["1", "9"], ["1", "2"]) + citations([], ["3", "4"])
    assert pooled == Overlap(hits=1, said=2, there=4)
    assert (pooled.precision, pooled.recall) == (0.5, 0.25)
