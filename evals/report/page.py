"""One HTML page of some summaries: it needs no script and no other file, and computes nothing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote

from ...core.report import NOTICE
from .. import tables
from ..outcomes import Row
from ..results import Result
from ..tables import SHORT, Table
from ..tool_arm import PREFIX, SAID
from . import plots
from .cases import Silence, Worst
from .choices import Matrix
from .markup import Html, el, joined
from .style import STYLE
from .summary import Summary

LONGEST = 200
"""As much of an answer is shown."""


def page(found: Sequence[Summary], *, runs: Sequence[str] = (), notes: Iterable[str] = ()) -> str:
    """The page. `runs` names the folders the rows are of; the traces of rows count from the page's folder."""
    body = joined([_head(found, runs, notes), *(_section(each, place) for place, each in enumerate(found))])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Evaluation</title><style>{STYLE}</style></head>\n"
        f"<body>{el('main', body)}</body></html>\n"
    )


def _head(found: Sequence[Summary], runs: Sequence[str], notes: Iterable[str]) -> Html:
    held = Table(
        name="What was measured",
        head=["benchmark", "samples", "arms", "licence of the set"],
        rows=[
            [each.benchmark, f"{each.samples:,}", ", ".join(result.arm for result in each.results),
             each.about.licence if each.about else "not known: no benchmark of Polyclinic's"]
            for each in found
        ],
    )  # fmt: skip
    links = [el("li", el("a", each.benchmark, href=f"#b{place}")) for place, each in enumerate(found)]
    return joined([
        el("h1", "Evaluation"), el("p", NOTICE, class_="warn"), _table(held, words=True),
        *([el("nav", el("ul", *links), aria_label="Benchmarks")] if len(found) > 1 else []),
        *([el("p", "Runs: ", ", ".join(runs), ".", class_="soft")] if runs else []),
        *(el("p", note) for note in notes), el("p", tables.READING),
    ])  # fmt: skip


def _section(found: Summary, place: int) -> Html:
    parts = (
        _accuracy(found), _against(found, place), _cost(found, place), _confidence(found, place),
        _choices(found, place), _facets(found), _cases(found),
    )  # fmt: skip
    return el(
        "section", el("h2", found.benchmark, id=f"b{place}-name"),
        *(el("p", line) for line in tables.known(found.about)),
        *(el("p", line, class_="warn") for line in tables.doubts(found)),
        *(part for part in parts if part), id=f"b{place}", aria_labelledby=f"b{place}-name",
    )  # fmt: skip


def _accuracy(found: Summary) -> Html:
    every = (
        tables.accuracy(found.results),
        *tables.togethers(found.sets),
        tables.scores(found.results),
        tables.beside(found.beside),
    )
    return joined([el("h3", "Accuracy"), *map(_table, every)])


def _against(found: Summary, place: int) -> Html:
    if not found.pairs:
        return Html()
    return joined([
        el("h3", "Arms against each other"),
        _figures([(
            plots.forest(found.pairs, name=f"b{place}-forest"),
            "The first arm minus the second, right over all, on the samples both were asked. Filled: p after Holm "
            "below 0.05, of the exact paired test.",
        )]),
        _table(tables.pairs(found.pairs)),
    ])  # fmt: skip


def _cost(found: Summary, place: int) -> Html:
    by_tokens = any(each.tokens for each in found.results)
    if not by_tokens and not any(each.seconds for each in found.results):
        return Html()
    drawn = plots.cost(found.results, by_tokens=by_tokens, name=f"b{place}-cost")
    caption = "What a sample costs against right over all with its interval; markers of one cost stand side by side."
    return joined([
        el("h3", "Cost"), _figures([(drawn, caption)]),
        _key(found.results, lambda each: f"{each.over_all.value:.3f}"), _table(tables.costs(found.results)),
    ])  # fmt: skip


def _confidence(found: Summary, place: int) -> Html:
    if not any(each.confident for each in found.results):
        return Html()
    diagrams = [
        (
            plots.reliability(each.bins, arm=each.arm, colour=number, name=f"b{place}-sure{number}"),
            f"{each.arm}: the share right in ten bins of confidence, their numbers of answers above; on the broken "
            f"line a confidence is what it says. ECE {tables.number(each.calibration_error)}.",
        )
        for number, each in enumerate(found.results)
        if each.confident
    ]
    curve = plots.risk_coverage(found.results, name=f"b{place}-risk")
    caption = "If only the surest answers were given: the share wrong of these. Lower is better."
    return joined([
        el("h3", "Confidence"), _table(tables.sure(found.results)), _figures([(curve, caption)]),
        _key(found.results, lambda each: f"AURC {each.aurc:.3f}" if each.confident else "no confidence"),
        _table(tables.curve(found.results)), _figures(diagrams), _table(tables.bins(found.results)),
    ])  # fmt: skip


