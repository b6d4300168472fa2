"""Several indexes searched as one, the shipped passages among them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import chain, zip_longest

from ...core.canonical import digest
from ..corpus import shipped_passages
from ..store import Hit, Knowledge, Passage, Picture, Query
from .search import Index


class Joined:
    """The `Knowledge` port over several stores: the best hit of each in turn, the first store first; every passage
    once. Scores of different stores are not compared: what a word tells differs between collections."""

    def __init__(self, *stores: Knowledge) -> None:
        self.stores = stores

    @property
    def version(self) -> str:
        return digest([store.version for store in self.stores])

    @property
    def excluded(self) -> int:
        return sum(store.excluded for store in self.stores)

    @property
    def pictured(self) -> bool:
        return any(store.pictured for store in self.stores)

    def without(self, texts: Iterable[str] = (), documents: Iterable[str] = ()) -> Joined:
        """These stores for an evaluation, each as `Index.without` says; one that is no index stays as it is."""
        if not isinstance(texts, str) and not isinstance(documents, str):
            texts, documents = tuple(texts), tuple(documents)
        held = (
            store.without(texts, documents) if isinstance(store, Index | Joined) else store for store in self.stores
        )
        return Joined(*held)

    @property
    def size(self) -> int:
        """How many common passages the indexes among these stores hold."""
        return sum(store.size for store in self.stores if isinstance(store, Index | Joined))

    def held_back(self) -> tuple[Passage, ...]:
        """The passages of these stores that no search finds."""
        stores = (store for store in self.stores if isinstance(store, Index | Joined))
        return tuple(passage for store in stores for passage in store.held_back())

    def copies_of(self, picture: Picture) -> tuple[Passage, ...]:
        """The passages of these stores whose picture is this one, as `Index.copies_of` says."""
        stores = (store for store in self.stores if isinstance(store, Index | Joined))
        return tuple(passage for store in stores for passage in store.copies_of(picture))

    def search(self, query: Query, picture: Picture | None = None) -> tuple[Hit, ...]:
        """Hits of all stores, at most `query.limit`. Thread-safe as the stores are."""
        found = (store.search(query, picture) for store in self.stores)
        kept: dict[str, Hit] = {}
        for hit in chain.from_iterable(zip_longest(*found)):
            if hit is not None:  # the same text may be in two stores; pictures of one class are described alike
                kept.setdefault(hit.passage.text if hit.passage.picture is None else hit.passage.id, hit)
        return tuple(kept.values())[: query.limit]


@cache
def shipped_index() -> Index:
    """The index over the shipped passages: made in memory at first use, once per process, in a fraction of a second."""
    return Index(shipped_passages())
