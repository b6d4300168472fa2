"""What an answer cites against what it should rest on. Nobody is asked."""

from __future__ import annotations

from collections.abc import Iterable

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
