"""One suite that every searchable store passes: the index in memory, with an encoder, and as an opened folder."""

from __future__ import annotations

import datetime
import importlib.util
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from polyclinic.core.case import pseudonym
from polyclinic.core.errors import DivergenceError
from polyclinic.knowledge.index.build import build_index
from polyclinic.knowledge.index.folder import open_index
from polyclinic.knowledge.index.joined import Joined
from polyclinic.knowledge.index.search import Index, Limits
from polyclinic.knowledge.store import Knowledge, Passage, Query, RecordedKnowledge

JANE, MARY = pseudonym("Jane Doe 2"), pseudonym("Jane Doe 1")
Make = Callable[[list[Passage]], Knowledge]


@pytest.fixture(scope="module")
def world() -> ModuleType:
    """The module tests/knowledge/index/world.py."""
    file = Path(__file__).parents[1] / "knowledge" / "index" / "world.py"
    spec = importlib.util.spec_from_file_location("conformance_world", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up by name
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(world: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("store")
    world.write_world(place / "w")
    build_index(world.plan(place / "w"), place / "index")
    build_index(world.plan(place / "w", text_encoder=None, image_encoder=None), place / "words")
    return place


@pytest.fixture(params=["memory", "memory with vectors", "folder", "folder with vectors", "joined"])
def store(
    request: pytest.FixtureRequest, world: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Knowledge]:
    """The same passages in each: texts, captions and records of a small world."""
    monkeypatch.setattr("polyclinic.knowledge.index.folder.load_encoder", lambda _: world.HashedWords())
    with open_index(folder / "words") as words, open_index(folder / "index") as vectors:
        if request.param.startswith("folder"):
            yield vectors if request.param.endswith("vectors") else words
            return
        own = [hit.passage for one in (JANE, MARY) for hit in _everything(words, one) if hit.passage.patient_id]
        passages = [*words.common.passages, *{one.id: one for one in own}.values()]
        encoder = world.HashedWords() if request.param.endswith("vectors") else None
        memory = Index(passages, text_encoder=encoder, limits=Limits(meaning=0.5))
        yield Joined(memory, words) if request.param == "joined" else memory


def _everything(store: Knowledge, patient: str) -> tuple:  # type: ignore[type-arg]
    return store.search(Query(text="number 2 5 8 11 14 17 check macula fundus", patient_id=patient, limit=50))


def test_it_says_what_it_is(store: Knowledge) -> None:
    assert len(store.version) == 64
    assert store.version == store.version
    assert store.excluded == 0
    assert isinstance(store.pictured, bool)


def test_it_answers_the_same_every_time_and_from_every_thread(store: Knowledge) -> None:
    queries = [
        Query(text=f"{word} {n}", patient_id=JANE if n % 2 else None)
        for n in range(6)
        for word in ("drusen", "optic nerve")
    ]
    alone = [store.search(query) for query in queries]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(store.search, queries)) == alone
    assert any(alone)


def test_hits_are_of_the_asked_kind_and_spans_lie_in_their_text(store: Knowledge) -> None:
    for limit in (1, 3, 50):
        hits = store.search(Query(text="drusen of the macula", limit=limit))
        assert 0 < len(hits) <= limit
        for hit in hits:
            assert 0 < hit.score <= 1
            assert 0 <= hit.span[0] <= hit.span[1] <= len(hit.passage.text)
            assert hit.found in ("words", "meaning", "image", "described")
            assert hit.passage.citation
            assert hit.passage.licence


def test_what_is_not_there_has_no_support(store: Knowledge) -> None:
    assert [hit for hit in store.search(Query(text="football championship final")) if hit.found == "words"] == []


def test_only_the_patient_sees_the_patients_own(store: Knowledge) -> None:
    for patient in (None, JANE, MARY, "p-ffffffffffff", "Jane Doe 2", ""):
        hits = store.search(Query(text="number 2 fundus", patient_id=patient, limit=50))
        assert {hit.passage.patient_id for hit in hits} <= {None, patient}
    assert any(
        hit.passage.patient_id == JANE
        for hit in store.search(Query(text="number 2 5 8 11 14 17 check macula fundus", patient_id=JANE, limit=50))
    )


def test_dates_and_sources_are_kept(store: Knowledge) -> None:
    day = datetime.date(2010, 1, 1)
    for hit in store.search(Query(text="macula seen", until=day, limit=50)):
        assert hit.passage.date is None or hit.passage.date <= day
    texts = store.search(Query(text="macula", sources=("texts",), limit=50))
    assert {hit.passage.source for hit in texts} == {"texts"}
    assert store.search(Query(text="macula", sources=("none",))) == ()


def test_an_image_without_pixels_is_passed_over(store: Knowledge) -> None:
    query = Query(text="drusen macula")
    assert store.search(query.model_copy(update={"image": "0" * 64})) == store.search(query)


def test_a_recorded_store_answers_nothing_itself() -> None:
    recorded: Knowledge = RecordedKnowledge("v", excluded=3, pictured=True)
    assert (recorded.version, recorded.excluded, recorded.pictured) == ("v", 3, True)
    with pytest.raises(DivergenceError, match=r"'drusen'"):
        recorded.search(Query(text="drusen"))
