"""Searching: filters, floors, cuts, diversity, spelling, spans, pictures, versions, and what nobody should type."""

from __future__ import annotations

import datetime
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.core.errors import InputError, MissingExtraError
from polyclinic.knowledge import text
from polyclinic.knowledge.index import floors
from polyclinic.knowledge.index.lexicon import _slips
from polyclinic.knowledge.index.search import ALIKE, PER_DOCUMENT, Index, Limits
from polyclinic.knowledge.index.shelf import Shelf
from polyclinic.knowledge.store import Passage, Query

WORDS = ["drusen", "macula", "fundus", "haemorrhage", "retina", "glaucoma", "disc", "vein", "optic", "nerve"]
LOOSE = Limits(floor=0.0, cut=0.0, drop=0.0)
IMAGE = "0" * 64


def passage(key: str, text: str, **fields: object) -> Passage:
    return Passage.model_validate({"id": key, "title": "", "text": text, "citation": "c", "licence": "l", **fields})


def ids(index: Index, words: str, **fields: object) -> list[str]:
    return [hit.passage.id for hit in index.search(Query.model_validate({"text": words, **fields}))]


texts = st.lists(st.sampled_from([*WORDS, ". ", "! ", "\n"]), max_size=9).map(" ".join)
shelves = st.lists(texts, max_size=9).map(lambda rows: [passage(f"p{n}", text) for n, text in enumerate(rows)])


@given(shelves, texts, st.randoms(use_true_random=False), st.sampled_from([None, LOOSE]))
def test_hits_keep_their_promises_in_any_order(
    shelf: list[Passage], words: str, chance: random.Random, limits: Limits | None
) -> None:
    query = Query(text=f"{words} optic", limit=9)
    index, shuffled = Index(shelf, limits=limits), Index(chance.sample(shelf, len(shelf)), limits=limits)
    hits = index.search(query)
    assert hits == shuffled.search(query)
    assert index.version == shuffled.version
    for hit in hits:
        start, end = hit.span
        assert 0 < hit.score <= 1
        assert 0 <= start < end <= len(hit.passage.text)
        assert {*hit.passage.text[start:end].split()} & {*query.text.split()}
        assert hit.passage in index.rank(query)


def test_filters_are_enforced_and_what_is_bound_to_nothing_passes() -> None:
    index = Index([
        passage("eye", "drusen", domains=["ophthalmology"], modalities=["fundus"], source="a", date="2020-01-01"),
        passage("any", "drusen", domains=["ophthalmology", "pathology"], source="b", date="2024-05-05"),
        passage("ct", "drusen", modalities=["ct"]),
        passage("free", "drusen"),
    ])  # fmt: skip

    def found(**fields: object) -> str:
        assert sorted(ids(index, "drusen", **fields)) != [] or not fields.get("sure")
        ranked = index.rank(Query.model_validate({"text": "drusen", **fields}))
        return " ".join(sorted(one.id for one in ranked))

    assert found() == "any ct eye free"
    assert found(domains=["pathology"]) == "any ct free"
    assert found(domains=["cardiology", "ophthalmology"]) == "any ct eye free"
    assert found(domains=["cardiology"]) == "ct free"
    assert found(modality="fundus") == "any eye free"
    assert found(modality="ct", domains=["pathology"]) == "any ct free"
    assert found(sources=["a"]) == "eye"
    assert found(sources=["a", "b", "x"]) == "any eye"
    assert found(sources=["x"]) == ""
    assert found(until="2020-01-01") == "ct eye free"
    assert found(until="2019-12-31") == "ct free"
    assert found(until="2024-05-05") == "any ct eye free"
    assert found(until="2020-01-01", sources=["b"]) == ""


def test_many_domains_are_told_apart_up_to_what_there_is_room_for() -> None:
    shelf = [passage(f"p{n:02}", "drusen", domains=[f"d{n:02}"]) for n in range(64)]
    index = Index(shelf)
    assert all(
        [one.id for one in index.rank(Query(text="drusen", domains=(f"d{n:02}",)))] == [f"p{n:02}"] for n in (0, 63)
    )
    with pytest.raises(InputError, match=r"at most 64 domains; got 65"):
        Index([*shelf, passage("more", "drusen", domains=["d64"])])


