"""No query ever sees another patient's passages, nor feels them, in memory or in a folder, with or without vectors."""

from __future__ import annotations

import datetime
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from polyclinic.core.case import pseudonym
from polyclinic.core.errors import InputError
from polyclinic.knowledge.index.build import Plan, build_index
from polyclinic.knowledge.index.folder import open_index
from polyclinic.knowledge.index.joined import Joined
from polyclinic.knowledge.index.manifest import read_manifest
from polyclinic.knowledge.index.search import Index, Limits
from polyclinic.knowledge.patient.fhir import read_record
from polyclinic.knowledge.sources.open import open_source
from polyclinic.knowledge.sources.protocol import Document
from polyclinic.knowledge.store import Passage, Query

TRIALS = {False: 10_000, True: 2_000}  # queries without and with an encoder
ASKED = 20  # of each history
PATIENTS = [pseudonym(f"patient {number}") for number in range(3)]
WORDS = "drusen macula haemorrhage retinopathy glaucoma papilloedema hypotension nerve 140 mmHg".split()
MISSPELT = "druzen maculaa haemorhage retinopthy glaucomma papiloedema hypertension".split()
DAY = datetime.date(2024, 1, 1)


def text(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(0, 5)))


def history(chance: random.Random) -> list[Passage]:
    return [
        Passage(
            id=f"p{number}", title=text(chance), text=text(chance), citation="c", licence="l",
            domains=tuple(chance.sample(["ophthalmology", "cardiology"], chance.randint(0, 2))),
            modalities=("fundus",) if chance.random() < 0.3 else (), patient_id=chance.choice([None, *PATIENTS]),
            date=chance.choice([None, DAY, DAY.replace(year=2020)]), source=chance.choice("ab"), document=f"d{number}",
        )
        for number in range(chance.randint(0, 9))
    ]  # fmt: skip


def query(chance: random.Random, image: str | None = None) -> Query:
    words = " ".join(chance.choices(WORDS + MISSPELT, k=chance.randint(1, 4)))
    return Query(
        text=words, image=image, patient_id=chance.choice([None, *PATIENTS, "p-000000000000"]), limit=50,
        domains=("cardiology",) if chance.random() < 0.2 else (), sources=("a",) if chance.random() < 0.2 else (),
        modality=chance.choice([None, None, "fundus", "ct"]), until=chance.choice([None, DAY.replace(year=2022)]),
    )  # fmt: skip


def seen_by(passage: Passage, asked: Query) -> bool:
    """The rule, written out."""
    return (
        passage.patient_id in (None, asked.patient_id)
        and (not asked.domains or not passage.domains or bool(set(asked.domains) & set(passage.domains)))
        and (not asked.sources or passage.source in asked.sources)
        and (asked.modality is None or not passage.modalities or asked.modality in passage.modalities)
        and (asked.until is None or passage.date is None or passage.date <= asked.until)
    )


