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
from polyclinic.knowledge.index.build import Plan, build_index
from polyclinic.knowledge.index.folder import open_index
from polyclinic.knowledge.index.search import Index, Limits
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

    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def documents(self) -> Sequence[Document]:
        return iter(self.listed)  # type: ignore[return-value]


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
