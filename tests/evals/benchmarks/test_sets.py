"""What is particular to a set, on its fixture; and the real sets at hand, with the numbers that their modules state."""

from __future__ import annotations

import datetime
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from polyclinic.core.errors import InputError
from polyclinic.evals.benchmarks import pmc_vqa
from polyclinic.evals.benchmarks.agentclinic import without, wordings
from polyclinic.evals.benchmarks.cxreasonbench import asked
from polyclinic.evals.benchmarks.mediconfusion import linked
from polyclinic.evals.benchmarks.table import benchmark
from polyclinic.evals.sample import Answer, Boxes, Letter, Points, Sample


def loaded(name: str, data: Path) -> list[Sample]:
    each = benchmark(name)
    if not (data / each.place).exists():
        pytest.skip(f"no {each.place} in the folder of the sample data")
    return list(each.samples(each.at(data)))


def letters(samples: list[Sample]) -> Counter[str]:
    return Counter(sample.target.letter for sample in samples if isinstance(sample.target, Letter))


@pytest.mark.parametrize(
    ("name", "n", "most", "right"),
    [
        ("pubmedqa", 500, "A", 276),
        ("medmcqa", 4183, "A", 1348),
        ("bioasq-yesno", 409, "A", 265),
        ("mediq", 1272, "C", 352),
        ("vqa_rad-yesno", 1259, "B", 644),
    ],
)
def test_the_most_frequent_letter_is_right_as_often_as_stated(
    name: str, n: int, most: str, right: int, data_dir: Path
) -> None:
    found = loaded(name, data_dir)
    assert len(found) == n
    assert letters(found).most_common(1)[0] == (most, right)


@pytest.mark.parametrize(
    ("name", "n", "groups"),
    [
        ("agentclinic", 107, 107), ("bioasq-factoid", 476, 476), ("bioasq-list", 260, 260), ("mmlu_medical", 717, 717),
        ("vqa_rad-open", 1003, 177), ("vqa_rad-yesno", 1259, 193),
    ],
)  # fmt: skip
def test_the_real_sets_have_their_numbers_of_samples_and_groups(name: str, n: int, groups: int, data_dir: Path) -> None:
    found = loaded(name, data_dir)
    assert len({sample.id for sample in found}) == len(found) == n
    assert len({sample.group for sample in found}) == groups


def test_the_real_vqa_rad_is_split_as_it_says(data_dir: Path) -> None:
    kinds = Counter(sample.facets["answer type"] for sample in loaded("vqa_rad-open", data_dir))
    assert kinds == {"OPEN": 912, "CLOSED": 91}


def test_the_real_bioasq_has_gold_evidence(data_dir: Path) -> None:
    for part in ("yesno", "factoid", "list"):
        for sample in loaded(f"bioasq-{part}", data_dir):
            assert sample.gold
            assert all(pmid.isdigit() for pmid in sample.gold)


def test_pubmedqa_goes_by_pmid_and_drops_empty_contexts(fixtures: Path) -> None:
    found = loaded("pubmedqa", fixtures)
    assert [sample.id for sample in found] == ["pubmedqa-2", "pubmedqa-11", "pubmedqa-305"]
    assert len(found[0].case.context) == 2


