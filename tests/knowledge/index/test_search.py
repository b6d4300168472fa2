"""The index: order independence, patient isolation, filters, floor, cut, spans, version and its price."""

from __future__ import annotations

import random
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyclinic.core.errors import InputError, MissingExtraError
from polyclinic.knowledge.encoder import HashedNgrams
from polyclinic.knowledge.index.search import Index
from polyclinic.knowledge.store import Knowledge, Passage, Query

WORDS = ["drusen", "macula", "fundus", "haemorrhage", "retina", "glaucoma", "disc", "vein", "optic", "nerve"]


def passage(key: str, text: str, **fields: object) -> Passage:
    return Passage.model_validate({"id": key, "title": "", "text": text, "citation": "c", "licence": "l", **fields})


texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
owners = st.sampled_from([None, "patient-a", "patient-b"])
shelves = st.lists(st.tuples(texts, owners), min_size=1, max_size=8).map(
    lambda rows: [passage(f"p{n}", text, patient_id=owner) for n, (text, owner) in enumerate(rows)]
)


@settings(max_examples=40, deadline=None)
@given(shelves, texts, st.sampled_from([0.0, 0.5, 1.0]), st.randoms(use_true_random=False))
def test_results_do_not_depend_on_the_order_of_passages(
    shelf: list[Passage], words: str, weight: float, chance: random.Random
) -> None:
    shuffled = shelf.copy()
    chance.shuffle(shuffled)
    one, other = Index(shelf, dense_weight=weight), Index(shuffled, dense_weight=weight)
    query = Query(text=words, patient_id="patient-a")
    assert one.search(query) == other.search(query)
    assert one.version == other.version


@settings(max_examples=40, deadline=None)
@given(shelves, texts, owners, st.sampled_from([0.0, 0.5, 1.0]))
def test_no_query_ever_sees_or_feels_another_patient(
    shelf: list[Passage], words: str, owner: str | None, weight: float
) -> None:
    query = Query(text=words, patient_id=owner, limit=50)
    index = Index(shelf, dense_weight=weight, floor=0, cut=0)
    hits = index.search(query)
    assert all(hit.passage.patient_id in (None, owner) for hit in hits)
    assert all(found.patient_id in (None, owner) for found in index.rank(query))
    # Non-interference: the others' passages change neither ranks nor scores.
    alone = Index([p for p in shelf if p.patient_id in (None, owner)], dense_weight=weight, floor=0, cut=0)
    assert alone.search(query) == hits


@settings(max_examples=40, deadline=None)
@given(shelves, texts)
def test_scores_are_shares_and_spans_lie_in_the_text(shelf: list[Passage], words: str) -> None:
    for hit in Index(shelf).search(Query(text=words, patient_id="patient-b")):
        assert 0 < hit.score <= 1
        assert 0 <= hit.span[0] < hit.span[1] <= len(hit.passage.text)


def test_a_patients_own_passage_is_found_by_that_patient_only() -> None:
    index = Index([passage("a", "drusen in the left macula", patient_id="a"), passage("b", "optic nerve")])
    assert [hit.passage.id for hit in index.search(Query(text="macula drusen", patient_id="a"))] == ["a"]
    assert index.search(Query(text="macula drusen", patient_id="b")) == ()
    assert index.search(Query(text="macula drusen")) == ()


def test_domains_and_modality_are_enforced_in_the_store() -> None:
    index = Index(
        [
            passage("eye", "drusen", domains=["ophthalmology"], modalities=["fundus"]),
            passage("any", "drusen", domains=["ophthalmology", "pathology"]),
            passage("none", "drusen", modalities=["ct"]),
        ]
    )

    def ids(**fields: object) -> list[str]:
        query = Query.model_validate({"text": "drusen", **fields})
        return sorted(hit.passage.id for hit in index.search(query))

    assert ids() == ["any", "eye", "none"]
    assert ids(domains=["pathology"]) == ["any"]
    assert ids(domains=["ophthalmology"]) == ["any", "eye"]
    assert ids(domains=["cardiology"]) == []
    assert ids(modality="fundus") == ["any", "eye"]
    assert ids(modality="ct", domains=["ophthalmology"]) == ["any"]


def test_ties_go_by_passage_id() -> None:
    index = Index([passage(key, "optic disc") for key in "cab"])
    assert [hit.passage.id for hit in index.search(Query(text="optic disc"))] == ["a", "b", "c"]


