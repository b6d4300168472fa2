"""Results as tables, and these as Markdown: what a reader needs to doubt them is on the same page. It computes nothing.

`tables` words every figure once; Markdown here and HTML in `report/page.py` only set it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..tools.card import Figure
from .arms import MOST_SAMPLES
from .outcomes import OUTCOMES, Row
from .report.choices import SILENT, Letters, Matrix
from .report.summary import About, Summary, summaries
from .results import Facet, Paired, Result, Sets, Share
from .set_scores import SetScore

SHORT = {"needs_human": "needs human", "timed_out": "timed out"}
READING = (
    "Right over all counts whatever is not right against the arm; nothing without an answer counts as a guess. "
    "Intervals are 95 %. Of shares they are Wilson's, of like samples (those of one picture or patient, and all epochs "
    "of a sample) with as many as they are worth; of other figures drawn over groups of like samples (2,000 draws), of "
    "fewer than ten groups Student's t of the groups, and none where they cannot tell."
)

SIDE_BY_SIDE = "Seconds pass while other samples are worked on (--concurrency), so they only compare within one run."


@dataclass(frozen=True, kw_only=True)
class Table:
    """Words and figures in rows; `about` is what a reader must know of them. The first column names its row."""

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]] = field(repr=False)
    about: str = ""


def page(rows: Sequence[Row], *, notes: Iterable[str] = ()) -> str:
    """All tables of some rows as Markdown."""
    return markdown(summaries(rows), notes=notes)


def markdown(found: Sequence[Summary], *, notes: Iterable[str] = ()) -> str:
    """All tables of some summaries as Markdown."""
    lines = ["# Evaluation", "", *(line for note in notes for line in (note, "")), READING, ""]
    for each in found:
        lines += [f"## {each.benchmark}", ""]
        lines += [line for text in (*known(each.about), *doubts(each)) for line in (text, "")]
        for table in tables(each):
            lines += [*([table.about, ""] if table.about else []), *_lines(table)]
    return "\n".join(lines).rstrip() + "\n"


def known(about: About | None) -> list[str]:
    """What is known of a benchmark, a sentence or two each."""
    if about is None:
        return []
    tried = "" if about.tried else " The loader was never run on the published set before."
    lines = [f"{about.summary[:1].upper()}{about.summary[1:]}. {about.citation}. Licence: {about.licence}.{tried}"]
    lines += [f"Right: {about.right}"] if about.right else []
    return lines + ([f"Traps: {about.traps}"] if about.traps else [])


def doubts(found: Summary) -> list[str]:
    """What makes figures mean less than they seem to."""
    lines = []
    if found.taught:
        lines.append(
            f"Made from these very samples, so that their figures measure nothing: {', '.join(found.taught)}. They are "
            "left out where arms are tested against each other."
        )
    tokens = {each.arm: each.tokens for each in found.results}
    team, own = tokens.get("team", 0.0), tokens.get("self-consistency", 0.0)
    if team and own:
        lines.append(
            f"Self-consistency used {100 * own / team:.0f} % of the team's tokens"
            + (f": more than {MOST_SAMPLES} samples are not asked for at once." if own < 0.9 * team else ".")
        )
    return lines


def tables(found: Summary) -> Iterator[Table]:
    """Every table of a benchmark that has something in it, in the order of reading."""
    every = (
        accuracy(found.results), costs(found.results), scores(found.results), beside(found.beside), sure(found.results),
        *togethers(found.sets), pairs(found.pairs), agreement(found.matrices), *map(matrix, found.matrices),
        *([chosen(found.letters)] if found.letters and not found.matrices else []), *map(facet, found.facets),
    )  # fmt: skip
    yield from (table for table in every if table.rows)


def accuracy(found: Sequence[Result]) -> Table:
    shown = [name for name in OUTCOMES if any(each.outcomes[name] for each in found)]
    return Table(
        name="Accuracy and outcomes",
        head=["arm", "n", "right over all", "right of the answered", *(SHORT.get(name, name) for name in shown)],
        rows=[
            [each.arm + (" (made from these samples)" if each.taught else ""), _asked(each), share(each.over_all),
             share(each.over_answered), *(f"{each.outcomes[name]:,}" for name in shown)]
            for each in found
        ],
    )  # fmt: skip


def _asked(found: Result) -> str:
    epochs = found.n // found.samples
    return f"{found.n:,}" if found.n == found.samples else f"{found.samples:,} × {epochs} epochs"


def costs(found: Sequence[Result]) -> Table:
    return Table(
        name="Cost of a sample",
        head=["a sample costs", "model calls", "tokens", "tool and retrieval calls", "seconds of work"],
        rows=[
            [each.arm, number(each.chat_calls), f"{each.tokens:,.0f}", number(each.tool_calls), number(each.seconds)]
            for each in found
            if each.chat_calls or each.tool_calls
        ],
        about=SIDE_BY_SIDE,
    )


def scores(found: Sequence[Result]) -> Table:
    scored = [each for each in found if each.scores]
    names = list(dict.fromkeys(name for each in scored for name in each.scores))
    return Table(
        name="Scores of answers",
        head=["score", *(each.arm for each in scored)],
        rows=[[name, *(_figure(each.scores.get(name), each.n) for each in scored)] for name in names] if scored else [],
        about="Over the answered samples, or over as many as are named.",
    )


def _figure(found: SetScore | None, asked: int) -> str:
    if found is None:
        return ""
    of = "" if found.n == asked else f", n = {found.n:,}"
    if math.isnan(found.low):
        return number(found.value) + (f" ({of.removeprefix(', ')})" if of else "")
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)}{of})"


def beside(found: Sequence[tuple[str, Figure]]) -> Table:
    """What cards say of tools whose weights saw the pictures."""
    return Table(
        name="Figures on the cards of trained tools",
        head=["tool", "measured by networks that did not see the picture", "value", "n"],
        rows=[
            [arm, f"{each.metric}, {each.dataset}",
             number(each.value) + _within(each.interval), f"{each.n:,}"]
            for arm, each in found
        ],
    )  # fmt: skip


def _within(interval: tuple[float, float] | None) -> str:
    return f" ({number(interval[0])} to {number(interval[1])})" if interval else ""


def sure(found: Sequence[Result]) -> Table:
    return Table(
        name="Confidence",
        head=["confidence", "answers with one", "coverage", "AURC", "ECE, 10 bins", "Brier"],
        rows=[
            [
                each.arm,
                f"{each.confident:,}",
                number(each.confident / each.n),
                number(each.aurc),
                number(each.calibration_error),
                number(each.brier),
            ]
            for each in found
            if each.confident
        ],
        about="AURC, ECE and Brier are of these answers alone: at another coverage they do not compare.",
    )


def togethers(found: Sequence[Sets]) -> tuple[Table, Table]:
    """Sets of which all members are right, and the steps of those that are chains."""
    alone = sum(each.alone for each in found)
    about = "A set is right when all its samples are."
    if alone:
        about += f" Sets of which one sample alone was asked are left out: {alone:,}."
    names = list(dict.fromkeys(name for each in found for name in each.steps))
    return (
        Table(
            name="Samples that count together",
            head=["all of a set", "sets", "samples in one", "right sets"],
            rows=[
                [each.arm, f"{each.whole.n:,}", f"{each.fewest} to {each.most}" if each.fewest < each.most else
                 str(each.most), share(each.whole)]
                for each in found
            ],
            about=about,
        ),
        Table(
            name="Steps",
            head=["right up to and in the step", *names],
            rows=[[each.arm, *(number(each.steps.get(name, math.nan)) for name in names)] for each in found if names],
            about="Of the chains that reach a step, the share that is right in it and in all steps before it.",
        ),
    )  # fmt: skip


def pairs(found: Sequence[Paired]) -> Table:
    return Table(
        name="Arms against each other",
        head=["first", "second", "groups", "difference", "groups for the first", "for the second", "exact p",
              "p after Holm"],
        rows=[
            [each.first, each.second, f"{each.groups:,}", difference(each), f"{each.test.for_first:,}",
             f"{each.test.for_second:,}", chance(each.test.p), chance(each.adjusted_p)]
            for each in found
        ],
        about="The exact paired randomisation test over groups of like samples, McNemar's where each sample stands by "
        "itself: else a group are those of one picture or patient, with all epochs. A group is for the arm that has "
        "more of it right; the test is of the difference, to which larger groups add more.",
    )  # fmt: skip


def agreement(found: Sequence[Matrix]) -> Table:
    return Table(
        name="Options as classes",
        head=["options as classes", "macro-F1", "MCC", "kappa"],
        rows=[[each.arm, number(each.macro_f1), number(each.mcc), number(each.kappa)] for each in found],
        about="Over all samples; no answer is an answer of its own, never right. The macro-F1 is over the options that "
        "are right somewhere."
        if found
        else "",
    )


def matrix(found: Matrix) -> Table:
    """Truths down, answers across."""
    silent = any(line[-1] for line in found.counts)
    return Table(
        name=f"What {found.arm} took for what",
        head=[f"right, and said by {found.arm}", *found.classes, *([SILENT] if silent else [])],
        rows=[
            [name, *(f"{count:,}" for count in (line if silent else line[:-1]))]
            for name, line in zip(found.classes, found.counts, strict=True)
        ],
    )


def chosen(found: Letters) -> Table:
    """How often each letter was chosen, against how often it is right."""
    return Table(
        name="Letters chosen",
        head=["letter", *found.right],
        rows=[
            [name, *(_of(counts[letter], sum(counts.values())) for letter in found.right)]
            for name, counts in (("right", found.right), *found.chosen.items())
        ],
        about="How often each letter is right, and how often each arm chose it.",
    )


def bins(found: Sequence[Result]) -> Table:
    """The points of the reliability diagrams: the share right in each bin, of how many."""
    sure_of = [each for each in found if each.confident]
    bounds = sorted({(each.low, each.high) for result in sure_of for each in result.bins})
    shown = {(result.arm, each.low): f"{each.accuracy:.3f} of {each.n:,}" for result in sure_of for each in result.bins}
    return Table(
        name="Share right by confidence",
        head=["confidence", *(each.arm for each in sure_of)],
        rows=[
            [f"{low:.1f} to {high:.1f}", *(shown.get((each.arm, low), "") for each in sure_of)] for low, high in bounds
        ],
    )


def curve(found: Sequence[Result]) -> Table:
    """The risk of each arm where it answers that share of samples or just more."""
    sure_of = [each for each in found if each.confident]
    levels = [tenth / 10 for tenth in range(1, 11)]
    at = {
        each.arm: [next((f"{p.risk:.3f}" for p in each.curve if p.coverage >= level - 1e-9), "") for level in levels]
        for each in sure_of
    }
    return Table(
        name="Share wrong by coverage",
        head=["coverage, at least", *at],
        rows=[[f"{level:.1f}", *(at[arm][place] for arm in at)] for place, level in enumerate(levels)] if at else [],
        about="Empty where an arm does not answer so many.",
    )


def facet(found: Facet) -> Table:
    return Table(
        name=f"By {found.name}",
        head=[found.name, "answers asked for", *found.arms],
        rows=[
            [value, f"{max(each.n for each in shares):,}", *map(share, shares)]
            for value, shares in found.values.items()
        ],
    )  # fmt: skip


def _lines(table: Table) -> list[str]:
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (table.head, *table.rows)]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return [lines[0], "|" + "---|" * len(table.head), *lines[1:], ""]


def share(found: Share) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})" if found.n else "none"


def difference(found: Paired) -> str:
    low, high = found.difference.low, found.difference.high
    return f"{found.difference.value:+.3f} ({low:+.3f} to {high:+.3f})"


def chance(p: float) -> str:
    """A p value; the least number a float holds is about 1e-308."""
    return f"{p:.2g}" if p else "< 1e-300"


def number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def _of(count: int, n: int) -> str:
    return f"{count:,} ({100 * count / n:.0f} %)" if n else f"{count:,}"
