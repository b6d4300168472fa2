"""Tasks as chat messages, in the order that lets a server reuse its prefix cache.

Preamble, case, shared evidence, and only then role and task. It words nothing itself: the texts are Markdown files.
"""

from __future__ import annotations

import functools
from typing import Any, get_args

from pydantic import BaseModel

from ..core.canonical import Json, digest
from ..core.case import Case, Image
from ..core.evidence import Evidence
from ..core.report import Opinion
from .roles import TaskPrompt, load_roles, prompt
from .tasks import Task

TASK_PROMPTS: tuple[TaskPrompt, ...] = get_args(TaskPrompt)


def messages(task: Task[Any]) -> list[Json]:
    """OpenAI-shaped messages; an image part names its blob, and whoever sends it puts the pixels in."""
    return [
        {"role": "system", "content": prompt("preamble")},
        {"role": "user", "content": [*_case_parts(task.case), _part(_shared(task)), _part(_role_and_task(task))]},
    ]


def chat_request(task: Task[Any]) -> Json:
    """What is recorded of a task: everything the engine is sent."""
    name = task.schema.__name__
    return {"schema": name, "schema_hash": _schema_hash(task.schema), "step": task.step, "messages": messages(task)}


_schema_hashes: dict[type[BaseModel], str] = {}


def _schema_hash(schema: type[BaseModel]) -> str:
    """Hash of a schema as a model would be sent it; worked out once, it costs more than the rest of a call."""
    if schema not in _schema_hashes:
        _schema_hashes[schema] = digest(schema.model_json_schema())
    return _schema_hashes[schema]


@functools.cache
def prompts_hash() -> str:
    """One hash over every prompt, role texts included."""
    return digest([*(prompt(name) for name in TASK_PROMPTS), *(role.prompt for role in load_roles())])


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
        parts += [_part(f"{name}: {describe(image)}"), {"type": "image", "blob": image.blob}]
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
    return ", ".join(fact for fact in facts if fact)


def _shared(task: Task[Any]) -> str:
    return "# Shared evidence\n" + _evidence(task.shared)


def _evidence(evidence: tuple[Evidence, ...]) -> str:
    if not evidence:
        return "none yet"
    return "\n".join(f"[{item.id}] {item.kind}, {item.source.name}: {fenced(item.content)}" for item in evidence)


def _role_and_task(task: Task[Any]) -> str:
    blocks: list[str] = []
    if task.role is not None:
        blocks.append(f"# Your role: {task.role.title}\n{task.role.prompt}")
    blocks.append(prompt(task.kind))
    if task.roles:
        blocks.append("## Specialties\n" + "\n".join(f"- {role.name}: {role.scope}" for role in task.roles))
    if task.tools:
        blocks.append("## Tools\n" + "\n".join(f"- {card.name}: {card.summary}" for card in task.tools))
    if task.kind == "specialist":
        blocks.append("## Your evidence\n" + _evidence(task.own))
        blocks.append(f"Turn {task.step + 1}. " + ("This is your last turn: give the opinion." if task.last else ""))
    if task.opinions or task.absent:
        blocks.append("## Opinions\n" + "\n".join(_opinion(opinion) for opinion in task.opinions))
        blocks += [f"{specialty} gave no opinion: {reason}" for specialty, reason in sorted(task.absent.items())]
    if task.kind == "attending" and task.own:
        blocks.append("## Evidence of the specialists\n" + _evidence(task.own))
    if task.problems:
        blocks.append("## Problems with the last answer\n" + "\n".join(f"- {problem}" for problem in task.problems))
    return "\n\n".join(block.strip() for block in blocks)


def _opinion(opinion: Opinion) -> str:
    claims = "\n".join(f"  - {claim.text} [{', '.join(claim.evidence)}]" for claim in opinion.claims)
    stance = "abstains" if opinion.abstains else f"option {opinion.option}" if opinion.option else "answers"
    return f"### {opinion.specialty}: {stance}\n{opinion.answer}\n{claims}"
