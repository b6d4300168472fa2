"""The table of specialties and the prompts: who can be called, for what, and what they are told. It calls nobody."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from ..core.case import Modality
from ..core.errors import InputError, SetupError
from ..core.frozen import Frozen
from ..core.settings import Arrangement

Prompt: TypeAlias = Literal["preamble", "triage", "specialist", "attending", "repair"]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]*$")]
BodyPart = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z ]*[a-z]$")]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
# Two-letter abbreviations (ms, pe, mi) mean something else too often to point at a specialty.
Term = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9&'. -]+[a-z0-9]$", min_length=3)]

FOLDER = Path(__file__).parent


class Role(Frozen):
    """One specialty.

    An image is the role's own when its modality is one of `modalities` and its body part one of `body_parts`
    (any when empty); a role without modalities works from text and measurements. `terms` are whole lower-case words
    or phrases, British and American, that point to it. `domains` are the retrieval domains it may search, its own
    first; each is the name of a role. `prompt` is Markdown and comes last in what a model reads.
    """

    name: Name
    title: Line
    scope: Line
    modalities: tuple[Modality, ...]
    body_parts: tuple[BodyPart, ...]
    terms: tuple[Term, ...] = Field(min_length=25, max_length=60)
    domains: tuple[Name, ...] = Field(min_length=1)
    prompt: Line

    @field_validator("modalities", "body_parts", "terms", "domains")
    @classmethod
    def _each_once(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"given twice: {', '.join(twice)}")
        return values

    @model_validator(mode="after")
    def _own_domain_first(self) -> Role:
        if self.domains[0] != self.name:
            raise ValueError(f"the first domain must be the role itself, not {self.domains[0]!r}")
        return self


@cache
def load_roles() -> tuple[Role, ...]:
    """The shipped table, sorted by name. Raises SetupError when the installed files do not make a valid table."""
    return read_roles(FOLDER)


GENERALIST = "general_medicine"
"""The role that works alone in the arrangement "single"."""


def roles_of(arrangement: Arrangement) -> tuple[Role, ...]:
    """Who can be called. Alone works the general physician, who may then read every image and search every domain."""
    roles = load_roles()
    if arrangement != "single":
        return roles
    one = role(GENERALIST)
    domains = (one.name, *(other.name for other in roles if other.name != one.name))
    return (one.model_copy(update={"modalities": get_args(Modality), "body_parts": (), "domains": domains}),)


def read_roles(folder: Path) -> tuple[Role, ...]:
    """The table in `folder`/roles.toml with its prompts in `folder`/prompts/roles, sorted by name.

    Raises SetupError naming the file and the entry that cannot be used.
    """
    path = folder / "roles.toml"
    try:
        table = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise _refused(path, "valid TOML", str(error)) from error
    roles = tuple(_role(folder, name, entry) for name, entry in sorted(table.items()))
    for one in roles:
        strangers = sorted(set(one.domains) - set(table))
        if strangers:
            raise _refused(path, f"the domains of {one.name} to be roles", ", ".join(strangers))
    return roles


def role(name: str) -> Role:
    """The shipped role called `name`. Raises InputError when there is none."""
    for one in load_roles():
        if one.name == name:
            return one
    raise InputError(
        expected="the name of a specialty",
        got=repr(name),
        fix=f"choose one of {', '.join(one.name for one in load_roles())}",
    )


@cache
def prompt(name: Prompt) -> str:
    """The Markdown of one prompt that is no role's. Raises SetupError when its file is missing or empty."""
    return _prompt(FOLDER / "prompts" / f"{name}.md")


def _role(folder: Path, name: str, entry: object) -> Role:
    table = folder / "roles.toml"
    if not isinstance(entry, dict):
        raise _refused(table, f"a table [{name}]", repr(entry))
    text = _prompt(folder / "prompts" / "roles" / f"{name}.md")
    try:
        return Role.model_validate({**entry, "name": name, "prompt": text})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "entry"
        raise _refused(table, f"a usable {where} in [{name}]", first["msg"]) from error


def _prompt(path: Path) -> str:
    text = _text(path).strip()
    if not text:
        raise _refused(path, "a prompt", "an empty file")
    return text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(path, f"the file {path.name}", str(error)) from error


def _refused(path: Path, expected: str, got: str) -> SetupError:
    return SetupError(expected=expected, got=got, fix=f"mend {path} or install polyclinic again")