def test_ties_go_by_id() -> None:
    texts = {key: f"optic disc {word}" for key, word in zip("cab", ("pale", "pink", "round"), strict=True)}
    assert ids(Index(passage(key, text) for key, text in texts.items()), "optic disc") == ["a", "b", "c"]


def test_score_is_the_share_of_information_covered_and_the_rest_is_cut() -> None:
    shelf = [passage("half", "drusen"), passage("full", "drusen macula"), passage("other", "nerve")]
    full, half = Index(shelf, limits=LOOSE).search(Query(text="drusen macula"))
    assert (full.passage.id, full.score) == ("full", 1.0)
    assert 0 < half.score < 0.5  # drusen is in two passages, macula in one: it tells less than half
    assert ids(Index(shelf, limits=Limits(cut=0.9)), "drusen macula") == ["full"]
    assert ids(Index(shelf, limits=Limits(cut=0.0, drop=0.9)), "drusen macula") == ["full"]


def test_below_the_floor_there_is_no_support() -> None:
    index = Index([passage("a", "drusen of the macula"), passage("b", "optic nerve")])
    assert index.search(Query(text="football champions league final results drusen")) == ()
    assert index.search(Query(text="of the and")) == ()
    assert index.search(Query(text="xylophone")) == ()
    query = "drusen xylophone trumpet violin"
    assert ids(Index([passage("a", "drusen")], limits=Limits(floor=0.15)), query) == []
    assert ids(Index([passage("a", "drusen", title="Drusen")], limits=Limits(floor=0.15)), query) == ["a"]


def test_what_tells_nothing_new_is_left_out() -> None:
    words = " ".join(WORDS)
    shelf = [passage(f"same{n}", words) for n in range(4)]
    assert ids(Index(shelf), "optic nerve") == ["same0"]
    assert ALIKE <= 9 / 11
    assert ids(Index([*shelf, passage("near", f"{words[7:]} iris")]), "optic nerve") == ["near"]
    assert sorted(ids(Index([*shelf, passage("other", "optic nerve iris")]), "optic nerve")) == ["other", "same0"]
    # Pictures that are described alike are different pictures.
    pictures = [passage(f"same{n}", words, picture=f"{n}.png") for n in range(4)]
    assert len(ids(Index(pictures), "optic nerve")) == 4


def test_one_document_gives_few_passages() -> None:
    cut = [passage(f"d#{n}", f"optic disc {word}", document="d", source="s") for n, word in enumerate(WORDS[:6])]
    lone = [passage(f"x{n}", f"optic disc {word} sign") for n, word in enumerate(WORDS[:6])]
    assert len(ids(Index(cut), "optic disc")) == PER_DOCUMENT
    assert len(ids(Index([*cut, *lone]), "optic disc", limit=20)) == PER_DOCUMENT + 6
    own = [one.model_copy(update={"patient_id": "p"}) for one in cut]
    assert len(ids(Index([*cut, *own]), "optic disc", patient_id="p")) == 2 * PER_DOCUMENT


@pytest.mark.parametrize(
    ("known", "asked", "found"),
    [
        ("diabetic retinopathy", "retinopthy", True),
        ("glaucoma", "glaucomma", True),
        ("hypertension", "hipertension", True),
        ("weather", "rather", False),
        ("hyperkalaemia", "hypokalaemia", False),
        ("hypokalaemia", "hypperkalaemia", False),
        ("adduction", "abduction", False),
        ("symptomatic", "asymptomatic", False),
        ("febrile", "afebrile", False),
        ("a stable angina", "unstable", False),
        ("unstable angina", "stable", False),
        ("anaemia", "annaemia", True),
        ("potassium 12345", "12346", False),
        ("il2345 receptor", "il2346", False),
        ("mmol", "mmmol", False),
        ("umol", "pmol", False),
        ("diabetes", "diabtes", True),
        ("asthma", "astma", True),
        ("asthma", "ashtma", True),
        ("glaucoma", "glacoma", True),
        ("pneumonia", "pnuemonia", True),
        ("fibromyalgia", "fibromialgya", True),
        ("whole", "whale", False),
        ("brain", "train", False),
        ("depression", "repression", False),
        ("gastrostomy", "gastrectomy", False),
        ("neutrophilia", "neutropenia", False),
        ("prednisolone", "prednisone", False),
        ("hypertension", "hypotension", False),
        ("tachycardia", "bradycardia", False),
        ("craniotomy", "craniectomy", False),
    ],
)
def test_misspelt_words_are_respelt_but_numbers_units_and_opposites_are_not(
    known: str, asked: str, found: bool
) -> None:
    hits = Index([passage("a", known), passage("b", "optic nerve")]).search(Query(text=asked))
    assert [hit.passage.id for hit in hits] == (["a"] if found else [])
    assert all(0.3 <= hit.score < 1 for hit in hits)


