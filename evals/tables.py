"""Results as Markdown tables: what a reader needs to doubt them is on the same page. It computes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from .outcomes import OUTCOMES, Row
from .results import Paired, Result, Share, compared, results, share_right

_SHORT = {"needs_human": "needs human", "timed_out": "timed out"}


def page(rows: Sequence[Row], *, notes: Iterable[str] = ()) -> str:
    """All tables of some rows: accuracy and outcomes, cost, confidence, facets, and arms against each other."""
    found = results(rows)
    lines = ["# Evaluation", "", *notes]
    lines += [
        "Right over all counts whatever is not right against the arm; nothing without an answer counts as a guess. "
        "Intervals are 95 %: Wilson's, or drawn over groups of like samples (2,000 draws).", "",
    ]  # fmt: skip
    for name in dict.fromkeys(each.benchmark for each in found):
        here = [each for each in found if each.benchmark == name]
        own = [row for row in rows if row.benchmark == name]
        lines += [f"## {name}", "", *_accuracy(here), *_costs(here), *_scores(here), *_sure(here)]
        lines += [*_pairs(compared(own)), *_facets(own)]
    return "\n".join(lines).rstrip() + "\n"


def _accuracy(found: Sequence[Result]) -> list[str]:
    shown = [name for name in OUTCOMES if any(each.outcomes[name] for each in found)]
    head = ["arm", "n", "right over all", "right of the answered", *(_SHORT.get(name, name) for name in shown)]
    rows = [
        [each.arm, f"{each.n:,}", _share(each.over_all), _share(each.over_answered),
         *(f"{each.outcomes[name]:,}" for name in shown)]
        for each in found
    ]  # fmt: skip
    return _table(head, rows)


def _costs(found: Sequence[Result]) -> list[str]:
    head = ["a sample costs", "model calls", "tokens", "tool and retrieval calls", "seconds of work"]
    rows = [
        [each.arm, _number(each.chat_calls), f"{each.tokens:,.0f}", _number(each.tool_calls), _number(each.seconds)]
        for each in found
        if each.chat_calls or each.tool_calls
    ]
    return _table(head, rows) if rows else []


def _scores(found: Sequence[Result]) -> list[str]:
    names = sorted({name for each in found for name in each.scores})
    head = ["mean over the answered", *names]
    rows = [[each.arm, *(_number(each.scores.get(name, math.nan)) for name in names)] for each in found if each.scores]
    return _table(head, rows) if rows else []


def _sure(found: Sequence[Result]) -> list[str]:
    head = ["confidence", "answers with one", "AURC", "ECE, 10 bins", "Brier"]
    rows = [
        [each.arm, f"{each.confident:,}", _number(each.aurc), _number(each.calibration_error), _number(each.brier)]
        for each in found
        if each.confident
    ]
    return _table(head, rows) if rows else []


def _pairs(found: Sequence[Paired]) -> list[str]:
    head = ["first", "second", "n", "difference", "only first right", "only second right", "exact p", "p after Holm"]
    rows = [
        [each.first, each.second, f"{each.n:,}",
         f"{each.difference.value:+.3f} ({each.difference.low:+.3f} to {each.difference.high:+.3f})",
         f"{each.test.only_first:,}", f"{each.test.only_second:,}", f"{each.test.p:.2g}", f"{each.adjusted_p:.2g}"]
        for each in found
    ]  # fmt: skip
    return _table(head, rows) if rows else []


def _facets(rows: Sequence[Row]) -> list[str]:
    """Right over all by each facet that has two to twelve values."""
    lines: list[str] = []
    arms = list(dict.fromkeys(row.arm for row in sorted(rows, key=lambda row: row.arm)))
    for facet in sorted({name for row in rows for name in row.facets}):
        values = sorted({row.facets[facet] for row in rows if facet in row.facets})
        if not 2 <= len(values) <= 12:
            continue
        table = []
        for value in values:
            here = [row for row in rows if row.facets.get(facet) == value]
            shares = [share_right([row for row in here if row.arm == arm]) for arm in arms]
            table.append([value, f"{shares[0].n:,}", *map(_share, shares)])
        lines += _table([facet, "n", *arms], table)
    return lines


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (head, *rows)]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return [lines[0], "|" + "---|" * len(head), *lines[1:], ""]


def _share(share: Share) -> str:
    return f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f})" if share.n else "none"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"
