"""How often roles and tools were right before, as an evaluation measured it: the table, and what is told of it.

The attending reads it where it weighs opinions. A role's share holds for the engine it was measured with alone, a
tool's for its version. A run of `polyclinic eval reliability` writes the table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from ..core.case import Case
from ..core.errors import InputError
from ..core.evidence import Evidence
from ..core.frozen import Frozen
from ..core.report import Opinion

FEWEST = 10
"""Answers below which a share says too little to be told; a choice of ours."""


class Share(Frozen):
    """`right` of `n` answers, with the 95 % interval of the share."""

    right: int = Field(ge=0)
    n: int = Field(ge=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.right > self.n or not self.low <= self.right / self.n <= self.high:
            raise ValueError(f"{self.right} right of {self.n}, {self.low} to {self.high}, is no share in its interval")
        return self


class Reliability(Frozen):
    """Shares by role or tool (`NAME VERSION`) and by modality ("text" without images, "several" for more than one)."""

    engine: str
    benchmarks: tuple[str, ...]
    roles: Mapping[str, Mapping[str, Share]] = Field(default_factory=dict)
    tools: Mapping[str, Mapping[str, Share]] = Field(default_factory=dict)


def read_reliability(path: Path) -> Reliability:
    """The table in a file. Raises InputError for a file that holds none."""
    try:
        return Reliability.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        wrong = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InputError(
            expected=f"a table of reliability in {str(path)!r}", got=wrong[:120],
            fix="make one: type polyclinic eval reliability RUN --out FILE",
        ) from error  # fmt: skip


def modality_of(case: Case) -> str:
    """What of a table concerns a case."""
    seen = {image.modality or "not stated" for image in case.images}
    return "text" if not seen else seen.pop() if len(seen) == 1 else "several"


def told(
    table: Reliability | None, engine: str, case: Case, opinions: Iterable[Opinion], evidence: Iterable[Evidence]
) -> tuple[str, ...]:
    """Sentences for those who gave an opinion and the tools whose results are in the evidence, by name."""
    if table is None:
        return ()
    modality = modality_of(case)
    names = sorted({opinion.specialty for opinion in opinions}) if table.engine == engine else []
    used = {f"{item.source.name} {item.source.version}" for item in evidence if item.source.kind == "tool"}
    found = [(name, table.roles.get(name, {}).get(modality)) for name in names]
    found += [(name, table.tools.get(name, {}).get(modality)) for name in sorted(used)]
    on = "questions without images" if modality == "text" else f"{modality} images"
    return tuple(
        f"{name} was right in {share.right} of {share.n} earlier answers on {on} "
        f"({share.right / share.n:.2f}, 95 % interval {share.low:.2f} to {share.high:.2f})."
        for name, share in found
        if share is not None and share.n >= FEWEST
    )
