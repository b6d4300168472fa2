"""What the opening record of a trace says a run started from, checked before it is believed. It replays nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..core.case import Case
from ..core.errors import TraceError
from ..core.settings import Arrangement, Budget
from ..core.trace import Record
from .reliability import Reliability


class Configuration(BaseModel):
    """What of a run's configuration a replay reads; `Clinic` writes more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    arrangement: Arrangement
    reliability: Reliability | None
    engine: str
    caveat: str
    knowledge: Any
    tools: dict[str, dict[str, Any]]
    budget: Budget
    notes: tuple[str, ...]


class Header(BaseModel):
    """The request of the opening record."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    case: Case
    config: Configuration
    path: str


def header_of(records: Sequence[Record]) -> Header:
    """What the first record says. Raises TraceError that names what is missing or cannot be read."""
    try:
        return Header.model_validate(records[0].request)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise TraceError(
            expected=f"{'.'.join(map(str, first['loc'])) or 'a request'} in the opening record of the trace",
            got=first["msg"], fix="replay it with the version that recorded it, or restore it from a copy",
        ) from error  # fmt: skip
