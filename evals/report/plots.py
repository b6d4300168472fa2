"""Figures as SVG: pure functions from figures to a drawing of 360 units' width, which fits a telephone unscaled.

Colours come from the classes s0 to s7 of the page, one for an arm; markers differ as well.
Every drawing has a title and a description; the numbers it shows stand in a table beside it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..results import Paired, Result
from ..statistics.selective import Bin, Point
from .markup import Html, el, joined

WIDTH = 360
LEFT, RIGHT, TOP, BOTTOM = 42, 350, 14, 216
COLOURS = 8
_NARROW = 8.0
"""Markers that are less apart than this hide each other, and are moved apart."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Where a value lies on an axis."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + share * (self.end - self.start)


def forest(found: Sequence[Paired], *, name: str) -> Html:
    """Differences of two arms with their intervals, zero marked; each has its label and p above it."""
    low = min(0.0, *(each.difference.low for each in found))
    high = max(0.0, *(each.difference.high for each in found))
    marks = ticks(low, high)
    x = Scale(low=min(low, marks[0]), high=max(high, marks[-1]), start=14, end=WIDTH - 14)
    bottom = 8 + 36 * len(found)
    drawn: list[Html] = []
    for place, each in enumerate(found):
        top, label = 8 + 36 * place, f"{each.first} − {each.second}"
        value = f"{each.difference.value:+.3f}, p {each.adjusted_p:.2g}"
        clear = "clear" if each.adjusted_p < 0.05 else "open"
        drawn += [  # the lines only beside the whisker, so that none runs through a label
            *(el("line", x1=x(mark), x2=x(mark), y1=top + 15, y2=top + 32, class_="zero" if mark == 0 else "grid")
              for mark in marks),
            text(clipped(label, 36), 4, top + 11, full=label),
            text(value, WIDTH - 4, top + 11, anchor="end", class_="number"),
            _whisker(x(each.difference.low), x(each.difference.high), top + 23, upright=False),
            el("rect", x=x(each.difference.value) - 4, y=top + 19, width=8, height=8, class_=f"mark s0 {clear}"),
        ]  # fmt: skip
    drawn += [text(_short(mark, signed=True), x(mark), bottom + 13, anchor="middle", class_="tick") for mark in marks]
    drawn.append(text("difference of right over all", WIDTH / 2, bottom + 28, anchor="middle", class_="axis"))
    told = "; ".join(f"{each.first} minus {each.second} {each.difference.value:+.3f}" for each in found)
    return _svg(drawn, bottom + 34, name, "Paired differences with 95 % intervals", told)


