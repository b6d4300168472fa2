"""Test items in an index: held back from every arm, and named in the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from polyclinic.agents.roles import load_roles
from polyclinic.core.case import Case, Image, Visit
from polyclinic.core.errors import InputError
from polyclinic.evals.leakage import FILE, HeldBack, Leakage, held_back, leakages, sentences_of
from polyclinic.evals.plan import Written
from polyclinic.evals.sample import Letter, Sample
from polyclinic.knowledge.encoders.radiomics import Radiomics
from polyclinic.knowledge.index.build import Plan, build_index
from polyclinic.knowledge.index.folder import open_index
from polyclinic.knowledge.index.joined import Joined, shipped_index
from polyclinic.knowledge.index.search import Index
from polyclinic.knowledge.sources.open import open_source
from polyclinic.knowledge.store import Passage, Query
from polyclinic.knowledge.text import sentences
from polyclinic.tools.imaging.store import read_picture

QUESTION = "Does early mobilisation after hip fracture surgery shorten the stay in hospital?"
ABSTRACT = "Of 212 patients operated on for hip fracture, those mobilised within a day went home after 6 days."


def sample(name: str = "one", question: str = QUESTION, **changes: object) -> Sample:
    case = Case(id=name, question=question, options={"A": "yes", "B": "no"}, context=(ABSTRACT,))
    return Sample(case=case, target=Letter(letter="A"), group=name, **changes)  # type: ignore[arg-type]


def passage(name: str, text: str, title: str = "", document: str = "other") -> Passage:
    return Passage(
        id=name, title=title, text=text, document=document, source="s", domains=("general_medicine",), licence="CC0",
        citation="an invented source",
    )  # fmt: skip


@pytest.fixture
def store() -> Joined:
    planted = Index([
        passage("planted", f"Quiz of the week. {QUESTION} The answer is yes."),
        passage("abstract", f"{ABSTRACT} The authors conclude that it does."),
        passage("own", "Conclusions on walking soon after an operation.", document="3141"),
        passage("harmless", "Hip fracture surgery is done within two days where it can be."),
    ])  # fmt: skip
    return Joined(planted, shipped_index())


def test_a_planted_item_is_found_by_no_search_and_reported(store: Joined, tmp_path: Path) -> None:
    query = Query(text=QUESTION, limit=8)
    assert "planted" in {hit.passage.id for hit in store.search(query)}
    without = held_back(store, "quiz", [sample(made_of=("3141",))], tmp_path)
    found = {hit.passage.id for hit in without.search(query)}
    assert not found & {"planted", "abstract", "own"}
    assert "harmless" in found
    (told,) = leakages(tmp_path)
    assert {each.passage: each.samples for each in told.held_back} == {
        "abstract": ("one",), "own": (), "planted": ("one",),
    }  # fmt: skip
    assert told.searched == 4 + shipped_index().size
    assert (
        "2 passages that say nearly the same as 1 of the samples and 1 passage of documents that samples are made of "
        "were held back from every arm"
    ) in told.sentence
    assert without.version == told.store != store.version


def test_the_whole_set_counts_and_repeated_questions_are_told(store: Joined, tmp_path: Path) -> None:
    held_back(
        store, "quiz", [sample("one"), sample("two"), sample("three", "Is it raining in the north today?")], tmp_path
    )
    (told,) = leakages(tmp_path)
    assert told.repeated == (("one", "two"),)
    assert {name for each in told.held_back for name in each.samples} == {"one", "three", "two"}


def test_several_benchmarks_stand_beside_each_other(store: Joined, tmp_path: Path) -> None:
    for name in ("b", "a", "b"):
        held_back(store, name, [sample()], tmp_path)
    assert [told.benchmark for told in leakages(tmp_path)] == ["a", "b"]


def test_runs_that_held_back_something_else_are_told_apart(store: Joined, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "same", "other", "unsaid")]
    plan = Written(limit=None, epochs=1, shard=(1, 1), seed=0, sets={"quiz": "x"}, arms={"quiz, embedded": "somebody"})
    for folder in folders:
        folder.mkdir()
        plan.write(folder)
    for folder in folders[:2]:
        held_back(store, "quiz", [sample()], folder)
    held_back(Joined(shipped_index()), "quiz", [sample()], folders[2])
    own, other = (leakages(folder)[0].sentence for folder in folders[1:3])
    assert sentences_of(folders[:2]) == (own,)
    assert sentences_of(folders) == (
        f"{folders[0]}: {own}", f"{folders[2]}: {other}",
        f"{folders[3]}: quiz: what was held back is not in leakage.json; type the same polyclinic eval run again to "
        "have it written.",
    )  # fmt: skip
    assert sentences_of(folders[3:]) == sentences_of(folders)[2:]
    plan.model_copy(update={"arms": {"quiz, embedded": ""}}).write(folders[3])
    assert sentences_of(folders[3:]) == ()


def test_a_question_that_the_prompts_hold_is_told(store: Joined, tmp_path: Path) -> None:
    asked = "An honest abstention is better than a guess, is it not?"
    held_back(store, "quiz", [sample("one", asked)], tmp_path)
    assert leakages(tmp_path)[0].prompts == ("one",)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("[{]")
    with pytest.raises(InputError, match=r"what a run wrote in .*leakage.json"):
        leakages(tmp_path)


def test_an_explanation_that_tells_the_answer_is_held_back(store: Joined, tmp_path: Path) -> None:
    told = "Hip fracture surgery is done within two days where it can be."
    without = held_back(store, "quiz", [sample(gives_away=(told,))], tmp_path)
    assert "harmless" in {passage.id for passage in without.held_back()}


def test_a_run_does_not_change_its_index(store: Joined, tmp_path: Path) -> None:
    held_back(store, "quiz", [sample()], tmp_path)
    with pytest.raises(InputError, match=r"the knowledge of the run in .*; got another index"):
        held_back(Joined(shipped_index()), "quiz", [sample()], tmp_path)


def test_pictures_that_share_a_question_repeat_nothing(store: Joined, tmp_path: Path) -> None:
    shown = [sample(name).case.model_copy(update={"images": (Image(path=f"{name}.png"),)}) for name in "ab"]
    held_back(store, "quiz", [Sample(case=case, target=Letter(letter="A"), group=case.id) for case in shown], tmp_path)
    (told,) = leakages(tmp_path)
    assert told.repeated == ()
    assert "no passage says nearly the same" not in told.sentence


def test_a_copied_chart_is_held_back_and_a_single_fact_is_not(tmp_path: Path) -> None:
    facts = {
        "age": "The patient is a farmer of sixty years.",
        "fever": "He had fever for nine days after he cleaned a stable.",
        "cough": "He coughs at night but brings nothing up.",
    }
    chart = " ".join(facts.values())
    store = Joined(
        Index([passage("chart", chart), passage("fact", "He coughs at night, as many do who have asthma, and wakes.")])
    )
    without = held_back(store, "quiz", [sample(known=facts)], tmp_path)
    assert [held.id for held in without.held_back()] == ["chart"]


def test_a_picture_of_the_set_is_held_back_of_a_store_of_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for name, seed in (("inside", 1), ("outside", 2)):
        (folder / name).mkdir(parents=True)
        seen = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        picture = PIL.Image.fromarray(seen).resize((256, 256), PIL.Image.Resampling.BICUBIC)
        picture.save(folder / name / "one.png")
    asked = tmp_path / "asked.jpg"
    PIL.Image.open(folder / "inside" / "one.png").resize((200, 200)).save(asked, quality=80)
    source = open_source(f"labelled:{folder}", licence="CC0-1.0", citation="an invented source")
    built = Plan(sources=[source], image_encoder=Radiomics(), read_picture=read_picture)
    build_index(built, tmp_path / "index")
    store = Joined(open_index(tmp_path / "index"))
    case = sample("shown").case.model_copy(update={"images": (Image(path=str(asked)),)})
    case = case.model_copy(update={"images": (), "visits": (Visit(date="2020-01-01", images=case.images),)})
    gone = Image(path=str(tmp_path / "none.png"))
    items = [
        Sample(case=case, target=Letter(letter="A"), group="g"),
        Sample(
            case=case.model_copy(update={"id": "lost", "images": (gone,), "visits": ()}),
            target=Letter(letter="A"),
            group="g",
        ),
    ]
    without = held_back(store, "quiz", items, tmp_path)
    assert [held.label for held in without.held_back()] == ["inside"]
    (told,) = leakages(tmp_path)
    assert (told.pictures, [(each.picture, each.samples) for each in told.held_back]) == (1, [(True, ("shown",))])
    assert ", 1 of their pictures with those of the store: 1 picture of 1 of the samples was held back" in told.sentence


def test_one_passage_is_one() -> None:
    gone = HeldBack(passage="a", title="b", samples=("one",))
    told = Leakage(benchmark="quiz", samples=2, store="s", searched=3, held_back=(gone,)).sentence
    assert "1 passage that says nearly the same as 1 of the samples was held back" in told


def test_a_title_that_is_the_question_is_held_back(tmp_path: Path) -> None:
    store = Joined(Index([passage("titled", "Something else that stands here alone.", title=QUESTION)]))
    held_back(store, "quiz", [sample()], tmp_path)
    assert [(each.passage, each.samples) for each in leakages(tmp_path)[0].held_back] == [("titled", ("one",))]


def test_questions_that_differ_in_case_repeat_each_other(tmp_path: Path) -> None:
    held_back(Joined(shipped_index()), "quiz", [sample("one"), sample("two", QUESTION.upper())], tmp_path)
    (told,) = leakages(tmp_path)
    assert told.repeated == (("one", "two"),)
    assert "; 1 repeat another one's text." in told.sentence


def test_a_sentence_of_a_roles_prompt_is_told(tmp_path: Path) -> None:
    prompt = load_roles()[0].prompt
    start, end = max(sentences(prompt), key=lambda place: place[1] - place[0])
    held_back(Joined(shipped_index()), "quiz", [sample("one", prompt[start:end])], tmp_path)
    assert leakages(tmp_path)[0].prompts == ("one",)


def test_each_benchmark_of_a_run_has_a_store_of_its_own(store: Joined, tmp_path: Path) -> None:
    held_back(store, "a", [sample()], tmp_path)
    held_back(store, "b", [sample("two", "Is it raining in the north today?", made_of=("3141",))], tmp_path)
    assert [told.benchmark for told in leakages(tmp_path)] == ["a", "b"]
    assert len({told.store for told in leakages(tmp_path)}) == 2
