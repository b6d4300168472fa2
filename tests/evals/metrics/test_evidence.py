"""Citations against gold ids, and the share of claims that nothing supports."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.evidence import Claim, Support
from polyclinic.core.report import Report, TraceRef
from polyclinic.evals.metrics.evidence import citations, unsupported_rate
from polyclinic.evals.metrics.overlap import Overlap

IDS = st.lists(st.sampled_from(["1", "2", "3", "4", "5"]), max_size=8)


def report(*supports: Support) -> Report:
    claims = tuple(Claim(text=f"claim {n}", support=support) for n, support in enumerate(supports))
    return Report(
        case_id="c", status="answered", question="q", answer="a", claims=claims, engine="e",
        trace=TraceRef(path="t", hash="h"),
    )  # fmt: skip


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


def test_contradicted_claims_are_unsupported_and_rates_are_pooled() -> None:
    reports = [report("supported", "unsupported", "contradicted", "supported"), report(), report("supported")]
    assert unsupported_rate(reports) == pytest.approx(2 / 5)
    assert unsupported_rate(reports[:1]) == 0.5
    assert math.isnan(unsupported_rate([report()]))
    assert math.isnan(unsupported_rate([]))