def test_score_is_the_share_of_information_covered_and_the_rest_is_cut() -> None:
    index = Index([passage("half", "drusen"), passage("full", "drusen macula"), passage("other", "nerve")], cut=0.0)
    full, half = index.search(Query(text="drusen macula"))
    assert (full.passage.id, full.score) == ("full", 1.0)
    assert 0 < half.score < 0.5  # drusen is in two passages, macula in one: it tells less than half
    cut = Index(index.passages, cut=0.9).search(Query(text="drusen macula"))
    assert [hit.passage.id for hit in cut] == ["full"]


def test_below_the_floor_there_is_no_support() -> None:
    index = Index([passage("a", "drusen of the macula"), passage("b", "optic nerve")])
    assert index.search(Query(text="football champions league final results drusen")) == ()
    assert index.search(Query(text="of the and")) == ()
    assert index.search(Query(text="xylophone")) == ()


def test_one_stray_word_needs_twice_the_floor_unless_it_is_in_the_title() -> None:
    query = Query(text="drusen xylophone trumpet violin")
    assert Index([passage("a", "drusen")], floor=0.05).search(query) == ()
    assert len(Index([passage("a", "drusen", title="Drusen")], floor=0.05).search(query)) == 1


def test_misspelt_words_find_their_passage_by_the_dense_fallback() -> None:
    index = Index([passage("a", "diabetic retinopathy"), passage("b", "optic nerve")])
    hits = index.search(Query(text="retinopthy"))
    assert [hit.passage.id for hit in hits] == ["a"]
    assert 0.6 <= hits[0].score < 1
    assert index.search(Query(text="weather")) == ()


def test_span_is_the_best_sentence_with_its_neighbour_where_that_adds() -> None:
    text = "Drusen are yellow. The weather is fine. A vein may leak. The nerve may swell."
    index = Index([passage("a", text), passage("b", "bone")])

    def said(words: str) -> str:
        (hit,) = index.search(Query(text=words))
        return text[slice(*hit.span)]

    assert said("yellow drusen") == "Drusen are yellow."
    assert said("vein leak, nerve swell") == "A vein may leak. The nerve may swell."


def test_version_follows_everything_an_answer_could_follow() -> None:
    shelf = [passage("a", "drusen")]
    versions = {
        Index(shelf).version,
        Index([passage("a", "drusen!")]).version,
        Index(shelf, floor=0.2).version,
        Index(shelf, cut=0.6).version,
        Index(shelf, dense_weight=0.5).version,
        Index(shelf, encoder=HashedNgrams(64)).version,
    }
    assert len(versions) == 6
    assert Index(shelf).version == Index(shelf).version


def test_limits_are_kept_and_an_empty_store_answers_nothing() -> None:
    index = Index([passage(f"p{n}", "optic disc") for n in range(9)])
    assert len(index.search(Query(text="disc", limit=3))) == 3
    assert Index([]).search(Query(text="disc")) == ()
    assert Index([]).rank(Query(text="disc")) == ()


def test_bad_input_says_what_to_do() -> None:
    with pytest.raises(InputError, match="'a' twice"):
        Index([passage("a", "x"), passage("a", "y")])
    with pytest.raises(InputError, match="floor from 0 to 1"):
        Index([], floor=1.5)


@pytest.mark.parametrize("package", ["faiss", "bm25s"])
def test_a_missing_package_is_named_with_its_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"polyclinic\[cpu\]"):
        Index([passage("a", "drusen")]).search(Query(text="drusenn"))


def test_many_patients_keep_few_shelves_and_the_same_answers() -> None:
    index = Index([passage(f"p{n:02}", "optic disc", patient_id=str(n)) for n in range(40)])
    for _ in range(2):
        for n in range(40):
            assert [h.passage.id for h in index.search(Query(text="disc", patient_id=str(n)))] == [f"p{n:02}"]


def test_searches_from_many_threads_agree() -> None:
    index: Knowledge = Index([passage(f"p{n}", " ".join(WORDS[n:])) for n in range(8)])
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(index.search(Query(text="optic nerve vein")))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(hits == found[0] for hits in found)


def test_vectors_are_stable_unit_and_blank_for_blank() -> None:
    encoder = HashedNgrams()
    vectors = encoder.encode(["optic disc", "Optic-disc", "", "glaucoma"])
    assert vectors.shape == (4, encoder.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 0, 1], rtol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    near, far = encoder.encode(["glaucomma", "pneumonia"]) @ vectors[3]
    assert near > 0.4 > far
