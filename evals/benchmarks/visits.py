"""A case of two visits of which only the order is known: a picture of today and one from before."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from ...core.case import Case, Image, Visit

BEFORE, TODAY = datetime.date(2100, 1, 1), datetime.date(2101, 1, 1)
"""Days that stand for an order. They lie ahead, so that no knowledge counts as younger than the case."""

NOTE = "only their order is known"


def two_visits(id: str, question: str, options: Mapping[str, str], before: Image, today: Image) -> Case:
    """The case; its fact `days of the visits` says that the dates are none."""
    return Case(
        id=id,
        question=question,
        options=dict(options),
        images=(today,),
        visits=(Visit(date=BEFORE, images=(before,)),),
        date=TODAY,
        metadata={"days of the visits": NOTE},
    )
