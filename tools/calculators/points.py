"""The frame of a calculator: the points of each item, their sum, what the sum means and who says so. No score itself.

A published score or formula is a `Published`: it makes the tool and the sentences. `_run` of each calculator only says
which items count, so that it reads like the table it was taken from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...core.errors import ToolRefusedError
from ...core.frozen import Frozen
from ..card import Arguments, Measurement, Tool, ToolCard, ToolOutput, measured

Levels: TypeAlias = tuple[tuple[float, str], ...]
"""What a value means from each bound on, the bounds ascending: ((0, "low risk"), (3, "severe"))."""

Steps: TypeAlias = tuple[tuple[float, float], ...]
"""The points from each bound on, below the first none: ((65, 1), (75, 2))."""

LOWEST = float("-inf")


class Component(Frozen):
    """One item of a score or one term of a formula: what was stated, the points or value it gives, and why."""

    item: str
    stated: str
    points: float
    why: str


class Calculated(ToolOutput):
    """What a calculator gives: the values, the items they are made of, their meaning and the source."""

    values: tuple[Measurement, ...]
    components: tuple[Component, ...] = ()
    interpretation: str
    source: str


def flag(item: str, answer: bool, points: float = 1) -> Component:
    """An item that counts when the answer is yes."""
    return Component(item=item, stated="yes" if answer else "no", points=points if answer else 0,
                     why=f"{points:+g} if present")  # fmt: skip


def when(item: str, holds: bool, stated: str, rule: str, points: float = 1) -> Component:
    """An item that counts when a condition on a value holds; `rule` says which."""
    return Component(item=item, stated=stated, points=points if holds else 0, why=f"{points:+g} {rule}")


def stepped(item: str, value: float, unit: str, steps: Steps) -> Component:
    """An item whose points depend on the range a value lies in; each bound belongs to the range above it."""
    reached = [(low, points) for low, points in steps if value >= low]
    points = reached[-1][1] if reached else 0.0
    above = next((low for low, _ in steps if value < low), None)
    bounds = [f"from {reached[-1][0]:g}"] if reached and reached[-1][0] != LOWEST else []
    bounds += [f"below {above:g}"] if above is not None else []
    return Component(item=item, stated=shown(value, unit), points=points,
                     why=f"{points:+g} {' and '.join(bounds)}".rstrip())  # fmt: skip


def chosen(item: str, answer: str, table: Mapping[str, float]) -> Component:
    """An item whose points are those of the chosen answer."""
    words = answer.replace("_", " ")
    return Component(item=item, stated=words, points=table[answer], why=f"{table[answer]:+g} for {words}")


def term(item: str, value: float, unit: str, why: str) -> Component:
    """A term of a formula, with its value where a score has points."""
    return Component(item=item, stated=shown(value, unit), points=value, why=why)


def shown(value: float, unit: str) -> str:
    """A value as a clinician reads it."""
    return f"{value:.6g}" + ("" if unit == "1" else f" {unit}")


def level(value: float, levels: Levels) -> str:
    """The words of the highest bound that `value` reaches."""
    return [words for low, words in levels if value >= low][-1]


def half_up(value: float) -> int:
    """The nearest whole number, halves up, as printed tables round; `round` would take 2.5 to 2."""
    return int((value + 1e-9) // 1 + ((value + 1e-9) % 1 >= 0.5))


def refused(expected: str, got: str, fix: str) -> ToolRefusedError:
    return ToolRefusedError(expected=expected, got=got, fix=fix)


@dataclass(frozen=True, kw_only=True)
class Published:
    """A score or formula as its source gives it: the tool's name, the measurement's name and title, unit, digits shown,
    what values mean, and where it does not hold."""

    name: str
    measures: str
    title: str
    summary: str
    source: str
    unit: str = "1"
    digits: int = 0
    levels: Levels = ()
    limits: tuple[str, ...]

    def value(self, value: float, interpretation: str | None = None, **more: Any) -> Measurement:
        """The measurement in one sentence. What it means is read off the rounded value, which is the one shown."""
        said = self.meaning(value) if interpretation is None else interpretation
        return self.other(self.measures, self.title, value, said=said, **more)

    def other(
        self,
        name: str,
        title: str,
        value: float,
        unit: str | None = None,
        *,
        digits: int | None = None,
        said: str = "",
        of: tuple[str, ...] = (),
        uncertainty: float | None = None,
    ) -> Measurement:
        """A further measurement of the same calculation."""
        rest = f": {said}" if said else ""
        return measured(
            name, value, self.unit if unit is None else unit, f"The {title} is {{}}{rest}.",
            digits=self.digits if digits is None else digits, of=of, uncertainty=uncertainty,
        )  # fmt: skip

    def meaning(self, value: float) -> str:
        return level(round(value, self.digits), self.levels) if self.levels else ""

    def scored(
        self, components: tuple[Component, ...], *, interpretation: str | None = None, limitations: tuple[str, ...] = ()
    ) -> Calculated:
        """The sum of the points and what it means."""
        total = round(sum(component.points for component in components), 6)
        return self.given((self.value(total, interpretation),), components, interpretation, limitations, total)

    def given(
        self,
        values: tuple[Measurement, ...],
        components: tuple[Component, ...] = (),
        interpretation: str | None = None,
        limitations: tuple[str, ...] = (),
        value: float | None = None,
    ) -> Calculated:
        """What the tool hands back; without `interpretation` that of `value`, else of the first of `values`."""
        said = self.meaning(values[0].value if value is None else value) if interpretation is None else interpretation
        return Calculated(values=values, components=components, interpretation=said, source=self.source,
                          limitations=limitations)  # fmt: skip

    def tool(self, arguments: type[Arguments], run: Callable[[Any, Any], ToolOutput]) -> Tool:
        """The registered calculator. It is pure arithmetic: no image, no weights, no optional package."""
        measures = f"{self.title}{'' if self.unit == '1' else f' in {self.unit}'}"
        card = ToolCard(
            name=self.name, version="1.0.0", summary=self.summary, measures=(measures,), modalities=(),
            shelf="calculator", provenance=f"published formula, no weights: {self.source}", extra="",
            limits=self.limits, timeout_s=5.0, memory_mb=64,
        )  # fmt: skip
        return Tool(card=card, arguments=arguments, output=Calculated, run=run)
