"""The port through which agents look things up: passages, queries, hits. Where they are kept is `index.py`'s affair."""

from __future__ import annotations

from typing import Protocol

from pydantic import Field

from ..core.case import Modality
from ..core.errors import DivergenceError
from ..core.frozen import Frozen


class Passage(Frozen):
    """One piece of knowledge in our own words, with its citation and licence.

    `domains` are retrieval domains such as `ophthalmology`; `patient_id` marks a passage of one patient's record:
    it is the pseudonym that `core.case.pseudonym` makes, as queries carry it.
    """

    id: str
    title: str
    text: str
    domains: tuple[str, ...] = ()
    modalities: tuple[Modality, ...] = ()
    citation: str
    licence: str
    patient_id: str | None = None


class Query(Frozen):
    """What is looked for, and where: only passages of one of `domains` (all when empty) and of no other patient."""

    text: str
    domains: tuple[str, ...] = ()
    modality: Modality | None = None
    patient_id: str | None = None
    limit: int = Field(default=5, ge=1, le=50)


class Hit(Frozen):
    """A passage found. `score` in [0, 1] is the share of the query's information that the passage covers;
    `span` is the stretch of `passage.text` [start, end) that matches best."""

    passage: Passage
    score: float
    span: tuple[int, int]


class Knowledge(Protocol):
    """A searchable store. `version` changes whenever an answer could change and is stamped into each trace."""

    @property
    def version(self) -> str: ...

    def search(self, query: Query) -> tuple[Hit, ...]:
        """Hits, best first; empty means that no support was found above the floor. Thread-safe."""
        ...


class RecordedKnowledge:
    """The store of a replay: it has the recorded version and nothing else; the journal answers every look-up."""

    def __init__(self, version: str) -> None:
        self.version = version

    def search(self, query: Query) -> tuple[Hit, ...]:
        raise DivergenceError(
            expected="look-ups that the trace holds", got=f"a new one, {query.text!r}", fix="use a live store"
        )