def reliability(bins: Sequence[Bin], *, arm: str, colour: int, name: str) -> Html:
    """The share right over the confidence, ten bins, with their intervals; above each bin its number of answers."""
    x, y = Scale(low=0, high=1, start=LEFT, end=RIGHT), Scale(low=0, high=1, start=BOTTOM, end=TOP + 14)
    drawn = _axes(x, y, "confidence", "share right")
    drawn.append(el("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="zero"))
    for each in bins:
        middle = x(each.confidence)
        low, high = each.within
        drawn += [
            el("rect", x=x(each.low) + 1, width=x(each.high) - x(each.low) - 2, y=y(each.accuracy),
               height=y(0) - y(each.accuracy), class_=f"bar s{colour}"),
            _whisker(y(high), y(low), middle, upright=True),
            marker(colour, middle, y(each.accuracy)),
            text(_count(each.n), x((each.low + each.high) / 2), TOP + 6, anchor="middle", class_="small"),
        ]  # fmt: skip
    drawn.append(text("n", LEFT - 8, TOP + 6, anchor="end", class_="small"))
    told = "; ".join(f"{each.low:.1f} to {each.high:.1f}: {each.accuracy:.2f} right of {each.n}" for each in bins)
    return _svg(drawn, BOTTOM + 36, name, f"Reliability of {arm}", told)


def risk_coverage(found: Sequence[Result], *, name: str) -> Html:
    """For each arm the share wrong of its surest answers, over the share of samples these are."""
    most = max((point.risk for each in found for point in each.curve), default=1.0)
    marks = ticks(0.0, max(most, 0.1))
    x = Scale(low=0, high=1, start=LEFT, end=RIGHT)
    y = Scale(low=0, high=max(most, marks[-1]), start=BOTTOM, end=TOP)
    drawn = _axes(x, y, "coverage: share of samples answered", "risk: share wrong", marks)
    for place, each in enumerate(found):
        if each.curve:
            drawn += _curve(each.curve, x, y, place)
    told = "; ".join(f"{each.arm}: AURC {each.aurc:.3f}" for each in found if each.curve)
    return _svg(drawn, BOTTOM + 36, name, "Risk over coverage", told)


def _curve(points: Sequence[Point], x: Scale, y: Scale, place: int) -> list[Html]:
    """A line that is no finer than the drawing, with a marker where every answer is given."""
    places = [(x(point.coverage), y(point.risk)) for point in points]
    kept = places[:1]
    kept += [here for here in places[1:-1] if here[0] - kept[-1][0] >= 1.0]
    path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in (*kept, places[-1]))
    dashes = (None, "6 3", "2 2", "8 3 2 3")[place % 4]
    line = el("path", d=path, class_=f"line s{place % COLOURS}", stroke_dasharray=dashes)
    return [line, marker(place, *places[-1])]


def cost(found: Sequence[Result], *, by_tokens: bool, name: str) -> Html:
    """Right over all with its interval, over what a sample costs: tokens, or seconds where no arm has tokens."""
    spent = [each.tokens if by_tokens else each.seconds for each in found]
    marks = ticks(0.0, max(*spent, 1e-3) if len(spent) > 1 else max(spent[0], 1e-3))
    across = Scale(low=0, high=max(*spent, marks[-1]), start=LEFT + 10, end=RIGHT - 8)
    tops = ticks(0.0, max(each.over_all.high for each in found))
    y = Scale(low=0, high=max(tops[-1], *(each.over_all.high for each in found)), start=BOTTOM, end=TOP)
    drawn = _axes(across, y, f"{'tokens' if by_tokens else 'seconds'} a sample", "right over all", tops, marks)
    for place, (each, x) in enumerate(zip(found, _apart([across(value) for value in spent]), strict=True)):
        share = each.over_all
        drawn += [_whisker(y(share.high), y(share.low), x, upright=True), marker(place, x, y(share.value))]
    told = "; ".join(f"{each.arm}: {each.over_all.value:.3f} at {value:,.3g}"
                     for each, value in zip(found, spent, strict=True))  # fmt: skip
    return _svg(drawn, BOTTOM + 36, name, "Cost against accuracy", told)


def letters(counts: Mapping[str, Mapping[str, int]], *, name: str) -> Html:
    """A bar for what is right and for each arm, its parts the shares of letters."""
    drawn: list[Html] = []
    for place, (who, chosen) in enumerate(counts.items()):
        top, total, start = 4 + 38 * place, sum(chosen.values()), 4.0
        drawn.append(text(clipped(who, 48), 4, top + 11, full=who))
        drawn.append(text(f"n {total:,}", WIDTH - 4, top + 11, anchor="end", class_="number"))
        for number, (letter, count) in enumerate(chosen.items()):
            wide = (WIDTH - 8) * count / total if total else 0.0
            if wide:
                drawn.append(el("rect", x=start, y=top + 16, width=wide, height=16, class_=f"part t{number % 2}"))
            if wide >= 11:
                drawn.append(text(letter, start + wide / 2, top + 28, anchor="middle", class_=f"in t{number % 2}"))
            start += wide
    told = "; ".join(f"{who}: " + ", ".join(f"{a} {n}" for a, n in chosen.items()) for who, chosen in counts.items())
    return _svg(drawn, 4 + 38 * len(counts), name, "Letters right and chosen", told)


def key(place: int) -> Html:
    """An arm's line and marker, as they are in the drawings."""
    return el("svg", marker(place, 8, 8), viewBox="0 0 16 16", width=16, height=16, aria_hidden="true")


def marker(place: int, x: float, y: float) -> Html:
    """One of four shapes in one of eight colours."""
    kind = f"mark s{place % COLOURS}"
    if place % 4 == 0:
        return el("circle", cx=x, cy=y, r=4.5, class_=kind)
    outline = (
        "", f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z", f"M{x:.1f} {y - 5.5:.1f}l5.2 9h-10.4z",
        f"M{x:.1f} {y - 6:.1f}l5 6l-5 6l-5 -6z",
    )[place % 4]  # fmt: skip
    return el("path", d=outline, class_=kind)


def ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Round values of equal steps from `low` or just under to `high` or just above, `most` or one more."""
    span = high - low
    if not span > 0:
        return [low, low + 1.0]
    size = 10.0 ** math.floor(math.log10(span / most))
    step = next(size * factor for factor in (1, 2, 5, 10, 20) if span / (size * factor) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def clipped(words: str, most: int) -> str:
    """A text that has room in a drawing."""
    return words if len(words) <= most else words[: most - 1] + "…"


def text(
    words: str, x: float, y: float, *, anchor: str | None = None, class_: str | None = None, full: str = ""
) -> Html:
    """A text, with its full wording to hover over where it was clipped."""
    more = [el("title", full)] if full and full != words else []
    return el("text", words, *more, x=x, y=y, text_anchor=anchor, class_=class_)


def _axes(
    x: Scale, y: Scale, below: str, beside: str,
    up: Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), across: Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
) -> list[Html]:  # fmt: skip
    middle = (BOTTOM + TOP) / 2
    lines = [el("line", x1=LEFT, x2=RIGHT, y1=y(mark), y2=y(mark), class_="grid") for mark in up]
    lines += [text(_short(mark), LEFT - 5, y(mark) + 4, anchor="end", class_="tick") for mark in up]
    lines += [text(_short(mark), x(mark), BOTTOM + 14, anchor="middle", class_="tick") for mark in across]
    lines.append(text(below, (LEFT + RIGHT) / 2, BOTTOM + 30, anchor="middle", class_="axis"))
    turn = f"translate(10 {middle:.0f}) rotate(-90)"
    turned = el("text", beside, text_anchor="middle", class_="axis", transform=turn)
    return [*lines, turned]


def _whisker(start: float, end: float, across: float, *, upright: bool) -> Html:
    if upright:
        return el("path", d=f"M{across:.1f} {start:.1f}V{end:.1f}", class_="whisker")
    return el("path", d=f"M{start:.1f} {across:.1f}H{end:.1f}", class_="whisker")


def _apart(places: Sequence[float]) -> list[float]:
    """The same places, each no nearer than a marker's width to one that is already taken, moved to the right."""
    moved: list[float] = []
    for place in places:
        steps = (place + step * _NARROW for step in itertools.count())
        moved.append(next(x for x in steps if all(abs(x - other) >= _NARROW for other in moved)))
    return moved


def _count(n: int) -> str:
    return f"{n:,}" if n < 10_000 else f"{n / 1000:.0f}k"


def _short(value: float, *, signed: bool = False) -> str:
    shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"+{shown}" if signed and value > 0 else shown.replace("-", "−")


def _svg(drawn: Iterable[Html], height: float, name: str, title: str, told: str) -> Html:
    return el(
        "svg", el("title", title, id=f"{name}-title"), el("desc", told, id=f"{name}-desc"), joined(drawn),
        viewBox=f"0 0 {WIDTH} {height:.0f}", role="img", aria_labelledby=f"{name}-title {name}-desc",
        xmlns="http://www.w3.org/2000/svg",
    )  # fmt: skip
