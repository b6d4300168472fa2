"""Tasks as chat messages, in the order that lets a server reuse its prefix cache.

Handbook, case with its images, shared evidence, and only then role and task: the agents of a case share every byte up
to there. It words nothing itself: the texts are Markdown files.
"""

from __future__ import annotations

import functools
from typing import Any, get_args

from pydantic import BaseModel

from ..core.canonical import Json, digest
from ..core.case import Case, Image
from ..core.evidence import Evidence
from ..core.report import Opinion
from ..tools.card import ToolCard
from .forms import closed, described
from .roles import load_roles, prompt
from .tasks import SpecialistTurn, Task, TaskKind, TriagePlan, Verdict

TASKS: tuple[TaskKind, ...] = get_args(TaskKind)


@functools.cache
def handbook() -> str:
    """What every agent is told before it sees the case: the rules, the specialties and the three tasks.

    All of it for every agent: the longer the part that all requests share, the more of them a prefix cache serves.
    """
    specialties = "\n".join(f"- {role.name}: {role.scope}" for role in load_roles())
    tasks = (f"{prompt(kind)}\n\nReply with JSON of this form:\n{_form(kind)}" for kind in TASKS)
    return "\n\n".join([prompt("preamble"), *tasks, f"# Specialties\n\n{specialties}"])


def _form(kind: TaskKind) -> str:
    schemas: dict[TaskKind, type[BaseModel]] = {
        "triage": TriagePlan, "specialist": SpecialistTurn, "attending": Verdict,
    }  # fmt: skip
    return described(closed(schemas[kind].model_json_schema()))


def messages(task: Task[Any]) -> list[Json]:
    """OpenAI-shaped messages after the handbook; an image part names its blob, whoever sends it puts the pixels in."""
    asked = {
        "role": "user",
        "content": [*_case_parts(task.case), _part(_shared(task)), _part(_role_and_task(task))],
    }
    if task.faulty is None:
        return [asked]
    complaint = prompt("repair").replace("{problem}", task.faulty.problem)
    return [
        asked,
        {"role": "assistant", "content": task.faulty.text},
        {"role": "user", "content": [_part(complaint)]},
    ]


def chat_request(task: Task[Any]) -> Json:
    """What is recorded of a task: what the engine is asked; the handbook by its hash, images by their blobs."""
    return {
        "schema": task.schema.__name__,
        "schema_hash": _schema_hash(task.schema),
        "step": task.step,
        "handbook": handbook_hash(),
        "messages": messages(task),
    }


_schema_hashes: dict[type[BaseModel], str] = {}


def _schema_hash(schema: type[BaseModel]) -> str:
    """Hash of a schema as a model would be sent it; worked out once, it costs more than the rest of a call."""
    if schema not in _schema_hashes:
        _schema_hashes[schema] = digest(schema.model_json_schema())
    return _schema_hashes[schema]


@functools.cache
def handbook_hash() -> str:
    """Hash of the handbook; the text itself stands once in a trace, in the configuration it opens with."""
    return digest(handbook())


@functools.cache
def prompts_hash() -> str:
    """One hash over every prompt, role texts included."""
    return digest([handbook(), prompt("repair"), *(role.prompt for role in load_roles())])


def image_names(case: Case) -> dict[str, Image]:
    """The images by the ids used in prompts and requests: image-1, image-2, … in the order of the case."""
    return {f"image-{number}": image for number, image in enumerate(case.all_images(), start=1)}


def fenced(content: str) -> str:
    """Text that came from outside, marked as data; a fence inside it cannot close the fence."""
    harmless = content.replace("<<<", "‹‹‹").replace(">>>", "›››")
    return f"<<<untrusted\n{harmless}\nuntrusted>>>"


def _part(content: str) -> Json:
    return {"type": "text", "text": content}