def test_a_medmcqa_that_counts_from_0_is_refused(fixtures: Path, tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_text((fixtures / "medmcqa_dev" / "dev.json").read_text().replace('"cop": 2', '"cop": 0'))
    with pytest.raises(InputError, match=r"line 1, in dev\.json; got cop 0 is none of 1, 2, 3, 4"):
        list(benchmark("medmcqa").samples(path))


def test_bioasq_gives_pmids_once_and_synonyms(fixtures: Path) -> None:
    factoid, patient = loaded("bioasq-factoid", fixtures)
    assert factoid.gold == ("1000001", "1000002")
    assert factoid.target == Answer(accepted=("a strap", "strap"))
    assert patient.target == Answer(accepted=("a patient",))
    assert [sample.facets["batch"] for sample in loaded("bioasq-yesno", fixtures)] == ["7B1", "8B2"]


def test_mediq_tells_the_first_sentence_and_keeps_the_facts(fixtures: Path) -> None:
    first, bare = loaded("mediq", fixtures)
    assert first.case.context == ("A 40-year-old man fell.",)
    assert first.known["fact 02"] == "Patient's wrist hurts."
    assert (bare.case.context, bare.known) == ((), {})


def test_agentclinic_tells_by_topic_and_strikes_out_the_diagnosis(fixtures: Path) -> None:
    wrist, spoon = loaded("agentclinic", fixtures)
    assert wrist.target == Answer(accepted=("Broken radius (BR)", "Broken radius", "BR"))
    assert wrist.case.context == ("40-year-old male. Primary symptom: Sore wrist",)
    assert wrist.known["history: other symptoms"] == "other symptoms: Swelling; Bruise"
    assert wrist.known["history: present illness"] == "present illness: He fell two days ago."
    assert wrist.known["examination: vital signs"] == "vital signs: temperature: 36.6°C; heart rate: 70 bpm"
    assert wrist.known["test: imaging"] == "imaging: wrist x-ray: findings: A line across the radius"
    assert spoon.case.question == "Assess the patient who asks whether it is […]. What is the diagnosis?"
    assert spoon.case.context == ("50-year-old female. Primary symptom: […], she says",)
    assert without("Asthma, asthmatic", wordings("asthma")) == "[…], asthmatic"


def test_medxpertqa_cuts_the_options_off_its_questions(fixtures: Path) -> None:
    (text,), (pictures,) = loaded("medxpertqa-text", fixtures), loaded("medxpertqa-mm", fixtures)
    assert text.case.question == "Which object is meant?"
    assert (len(text.case.options), len(pictures.case.options), len(pictures.case.images)) == (10, 5, 2)


def test_slake_leaves_chinese_records_out(fixtures: Path) -> None:
    assert [sample.id for sample in loaded("slake-open", fixtures)] == ["slake-71", "slake-73"]


def test_pmc_vqa_reads_both_versions(fixtures: Path) -> None:
    first = loaded("pmc_vqa", fixtures)
    (second,) = pmc_vqa.samples(fixtures / "pmc_vqa" / "test_2.csv")
    assert first[1].case.options == {"A": "A fork", "B": "A spoon", "C": "A knife", "D": "A cup"}
    assert {sample.group for sample in first} == {"PMC0000001"}
    assert (second.target, second.case.options["A"]) == (Letter(letter="A"), "A plate")


def test_pairs_that_a_picture_links_are_one_group() -> None:
    assert linked({"4": {5}, "1": {1, 2}, "3": {3, 4}, "2": {2, 3}}) == {"1": "1", "2": "1", "3": "1", "4": "4"}


def test_mediconfusion_asks_two_by_two(fixtures: Path) -> None:
    pairs: dict[str, list[Sample]] = {}
    for sample in loaded("mediconfusion", fixtures):
        pairs.setdefault(sample.asked_with, []).append(sample)
    for one, other in pairs.values():
        assert (one.case.question, one.case.options) == (other.case.question, other.case.options)
        assert one.target != other.target
        assert one.group == other.group
    assert [pair[0].group for pair in pairs.values()] == ["10001", "10001", "10003"]


def test_a_pair_with_one_answer_is_refused(fixtures: Path, tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    text = (fixtures / "mediconfusion" / "dataset.json").read_text()
    path.write_text(text.replace('_2_correct": "B"', '_2_correct": "A"'))
    with pytest.raises(InputError, match=r"pair 10001, in dataset\.json"):
        list(benchmark("mediconfusion").samples(path))


def test_steps_of_a_picture_count_together_and_double_answers_are_left_out(fixtures: Path) -> None:
    found = [sample for sample in loaded("cxreasonbench", fixtures) if sample.facets["task"] == "cardiomegaly"]
    assert [sample.facets["step"] for sample in found] == [
        "first answer", "criterion", "body part", "measurement", "last answer",
    ]  # fmt: skip
    assert len({sample.asked_with for sample in found}) == 1
    assert [len(sample.case.images) for sample in found] == [1, 1, 3, 1, 1]
    assert found[3].case.options == {"A": "[0.3, 0.4]", "B": "[0.55, 0.65]"}
    assert not any(sample.case.dialogue for sample in found)


@pytest.mark.parametrize(
    "named", [{"rotation": [None, None]}, {"rotation": ["../a"]}, {"..": ["a"]}, {"rotation": "a"}]
)
def test_pictures_and_tasks_with_other_names_are_refused(named: object, tmp_path: Path) -> None:
    (tmp_path / "dx_by_dicoms.json").write_text(json.dumps(named))
    with pytest.raises(InputError, match="is no task with a list of pictures"):
        list(benchmark("cxreasonbench").samples(tmp_path))


@pytest.mark.parametrize(("name", "one", "other"), [
    ("bioasq-yesno", "Task7BGoldenEnriched/7B1_golden.json", "Task8BGoldenEnriched/8B9_golden.json"),
    ("omnimedvqa", "QA_information/Open-access/Spoons.json", "QA_information/Open-access/Teaspoons.json"),
])  # fmt: skip
def test_an_id_of_another_file_is_refused(name: str, one: str, other: str, copied: Path) -> None:
    folder = copied / benchmark(name).place
    shutil.copyfile(folder / one, folder / other)
    with pytest.raises(InputError, match="was there before"):
        loaded(name, copied)


def test_options_are_read_off_a_question() -> None:
    assert asked("Is it?\nOptions: (a) Yes, (b) No") == ("Is it?", {"A": "Yes", "B": "No"})
    for question in ("Is it?", "Is it? (a) Yes", "Is it? (a) Yes (a) No"):
        with pytest.raises(ValueError, match="options in the question"):
            asked(question)
    brackets = asked(
        "Which of the image(s) (b) shows it? Options: (a) image(s) 1 (left), (b) neither, (c) I don't know"
    )
    assert brackets == (
        "Which of the image(s) (b) shows it?",
        {"A": "image(s) 1 (left)", "B": "neither", "C": "I don't know"},
    )


@pytest.mark.parametrize("name", ["mmxu", "temmed_bench"])
def test_two_visits_are_in_their_order_and_say_that_days_are_unknown(name: str, fixtures: Path) -> None:
    for sample in loaded(name, fixtures):
        (visit,) = sample.case.visits
        assert sample.case.date is not None
        assert datetime.date(2100, 1, 1) <= visit.date < sample.case.date
        assert "1" in str(visit.images[0].path)
        assert visit.images[0].path != sample.case.images[0].path
        assert sample.case.metadata == {"days of the visits": "only their order is known"}


def test_two_patients_are_no_two_visits(fixtures: Path, copied_mmxu: Path) -> None:
    path = copied_mmxu / "MMXU-test.jsonl"
    other = "files/p10/p10000002/s50000001/a.jpg"
    (copied_mmxu / other).parent.mkdir(parents=True)
    (copied_mmxu / other).write_bytes((fixtures / "mmxu/files/p10/p10000001/s50000001/a.jpg").read_bytes())
    path.write_text(path.read_text().replace("files/p10/p10000001/s50000001/a.jpg", other))
    with pytest.raises(InputError, match="two patients"):
        list(benchmark("mmxu").samples(path))


@pytest.fixture
def copied_mmxu(fixtures: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fixtures / "mmxu", tmp_path / "mmxu"))


def test_medsg_takes_the_markup_off_and_checks_boxes(fixtures: Path, tmp_path: Path) -> None:
    views, named = loaded("medsg_bench", fixtures)
    assert views.case.question == "The object at (5,5),(20,30) in the first image: find it in the second."
    assert named.target == Boxes(boxes=(("Spoon", (91, 52, 229, 258)),))
    record = json.loads((fixtures / "MedSG-Bench" / "Task8.json").read_text())
    for box in ([0, 0, 337, 10], [5, 5, 5, 9], [9, 5, 5, 9], [-1, 0, 5, 5], [1, 2, 3]):
        record[0] |= {"answer": box, "images": []}
        (tmp_path / "Task8.json").write_text(json.dumps(record))
        with pytest.raises(InputError, match=r"record 1, in Task8\.json"):
            list(benchmark("medsg_bench").samples(tmp_path))


def test_medmultipoints_counts_what_it_points_to(fixtures: Path, tmp_path: Path) -> None:
    found = loaded("medmultipoints", fixtures)
    assert [len(sample.target.points) for sample in found if isinstance(sample.target, Points)] == [2, 1, 0]
    assert found[0].group == found[1].group != found[2].group
    path = tmp_path / "train.jsonl"
    text = (fixtures / "medmultipoints" / "train.jsonl").read_text()
    for wrong in (text.replace('"count": 2', '"count": 3'), text.replace("[12.5, 30.0]", "[64.5, 30.0]")):
        path.write_text(wrong)
        with pytest.raises(InputError, match=r"line 1, in train\.jsonl"):
            list(benchmark("medmultipoints").samples(path))
