"""`--set KEY=VALUE` as typed to the arguments of a tool, and in words what each of them takes. It runs no tool."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ..core.errors import InputError
from ..tools.card import ComparedImagesArguments, ImageArguments, Tool

_OPTIONS = {
    "image": "name the picture behind the tool: polyclinic tools run TOOL IMAGE",
    "earlier": "name the earlier picture last: polyclinic tools run TOOL IMAGE EARLIER",
    "spacing_mm": "type --spacing ROW,COLUMN", "view": "type --view VIEW",
}  # fmt: skip


def settable(arguments: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The JSON schemas of the arguments that are given with --set: all but the pictures."""
    return {name: part for name, part in arguments.items() if name != "earlier"}


def parse_settings(typed: Sequence[str], tool: Tool) -> dict[str, Any]:
    """The arguments of `tool` that `KEY=VALUE` pairs state: lists as `1,2,3` or JSON, all else as JSON or text.

    Raises InputError for a name the tool does not have, one given twice, and a value it does not take.
    """
    known = settable(tool.card.arguments)
    found: dict[str, Any] = {}
    texts: dict[str, str] = {}
    for pair in typed:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(expected="--set KEY=VALUE", got=repr(pair), fix="type for example --set age=50")
        if key not in known:
            raise _unknown(key, known, tool)
        if key in found:
            raise InputError(
                expected=f"--set {key} once", got=f"twice: {texts[key]!r} and {value!r}", fix="leave one of them out"
            )
        found[key], texts[key] = _value(value, known[key]), value
    _check(found, texts, known, tool)
    return found


def kind_words(part: Mapping[str, Any]) -> str:
    """What a schema takes: `number from 18 to 120`, `4 integers, such as 10,20,30,40`."""
    kinds = _kinds(part)
    return " or ".join(map(_kind, kinds))


def _kinds(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [piece for piece in part.get("anyOf", [part]) if piece.get("type") != "null"]


def _kind(part: Mapping[str, Any]) -> str:
    if "enum" in part:
        return " | ".join(map(str, part["enum"]))
    if "const" in part:
        return str(part["const"])
    if part.get("type") == "array":
        return f"{_items(part)}, such as {_example(part)}"
    words = str(part.get("type", "value"))
    low, high = part.get("minimum", part.get("exclusiveMinimum")), part.get("maximum", part.get("exclusiveMaximum"))
    return words + (f" from {low:g}" if low is not None else "") + (f" to {high:g}" if high is not None else "")


def _items(part: Mapping[str, Any]) -> str:
    """What a list holds: `4 integers`, `strings`, `groups of 3 integers`."""
    pieces = part.get("prefixItems", [])
    inner = pieces[0] if pieces else part.get("items", {})
    if inner.get("type") == "array":
        return f"groups of {_items(inner)}"
    return f"{len(pieces)} {inner.get('type', 'value')}s" if pieces else f"{inner.get('type', 'value')}s"


def _example(part: Mapping[str, Any]) -> str:
    pieces = part.get("prefixItems", [])
    inner = pieces[0] if pieces else part.get("items", {})
    if inner.get("type") == "array":
        return f"{_example(inner)};{_example(inner)}"
    if inner.get("type") not in {"integer", "number"}:
        return "first,second"
    return ",".join(
        str(piece["enum"][-1] if "enum" in piece else 10 * at) for at, piece in enumerate(pieces or [{}, {}], start=1)
    )


def _value(text: str, part: Mapping[str, Any]) -> Any:
    kinds = _kinds(part)
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    lists = next((kind for kind in kinds if kind.get("type") == "array"), None)
    if lists is not None and not isinstance(value, list) and value is not None:
        return _listed(text, lists)
    as_text = bool(kinds) and all(kind.get("type") == "string" for kind in kinds)
    return text if as_text and value is not None else value


def _listed(text: str, part: Mapping[str, Any]) -> list[Any]:
    """`1,2` as a list, `1,2;3,4` as a list of lists."""
    inner = part.get("items") or {}
    if inner.get("type") == "array":
        return [_listed(piece, inner) for piece in text.split(";") if piece.strip()]
    pieces = [piece.strip() for piece in text.split(",")]
    return pieces if inner.get("type") == "string" else [_number(piece) for piece in pieces]


def _number(text: str) -> float | str:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def _unknown(key: str, known: Mapping[str, Any], tool: Tool) -> InputError:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    own = _OPTIONS.get(key) if key in tool.arguments.model_fields else None
    return InputError(
        expected=f"--set with an argument of {tool.card.name}: {', '.join(known) or 'it has none'}",
        got=repr(key),
        fix=own or (f"type --set {near[0]}=VALUE" if near else f"type polyclinic tools show {tool.card.name}"),
    )


def _check(found: Mapping[str, Any], texts: Mapping[str, str], known: Mapping[str, Any], tool: Tool) -> None:
    """Raises InputError, in words that tell what to type, where the tool's own class would refuse the arguments."""
    pictures = {"image": ""} if issubclass(tool.arguments, ImageArguments) else {}
    pictures |= {"earlier": ""} if issubclass(tool.arguments, ComparedImagesArguments) else {}
    try:
        tool.arguments.model_validate({**found, **pictures})
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    else:
        return
    lacking = [str(fault["loc"][0]) for fault in faults if fault["type"] == "missing" and len(fault["loc"]) == 1]
    first = faults[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    show = f"type polyclinic tools show {tool.card.name}"
    if name in lacking:
        pairs = " ".join(f"--set {one}=VALUE" for one in lacking)
        raise InputError(expected=pairs, got="none" if not found else "only " + ", ".join(found), fix=show)
    if name not in known:
        raise InputError(expected=f"arguments that {tool.card.name} takes", got=first["msg"], fix=show)
    raise InputError(
        expected=f"--set {name} with {kind_words(known[name])}", got=repr(texts[name]),
        fix=f"type for example --set {name}={_typed(known[name])}",
    )  # fmt: skip


def _typed(part: Mapping[str, Any]) -> str:
    """A value that a schema takes, as it is typed."""
    kind = _kinds(part)[0]
    given = kind.get("examples", part.get("examples"))
    if given:
        return json.dumps(given[0], ensure_ascii=False)
    if "enum" in kind:
        return str(kind["enum"][0])
    if kind.get("type") == "array":
        return f"'{_example(kind)}'" if ";" in _example(kind) else _example(kind)
    return {"boolean": "true", "integer": f"{kind.get('minimum', 1):g}", "number": f"{kind.get('minimum', 1):g}"}.get(
        str(kind.get("type")), "TEXT"
    )