def _choices(found: Summary, place: int) -> Html:
    if found.letters is None:
        return Html()
    bars = plots.letters({"right": found.letters.right, **found.letters.chosen}, name=f"b{place}-letters")
    return joined([
        el("h3", "Choices"), _table(tables.agreement(found.matrices)),
        *(_table(tables.matrix(each), heat=_heat(each)) for each in found.matrices),
        _figures([(bars, "Each bar is split by the shares of the letters.")]),
        _table(tables.chosen(found.letters)),
    ])  # fmt: skip


def _heat(found: Matrix) -> Callable[[int, int], str | None]:
    """The class of a cell by its share of its row."""

    def level(row: int, column: int) -> str | None:
        count, total = found.counts[row][column], sum(found.counts[row])
        return f"h{min(4, 1 + int(4 * count / total))}" if count else None

    return level


def _facets(found: Summary) -> Html:
    return joined([el("h3", "Facets"), *(_table(tables.facet(each)) for each in found.facets)] if found.facets else [])


def _cases(found: Summary) -> Html:
    if not found.worst and not found.silences:
        return Html()
    return joined([
        el("h3", "Single samples"),
        el("p", "Links and commands count from the folder of this page.", class_="soft"),
        *map(_wrong, found.worst), _silent(found.silences) if found.silences else Html(),
    ])  # fmt: skip


def _wrong(found: Worst) -> Html:
    rows = [
        [row.sample + (f", epoch {row.epoch}" if row.epoch > 1 else ""),
         "none" if row.said.confidence is None else f"{row.said.confidence:.3f}", _cut(row.shown),
         _cut(row.target), _trace(row)]
        for row in found.rows
    ]  # fmt: skip
    name = f"Samples {found.arm} has wrong, surest first: {len(rows)} of {found.wrong:,}"
    return _table(Table(name=name, head=["sample", "confidence", "said", "right", "trace"], rows=rows), words=True)


def _silent(found: Sequence[Silence]) -> Html:
    rows = [
        [each.arm, SHORT.get(each.outcome, each.outcome), f"{each.n:,}", _cut(each.why) or "no reason given",
         each.first.sample, _trace(each.first)]
        for each in found
    ]  # fmt: skip
    head = ["arm", "outcome", "n", "reason", "first sample", "its trace"]
    return _table(Table(name="Samples without an answer, most frequent reasons", head=head, rows=rows), words=True)


def _trace(row: Row) -> str:
    where = row.said.trace
    if not where:
        return "none"
    if row.arm.startswith(PREFIX):  # a tool by itself leaves no trace, but what it said
        return el("a", "what it said", href=quote(f"{where}/{SAID}"))
    command = el("code", f"polyclinic trace {shlex.quote(where)}")
    return joined([el("a", "trace", href=quote(where)), " ", command])


def _cut(words: str) -> str:
    return plots.clipped(re.sub(r"\s+", " ", words), LONGEST)


def _figures(drawn: Sequence[tuple[Html, str]]) -> Html:
    return el("div", *(el("figure", svg, el("figcaption", told)) for svg, told in drawn), class_="figures")


def _key(found: Sequence[Result], told: Callable[[Result], str]) -> Html:
    return el(
        "ul", *(el("li", plots.key(place), f"{each.arm}: {told(each)}") for place, each in enumerate(found)),
        class_="key",
    )  # fmt: skip


def _table(table: Table, *, words: bool = False, heat: Callable[[int, int], str | None] | None = None) -> Html:
    """A table that scrolls by itself where it is wider than the page; nothing where it has no rows."""
    if not table.rows:
        return Html()
    head = el("tr", *(el("th", cell, scope="col") for cell in table.head))
    body = [
        el("tr", el("th", row[0], scope="row"), *(
            el("td", cell, class_=heat(down, across) if heat else None) for across, cell in enumerate(row[1:])
        ))
        for down, row in enumerate(table.rows)
    ]  # fmt: skip
    told = el("p", table.about, class_="soft") if table.about else Html()
    inner = el(
        "table", el("caption", table.name), el("thead", head), el("tbody", *body), class_="words" if words else None
    )
    return joined([told, el("div", inner, class_="scroll", role="region", tabindex="0", aria_label=table.name)])
