"""Verification marks what the evidence does not carry, and nothing else."""

from __future__ import annotations

import pytest

from polyclinic.agents.tasks import ClaimDraft
from polyclinic.agents.verify import check_claim, unmentioned
from polyclinic.core.evidence import Claim, Evidence, Source

TOOL = Source(kind="tool", name="ruler", version="1")
EVIDENCE = {
    item.id: item
    for item in (
        Evidence(
            id="r.t1", kind="measurement", name="ratio", content="The ratio is 0.57.", value=0.57, unit="1", source=TOOL
        ),
        Evidence(
            id="r.t2",
            kind="measurement",
            name="width",
            content="12.4 mm in the left eye",
            value=12.4,
            unit="mm",
            source=TOOL,
        ),
        Evidence(id="r.p1", kind="passage", name="p", content="Above 0.5 the heart is enlarged (1992).", source=TOOL),
        Evidence(
            id="r.c1", kind="criterion", name="cardiomegaly", content="0.57 is above 0.5: cardiomegaly", source=TOOL
        ),
    )
}


@pytest.mark.parametrize(
    ("text", "cited", "support"),
    [
        ("The ratio is 0.57.", ("r.t1",), "supported"),
        ("The ratio is about 0.6.", ("r.t1",), "supported"),
        ("The ratio is 0.58.", ("r.t1",), "contradicted"),
        ("The ratio is 0.57, above 0.5.", ("r.t1", "r.p1"), "supported"),
        ("The ratio is 0.57, above 0.5.", ("r.t1",), "contradicted"),
        ("The heart is enlarged.", ("r.p1",), "supported"),
        ("In 1992 the limit was set.", ("r.p1",), "supported"),
        ("The limit is 0.7.", ("r.p1",), "unsupported"),
        ("The left eye measures 12.4 mm.", ("r.t2",), "supported"),
        ("The right eye measures 12.4 mm.", ("r.t2",), "contradicted"),
        ("Both left and right are measured.", ("r.t2",), "supported"),
        ("There is no cardiomegaly.", ("r.c1",), "contradicted"),
        ("There is cardiomegaly.", ("r.c1",), "supported"),
        ("Anything.", (), "unsupported"),
        ("Anything.", ("r.t9",), "unsupported"),
        ("A value of 12,4 mm.", ("r.t2",), "supported"),
        ("A value of −12.4 mm.", ("r.t2",), "contradicted"),
    ],
)
def test_support_is_judged_by_code(text: str, cited: tuple[str, ...], support: str) -> None:
    claim = check_claim(ClaimDraft(text=text, evidence=cited), EVIDENCE)
    assert claim.support == support, claim.why
    assert bool(claim.why) == (support != "supported")


def test_a_criterion_that_is_met_must_be_mentioned() -> None:
    assert "r.c1" in unmentioned((), EVIDENCE)[0]
    assert unmentioned((Claim(text="x", evidence=("r.c1",)),), EVIDENCE) == []
