"""The JSON schema a served model must follow for one task: closed, complete, and with only what may be named.

Fields keep the order of the pydantic models, in which the reasoning comes before the answer. What a reply must not
contain is taken out (tools a specialist does not have, an option where none is offered), so that it cannot be said.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from ...core.canonical import Json, canonical_json
from ...core.settings import Sampling
from ..forms import closed
from ..prompts import image_names
from ..tasks import Conclusion, SpecialistTurn, Task, TriagePlan


def reply_schema(task: Task[Any], sampling: Sampling) -> Json:
    """The schema of a reply to `task`, lists and texts bounded as `sampling` says; equal tasks get the same object."""
    arguments = tuple((card.name, card.looks, canonical_json(card.arguments)) for card in task.tools)
    may = May(
        schema=task.schema,
        letters=tuple(task.case.options), specialties=tuple(role.name for role in task.roles), tools=arguments,
        images=tuple(image_names(task.case)), last=task.last,
        opinions=tuple(opinion.specialty for opinion in task.opinions),
        max_items=sampling.max_items, max_chars=sampling.max_chars,
    )  # fmt: skip
    return _reply_schema(may)


@dataclass(frozen=True, kw_only=True)
class May:
    """What a reply may name: option letters, specialties, tools, images, opinions heard.

    Of a tool it is known whether it looks at an image, and its arguments as JSON.
    """

    schema: type[BaseModel]
    letters: tuple[str, ...]
    specialties: tuple[str, ...]
    tools: tuple[tuple[str, bool, str], ...]
    images: tuple[str, ...]
    opinions: tuple[str, ...]
    last: bool
    max_items: int
    max_chars: int | None


@functools.lru_cache(maxsize=512)
def _reply_schema(may: May) -> Json:
    model = may.schema
    schema = closed(model.model_json_schema(), max_items=may.max_items, max_chars=may.max_chars)
    parts = schema["properties"]
    if issubclass(model, TriagePlan) and may.specialties:
        parts["specialists"]["items"]["properties"]["specialty"] = {"type": "string", "enum": list(may.specialties)}
    if issubclass(model, SpecialistTurn):
        return _turn(schema, may)
    if issubclass(model, Conclusion):
        _conclude(schema, may)
    return schema


def _turn(schema: Json, may: May) -> Json:
    """A turn either asks (for tools and passages, at least one of them) or gives the opinion; the last one must."""
    parts = schema["properties"]
    opinion = next(part for part in parts["opinion"]["anyOf"] if part.get("type") == "object")
    _conclude(opinion, may)
    concludes = _object({"reasoning": parts["reasoning"], "opinion": opinion})
    if may.last:
        return concludes
    searches = {"searches": {**parts["searches"], "minItems": 1}}
    asks = [_object({"reasoning": parts["reasoning"], **searches})]
    usable = [
        (name, may.images if looks else ("",), taken) for name, looks, taken in may.tools if may.images or not looks
    ]
    if usable:
        requests = {"anyOf": [_tool_request(name, taken, images) for name, images, taken in usable]}
        tools = {"tools": {**parts["tools"], "items": requests, "minItems": 1}}
        asks = [_object({"reasoning": parts["reasoning"], **tools, "searches": parts["searches"]}), *asks]
    return {"anyOf": [*asks, concludes]}


def _object(parts: dict[str, Json]) -> Json:
    return {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False}


def _conclude(conclusion: Json, may: May) -> None:
    """What an opinion or a verdict may name: the offered letters or none, and the specialties that were heard."""
    if may.letters:
        conclusion["properties"]["option"] = {
            "anyOf": [{"type": "string", "enum": list(may.letters)}, {"type": "null"}]
        }
    else:
        _drop(conclusion, "option")
    dissent = conclusion["properties"].get("dissent")
    if dissent is not None and may.opinions:
        dissent["items"]["properties"]["specialty"] = {"type": "string", "enum": list(may.opinions)}
    elif dissent is not None:
        _drop(conclusion, "dissent")


def _tool_request(name: str, taken: str, images: Sequence[str]) -> Json:
    arguments = {argument: closed(schema, max_chars=64) for argument, schema in json.loads(taken).items()}
    return _object({
        "tool": {"type": "string", "enum": [name]},
        "image": {"type": "string", "enum": list(images)},
        "arguments": _object(arguments),
    })  # fmt: skip


def _drop(schema: Json, *names: str) -> None:
    for name in names:
        schema["properties"].pop(name, None)
    schema["required"] = list(schema["properties"])
