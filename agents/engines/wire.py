"""A task as the body of a chat completion, and the completion as a reply. It opens no connection.

The body is what vLLM's OpenAI-compatible server takes: a JSON schema to follow, log-probabilities, several samples, a
seed and a priority. Pixels come in as data URLs, made by whoever calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ...core.canonical import Json, digest
from ...core.settings import Sampling
from ..profiles import Profile
from ..prompts import handbook, messages
from ..tasks import Conclusion, Faulty, SpecialistTurn, Task, TriagePlan
from .confidence import ballot, elected, option_probabilities
from .patience import Fault, printable
from .protocol import Reply
from .schemas import reply_schema

T = TypeVar("T", bound=BaseModel)

MORE_LETTERS = 5
"""Alternatives asked for beyond the offered letters: the same letter is also written with a quote or a space."""

FEWEST_TOKENS = 16  # below this no reply can be whole; the budget is exceeded by no more
MOST_ALTERNATIVES = 20  # vLLM's own limit, unless it is started with another
SHOWN_CHARS = 4000  # of a faulty reply, when the model is shown it again
SHOWN_ERRORS = 5
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_FENCE = re.compile(r"^\s*```(?:json)?\s*(.*?)\s*```\s*$", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Line:
    """Where an agent's calls go: the server, the model or adapter there, its profile, and how it is sampled."""

    url: str
    model: str
    profile: Profile
    sampling: Sampling
    key: str | None = field(default=None, repr=False)
    priority: bool = True
    root: str = ""

    @cached_property
    def facts(self) -> dict[str, Json]:
        """What could change an answer besides model name and sampling: the profile's content, the model's own name."""
        return {"profile": digest(self.profile.model_dump(mode="json")), "root": self.root}


def images_to_send(task: Task[Any], profile: Profile) -> tuple[str, ...]:
    """The blobs a model of this profile is shown, as many as it takes: the case's own, then the newest visit's."""
    case = task.case
    newest_first = [image for visit in reversed(case.visits) for image in visit.images]
    blobs = tuple(dict.fromkeys(image.blob for image in (*case.images, *newest_first) if image.blob))
    return blobs[: profile.max_images] if profile.vision else ()


def request_body(task: Task[Any], line: Line, pictures: Mapping[str, str]) -> Json:
    """The chat completion to ask for; `pictures` maps each blob that is shown to its data URL."""
    sampling = line.sampling
    form = {"name": task.schema.__name__, "strict": True, "schema": reply_schema(task, sampling)}
    body: dict[str, Json] = {
        "model": line.model,
        "messages": _messages(task, line.profile, pictures),
        "response_format": {"type": "json_schema", "json_schema": form},
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "max_completion_tokens": _most_tokens(task, line),
    }
    if line.priority:
        body["priority"] = task.call.rank
    if sampling.samples > 1:
        body["n"] = sampling.samples
    elif sampling.logprobs and task.case.options and task.kind != "triage":
        body |= {"logprobs": True, "top_logprobs": min(MOST_ALTERNATIVES, len(task.case.options) + MORE_LETTERS)}
    return body


def _short(name: Json) -> str | None:
    return printable(name)[:200] if isinstance(name, str) else None


def _most_tokens(task: Task[Any], line: Line) -> int:
    """How long a reply may be: as sampling says, or what is left of the agent's share."""
    left = line.sampling.max_tokens if task.call.tokens is None else max(FEWEST_TOKENS, task.call.tokens)
    return min(line.sampling.max_tokens, left)


