"""Cards and measurements: the domain a tool accepts, and numbers that are rounded once."""

from __future__ import annotations

from typing import Literal

import pytest

from polyclinic.core.case import Image
from polyclinic.core.frozen import Frozen
from polyclinic.tools.card import (
    Arguments,
    ComparedImagesArguments,
    Measurement,
    ScaledImageArguments,
    Statement,
    Tool,
    ToolCard,
    ToolOutput,
    ToolResult,
    measured,
)

PLAIN = {"name": "t", "version": "1", "summary": "s", "measures": ()}


@pytest.mark.parametrize(
    ("value", "unit", "digits", "shown", "kept"),
    [
        (12.345, "%", 1, "12.3 %", 12.3), (7.0, "1", 0, "7", 7.0), (-0.04, "HU", 1, "0.0 HU", 0.0),
        (2.5, "mm", 2, "2.50 mm", 2.5),
    ],
)  # fmt: skip
def test_text_and_value_show_the_same_number(value: float, unit: str, digits: int, shown: str, kept: float) -> None:
    made = measured("m", value, unit, "It is {}.", digits=digits)
    assert (made.value, made.text) == (kept, f"It is {shown}.")


def test_a_card_accepts_its_own_domain_only() -> None:
    card = ToolCard(**PLAIN, modalities=("ct",), body_parts=("chest",))
    blob = "0" * 64
    assert card.accepts(Image(blob=blob, modality="ct"))
    assert not card.accepts(Image(blob=blob, modality="ct", body_part="head"))
    assert not card.accepts(Image(blob=blob))
    assert ToolCard(**PLAIN, modalities=()).accepts(Image(blob=blob))


def test_a_tool_writes_on_its_card_what_an_agent_may_state() -> None:
    class Level(Frozen):
        name: Literal["low", "high"]

    class Stated(ScaledImageArguments):
        level: Level
        cut: float = 0.5

    class Weight(Arguments):
        weight_kg: float

    def made(arguments: type[Arguments]) -> ToolCard:
        return Tool(
            card=ToolCard(**PLAIN, modalities=()), arguments=arguments, output=ToolOutput, run=lambda *_: ToolOutput()
        ).card

    card = made(Stated)
    assert list(card.arguments) == ["level", "cut"]
    assert card.arguments["level"]["properties"]["name"]["enum"] == ["low", "high"]
    assert "$ref" not in str(card.arguments)
    assert card.looks
    assert list(made(ComparedImagesArguments).arguments) == ["earlier"]
    assert not made(Weight).looks
    assert list(made(Weight).arguments) == ["weight_kg"]


def test_measurements_come_in_the_order_they_are_declared() -> None:
    class Two(ToolOutput):
        zeta: Measurement
        note: str = "x"
        alpha: Measurement | None = None

    one, two = (measured(name, 1, "1", "{}", digits=0) for name in ("one", "two"))
    assert Two(alpha=two, zeta=one).measurements() == (one, two)
    assert Two(zeta=one).measurements() == (one,)


def test_statements_are_recorded_beside_measurements() -> None:
    class Both(ToolOutput):
        said: tuple[Statement, ...]
        one: Measurement | None = None

    said = Statement(topic="social history", text="She does not smoke.")
    one = measured("one", 1, "1", "{}", digits=0)
    result = ToolResult.of(Both(said=(said,), one=one))
    assert (result.statements, result.measurements) == ((said,), (one,))
    assert ToolResult.model_validate({"measurements": []}).statements == ()
