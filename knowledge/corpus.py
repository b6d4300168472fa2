"""The passages that ship with the package, read from `passages/*.toml`. It does not search them."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from pydantic import Field, ValidationError, field_validator

from ..core.case import Modality
from ..core.errors import SetupError
from ..core.frozen import Frozen
from .store import Passage

Domain: TypeAlias = Literal[
    "cardiology", "dentistry", "dermatology", "emergency", "endocrinology", "gastroenterology", "general_medicine",
    "haematology", "infectious_disease", "nephrology", "neurology", "neurosurgery", "obstetrics", "oncology",
    "ophthalmology", "orthopaedics", "paediatrics", "pathology", "pulmonology", "radiology", "surgery", "urology",
]  # fmt: skip
DOMAINS: tuple[str, ...] = get_args(Domain)
LICENCE = "Apache-2.0"
FOLDER = Path(__file__).parent / "passages"


class _Entry(Frozen):
    """One passage as written in TOML: 60 to 150 words, line breaks are only for the reader."""

    id: str = Field(pattern=r"^[a-z_]+\.[a-z0-9-]+$")
    title: str = Field(min_length=1)
    domains: tuple[Domain, ...] = Field(min_length=1)
    modalities: tuple[Modality, ...] = ()
    citation: str = Field(min_length=20)
    text: str

    @field_validator("text")
    @classmethod
    def _one_line(cls, text: str) -> str:
        words = text.split()
        if not 60 <= len(words) <= 150:
            raise ValueError(f"a passage has 60 to 150 words, this one {len(words)}")
        return " ".join(words)


class _File(Frozen):
    passage: tuple[_Entry, ...]


@cache
def shipped_passages() -> tuple[Passage, ...]:
    """All shipped passages, sorted by id. Raises SetupError when a file was damaged."""
    entries = [entry for path in sorted(FOLDER.glob("*.toml")) for entry in read_passages(path)]
    return tuple(sorted(entries, key=lambda passage: passage.id))


def read_passages(path: Path) -> tuple[Passage, ...]:
    """The passages of one TOML file in file order. Raises SetupError when it is not valid."""
    try:
        entries = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).passage
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise SetupError(
            expected=f"valid passages in {path.name}",
            got=str(error).replace("\n", " "),
            fix="correct the file, or reinstall polyclinic if you did not change it",
        ) from error
    return tuple(Passage(**entry.model_dump(), licence=LICENCE) for entry in entries)
