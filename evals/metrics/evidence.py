"""What an answer cites against what it should rest on, and how many of its claims nothing supports. Nobody is asked."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ...core.report import Report
from .overlap import Overlap


def citations(cited: Iterable[str], gold: Iterable[str]) -> Overlap:
    """Cited sources against the gold ones (such as PMIDs), each once, the same id for the same source.

    Precision: the share of what is cited that is gold; NaN where nothing is cited. Recall: the share of gold that is
    cited; NaN where there is no gold. Over a set, sums of overlaps give pooled shares, in which an answer that cites
    nothing still lowers recall. Gold lists are not complete: a cited source outside them may be a good one, so
    precision is a lower bound.
    """
    ours, theirs = {*cited}, {*gold}
    return Overlap(hits=len(ours & theirs), said=len(ours), there=len(theirs))


def unsupported_rate(reports: Iterable[Report]) -> float:
    """The share of claims, of all reports together, that verification found unsupported or contradicted.

    NaN where no report claims anything: a report without claims is counted by its status, not here.
    """
    claims = [claim for report in reports for claim in report.claims]
    return sum(claim.support != "supported" for claim in claims) / len(claims) if claims else math.nan