def read_reply(task: Task[T], line: Line, completion: Json, faults: Sequence[str]) -> Reply[T]:
    """The reply in a completion, or what is faulty about it. Raises Fault when it is no completion at all."""
    choices = completion.get("choices") if isinstance(completion, dict) else None
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, dict) for choice in choices):
        raise Fault("a body that is no chat completion", "garbled")
    said = [_said(choice, line.profile) for choice in choices]
    read = [_read(task, text, choice, line) for choice, (text, _) in zip(choices, said, strict=True)]
    details: dict[str, Json] = {
        "model": _short(completion.get("model")), "profile": line.profile.name,
        "sampling": line.sampling.model_dump(mode="json"), "faults": list(faults),
    }  # fmt: skip
    usage, notes = _usage(completion.get("usage")), _unseen(task, line)
    usable = [number for number, value in enumerate(read) if not isinstance(value, str)]
    if not usable:
        faulty = Faulty(text=said[0][0][:SHOWN_CHARS], problem=str(read[0]))
        return Reply(faulty=faulty, usage=usage, reasoning=said[0][1], notes=notes, details=details)
    number, confidence, how = _chosen(task, line, choices, read, said, usable)
    value, reasoning = read[number], said[number][1]
    assert not isinstance(value, str)
    conclusion = _conclusion(value)
    if conclusion is not None and confidence is not None and not conclusion.abstains:
        how["stated_confidence"] = conclusion.confidence
        value = _surer(value, conclusion, confidence)
    return Reply(value=value, usage=usage, reasoning=reasoning, notes=notes, details=details | how)


def _chosen(
    task: Task[T], line: Line, choices: Sequence[Json], read: Sequence[T | str], said: Sequence[tuple[str, str]],
    usable: list[int],
) -> tuple[int, float | None, dict[str, Json]]:  # fmt: skip
    """Which sample is taken, how sure one may be of its option, and how both were found."""
    if len(choices) > 1:
        ballots = [ballot(read[number]) for number in usable]
        place, share = elected(ballots)
        how: dict[str, Json] = {"ballots": ballots, "unusable_samples": len(choices) - len(usable)}
        if not task.case.options:  # answers in words differ even where they mean the same
            return usable[place], None, how
        return usable[place], share * len(usable) / max(len(choices), line.sampling.samples), how
    conclusion = _conclusion(read[0])
    shares = option_probabilities(said[0][0], choices[0].get("logprobs"), tuple(task.case.options))
    if conclusion is None or shares is None or conclusion.option not in shares:
        return 0, None, {}
    return 0, shares[conclusion.option], {"options": shares}


def _messages(task: Task[Any], profile: Profile, pictures: Mapping[str, str]) -> list[Json]:
    """The recorded messages as this model takes them: pixels for blobs, the handbook as the system's or the user's."""
    asked, *rest = messages(task)
    parts: list[Json] = []
    shown: dict[str, str] = {}
    for part in asked["content"]:
        if part["type"] == "text":
            parts.append(part)
        elif part["blob"] in shown:
            parts.append({"type": "text", "text": f"(the same picture as {shown[part['blob']]})"})
        elif part["blob"] in pictures:
            shown[part["blob"]] = part["name"]
            parts.append({"type": "image_url", "image_url": {"url": pictures[part["blob"]]}})
        else:
            parts.append({"type": "text", "text": "(this image is not shown to you)"})
    if profile.image_placement == "before_text" and shown:
        parts.sort(key=lambda part: part["type"] == "text")
        named = f"The pictures above, in their order: {', '.join(shown.values())}."
        parts.insert(len(shown), {"type": "text", "text": named})
    if profile.system_role is False:
        return [{"role": "user", "content": [{"type": "text", "text": handbook()}, *parts]}, *rest]
    return [{"role": "system", "content": handbook()}, {"role": "user", "content": parts}, *rest]


def _unseen(task: Task[Any], line: Line) -> tuple[str, ...]:
    """What the report must say when the model did not get every image."""
    total = len({image.blob for image in task.case.all_images() if image.blob})
    shown = len(images_to_send(task, line.profile))
    if shown == total:
        return ()
    if not line.profile.vision:
        return (f"{line.model} cannot see: none of {total} images was looked at by it (profile {line.profile.name}).",)
    return (f"{line.model} was shown {shown} of {total} images: it takes no more (profile {line.profile.name}).",)


