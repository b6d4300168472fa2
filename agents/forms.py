"""The form of a reply: a pydantic schema as a closed JSON schema, and as lines that a model can read."""

from __future__ import annotations

from ..core.canonical import Json

_KEPT = frozenset({
    "type", "properties", "items", "anyOf", "enum", "const", "required", "additionalProperties", "minItems", "maxItems",
    "minLength", "maxLength", "minimum", "maximum",
})  # fmt: skip
_WORDS = {"string": "text", "number": "number", "integer": "whole number", "boolean": "true or false", "null": "null"}


def closed(schema: Json, *, max_items: int | None = None, max_chars: int | None = None) -> Json:
    """`schema` of a pydantic model with references resolved, every property required and no other allowed.

    Lists hold at most `max_items`, texts at most `max_chars`, where a bound is given.
    """
    definitions = schema.get("$defs", {})

    def resolve(part: Json) -> Json:
        if "$ref" in part:
            return resolve(definitions[part["$ref"].rpartition("/")[2]])
        kept = {name: value for name, value in part.items() if name in _KEPT}
        if "properties" in kept:
            kept["properties"] = {name: resolve(value) for name, value in kept["properties"].items()}
            kept |= {"required": list(kept["properties"]), "additionalProperties": False}
        elif isinstance(kept.get("additionalProperties"), dict):
            kept["additionalProperties"] = resolve(kept["additionalProperties"])
        if "items" in kept:
            kept["items"] = resolve(kept["items"])
            if max_items is not None:
                kept["maxItems"] = min(max_items, kept.get("maxItems", max_items))
        if "anyOf" in kept:
            kept["anyOf"] = [resolve(value) for value in kept["anyOf"]]
        if max_chars is not None and kept.get("type") == "string" and "enum" not in kept:
            kept["maxLength"] = max_chars
        return kept

    return resolve(schema)


def described(schema: Json) -> str:
    """A closed schema in one line, such as {"reasoning": text, "option": text or null}."""
    if "properties" in schema:
        parts = (f'"{name}": {described(part)}' for name, part in schema["properties"].items())
        return "{" + ", ".join(parts) + "}"
    if "enum" in schema:
        return " or ".join(f'"{value}"' for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(described, schema["anyOf"])))
    if "items" in schema:
        return f"[{described(schema['items'])}, …]"
    return _WORDS.get(schema.get("type", ""), "{…}")