@pytest.mark.parametrize("encoded", [False, True], ids=["words", "vectors"])
def test_ten_thousand_histories_leak_nothing(world: ModuleType, encoded: bool) -> None:
    encoder = world.HashedWords() if encoded else None
    found = respelt = 0
    limits = Limits(floor=0.0, cut=0.0, drop=0.0)
    for trial in range(TRIALS[encoded] // ASKED):
        chance = random.Random(trial)
        passages = history(chance)
        shuffled = chance.sample(passages, len(passages))
        index = Index(passages, text_encoder=encoder, limits=limits)
        reordered = Index(shuffled, text_encoder=encoder, limits=limits)
        assert index.version == reordered.version
        alone = {
            patient: Index(
                [one for one in passages if one.patient_id in (None, patient)], text_encoder=encoder, limits=limits
            )
            for patient in (None, *PATIENTS, "p-000000000000")
        }
        held = [one.text for one in passages if one.patient_id is None][:1]
        stores = [(index, alone), (index.without(held), {key: one.without(held) for key, one in alone.items()})]
        for store, others in stores:
            for _ in range(ASKED // 2):
                asked = query(chance)
                hits, ranked = store.search(asked), store.rank(asked)
                assert all(seen_by(hit.passage, asked) for hit in hits)
                assert all(seen_by(one, asked) and one.patient_id is None for one in ranked)
                assert others[asked.patient_id].search(asked) == hits
                assert others[asked.patient_id].rank(asked) == ranked
                assert store is not index or reordered.search(asked) == hits
                found += len(hits)
                respelt += any(word in MISSPELT for word in asked.text.split()) and bool(hits)
    assert found > TRIALS[encoded] / 3
    assert respelt > TRIALS[encoded] / 20


@dataclass(kw_only=True)
class Given:
    """A source that was written down."""

    listed: Sequence[Document]
    path: Path
    name: str = "given"
    kind: str = "captions"
    licence: str = "l"
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def folder(self) -> Path:
        return self.path.parent

    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def documents(self) -> Sequence[Document]:
        return iter(self.listed)  # type: ignore[return-value]


def given(document: str, patient: str | None, *others: str) -> Document:
    return Document(
        id=document, title="Visit", text=f"Drusen of the macula, told in {document}.", citation="c", licence="l",
        patient_id=patient and pseudonym(patient), other_ids=tuple(map(pseudonym, others)),
    )  # fmt: skip


def indexed(where: Path, *documents: Document) -> Index:
    where.mkdir(exist_ok=True)
    (where / "stub").touch()
    build_index(Plan(sources=[Given(listed=documents, path=where / "stub")]), where / "index")
    return open_index(where / "index")


def told(index: Index, patient: str) -> set[str]:
    """The documents that a query for the patient finds."""
    return {hit.passage.document for hit in index.search(Query(text="drusen macula", patient_id=pseudonym(patient)))}


def test_a_patient_is_found_by_each_identifier(world: ModuleType, tmp_path: Path) -> None:
    documents = given("d1", "ann", "MRN-1", "SSN-1"), given("d2", "ann", "MRN-1"), given("d3", "bob", "MRN-2")
    with indexed(tmp_path, *documents, given("d4", None)) as index:
        for known in ("ann", "MRN-1", "SSN-1"):
            assert told(index, known) == {"d1", "d2", "d4"}
        assert told(index, "MRN-2") == told(index, "bob") == {"d3", "d4"}
        assert told(index, "MRN-3") == {"d4"}
        hits = index.search(Query(text="drusen macula", patient_id=pseudonym("MRN-2")))
        assert {hit.passage.patient_id for hit in hits} == {None, pseudonym("bob")}


def test_an_identifier_of_two_patients_is_refused_and_nobody_named(world: ModuleType, tmp_path: Path) -> None:
    documents = given("d1", "ann", "MRN-1", "SSN-1"), given("d2", "bob", "MRN-1"), given("d3", "SSN-1", "MRN-3")
    with indexed(tmp_path, *documents) as index:
        for shared in ("MRN-1", "SSN-1"):  # of two records; of one record and the id of another
            with pytest.raises(InputError, match=r"an identifier of one patient; got one that 2 patients") as caught:
                told(index, shared)
            assert not [name for name in ("ann", "bob", shared) if name in str(caught.value)]
            assert "p-" not in str(caught.value)
        assert (told(index, "ann"), told(index, "bob"), told(index, "MRN-3")) == ({"d1"}, {"d2"}, {"d3"})


def test_sources_that_know_a_patient_by_different_ids_are_joined_as_an_index_each(
    world: ModuleType, tmp_path: Path
) -> None:
    record, picture = given("record", "ann", "MRN-1"), given("picture", "MRN-1")
    with indexed(tmp_path / "one", record) as one, indexed(tmp_path / "other", picture) as other:
        hits = Joined(one, other).search(Query(text="drusen macula", patient_id=pseudonym("MRN-1")))
        assert {hit.passage.document for hit in hits} == {"record", "picture"}


def test_every_identifier_of_the_real_records_leads_to_its_patient(
    world: ModuleType, tmp_path: Path, data_dir: Path
) -> None:
    folder = data_dir / "fhir_synthea_r4"
    files = sorted(folder.glob("*.json.gz"))
    if not files:
        pytest.skip(f"no FHIR records: {folder} holds none")
    build_index(Plan(sources=[open_source(f"fhir:{folder}")]), tmp_path / "index")
    with open_index(tmp_path / "index") as index:
        for record in map(read_record, files):
            for known in (record.patient_id, *record.other_ids):
                hits = index.search(Query(text="medications conditions measured", patient_id=known, limit=50))
                assert {hit.passage.patient_id for hit in hits} == {record.patient_id}
    assert read_manifest(tmp_path / "index").sources[0].aliases > len(files)


def test_identifiers_lead_to_one_patient_or_to_none(world: ModuleType, tmp_path: Path) -> None:
    names = [f"id-{number}" for number in range(6)]
    for trial in range(20):
        chance = random.Random(trial)
        documents = [
            given(f"d{number}", chance.choice(names), *chance.sample(names, chance.randint(0, 2)))
            for number in range(chance.randint(1, 6))
        ]
        with indexed(tmp_path / f"{trial}", *documents) as index:
            for name in names:
                whose = {one.patient_id for one in documents if pseudonym(name) in (one.patient_id, *one.other_ids)}
                if len(whose) > 1:
                    with pytest.raises(InputError, match=r"an identifier of one patient"):
                        told(index, name)
                else:
                    assert told(index, name) <= {one.id for one in documents if one.patient_id in whose}
                    assert bool(told(index, name)) == bool(whose)


def test_a_later_export_adds_identifiers_to_records_that_are_there(world: ModuleType, tmp_path: Path) -> None:
    with indexed(tmp_path, given("d1", "ann", "MRN-1"), given("d2", "bob")) as index:
        before = index.version
        assert told(index, "SSN-1") == set()
    with indexed(tmp_path, given("d1", "ann", "MRN-1", "SSN-1"), given("d2", "bob")) as index:
        assert told(index, "SSN-1") == told(index, "MRN-1") == {"d1"}
        assert index.version != before
    (stock,) = read_manifest(tmp_path / "index").sources
    assert (stock.aliases, stock.documents, stock.already) == (2, 2, 2)


def test_two_patients_may_have_a_document_of_one_id_but_nobody_and_a_patient_may_not(
    world: ModuleType, tmp_path: Path
) -> None:
    documents = [given("d1", "ann"), given("d1", "bob"), given("d1", None), given("d2", None), given("d2", "ann")]
    with indexed(tmp_path, *documents) as index:
        assert (told(index, "ann"), told(index, "bob"), told(index, "eve")) == ({"d1", "d2"}, {"d1", "d2"}, {"d2"})
        hits = index.search(Query(text="drusen macula", patient_id=pseudonym("ann"), limit=50))
        assert sorted((hit.passage.document, hit.passage.patient_id or "") for hit in hits) == [
            ("d1", pseudonym("ann")), ("d2", ""),
        ]  # fmt: skip


def test_no_identifier_is_written_anywhere(world: ModuleType, tmp_path: Path) -> None:
    world.write_world(tmp_path / "w")
    shared = world.plan(tmp_path / "w", ["records"], shared=True)
    build_index(world.plan(tmp_path / "w"), tmp_path / "own")
    assert build_index(shared, tmp_path / "shared").sources[0].aliases == 0
    for out, found in ((tmp_path / "own", True), (tmp_path / "shared", False)):
        written = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
        assert b"MRN-44711" not in written
        assert (pseudonym("MRN-447113").encode() in written) == found
    with open_index(tmp_path / "own") as index:
        own = index.search(Query(text="check-up of the macula", patient_id=pseudonym("MRN-447113"), limit=50))
        assert {hit.passage.patient_id for hit in own if hit.passage.patient_id} == {pseudonym("3")}


def test_an_opened_folder_leaks_nothing(world: ModuleType, tmp_path: Path) -> None:
    encoder, found, looked = world.HashedWords(), 0, 0
    pictures = [world.picture(number % 5, variant=number) for number in range(12)]

    def built(name: str, documents: list[Document]) -> Index:
        stub = tmp_path / "stub"
        stub.touch()
        plan = Plan(
            sources=[Given(listed=documents, path=stub)], text_encoder=encoder, image_encoder=encoder,  # type: ignore[list-item]
            read_picture=lambda path: pictures[int(path.stem)],
        )  # fmt: skip
        build_index(plan, tmp_path / name)
        return open_index(tmp_path / name)

    for trial in range(12):
        chance = random.Random(trial)
        documents = [
            Document(
                id=one.id, title=one.title, text=one.text, citation="c", licence="l", domains=one.domains,
                modalities=one.modalities, patient_id=one.patient_id, date=one.date,
                picture=tmp_path / f"{chance.randrange(12)}.png" if chance.random() < 0.5 else None,
            )
            for one in history(chance)
        ]  # fmt: skip
        with built(f"{trial}", documents) as index:
            for number, patient in enumerate((None, *PATIENTS)):
                own = [one for one in documents if one.patient_id in (None, patient)]
                with built(f"{trial}-{number}", own) as alone:
                    for _ in range(12):
                        shown = chance.choice([None, "0" * 64])
                        asked = query(chance, shown).model_copy(update={"patient_id": patient, "sources": ()})
                        picture = chance.choice(pictures) if shown else None
                        hits = index.search(asked, picture)
                        assert all(seen_by(hit.passage, asked) for hit in hits)
                        assert alone.search(asked, picture) == hits
                        assert alone.rank(asked, picture) == index.rank(asked, picture)
                        found += len(hits)
                        looked += sum(hit.found == "image" and hit.passage.patient_id is not None for hit in hits)
    assert found > 300
    assert looked > 20
