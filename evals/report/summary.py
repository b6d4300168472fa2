"""Everything that a report says of a benchmark, computed once for the page and the tables. It words nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module

from ...tools.card import Figure
from ...tools.registry import TOOLS
from .. import benchmarks
from ..benchmarks.table import BENCHMARKS, benchmark
from ..outcomes import Row
from ..results import Facet, Paired, Result, Sets, compared, facets, results, sets
from ..scoring import RIGHT
from ..tool_arm import DATA_SET, PREFIX, figures_beside
from .cases import Silence, Worst, silences, worst
from .choices import Letters, Matrix, letters, matrices


@dataclass(frozen=True, kw_only=True)
class About:
    """What is known of a benchmark: a sentence, when an answer counts as right, its licence and source, its traps,
    whether it was run for real."""

    summary: str
    right: str
    licence: str
    citation: str
    traps: str
    tried: bool


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All figures of one benchmark. `about` is None for a set that is none of Polyclinic's."""

    benchmark: str
    samples: int
    about: About | None
    results: tuple[Result, ...]
    pairs: tuple[Paired, ...]
    facets: tuple[Facet, ...]
    sets: tuple[Sets, ...]
    matrices: tuple[Matrix, ...]
    letters: Letters | None
    worst: tuple[Worst, ...]
    silences: tuple[Silence, ...]
    taught: tuple[str, ...]
    """Arms that say that they were made from the very pictures they were asked about."""
    beside: tuple[tuple[str, Figure], ...]
    """The figures on these arms' cards that were measured on this set, each picture by weights that had not seen it."""


def summaries(rows: Iterable[Row]) -> tuple[Summary, ...]:
    """A summary for each benchmark, in the order of their names; the order of rows means nothing."""
    by_name: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.benchmark, row.arm, row.sample, row.epoch)):
        by_name.setdefault(row.benchmark, []).append(row)
    return tuple(_summary(name, group) for name, group in by_name.items())


def _summary(name: str, rows: Sequence[Row]) -> Summary:
    taught = {row.arm: row.facets.get(DATA_SET, "") for row in rows if row.said.trained_on_these == "yes"}
    return Summary(
        benchmark=name,
        samples=len({row.sample for row in rows}),
        about=about(name),
        results=results(rows),
        pairs=compared(rows),
        facets=facets(rows),
        sets=sets(rows),
        matrices=matrices(rows),
        letters=letters(rows),
        worst=worst(rows),
        silences=silences(rows),
        taught=tuple(sorted(taught)),
        beside=tuple((arm, figure) for arm in sorted(taught) for figure in _on_card(arm, taught[arm])),
    )


def _on_card(arm: str, data_set: str) -> tuple[Figure, ...]:
    cards = {tool.card.name: tool.card for tool in TOOLS}
    card = cards.get(arm.removeprefix(PREFIX))
    return figures_beside(card, data_set) if card else ()


def about(name: str) -> About | None:
    """What the file of a benchmark says of it; its traps are the sentences of its docstring from "Traps:" on."""
    if name not in BENCHMARKS:
        return None
    found = benchmark(name)
    file = import_module(f"{benchmarks.__name__}.{name.partition('-')[0]}")
    _, _, traps = (file.__doc__ or "").partition("Traps: ")
    return About(
        summary=found.summary, right=RIGHT.get(found.task, ""), licence=found.licence, citation=found.citation,
        traps=" ".join(traps.partition("\n\n")[0].split()), tried=found.tried,
    )  # fmt: skip