def _said(choice: Json, profile: Profile) -> tuple[str, str]:
    """The reply's text and the model's own reasoning, whether the server split it off or left it in its tags."""
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    content = message.get("content")
    text = content if isinstance(content, str) else ""
    reasoning = message.get("reasoning") or message.get("reasoning_content") or ""
    thinking = profile.thinking
    # A reply that begins with its JSON has no thought before it; a closing tag inside is part of what it says.
    if thinking is not None and thinking.closing in text and not text.lstrip().startswith(("{", "```")):
        end = re.search(re.escape(thinking.closing) + r"\s*(?=\{|```)", text)
        thought, text = (text[: end.start()], text[end.end() :]) if end else text.rsplit(thinking.closing, 1)
        reasoning = reasoning or thought.replace(thinking.opening, "", 1)
    return text.strip(), str(reasoning).strip()


def _read(task: Task[T], text: str, choice: Json, line: Line) -> T | str:
    """The value that `text` holds, or what is wrong with it, in words for the model."""
    if choice.get("finish_reason") == "length":
        return f"It was cut off: at most {_most_tokens(task, line)} tokens fit. Be much shorter."
    if not text:
        return "It was empty."
    fenced = _FENCE.match(text)
    try:
        # A grammar with bounded texts lets raw control characters through (xgrammar), hence not strict.
        value = task.schema.model_validate(json.loads(fenced[1] if fenced else text, strict=False))
    except (ValueError, RecursionError) as error:
        if not isinstance(error, ValidationError):
            return f"It is not JSON: {error}."
        return "\n".join(_complaint(problem) for problem in error.errors(include_url=False)[:SHOWN_ERRORS])
    if _HALF.search(text):
        try:
            value.model_dump_json()
        except ValueError:
            return "It holds half a character: an unpaired surrogate."
    return _senseless(task, value) or value


def _complaint(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "the whole"
    return f"At {where}: {problem['msg']}; you wrote {str(problem['input'])[:80]!r}."


def _senseless(task: Task[Any], value: BaseModel) -> str:
    """What is wrong with a value that has the right form but answers nothing, or ""."""
    if isinstance(value, TriagePlan):
        known = {role.name for role in task.roles}
        strangers = [pick.specialty for pick in value.specialists if pick.specialty not in known]
        return f"These are no specialties of the table: {', '.join(strangers)}." if strangers and known else ""
    if isinstance(value, SpecialistTurn) and value.opinion is None:
        if task.last:
            return "This is your last turn: give the opinion."
        strange = sorted({request.tool for request in value.tools} - {card.name for card in task.tools})
        if strange:
            return f"You have no such tool: {', '.join(strange)}."
        return "" if value.tools or value.searches else "Request tools or passages, or give the opinion."
    conclusion = _conclusion(value)
    if conclusion is None or conclusion.abstains:
        return ""
    if conclusion.option is not None and not task.case.options:
        return "The case offers no options: leave `option` null."
    if task.case.options and conclusion.option not in task.case.options:
        return f"The option must be one of {', '.join(task.case.options)}; or abstain, saying so in `abstains`."
    return "" if conclusion.answer.strip() else "The answer is empty: answer, or abstain, saying so in `abstains`."


def _conclusion(value: Any) -> Conclusion | None:
    if isinstance(value, SpecialistTurn):
        return value.opinion
    return value if isinstance(value, Conclusion) else None


def _surer(value: T, conclusion: Conclusion, confidence: float) -> T:
    """`value` with a measured confidence in the place of the one the model stated."""
    surer = conclusion.model_copy(update={"confidence": round(confidence, 6)})
    changed = {"opinion": surer} if isinstance(value, SpecialistTurn) else {"confidence": surer.confidence}
    return value.model_copy(update=changed)


def _usage(usage: Json) -> dict[str, int]:
    """Token counts of a completion; cached prompt tokens where the server tells."""
    if not isinstance(usage, dict):
        return {}
    counted = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")}
    cached = usage.get("prompt_tokens_details")
    if isinstance(cached, dict):
        counted["cached_tokens"] = cached.get("cached_tokens")
    return {name: count for name, count in counted.items() if isinstance(count, int) and count >= 0}
