"""What an evaluation holds back: exact copies, light edits and parts, and nothing else."""

from __future__ import annotations

import pytest

from polyclinic.knowledge.index.near_duplicates import shingles
from polyclinic.knowledge.index.search import Index
from polyclinic.knowledge.store import Passage, Query

TEXT = (
    "A man of sixty years came with sudden painless loss of vision in the left eye. The fundus shows flame shaped "
    "haemorrhages in all four quadrants, dilated tortuous veins and a swollen optic disc."
)
EDITED = TEXT.replace("sixty", "fifty").replace("swollen", "blurred")
OTHER = (
    "Bronchiolitis in infants is most often caused by respiratory syncytial virus and is treated with supportive care, "
    "oxygen where saturation is low, and fluids."
)


def passage(key: str, text: str, **fields: object) -> Passage:
    return Passage.model_validate({"id": key, "title": "", "text": text, "citation": "c", "licence": "l", **fields})


def seen(index: Index, **fields: object) -> list[str]:
    query = Query.model_validate({"text": "vision haemorrhages infants oxygen", "limit": 50, **fields})
    return sorted(found.id for found in index.rank(query))


@pytest.mark.parametrize(
    ("held", "left"),
    [
        (TEXT, ["other"]),
        (TEXT.upper().replace(",", " ;"), ["other"]),
        (EDITED, ["other"]),
        (TEXT[: len(TEXT) // 2], ["other"]),
        (f"{OTHER} {OTHER[:40]} {TEXT}", []),
        (OTHER, ["edited", "text"]),
        ("haemorrhages of the fundus", ["edited", "other", "text"]),
        ("", ["edited", "other", "text"]),
    ],
)
def test_near_duplicates_are_held_back(held: str, left: list[str]) -> None:
    index = Index([passage("text", TEXT), passage("edited", EDITED), passage("other", OTHER)])
    without = index.without([held])
    assert seen(without) == left
    assert without.excluded == 3 - len(left)
    assert all(hit.passage.id in left for hit in without.search(Query(text=TEXT)))
    assert (without.version == index.version) == (not without.excluded)
    assert seen(index) == ["edited", "other", "text"]


def test_a_title_is_held_back_where_it_is_the_text_and_not_where_the_text_names_it() -> None:
    title = "Ulcerative colitis and Crohn's disease at endoscopy"
    long = f"{TEXT} {OTHER} She asks about ulcerative colitis and Crohn's disease at endoscopy."
    index = Index([passage("titled", OTHER).model_copy(update={"title": title})])
    assert not index.without([long.replace(OTHER, "")]).excluded
    assert index.without([f"{title}?"]).excluded == 1


def test_documents_are_held_back_whole_and_holding_back_adds_up() -> None:
    cut = [passage(f"d#{n}", f"{TEXT[n * 40 :]}", document="d") for n in range(3)]
    index = Index([*cut, passage("other", OTHER), passage("own", TEXT, patient_id="p")])
    first = index.without(documents=["d"])
    assert (seen(first), first.excluded) == (["other"], 3)
    both = first.without([OTHER])
    assert (seen(both), both.excluded) == ([], 4)
    assert index.without([OTHER], documents=["d"]).version == both.version
    assert len({index.version, first.version, both.version}) == 3
    # A patient's own record is the case, not the collection.
    assert [hit.passage.id for hit in both.search(Query(text="haemorrhages", patient_id="p"))] == ["own"]


def test_shingles_are_runs_of_words() -> None:
    assert shingles("") == frozenset()
    assert shingles("One, two!") == {("one", "two")}
    assert shingles("a b c d e f") == {tuple("abcde"), tuple("bcdef")}
