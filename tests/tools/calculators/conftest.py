"""What the calculator tests share: running one by name, and arguments that any of them accepts."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from polyclinic.core.blobs import Blobs
from polyclinic.tools.calculators.amounts import Amount
from polyclinic.tools.calculators.points import Calculated
from polyclinic.tools.calculators.table import CALCULATORS
from polyclinic.tools.card import Tool
from polyclinic.tools.imaging.store import ImageStore

TOOLS = {tool.card.name: tool for tool in CALCULATORS}

# Where the examples of the schema do not belong together.
TOGETHER: dict[str, dict[str, Any]] = {
    "gestational_age_lmp": {"last_period": "2026-03-14", "on": "2026-06-20"},
    "isth_dic": {"underlying_disorder": True},
    "ottawa_ankle": {"reliable_examination": True},
    "volume_doubling_time": {
        "earlier_diameter": "6 mm", "later_diameter": "8 mm", "earlier_date": "2026-01-10", "later_date": "2026-05-10",
    },
    "winters_formula": {"bicarbonate": "12 mmol/L"},
    "ti_rads": {"composition": "solid"},
}  # fmt: skip


def amounts(tool: Tool) -> Iterator[tuple[str, Amount]]:
    """The quantities among a calculator's arguments, by name."""
    for name, field in tool.arguments.model_fields.items():
        inner = [part for option in get_args(field.annotation) for part in getattr(option, "__metadata__", ())]
        for part in (*field.metadata, *inner):
            if isinstance(part, Amount):
                yield name, part


def examples(tool: Tool) -> dict[str, Any]:
    """Arguments made of the examples in the schema: every required one, yes-no answers with no."""
    stated: dict[str, Any] = {}
    quantities = dict(amounts(tool))
    for name, field in tool.arguments.model_fields.items():
        if not field.is_required():
            continue
        if name in quantities:
            amount = quantities[name]
            stated[name] = amount.example if not isinstance(amount.write(1.0), str) else amount.typed
        elif field.annotation is bool:
            stated[name] = False
        elif field.annotation is datetime.date:
            stated[name] = "2026-06-20"
        else:
            stated[name] = get_args(field.annotation)[0]
    return stated | TOGETHER.get(tool.card.name, {})


@pytest.fixture
def calculate(tmp_path: Path) -> Callable[..., Calculated]:
    """Runs a calculator by name; what is not stated is the schema's example."""
    store = ImageStore(Blobs(tmp_path / "blobs"))

    def run(name: str, **stated: Any) -> Calculated:
        tool = TOOLS[name]
        given = tool.arguments.model_validate(examples(tool) | stated)
        result = tool.run(given, store)
        assert isinstance(result, Calculated)
        return result

    return run
