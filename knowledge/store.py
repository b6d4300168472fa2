"""The port through which agents look things up: passages, queries, hits. Where they are kept is `index/`'s affair."""

from __future__ import annotations

import datetime
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from ..core.case import Modality, Sha256
from ..core.errors import DivergenceError
from ..core.frozen import Frozen

Picture: TypeAlias = npt.NDArray[np.uint8]
"""A picture as it is seen: uint8 [height, width] or [height, width, 3] (RGB)."""

Found: TypeAlias = Literal["words", "meaning", "image", "described"]


class Passage(Frozen):
    """One piece of knowledge with its citation and licence: a stretch of text, or a picture and what is said of it.

    `domains` are retrieval domains such as `ophthalmology`; without any, the passage is bound to none and passes every
    filter, and so with `modalities`. `patient_id` marks a passage of one patient's record: it is the pseudonym that
    `core.case.pseudonym` makes, as queries carry it. `date` is when it was true or published. `source` is the name the
    manifest gives its source; `document` and `offset` say where `text` starts in the document it was cut from.
    `picture` names the picture, relative to its source, where there is one; `label` is the class its source gives it.
    """

    id: str
    title: str
    text: str
    domains: tuple[str, ...] = ()
    modalities: tuple[Modality, ...] = ()
    citation: str
    licence: str
    patient_id: str | None = None
    date: datetime.date | None = None
    source: str = ""
    document: str = ""
    offset: int = 0
    picture: str | None = None
    label: str = ""


class Query(Frozen):
    """What is looked for, by words or by a picture's blob (or both), and where.

    Only passages of one of `domains` (all when empty), of `sources` (all when empty), for the modality, of no other
    patient, and not dated after `until`. `patient_id` may be any identifier that the patient's record names.
    """

    text: str = ""
    image: Sha256 | None = None
    domains: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    modality: Modality | None = None
    patient_id: str | None = None
    until: datetime.date | None = None
    limit: int = Field(default=5, ge=1, le=50)

    @model_validator(mode="after")
    def _asks_something(self) -> Query:
        if not self.text.strip() and self.image is None:
            raise ValueError("a query needs a text or an image")
        return self


class Hit(Frozen):
    """A passage found. `score` in [0, 1] is the share of the query's information that the passage covers when it was
    found by its `words`, else a cosine similarity: of query and passage by `meaning`, of two pictures (`image`), of the
    query's words and a picture (`described`);
    `span` is the stretch of `passage.text` [start, end) that matches best."""

    passage: Passage
    score: float
    span: tuple[int, int]
    found: Found = "words"


class Knowledge(Protocol):
    """A searchable store. `version` changes whenever an answer could change and is stamped into each trace, together
    with how many passages are `excluded` because an evaluation holds them back. Only a store that is `pictured` can
    find pictures by pictures."""

    @property
    def version(self) -> str: ...

    @property
    def excluded(self) -> int: ...

    @property
    def pictured(self) -> bool: ...

    def search(self, query: Query, picture: Picture | None = None) -> tuple[Hit, ...]:
        """Hits, best first; empty means that no support was found above the floor. Thread-safe.

        `picture` holds the pixels of `query.image`, which is ignored without them or where no picture is indexed.
        Raises InputError for a `patient_id` that two patients' records name.
        """
        ...


class NoKnowledge:
    """A store that holds nothing: what agents say without looking anything up is measured with it."""

    version = "none"
    excluded = 0
    pictured = False

    def search(self, query: Query, picture: Picture | None = None) -> tuple[Hit, ...]:
        return ()


class RecordedKnowledge:
    """The store of a replay: it says of itself what was recorded; the journal answers every look-up."""

    def __init__(self, version: str, *, excluded: int = 0, pictured: bool = False) -> None:
        self.version = version
        self.excluded = excluded
        self.pictured = pictured

    def search(self, query: Query, picture: Picture | None = None) -> tuple[Hit, ...]:
        raise DivergenceError(
            expected="look-ups that the trace holds", got=f"a new one, {query.text!r}", fix="use a live store"
        )
