"""Schemas of replies: all they allow is understood, all that is meant can be said, and nothing else can be named."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from polyclinic.agents.engines.schemas import reply_schema
from polyclinic.agents.roles import load_roles
from polyclinic.agents.tasks import (
    ClaimDraft,
    Conclusion,
    OpinionDraft,
    Pick,
    SearchRequest,
    SpecialistTurn,
    Task,
    ToolRequest,
    TriagePlan,
    Verdict,
)
from polyclinic.core.case import Case, Image
from polyclinic.core.report import Dissent, Opinion
from polyclinic.core.settings import Sampling
from polyclinic.tools.card import ImageArguments, Tool, ToolCard, ToolOutput

ROLES = load_roles()
SAMPLING = Sampling()
PICTURES = (Image(blob="a" * 64, modality="xray"), Image(blob="b" * 64, modality="ct"))
CASE = Case(id="c", question="?", options={"A": "Yes", "B": "No"}, images=PICTURES)
PLAIN = Case(id="p", question="?")
HEARD = tuple(Opinion(specialty=name, answer="x") for name in ("pulmonology", "radiology"))


class Window(ImageArguments):
    side: Literal["left", "right"]
    width_hu: float = Field(default=400, gt=0)
    label: str = ""
    flipped: bool = False


def card(name: str, arguments: type[ImageArguments] = ImageArguments) -> ToolCard:
    made = ToolCard(name=name, version="1", summary="s", measures=(), modalities=("ct",))
    return Tool(card=made, arguments=arguments, output=ToolOutput, run=lambda *_: ToolOutput()).card


TOOLS = (card("lung_window", Window), card("quality"))


def task(schema: type[Any], case: Case = CASE, **more: Any) -> Task[Any]:
    kinds: dict[Any, Any] = {TriagePlan: ("triage", "triage"), Verdict: ("attending", "attending")}
    kind, agent = kinds.get(schema, ("specialist", "radiology"))
    return Task(kind=kind, agent=agent, schema=schema, case=case, **more)


TASKS = {
    "triage": task(TriagePlan, roles=ROLES),
    "gathering": task(SpecialistTurn, last=False, tools=TOOLS),
    "without tools": task(SpecialistTurn, last=False),
    "without images": task(SpecialistTurn, PLAIN, last=False, tools=TOOLS),
    "last turn": task(SpecialistTurn, tools=TOOLS),
    "attending": task(Verdict, opinions=HEARD),
    "nobody heard": task(Verdict),
    "open question": task(Verdict, PLAIN, opinions=HEARD),
}


def fits(value: Any, schema: Any) -> bool:
    """Whether a JSON value follows a schema, as far as ours go."""
    if "anyOf" in schema:
        return any(fits(value, branch) for branch in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return value in schema.get("enum", [schema.get("const")])
    match schema.get("type"):
        case "object":
            named, others = schema.get("properties", {}), schema.get("additionalProperties", True)
            if not isinstance(value, dict) or set(schema.get("required", ())) - value.keys():
                return False
            if others is False and value.keys() - named.keys():
                return False
            return all(fits(inside, named.get(name, others if others else {})) for name, inside in value.items())
        case "array":
            low, high = schema.get("minItems", 0), schema.get("maxItems", 10**9)
            return (
                isinstance(value, list) and low <= len(value) <= high and all(fits(x, schema["items"]) for x in value)
            )
        case "string":
            low, high = schema.get("minLength", 0), schema.get("maxLength", 10**9)
            return isinstance(value, str) and low <= len(value) <= high
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer" | "number" as kind:
            known = int if kind == "integer" else int | float
            bounds = schema.get("minimum", -1e300), schema.get("maximum", 1e300)
            return isinstance(value, known) and not isinstance(value, bool) and bounds[0] <= value <= bounds[1]
    return True


def instances(schema: Any) -> st.SearchStrategy[Any]:
    """Values that a schema allows."""
    if "anyOf" in schema:
        return st.one_of(*map(instances, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    match schema["type"]:
        case "object" if schema.get("additionalProperties"):
            return st.dictionaries(st.text(max_size=3), instances(schema["additionalProperties"]), max_size=2)
        case "object":
            return st.fixed_dictionaries({name: instances(part) for name, part in schema["properties"].items()})
        case "array":
            most = min(schema["maxItems"], schema.get("minItems", 0) + 2)
            return st.lists(instances(schema["items"]), min_size=schema.get("minItems", 0), max_size=most)
        case "string":
            low = schema.get("minLength", 0)
            return st.text(min_size=low, max_size=min(schema.get("maxLength", 9), low + 6))
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "integer":
            return st.integers(schema.get("minimum", -9), schema.get("maximum", 9))
    return st.floats(schema.get("minimum", -9), schema.get("maximum", 9))


@pytest.mark.parametrize("name", TASKS)
@given(data=st.data())
def test_whatever_a_schema_allows_is_understood(name: str, data: st.DataObject) -> None:
    asked = TASKS[name]
    schema = reply_schema(asked, SAMPLING)
    value = data.draw(instances(schema))
    assert fits(value, schema)
    read = asked.schema.model_validate_json(json.dumps(value))
    for field, said in value.items():  # and nothing of it is lost
        assert json.loads(read.model_dump_json())[field] == said or said is None or field in ("opinion", "tools")


CONCLUSION: dict[str, Any] = {
    "reasoning": "r", "answer": "x", "option": "B", "confidence": 0.5, "differential": ("d",),
    "claims": (ClaimDraft(text="t", evidence=("radiology.t1",)),),
}  # fmt: skip
WINDOW = {"side": "left", "width_hu": 40.5, "label": "x", "flipped": True}
MEANT: list[tuple[str, Any]] = [
    (
        "triage",
        TriagePlan(
            reasoning="r", modality="ct", urgency="urgent", difficulty="hard",
            specialists=tuple(Pick(reason="r", specialty=role.name) for role in ROLES[:4]),
        ),
    ),
    (
        "gathering",
        SpecialistTurn(
            reasoning="r", searches=(SearchRequest(query="q"),),
            tools=(
                ToolRequest(tool="quality", image="image-2"),
                ToolRequest(tool="lung_window", image="image-1", arguments=WINDOW),
            ),
        ),
    ),
    ("gathering", SpecialistTurn(reasoning="r", opinion=OpinionDraft(**CONCLUSION))),
    ("last turn", SpecialistTurn(reasoning="r", opinion=OpinionDraft(**CONCLUSION, abstains=True))),
    ("attending", Verdict(**CONCLUSION, dissent=(Dissent(specialty="radiology", answer="a", why_overruled="w"),))),
    ("open question", Verdict(**{**CONCLUSION, "option": None}, limitations=("l",))),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), MEANT)
def test_what_is_meant_can_be_said(name: str, value: Any) -> None:
    schema = reply_schema(TASKS[name], Sampling(max_chars=40))

    def kept(said: Any, part: Any) -> Any:
        """`said` without the parts this task has no place for, or None where one of them is not empty."""
        if not isinstance(said, dict) or "properties" not in part:
            return said
        dropped = {field: inside for field, inside in said.items() if field not in part["properties"]}
        if any(dropped.values()):
            return None
        return {
            field: kept(inside, part["properties"][field]) for field, inside in said.items() if field not in dropped
        }

    said = value.model_dump(mode="json")
    assert any(fits(kept(said, branch), branch) for branch in schema.get("anyOf", [schema]))


def properties_of(schema: Any, at: str = "") -> list[tuple[str, list[str]]]:
    """Every object inside a schema, with its properties in order."""
    found = [(at, list(schema["properties"]))] if "properties" in schema else []
    for name, part in schema.get("properties", {}).items():
        found += properties_of(part, f"{at}.{name}")
    for branch in [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())]:
        found += properties_of(branch, at)
    return found


@pytest.mark.parametrize("name", TASKS)
def test_reasoning_comes_first_everywhere(name: str) -> None:
    for at, fields in properties_of(reply_schema(TASKS[name], SAMPLING)):
        if "reasoning" in fields or "reason" in fields:
            assert fields[0] in ("reasoning", "reason"), at
        if "answer" in fields and "option" in fields:
            assert (
                fields.index("reasoning") < fields.index("option") < fields.index("answer") < fields.index("confidence")
            )


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    if not path:
        return to
    copy = list(value) if isinstance(value, list) else dict(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], to)
    return copy


BASE: dict[str, Any] = {
    "reasoning": "r", "abstains": False, "answer": "x", "option": "A", "confidence": None, "claims": [],
    "differential": [],
}  # fmt: skip
OPINION = {**BASE, "would_change_my_mind": ""}
TURN = {
    "reasoning": "r", "searches": [],
    "tools": [{"tool": "quality", "image": "image-1", "arguments": {}}],
}  # fmt: skip
VERDICT = {
    **BASE, "limitations": [], "dissent": [{"specialty": "radiology", "answer": "a", "why_overruled": "w"}],
}  # fmt: skip
PLAN = {
    "reasoning": "r", "modality": None, "urgency": "routine", "difficulty": "hard",
    "specialists": [{"reason": "r", "specialty": "radiology"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "path", "to"),
    [
        ("triage", PLAN, ("specialists", 0, "specialty"), "astrology"),
        ("triage", PLAN, ("specialists",), []),
        ("triage", PLAN, ("specialists",), PLAN["specialists"] * 5),
        ("triage", PLAN, ("urgency",), "soon"),
        ("gathering", TURN, ("tools", 0, "tool"), "rm"),
        ("gathering", TURN, ("tools", 0, "image"), "image-3"),
        ("gathering", TURN, ("tools", 0, "arguments"), {"side": "left"}),
        ("gathering", TURN, ("tools", 0), {"tool": "lung_window", "image": "image-1", "arguments": {}}),
        (
            "gathering", TURN, ("tools", 0),
            {"tool": "lung_window", "image": "image-1", "arguments": {**WINDOW, "side": "top"}},
        ),
        ("last turn", {"reasoning": "r", "opinion": OPINION}, ("opinion",), None),
        ("last turn", {"reasoning": "r", "opinion": OPINION}, ("opinion", "option"), "C"),
        ("attending", VERDICT, ("option",), "C"),
        ("attending", VERDICT, ("confidence",), 1.5),
        ("attending", VERDICT, ("dissent", 0, "specialty"), "cardiology"),
    ],
)  # fmt: skip
def test_nothing_else_can_be_named(name: str, value: Any, path: tuple[Any, ...], to: Any) -> None:
    schema = reply_schema(TASKS[name], SAMPLING)
    assert fits(value, schema)
    assert not fits(changed(value, path, to), schema)
    assert not fits({**value, "more": 1}, schema)


def test_parts_that_have_no_use_are_taken_out() -> None:
    def fields(name: str) -> set[str]:
        schema = reply_schema(TASKS[name], SAMPLING)
        return {field for branch in schema.get("anyOf", [schema]) for field in branch["properties"]}

    assert "tools" not in fields("without tools") | fields("without images") | fields("last turn")
    assert "searches" in fields("without tools") & fields("without images")
    assert "searches" not in fields("last turn")
    assert "option" in fields("attending")
    assert "option" not in fields("open question")
    assert "dissent" in fields("attending")
    assert "dissent" not in fields("nobody heard")


def test_tools_appear_with_their_arguments() -> None:
    branches = reply_schema(TASKS["gathering"], SAMPLING)["anyOf"][0]["properties"]["tools"]["items"]["anyOf"]
    window, quality = (branch["properties"] for branch in branches)
    assert window["tool"] == {"type": "string", "enum": ["lung_window"]}
    assert set(window["arguments"]["properties"]) == {*window["arguments"]["required"]} == {*WINDOW}
    assert window["arguments"]["properties"]["side"]["enum"] == ["left", "right"]
    assert window["arguments"]["properties"]["width_hu"]["type"] == "number"
    assert quality["arguments"]["properties"] == {}
    assert window["image"]["enum"] == quality["image"]["enum"] == ["image-1", "image-2"]


def test_a_tools_argument_may_be_an_enum() -> None:
    class Side(Enum):
        LEFT = "left"
        RIGHT = "right"

    class Sided(ImageArguments):
        side: Side

    asked = task(SpecialistTurn, last=False, tools=(card("sided", Sided),))
    assert '"left"' in json.dumps(reply_schema(asked, SAMPLING))


@pytest.mark.parametrize("name", TASKS)
def test_equal_tasks_get_the_identical_schema_and_others_their_own(name: str) -> None:
    again = replace(TASKS[name], step=7, problems=("p",), own=())
    assert reply_schema(again, SAMPLING) is reply_schema(TASKS[name], Sampling())
    assert reply_schema(again, Sampling(max_chars=99)) is not reply_schema(again, SAMPLING)
    others = [json.dumps(reply_schema(other, SAMPLING)) for key, other in TASKS.items() if key != name]
    same = {"without tools", "without images"}
    assert json.dumps(reply_schema(TASKS[name], SAMPLING)) not in others or name in same


def test_a_schema_stays_small_enough_to_compile() -> None:
    for asked in TASKS.values():
        assert len(json.dumps(reply_schema(asked, SAMPLING))) < 12_000
    assert issubclass(Verdict, Conclusion)
