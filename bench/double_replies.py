"""What the double answers: the same request gets the same reply, and the reply always fits the schema that was sent.

It reads the prompt for what Polyclinic's prompts write into it (options, evidence ids, tools, images, the turn) and
wishes for an answer of Polyclinic's shapes; the schema then decides, so that names it does not offer never come back.
For a schema it does not recognise it gives the smallest instance. It knows nothing of time, faults or HTTP.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from double_cache import TOKEN_CHARACTERS, Prompt

if TYPE_CHECKING:
    from double import DoubleConfig

Json = dict[str, Any]

# A prompt's text opens with a role marker, so that every line read here follows a newline; as a literal at the start of
# the pattern it is found many times faster than ^ is.
_ROLE = re.compile(r"\n# Your role: (.+)")
_TURN = re.compile(r"\nTurn (\d+)\.(.*)")
_OPTIONS = re.compile(r"\nOptions:\n<<<untrusted\n(.*?)\nuntrusted>>>", re.S)
_OPTION = re.compile(r"^(\w+)\. (.*)$", re.M)
_EVIDENCE = re.compile(  # of a document the name stands inside the fence, on a line of its own
    r"\n\[([\w.:-]+)\] (\w+), (?:document: <<<untrusted\n[^\n]*|[^\n]*?: <<<untrusted)\n(.*?)\nuntrusted>>>", re.S
)
_TOOL = re.compile(r"\n(?:Your tools: |##? Tools[^\n]*\n- )([\w.-]+)")
_IMAGE = re.compile(r"\n(image-\d+): ")
_SENTENCE = re.compile(r".{1,300}?[.!?](?=\s|$)|.{1,300}(?=\s|$)")
_CHOSEN = re.compile(r'"option": "(\w+)"')

PROSE = "I looked at the case and think that the first option is the likeliest, although {"
WRONG_SCHEMA = '{"unexpected": [1, 2, 3]}'
_REST = -12.0  # log probability of a runner-up that nobody should act upon


_KINDS = {
    bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object", type(None): "null",
}  # fmt: skip


class MisfitError(Exception):
    """A wished-for value that the schema does not allow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Generated:
    """One choice before it is cut: what it says, and the letters it chose from."""

    content: str | None
    letters: tuple[str, ...] = ()


def asked_schema(request: Json) -> tuple[str, Json | None]:
    """Name and JSON schema that a request wants its answer in."""
    wanted = (request.get("response_format") or {}).get("json_schema") or {}
    return str(wanted.get("name", "")), wanted.get("schema")


def asked_role(prompt: Prompt) -> str | None:
    """The role that a prompt speaks to, by its title."""
    roles = _ROLE.findall(prompt.text)
    return roles[-1] if roles else None


def asked_turn(prompt: Prompt) -> tuple[int, bool] | None:
    """The number of a specialist's turn, and whether it is told to be the last."""
    turns = _TURN.findall(prompt.text)
    return (int(turns[-1][0]), "last turn" in turns[-1][1]) if turns else None


def generate(request: Json, prompt: Prompt, config: DoubleConfig, choice: int) -> Generated:
    """The answer number `choice` to a request."""
    _, schema = asked_schema(request)
    if schema is None:
        return Generated(content="The double has nothing to say without a schema.")
    options = _offered(prompt, schema)
    letters = tuple(options)
    option = letters[choice % len(letters) if config.samples_differ else 0] if letters else None
    value = _wish(_whole(schema), schema, prompt, config, (option, options.get(option or "", "")))
    return Generated(content=json.dumps(fit(value, _form(value, schema), schema), ensure_ascii=False), letters=letters)


def _whole(schema: Json) -> Json:
    """The schema with the properties of all its forms, where it offers several."""
    forms = [_plain(form, schema) for form in _branches(schema, schema)]
    if len(forms) == 1:
        return _plain(schema, schema)
    named = {name: part for form in reversed(forms) for name, part in (form.get("properties") or {}).items()}
    return {"type": "object", "properties": named}