def test_of_several_terms_that_a_word_may_mean_the_one_in_most_documents_is_read() -> None:
    shelf = [passage("rare", "glucosa"), *(passage(f"often{n}", f"glucose {word}") for n, word in enumerate(WORDS[:3]))]
    assert ids(Index(shelf, limits=LOOSE), "glucosse") == ["often0", "often1", "often2"]


letters = st.text(alphabet="abcdest", min_size=5, max_size=8)


@given(letters, letters)
def test_slips_are_counted_as_by_the_definition(word: str, term: str) -> None:
    def slips(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        ways = [slips(i - 1, j) + 1, slips(i, j - 1) + 1, slips(i - 1, j - 1) + (word[i - 1] != term[j - 1])]
        if i > 1 and j > 1 and word[i - 1] == term[j - 2] and word[i - 2] == term[j - 1]:
            ways.append(slips(i - 2, j - 2) + 1)
        return min(ways)

    slips = lru_cache(maxsize=None)(slips)
    exact = slips(len(word), len(term))
    assert min(_slips(word, term, 2), 3) == min(exact, 3)


@given(letters, st.integers(0, 7), st.sampled_from(["lack", "double", "swap"]))
def test_a_word_with_one_slip_is_read_as_the_only_term_it_can_be(term: str, place: int, slip: str) -> None:
    at = 1 + place % (len(term) - 2)  # the first letter is never wrong
    word = {
        "lack": term[:at] + term[at + 1 :], "double": term[:at] + term[at] + term[at:],
        "swap": term[:at] + term[at + 1] + term[at] + term[at + 2 :],
    }[slip]  # fmt: skip
    lexicon = Index([passage("a", term), passage("b", "optic")]).common.lexicon
    own, asked = text.terms(term), text.terms(word)
    respelt = lexicon.respelt(asked)
    assert respelt.keys() <= set(asked)
    assert {meant for meant, _ in respelt.values()} <= set(own)
    assert all(0 < similarity < 1 for _, similarity in respelt.values())


def test_the_passage_whose_title_is_what_was_asked_comes_first() -> None:
    syndrome = "How might the syndrome be treated? Glaucoma goes with it."
    shelf = [
        passage("1", syndrome, title="What are the treatments for Chandler's syndrome?"),
        passage("2", syndrome.replace("might", "may"), title="What are the treatments for Sturge-Weber syndrome?"),
        passage("3", "Immediate treatment of glaucoma delays its progress and so it is important to find it.",
                title="What are the treatments for Glaucoma?"),
        *(passage(f"x{n}", f"{word} may be treated") for n, word in enumerate(WORDS) if word != "glaucoma"),
    ]  # fmt: skip
    hits = Index(shelf).search(Query(text="How is glaucoma treated?"))
    assert [hit.passage.id for hit in hits][:1] == ["3"]
    assert hits[0].score == 1.0  # "treated" is in its title, in another form
    assert next(one.id for one in Index(shelf).rank(Query(text="Chandler syndrome treated"))) == "1"


def test_a_misspelt_question_finds_the_title_it_means_first() -> None:
    shelf = [
        passage("a", "Glaucoma goes with it, and glaucoma is treated.", title="Chandler's syndrome"),
        passage("b", "Glaucoma is treated with drops.", title="Glaucoma"),
        passage("c", "optic nerve"),
    ]
    assert ids(Index(shelf), "how is glacoma treated")[0] == "b"


def test_span_is_the_best_sentence_with_its_neighbour_where_that_adds() -> None:
    text = "Drusen are yellow. The weather is fine. A vein may leak. The nerve may swell."
    index = Index([passage("a", text), passage("b", "bone")])

    def said(words: str) -> str:
        (hit,) = index.search(Query(text=words))
        return text[slice(*hit.span)]

    assert said("yellow drusen") == "Drusen are yellow."
    assert said("vein leak, nerve swell") == "A vein may leak. The nerve may swell."
    assert said("yelloww drusenn") == "Drusen are yellow."


def test_meaning_finds_what_words_do_not_and_has_a_floor(world: ModuleType) -> None:
    class Synonyms(world.HashedWords):  # type: ignore[misc, name-defined]
        def encode_texts(self, texts: list[str], *, query: bool = False) -> np.ndarray:
            return super().encode_texts([one.replace("stroke", "infarction brain") for one in texts])

    shelf = [passage("a", "infarction brain"), passage("b", "optic nerve")]
    (hit,) = Index(shelf, text_encoder=Synonyms(), limits=Limits(meaning=0.5)).search(Query(text="stroke"))
    assert (hit.passage.id, hit.found) == ("a", "meaning")
    assert hit.score > 0.9
    assert Index(shelf, text_encoder=Synonyms(), limits=Limits(meaning=0.5)).search(Query(text="xylophone")) == ()
    assert Index(shelf).search(Query(text="stroke")) == ()


def pictured(world: ModuleType, limits: Limits) -> Index:
    """Ten pictures of each of three words, said nothing of, and a patient's own."""
    encoder = world.HashedWords()
    shown = [(number % 3, number) for number in range(30)]
    common = [passage(f"p{n:02}", "", picture=f"{n}.png", source="s") for _, n in shown]
    looks = list(encoder.encode_pictures([world.picture(word, variant=n) for word, n in shown]))
    own = passage("own", "", picture="own", patient_id="p")
    look = encoder.encode_pictures([world.picture(0, variant=200)])
    records = {"p": Shelf.of([own], None, list(look))}
    return Index.over(Shelf.of(common, None, looks), records.get, "c", image_encoder=encoder, limits=limits)


def test_pictures_are_found_by_pictures_and_by_words(world: ModuleType) -> None:
    index = pictured(world, Limits(look=0.5, described=0.5))
    hits = index.search(Query(image=IMAGE, limit=50), world.picture(1, variant=99))
    assert {int(hit.passage.id[1:]) % 3 for hit in hits} == {1}
    assert len(hits) == 10
    assert {hit.found for hit in hits} == {"image"}
    assert index.search(Query(image=IMAGE)) == ()  # without its pixels
    named = index.search(Query(text=world.WORDS[2], limit=50))
    assert {int(hit.passage.id[1:]) % 3 for hit in named} == {2}
    assert {hit.found for hit in named} == {"described"}
    assert index.search(Query(text="xylophone")) == ()
    both = index.search(Query(text=world.WORDS[2], image=IMAGE, limit=50), world.picture(1, variant=99))
    assert {int(hit.passage.id[1:]) % 3 for hit in both} == {1, 2}
    own = index.search(Query(image=IMAGE, limit=50, patient_id="p"), world.picture(0, variant=99))
    assert "own" in {hit.passage.id for hit in own}
    assert len({hit.passage.id for hit in own}) == 11


def test_words_and_pictures_have_floors_of_their_own(world: ModuleType) -> None:
    """Texts and pictures of one space are further apart than two pictures: one floor would silence words."""
    encoder = world.HashedWords()
    pictures = encoder.encode_pictures([world.picture(n % 14, variant=n // 14) for n in range(210)])
    look = floors.between_pictures(encoder, pictures.__getitem__, len(pictures))
    described = floors.between_text_and_picture(encoder, pictures.__getitem__, len(pictures))
    assert 0 < described < look < 1
    assert floors.between_pictures(encoder, pictures.__getitem__, 50) == 0.0


def test_a_picture_does_not_lose_its_hits_to_a_misspelt_word(world: ModuleType) -> None:
    index = pictured(world, Limits(look=0.1))
    hits = index.search(Query(text="glaucomma", image=IMAGE), world.picture(1, variant=99))
    assert {hit.found for hit in hits} == {"image"}


def test_version_follows_everything_an_answer_could_follow(world: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = [passage("a", "drusen")]
    versions = {
        Index(shelf).version,
        Index([passage("a", "drusen!")]).version,
        Index([passage("a", "drusen", date="2020-01-01")]).version,
        Index(shelf, limits=Limits(floor=0.2)).version,
        Index(shelf, limits=Limits(described=0.2)).version,
        Index(shelf, text_encoder=world.HashedWords()).version,
        Index(shelf, text_encoder=world.HashedWords(identity="other")).version,
        Index(shelf).without(["drusen"]).version,
    }
    assert len(versions) == 8
    before = Index(shelf).version
    assert Index(shelf).version == before
    monkeypatch.setattr("polyclinic.knowledge.index.search.POOL", 7)
    assert Index(shelf).version != before


def test_limits_are_kept_and_an_empty_store_answers_nothing(world: ModuleType) -> None:
    index = Index([passage(f"p{n}", f"optic disc {word}") for n, word in enumerate(WORDS)])
    assert len(ids(index, "disc", limit=3)) == 3
    for empty in (Index([]), Index([], text_encoder=world.HashedWords())):
        assert empty.search(Query(text="disc", patient_id="p")) == ()
        assert empty.rank(Query(text="disc")) == ()
        assert empty.without(["disc"]).excluded == 0


def test_bad_input_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"'a' twice"):
        Index([passage("a", "x"), passage("a", "y")])
    Index([passage("a", "x"), passage("a", "y", patient_id="p")])
    with pytest.raises(InputError, match=r"floor from 0 to 1"):
        Limits(floor=1.5)
    with pytest.raises(InputError, match=r"half a character in 'a'"):
        Index([passage("a", "x \ud800")])


HOSTILE = [
    "optic " * 33_000, " ".join(f"w{n}ab{n}" for n in range(15_000)),
    " ".join(f"{one}qzx{other}" * 2 for one in WORDS for other in WORDS) * 9, "a" * 200_000, "\0\x01\x1f\x7f optic",
    "'; DROP TABLE passages; --", '" OR 1=1', "\ud800\udc00 \ud800", "🩺" * 999, "\u0661\u0662\u0663 未知 naïve",
    "?" * 200_000, "<" * 99, "%s %n {}", "\u202eoptic", "-" * 200_000, "1," * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_queries_are_only_queries(number: int, world: ModuleType) -> None:
    shelf = [passage(f"p{n}", text) for n, text in enumerate(["optic disc", "", "\0", "'; DROP TABLE", "未知", *WORDS])]
    index = Index([*shelf, passage("'\"\n%\0/../🩺", "an odd id")])
    started = time.process_time()
    for fields in ({}, {"patient_id": HOSTILE[number][:99]}, {"domains": (HOSTILE[number],)}):
        for hit in index.search(Query.model_validate({"text": HOSTILE[number], **fields})):
            assert 0 <= hit.span[0] <= hit.span[1] <= len(hit.passage.text)
    assert time.process_time() - started < 5
    assert ids(index, "odd id") == ["'\"\n%\0/../🩺"]


@pytest.mark.parametrize("package", ["faiss", "bm25s"])
def test_a_missing_package_is_named_with_its_extra(
    package: str, world: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"polyclinic\[cpu\]"):
        Index([passage("a", "drusen")], text_encoder=world.HashedWords()).search(Query(text="drusen"))


def test_many_patients_keep_few_shelves_and_the_same_answers() -> None:
    index = Index([passage(f"p{n:02}", "optic disc", patient_id=str(n)) for n in range(40)])
    for _ in range(2):
        for n in range(40):
            assert ids(index, "disc", patient_id=str(n)) == [f"p{n:02}"]


def test_searches_from_many_threads_agree(world: ModuleType) -> None:
    index = Index(
        [passage(f"p{n}", " ".join(WORDS[n:]), date=datetime.date(2020 + n, 1, 1)) for n in range(8)]
        + [passage(f"o{n}", " ".join(WORDS[:n]), patient_id=f"{n % 4}") for n in range(8)],
        text_encoder=world.HashedWords(),
    )
    queries = [
        Query(text=word, patient_id=f"{n % 5}", until=datetime.date(2020 + n % 9, 6, 1))
        for n in range(9)
        for word in WORDS
    ]
    alone = [index.search(query) for query in queries]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(index.search, queries)) == alone
