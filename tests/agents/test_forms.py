"""Forms: a pydantic schema closed, and put into words a model can read."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field

from polyclinic.agents.forms import closed, described
from polyclinic.agents.tasks import SpecialistTurn, TriagePlan, Verdict


class Inner(BaseModel):
    """Something with a docstring, a title and a default, none of which a server needs."""

    place: str = Field(default="here", title="Place", description="where")
    colour: str | None = None


class Outer(BaseModel):
    first: Inner
    many: list[Inner] = []
    few: tuple[str, ...] = Field(default=(), max_length=3)
    number: float = Field(default=0, ge=0, le=1)
    facts: dict[str, int | bool] = {}


def parts_of(schema: Any) -> list[dict[str, Any]]:
    """Every object inside a schema, itself included."""
    if isinstance(schema, list):
        return [found for item in schema for found in parts_of(item)]
    if not isinstance(schema, dict):
        return []
    return [schema, *(found for value in schema.values() for found in parts_of(value))]


@pytest.mark.parametrize("model", [Outer, TriagePlan, SpecialistTurn, Verdict])
def test_a_closed_schema_points_nowhere_and_leaves_nothing_open(model: type[BaseModel]) -> None:
    schema = closed(model.model_json_schema(), max_items=5, max_chars=40)
    for part in parts_of(schema):
        assert not part.keys() & {"$ref", "$defs", "default", "title", "description"}, part
        if "properties" in part:
            assert part["required"] == list(part["properties"])
            assert part["additionalProperties"] is False
        if part.get("type") == "array":
            assert part["maxItems"] <= 5
        if part.get("type") == "string" and "enum" not in part:
            assert part["maxLength"] == 40


def test_fields_keep_their_order_and_their_bounds() -> None:
    schema = closed(Outer.model_json_schema())
    assert list(schema["properties"]) == list(Outer.model_fields)
    assert schema["properties"]["few"]["maxItems"] == 3
    assert "maxItems" not in schema["properties"]["many"]
    bounded = closed(Outer.model_json_schema(), max_items=7)["properties"]
    assert (bounded["few"]["maxItems"], bounded["many"]["maxItems"]) == (3, 7)
    assert (schema["properties"]["number"]["minimum"], schema["properties"]["number"]["maximum"]) == (0, 1)
    assert "maxLength" not in schema["properties"]["first"]["properties"]["place"]


def test_a_property_may_be_called_like_a_keyword() -> None:
    class Named(BaseModel):
        title: str
        default: int
        items: list[str]

    assert list(closed(Named.model_json_schema())["properties"]) == ["title", "default", "items"]


def test_the_schema_it_is_given_stays_as_it_was() -> None:
    schema = Outer.model_json_schema()
    before = repr(schema)
    closed(schema, max_chars=9)
    assert repr(schema) == before


def test_a_form_reads_as_one_line() -> None:
    assert described(closed(Inner.model_json_schema())) == '{"place": text, "colour": text or null}'
    assert described(closed(Outer.model_json_schema())) == (
        '{"first": {"place": text, "colour": text or null}, "many": [{"place": text, "colour": text or null}, …], '
        '"few": [text, …], "number": number, "facts": {…}}'
    )
    assert described({"enum": ["a", "b"]}) == '"a" or "b"'


def test_the_forms_of_the_three_tasks_name_every_field() -> None:
    for model in (TriagePlan, SpecialistTurn, Verdict):
        line = described(closed(model.model_json_schema()))
        assert "\n" not in line
        assert all(f'"{name}"' in line for name in model.model_fields)