def _form(value: Any, schema: Json) -> Json:
    """The form that has a place for everything said, and the fewest other properties."""
    said = {name for name, part in value.items() if part not in (None, [])} if isinstance(value, dict) else set()
    forms = [_plain(form, schema) for form in _branches(schema, schema)]
    fitting = [form for form in forms if said <= (form.get("properties") or {}).keys()]
    if len(forms) == 1 or not fitting:
        return schema
    return min(fitting, key=lambda form: len(form["properties"]))


def choices(request: Json, said: list[Generated], config: DoubleConfig) -> tuple[list[Json], int]:
    """The `choices` of a reply, cut where the request's limit falls, and the tokens they took together."""
    limit = request.get("max_completion_tokens") or request.get("max_tokens") or math.inf
    total, written = 0, []
    for index, one in enumerate(said):
        message, tokens, finish = _message(one, config, limit)
        total += tokens
        logprobs = None
        if request.get("logprobs"):
            logprobs = {"content": _logprobs(message["content"] or "", one.letters, request, config)}
        written.append({"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish})
    return written, total


def _message(one: Generated, config: DoubleConfig, limit: float) -> tuple[Json, int, str]:
    reasoning, content, finish = config.reasoning, one.content, "stop"
    thought = math.ceil(len(reasoning or "") / TOKEN_CHARACTERS)
    tokens = thought + (_token_count(content) if content else 0)
    if tokens > limit:
        finish, tokens = "length", int(limit)
        if thought >= limit:  # it ran out while thinking and never came to an answer
            reasoning, content = (reasoning or "")[: tokens * TOKEN_CHARACTERS], None
        else:
            content = "".join(pieces(content or "")[: tokens - thought])
    return {"role": "assistant", "content": content, "reasoning": reasoning}, tokens, finish


def _token_count(content: str) -> int:
    chosen = _chosen(content)
    spans = [len(content)] if chosen is None else [chosen[0], len(content) - chosen[1]]
    return sum(math.ceil(span / TOKEN_CHARACTERS) for span in spans) + (chosen is not None)


def pieces(content: str) -> list[str]:
    """The tokens of an answer: four characters each, but the letter of the chosen option stands alone."""
    chosen = _chosen(content)
    if chosen is None:
        return _cut(content)
    return [*_cut(content[: chosen[0]]), content[slice(*chosen)], *_cut(content[chosen[1] :])]


def _cut(text: str) -> list[str]:
    return [text[start : start + TOKEN_CHARACTERS] for start in range(0, len(text), TOKEN_CHARACTERS)]


def _chosen(content: str) -> tuple[int, int] | None:
    found = None
    for found in _CHOSEN.finditer(content):  # noqa: B007 - only the last counts: an answer may quote another
        pass
    return found.span(1) if found else None


def _logprobs(content: str, letters: tuple[str, ...], request: Json, config: DoubleConfig) -> list[Json]:
    most = int(request.get("top_logprobs") or 0)
    chosen = _chosen(content)
    start, told = 0, []
    for token in pieces(content):
        likely = [(token, 0.0)]
        if chosen and start == chosen[0] and token in letters:
            rest = (1 - config.option_probability) / max(1, len(letters) - 1)
            shares = dict.fromkeys(letters, rest) | {token: config.option_probability}
            likely = [(letter, math.log(share) if share > 0 else _REST) for letter, share in shares.items()]
        logprob = dict(likely)[token]
        likely.sort(key=lambda pair: -pair[1])
        told.append({**_token(token, logprob), "top_logprobs": [_token(*pair) for pair in likely[:most]]})
        start += len(token)
    return told


def _token(token: str, logprob: float) -> Json:
    return {"token": token, "bytes": list(token.encode()), "logprob": logprob}


def _offered(prompt: Prompt, schema: Json) -> dict[str, str]:
    """The options by letter, as the prompt lists them; a schema that names letters has the last word on which."""
    listed = _OPTIONS.search(prompt.text)
    texts: dict[str, str] = dict(_OPTION.findall(listed[1])) if listed else {}
    named = _named_options(_whole(schema), schema)
    return {letter: texts.get(letter, letter) for letter in named} if named else texts


def _named_options(node: Any, schema: Json, depth: int = 0) -> list[str]:
    """The letters that the first property called `option` is held to, wherever in the schema it stands."""
    if not isinstance(node, dict) or depth > 6:
        return []
    node = _plain(node, schema)
    offered = (node.get("properties") or {}).get("option")
    if offered is not None:
        return [letter for branch in _branches(offered, schema) for letter in _values(branch) if letter is not None]
    for inside in (node.get("properties") or {}).values():
        for branch in _branches(inside, schema):
            if found := _named_options(branch, schema, depth + 1):
                return found
    return []


def _values(node: Json) -> list[Any]:
    return [node["const"]] if "const" in node else list(node.get("enum", ()))


def _wish(node: Json, schema: Json, prompt: Prompt, config: DoubleConfig, option: tuple[str | None, str]) -> Any:
    """What the double would like to say, by the properties that the schema has; the schema's own names may differ."""
    named = node.get("properties") or {}
    if "specialists" in named:
        return _triage(config)
    if named.keys() & {"tools", "searches"}:
        requests = _requests(named, prompt, config)
        if requests is not None:
            return requests
        return {"reasoning": "The evidence suffices.", "tools": [], "searches": [], "opinion": _answer(prompt, option)}
    if {"answer", "claims"} <= named.keys():
        return _answer(prompt, option)
    if "opinion" in named:
        return {"reasoning": "The evidence suffices.", "opinion": _answer(prompt, option)}
    return smallest(node, schema)


def _triage(config: DoubleConfig) -> Json:
    team = [{"reason": f"The case belongs to {name}.", "specialty": name} for name in config.team]
    return {"reasoning": "Fields overlap.", "urgency": "routine", "difficulty": "hard", "specialists": team}


def _requests(named: Json, prompt: Prompt, config: DoubleConfig) -> Json | None:
    """A turn that asks; None when it is time for the opinion."""
    number, last = asked_turn(prompt) or (config.specialist_turns, True)
    if last or number >= config.specialist_turns:
        return None
    offered, image = _TOOL.findall(prompt.text), _IMAGE.search(prompt.text)
    tools: list[Json] = []
    if config.use_tools and offered and image:  # the last list is the role's own; those before it are the case's
        tools = [{"tool": offered[-1], "image": image[1], "arguments": {}}]
    asked = {"tools": tools, "searches": [{"query": config.query}]}
    return {"reasoning": "More is needed.", **{name: asked[name] for name in asked if name in named}, "opinion": None}


def _answer(prompt: Prompt, option: tuple[str | None, str]) -> Json:
    """An opinion or a verdict: it claims what the newest evidence says, in its words, and every criterion that is met.

    Verification asks for the criteria; without them a case would go round once more and count a call too many.
    """
    found = {name: (kind, content) for name, kind, content in _EVIDENCE.findall(prompt.text)}
    cited = [name for name, (kind, _) in found.items() if kind == "criterion"]
    cited += [name for name in list(found)[-1:] if name not in cited]
    claims = [{"text": _sentence(found[name][1]), "evidence": [name]} for name in reversed(cited)]
    letter, text = option
    return {
        "reasoning": "The newest evidence decides.",
        "abstains": False,
        "answer": text or (claims[0]["text"] if claims else "No evidence was found."),
        "option": letter,
        "confidence": 0.8,
        "claims": claims,
        "differential": [],
        "would_change_my_mind": "Evidence to the contrary.",
        "dissent": [],
        "limitations": [],
    }


def _sentence(text: str) -> str:
    found = _SENTENCE.search(text)
    return found[0].strip() if found else text[:300]


def fit(value: Any, node: Json, schema: Json, *, strict: bool = False) -> Any:
    """The value made to fit a schema: unknown keys dropped, required ones filled in, what is not offered replaced.

    In a list what is not offered is left out instead: a team of three becomes a team of those two that exist.
    """
    found = [branch for branch in _branches(node, schema) if _accepts(value, branch, schema)]
    for branch in found:
        with contextlib.suppress(MisfitError):  # the next may offer what this one does not
            return _fit_into(value, branch, schema, strict=strict or len(found) > 1)
    if strict:
        raise MisfitError(value)
    return _fit_into(value, found[0], schema, strict=False) if found else smallest(node, schema)


def _fit_into(value: Any, node: Json, schema: Json, *, strict: bool) -> Any:
    if isinstance(value, dict):
        return _fit_object(value, node, schema, strict)
    if isinstance(value, list):
        return _fit_list(value, node, schema)
    return value[: node.get("maxLength")] if isinstance(value, str) else value


def _fit_object(value: Json, node: Json, schema: Json, strict: bool) -> Json:
    named = node.get("properties") or {}
    required = node.get("required", ())
    fitted: Json = {}
    for name, inside in named.items():  # in the schema's order, in which constrained decoding writes them
        if name in value:
            fitted[name] = fit(value[name], inside, schema, strict=strict)
        elif name in required:
            fitted[name] = smallest(inside, schema)
    if not named and node.get("additionalProperties") is not False:
        return value
    return fitted


def _fit_list(value: list[Any], node: Json, schema: Json) -> list[Any]:
    inside = node.get("items") or {}
    fitted = []
    for item in value[: node.get("maxItems")]:
        try:
            fitted.append(fit(item, inside, schema, strict=True))
        except MisfitError:
            continue
    missing = node.get("minItems", 0) - len(fitted)
    return [*fitted, *(smallest(inside, schema) for _ in range(missing))]


def _accepts(value: Any, node: Json, schema: Json) -> bool:
    """Whether the value is of the node's type and among what it offers; what it contains is looked at later."""
    if "const" in node or "enum" in node:
        return value in _values(node)
    types = node.get("type")
    if types is None:
        return not isinstance(value, dict | list) or "properties" not in node
    if isinstance(value, str) and len(value) < node.get("minLength", 0):
        return False
    kind, allowed = _KINDS[type(value)], _listed(types)
    return kind in allowed or (kind == "integer" and "number" in allowed)


def _listed(types: str | list[str]) -> list[str]:
    return [types] if isinstance(types, str) else types


def _plain(node: Json, schema: Json) -> Json:
    """The node itself, where it only points to another or wraps one."""
    while True:
        if "$ref" in node:
            at: Any = schema
            for step in node["$ref"].removeprefix("#/").split("/"):
                at = at[step]
            node = at
        elif len(node.get("allOf", ())) == 1:
            node = {**node["allOf"][0], **{name: value for name, value in node.items() if name != "allOf"}}
        else:
            return node


def _branches(node: Json, schema: Json) -> list[Json]:
    node = _plain(node, schema)
    for either in ("anyOf", "oneOf"):
        if either in node:
            return [branch for one in node[either] for branch in _branches(one, schema)]
    return [node]


def smallest(node: Json, schema: Json) -> Any:
    """The smallest value that a schema allows: null if it may be, no optional keys, empty lists, zeros."""
    branches = _branches(node, schema)
    for branch in branches:
        if "null" in _listed(branch.get("type", [])) or None in _values(branch):
            return None
    node = branches[0]
    if _values(node):
        return _values(node)[0]
    match _listed(node.get("type") or ("object" if "properties" in node else "null"))[0]:
        case "object":
            inside = node.get("properties") or {}
            required = {*node.get("required", ())}
            return {name: smallest(inside[name], schema) for name in inside if name in required}
        case "array":
            return [smallest(node.get("items") or {}, schema) for _ in range(node.get("minItems", 0))]
        case "string":
            return "x" * node.get("minLength", 0)
        case "boolean":
            return False
        case "integer" | "number" as kind:
            return _smallest_number(node, kind)
        case _:
            return None


def _smallest_number(node: Json, kind: str) -> float:
    """Zero where it is allowed, else the bound nearest to it."""
    step = 1 if kind == "integer" else 0.5
    low = max(node.get("minimum", -math.inf), node.get("exclusiveMinimum", -math.inf) + step)
    high = min(node.get("maximum", math.inf), node.get("exclusiveMaximum", math.inf) - step)
    number: float = min(max(0, low), high)
    return math.ceil(number) if kind == "integer" else number