def _case_parts(case: Case) -> list[Json]:
    lines = ["# Case", "Question:", fenced(case.question)]
    if case.options:
        lines += ["Options:", fenced("\n".join(f"{letter}. {option}" for letter, option in case.options.items()))]
    if case.metadata:
        lines += ["Facts:", fenced("\n".join(f"{name}: {value}" for name, value in sorted(case.metadata.items())))]
    for number, exchange in enumerate(case.dialogue, start=1):
        lines += [f"Earlier turn {number}:", fenced(f"{exchange.question}\n→ {exchange.status}: {exchange.answer}")]
    parts = [_part("\n".join(lines))]
    for name, image in image_names(case).items():
        parts += [_part(f"{name}: {describe(image)}"), {"type": "image", "name": name, "blob": image.blob}]
    return parts


def describe(image: Image) -> str:
    """What is known of an image, in one line."""
    facts = [
        image.modality or "modality not stated",
        image.body_part or "",
        image.view or "",
        image.laterality or "",
        f"{image.size_px[0]}×{image.size_px[1]} px" if image.size_px else "",
        f"{image.spacing_mm[0]:g} mm/px" if image.spacing_mm else "",
        f"acquired {image.acquired}" if image.acquired else "",
    ]
    return " ".join(", ".join(fact for fact in facts if fact).replace("<<<", "‹‹‹").split())


def _shared(task: Task[Any]) -> str:
    blocks = ["# Shared evidence\n" + _evidence(task.shared)]
    if task.shelf:
        blocks.append("# Tools for this case\n" + "\n".join(map(_signature, task.shelf)))
    return "\n\n".join(blocks)


def _signature(card: ToolCard) -> str:
    """A tool as agents see it: its name, what it takes, what it does."""
    taken = ["image"] if card.looks else []
    taken += [f"{name}: {_kind(schema)}" for name, schema in card.arguments.items()]
    return f"- {card.name}({', '.join(taken)}): {card.summary}"


def _kind(schema: Json) -> str:
    values, examples = schema.get("enum"), schema.get("examples")
    if values:
        return " | ".join(map(str, values))
    return f'such as "{examples[0]}"' if examples else str(schema.get("type", "any"))


def _evidence(evidence: tuple[Evidence, ...]) -> str:
    if not evidence:
        return "none yet"
    return "\n".join(f"[{item.id}] {item.kind}, {_sourced(item)}" for item in evidence)


def _sourced(item: Evidence) -> str:
    """What the evidence says and where it is from; a document's own name is text from outside as well."""
    if item.source.kind == "document":
        name = " ".join(item.source.name.split())
        return "document: " + fenced(f"{name}\n{item.content}")
    return f"{item.source.name}: {fenced(item.content)}"


def _role_and_task(task: Task[Any]) -> str:
    """What differs between the agents of a case; what changes from turn to turn comes last."""
    blocks = [f"# Your task now: {task.kind}"]
    if task.role is not None:
        blocks.append(f"# Your role: {task.role.title}\n{task.role.prompt}")
    if task.tools:
        blocks.append("Your tools: " + ", ".join(card.name for card in task.tools))
    if task.opinions or task.absent:
        blocks.append("## Opinions\n" + "\n".join(_opinion(opinion) for opinion in task.opinions))
        blocks += [f"{name} gave no opinion:\n{fenced(reason)}" for name, reason in sorted(task.absent.items())]
    if task.kind == "specialist":
        blocks.append("## Your evidence\n" + _evidence(task.own))
    elif task.own:
        blocks.append("## Evidence of the specialists\n" + _evidence(task.own))
    if task.reliability:
        blocks.append("## Measured reliability\n" + "\n".join(f"- {sentence}" for sentence in task.reliability))
    if task.problems:
        listed = "\n".join(f"- {problem}" for problem in task.problems)
        blocks.append(f"## Problems with the last answer\n{fenced(listed)}")  # they quote what was claimed
    if task.kind == "specialist":
        blocks.append(f"Turn {task.step + 1}." + (" This is your last turn: give the opinion." if task.last else ""))
    return "\n\n".join(block.strip() for block in blocks)


def _opinion(opinion: Opinion) -> str:
    """An opinion; what it says is fenced, since it may quote a passage that gives orders."""
    claims = "\n".join(f"  - {claim.text} [{', '.join(claim.evidence)}]" for claim in opinion.claims)
    stance = "abstains" if opinion.abstains else f"option {opinion.option}" if opinion.option else "answers"
    return f"### {opinion.specialty}: {stance}\n" + fenced(f"{opinion.answer}\n{claims}")
