"""The command line as a person uses it: what is printed, the exit code, and one plain line for every bad input."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `polyclinic` in this process, in a folder of its own, as the installed command would."""
    from polyclinic.app import cli as module

    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["polyclinic", *map(str, words)])
        code = 0
        try:
            module.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, said.out, said.err)

    return run


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces its size and holds nearly nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit 2, one line on stderr that says what was expected, what came and what to do; nothing on stdout."""
    assert done.returncode == 2, done.stderr
    line = done.stderr.strip()
    assert "\n" not in line, line
    assert line.startswith("polyclinic: expected ")
    assert "; got " in line
    assert line.count(";") >= 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in line, line


def test_a_case_file_is_answered_traced_verified_and_replayed(cli: Run, tmp_path: Path) -> None:
    asked = cli("ask", EXAMPLES / "multiple_choice.yaml", "--json")
    report = json.loads(asked.stdout)
    assert (asked.returncode, report["status"], report["option"]) == (0, "answered", "C")
    run = Path(report["trace"]["path"]).parent
    assert asked.stdout == (run / "report.json").read_text()
    replayed = cli("replay", run, "--json")
    assert (replayed.returncode, replayed.stdout) == (0, asked.stdout)
    verified = cli("verify", run)
    assert verified.returncode == 0
    assert "the chain holds" in verified.stdout
    tree = cli("trace", run)
    assert tree.returncode == 0
    for word in ("triage", "specialist endocrinology", "retrieval search", "attending", "report: answered"):
        assert word in tree.stdout


def test_a_person_reads_claims_evidence_limitations_and_where_the_trace_is(cli: Run) -> None:
    shown = cli("ask", EXAMPLES / "retina.yaml").stdout
    for word in (
        "status: answered", "ophthalmology", "Claims", "[ophthalmology.t", "vessel_density = ", " %", "Limitations",
        "not a language model", "trace.jsonl", "not a medical device",
    ):  # fmt: skip
        assert word in shown


def test_a_question_with_typed_options_and_an_image(cli: Run) -> None:
    typed = ("ask", "--question", "Which HbA1c is a criterion for diabetes?", "--options", "A=6.5 %;B=4.0 %", "--json")
    assert json.loads(cli(*typed).stdout)["option"] == "A"
    image = ("--image", "package://skimage/data/ihc.png", "--modality", "histology")
    shown = json.loads(cli("ask", "--question", "How much is stained?", *image, "--json").stdout)
    assert any(item["name"] == "dab_area" for item in shown["evidence"])


def test_visits_come_from_a_file_of_their_own(cli: Run, tmp_path: Path) -> None:
    lab = "labs: [{name: potassium, value: %s, unit: mmol/L, low: 3.5, high: 5.1}]"
    (tmp_path / "visits.yaml").write_text(f"- date: 2024-01-01\n  {lab % 4.1}\n- date: 2024-02-01\n  {lab % 5.9}\n")
    done = cli("ask", "--question", "What changed?", "--visits", "visits.yaml", "--json")
    assert json.loads(done.stdout)["changes"][0]["course"] == "new"
    (tmp_path / "visits.yaml").write_text("date: 2024")
    refused(cli("ask", "--question", "What changed?", "--visits", "visits.yaml"), "a list of visits")


def test_a_fhir_record_is_asked_about_and_its_patient_is_not_named(cli: Run, tmp_path: Path) -> None:
    subject = {"reference": "Patient/raw-patient-id"}
    resources = [{"resourceType": "Patient", "id": "raw-patient-id", "birthDate": "1960-05-17", "gender": "male"}] + [
        {
            "resourceType": "Observation", "status": "final", "code": {"text": "Potassium"}, "subject": subject,
            "effectiveDateTime": day, "valueQuantity": {"value": value, "unit": "mmol/L"},
            "referenceRange": [{"low": {"value": 3.5}, "high": {"value": 5.1}}],
        }
        for day, value in (("2024-01-01", 4.1), ("2024-02-01", 4.6), ("2024-03-01", 5.9))
    ]  # fmt: skip
    bundle = {"resourceType": "Bundle", "entry": [{"resource": resource} for resource in resources]}
    (tmp_path / "record.json").write_text(json.dumps(bundle))
    typed = ("ask", "--question", "What changed in potassium?", "--visits", "record.json")
    report = json.loads(cli(*typed, "--json").stdout)
    assert [(change["finding"], change["course"]) for change in report["changes"]] == [("Potassium", "new")]
    assert "raw-patient-id" not in Path(report["trace"]["path"]).read_text()
    line = "Potassium: 4.1 mmol/L (2024-01-01) → 4.6 mmol/L (2024-02-01) → 5.9 mmol/L (2024-03-01)"
    assert line in cli(*typed).stdout
    (tmp_path / "case.yaml").write_text("question: x?\npatient_id: somebody-else\n")
    refused(cli("ask", "case.yaml", "--visits", "record.json"), "one patient per case")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("text.png", b"This is no picture.", ("PNG, JPEG, TIFF, DICOM or NIfTI",)),
        ("empty.png", b"", ("empty",)),
        ("huge.png", png_header(60_000, 60_000), ("megapixels",)),
        ("cut.png", png_header(64, 64), ()),
    ],
)
def test_files_that_are_no_pictures(cli: Run, tmp_path: Path, name: str, data: bytes, words: tuple[str, ...]) -> None:
    (tmp_path / name).write_bytes(data)
    refused(cli("ask", "--question", "What is this?", "--image", name), name, *words)


def test_a_truncated_dicom(cli: Run, tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    source = get_testdata_file("CT_small.dcm", download=False)
    (tmp_path / "cut.dcm").write_bytes(Path(str(source)).read_bytes()[:20_000])
    refused(cli("ask", "--question", "What is this?", "--image", "cut.dcm"), "cut.dcm")


def test_paths_that_lead_out_or_nowhere(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "cases").mkdir()
    (tmp_path / "secret.png").write_bytes(png_header(8, 8))
    (tmp_path / "cases" / "case.yaml").write_text("question: x?\nimages: [{path: ../secret.png}]\n")
    refused(cli("ask", "cases/case.yaml"), "secret.png")
    (tmp_path / "cases" / "url.yaml").write_text("question: x?\nimages: [{path: 'https://example.org/a.png'}]\n")
    refused(cli("ask", "cases/url.yaml"), "example.org")
    refused(cli("ask", "--question", "x?", "--image", "missing.png"), "missing.png")
    refused(cli("ask", "--question", "x?", "--image", "."), "folder")
    refused(cli("ask", "nowhere.yaml"), "nowhere.yaml")
    refused(cli("ask", "--question", "x?", "--image", tmp_path / "secret.png", "--root", "cases"), "secret.png")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("question: ''", ("question",)),
        ("question: '   '", ("question",)),
        ("{}", ("question",)),
        ("question: x?\nquestoin: y", ("questoin", "question")),
        ("question: x?\noptions: [yes, no]", ("capital letters", "options: {A: first")),
        ("question: x?\noptions: {first: yes, second: no}", ("capital letters",)),
        ("question: x?\nimages: [{path: a.png, modality: telepathy}]", ("modality",)),
        ("question: x?\nvisits: [{date: yesterday}]", ("visits.0.date",)),
        ("question: x?\npatient_id: a\nvisits: [{date: 2024-01-01, patient_id: b}]", ("one patient per case",)),
        ("- a list", ("keys of a case",)),
        ("question: [unclosed", ("YAML",)),
        ("question: &a [*a, *a]", ()),
        ("question: x?\nvisits: 5", ("visits", "list")),
        ("question: x?\nimages: 5", ("images", "list")),
        ("question: x?\nquestion: y?", ("twice",)),
        ("question: x?\noptions: {A: one, A: two, B: three}", ("twice",)),
        ("question: x?\nmetadata: {age: .nan}", ("metadata.age",)),
        ("question: x?\nimages: [{blob: /etc/passwd}]", ("blob",)),
        ("question: x?\noptions:\n  A: &a [1, 1]\n  B: &b [*a, *a]\n  C: [*b, *b]", ("capital letters",)),
    ],
)
def test_case_files_that_cannot_be_used(cli: Run, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "case.yaml").write_text(text)
    refused(cli("ask", "case.yaml"), *words)


def test_a_bomb_of_aliases_is_refused_without_unfolding_it(cli: Run, tmp_path: Path) -> None:
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (tmp_path / "case.yaml").write_text("\n".join([*layers, "question: *a11"]))
    refused(cli("ask", "case.yaml"))


def test_yaml_words_mean_what_they_say(cli: Run, tmp_path: Path) -> None:
    text = "question: Did pain fall?\noptions: {A: yes, B: no}\nimages:\ncontext: [Pain was significantly lower.]\n"
    (tmp_path / "case.yaml").write_text(text)
    assert json.loads(cli("ask", "case.yaml", "--json").stdout)["option"] == "A"


def test_files_that_are_no_files(cli: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(cli("ask", "pipe"), "no regular file")
    refused(cli("ask", "/dev/zero"), "no regular file")
    refused(cli("verify", "/dev/zero"))
    refused(cli("ask", "--question", "x?", "--modality", "fundus"), "--image")
    (tmp_path / "other.jsonl").write_text("no trace")
    assert "opening record of a trace" in cli("verify", "other.jsonl").stderr


def test_what_a_case_says_does_not_steer_the_terminal(cli: Run) -> None:
    shown = cli("ask", "--question", "red \x1b[31mALERT\x1b[0m?").stdout
    assert "ALERT" in shown
    assert "\x1b" not in shown


def test_the_version(cli: Run) -> None:
    assert cli("--version").stdout.startswith("polyclinic 0.")


def test_a_picture_given_as_case_file(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "case.png").write_bytes(png_header(8, 8))
    refused(cli("ask", "case.png"), "--image")


@pytest.mark.parametrize("options", ["yes;no", "A=yes", "=yes;B=no", "AB=yes;C=no", "A=yes;A=no", "A=;B=no", ""])
def test_options_without_letters(cli: Run, options: str) -> None:
    refused(cli("ask", "--question", "x?", "--options", options))


def test_set_up_that_cannot_work(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(cli("ask"), "a question")
    refused(cli("ask", "--question", "x?", "--engine", "localhost:1"), "embedded")
    (tmp_path / "file").write_text("")
    refused(cli("ask", "--question", "x?", "--runs", tmp_path / "file"), "--runs")
    (tmp_path / "polyclinic.toml").write_text("colour = 'blue'")
    refused(cli("ask", "--question", "x?"), "colour")
    (tmp_path / "polyclinic.toml").unlink()
    monkeypatch.setenv("POLYCLINIC_BUDGET_CALLS", "many")
    refused(cli("ask", "--question", "x?"), "budget.calls", "POLYCLINIC_BUDGET_CALLS")


def test_damaged_unfinished_and_missing_runs(cli: Run, tmp_path: Path) -> None:
    report = json.loads(cli("ask", EXAMPLES / "multiple_choice.yaml", "--json").stdout)
    trace = Path(report["trace"]["path"])
    whole = trace.read_text()
    for number, line in enumerate(whole.splitlines(), start=1):
        trace.write_text(whole.replace(line, line.replace('"seq":', '"seq": ', 1)))
        done = cli("verify", trace.parent)
        assert (done.returncode, f"line {number} to be" in done.stderr) == (1, True)
    lines = whole.splitlines(keepends=True)
    trace.write_text("".join(lines[:-1]))
    assert f"line {len(lines)} to be the closing report" in cli("verify", trace.parent).stderr
    unfinished = cli("replay", trace.parent)
    assert unfinished.returncode == 1
    assert "finish the run" in unfinished.stderr
    assert "unfinished" in cli("trace", trace.parent).stdout
    refused(cli("replay", "nowhere"), "nowhere")
    trace.write_text("")
    assert cli("verify", trace).returncode == 1


def test_forks_and_what_they_need(cli: Run) -> None:
    report = json.loads(cli("ask", EXAMPLES / "multiple_choice.yaml", "--json").stdout)
    run = Path(report["trace"]["path"]).parent
    forked = json.loads(cli("replay", run, "--fork-at", "2", "--json").stdout)
    assert forked["option"] == "C"
    assert forked["trace"]["path"] != report["trace"]["path"]
    refused(cli("replay", run, "--fork-at", "999"), "a step between 1 and")
    refused(cli("replay", run, "--engine", "embedded"), "--fork-at")


def test_a_failed_case_exits_with_one(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "polyclinic.toml").write_text("budget = {seconds = 1e-9}")
    done = cli("ask", "--question", "Which HbA1c is a criterion for diabetes?")
    assert done.returncode == 1
    assert "status: failed" in done.stdout
    assert "budget.seconds" in done.stdout


def test_abstaining_and_needing_a_human_are_not_failures(cli: Run) -> None:
    for name, status in (("abstain", "abstained"), ("blank", "needs_human")):
        done = cli("ask", EXAMPLES / f"{name}.yaml", "--json")
        assert (done.returncode, json.loads(done.stdout)["status"]) == (0, status)


def test_a_conversation_is_replayed_and_compared(cli: Run, tmp_path: Path) -> None:
    import asyncio

    from polyclinic import Case, Clinic

    async def talk() -> Path:
        case = Case(id="talk", question="Which HbA1c is a criterion for diabetes?")
        async with Clinic(runs=tmp_path / "runs").consultation(case) as consultation:
            await consultation.ask()
            await consultation.ask("And what is hyperkalaemia?")
            return consultation.path

    path = asyncio.run(talk())
    exact = cli("replay", path, "--json")
    assert (exact.returncode, exact.stdout) == (0, path.read_text())
    assert "1. Which HbA1c" in cli("replay", path.parent).stdout
    assert "0 of 2 turns differ" in cli("replay", path, "--engine", "embedded").stdout
    assert cli("verify", path).stdout.count("the chain holds") == 2
    again = cli("replay", path, "--engine", "embedded", "--json").stdout
    assert again in [file.read_text() for file in tmp_path.glob("runs/talk-consultation-*/transcript.jsonl")]
    assert again != path.read_text()
    path.write_text(path.read_text().replace("And what is hyperkalaemia?", "And anaemia?"))
    assert "1 of 2 turns differ" in cli("replay", path, "--engine", "embedded").stdout
    refused(cli("replay", path, "--fork-at", "1"), "a run for --fork-at")
    for command in ("verify", "replay"):
        done = cli(command, path)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "message 4 as it was written" in done.stderr
        assert "And anaemia?" not in done.stdout


def test_a_conversation_about_an_image_is_asked_again_from_another_folder(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    from polyclinic import Case, Clinic, Image

    async def talk() -> Path:
        image = Image(path="package://skimage/data/retina.jpg", modality="fundus", patient_id="MRN-1")
        case = Case(id="eye", question="What does the optic disc measure?", images=(image,), patient_id="MRN-1")
        async with Clinic(runs=tmp_path / "far" / "runs").consultation(case) as consultation:
            assert (await consultation.ask()).status == "answered"
            return consultation.path

    path = asyncio.run(talk())
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    for name in (path, path.parent, Path("../far/runs") / path.parent.name):
        done = cli("replay", name, "--engine", "embedded")
        assert (done.returncode, done.stderr) == (0, "")
        assert "0 of 1 turns differ" in done.stdout
    assert not any((tmp_path / "desk").iterdir()), "what is asked again lies beside the first, with its images"
    monkeypatch.chdir(path.parent)
    assert cli("replay", path.name, "--json").stdout == path.read_text()
    assert "the chain holds" in cli("verify", path.name).stdout


def test_a_chat_log_without_runs_cannot_be_verified(cli: Run, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"role": "user", "content": "What is anaemia?"}\n{"role": "assistant", "content": "Too few."}\n')
    refused(cli("verify", log), "turn 1 of log.jsonl to name its recorded run", "--engine embedded")
    refused(cli("replay", log), "turn 1 of log.jsonl to name its recorded run")
    assert "1 of 1 turns differ" in cli("replay", log, "--engine", "embedded").stdout
    log.write_text('{"role": "system", "content": "x", "polyclinic": {"case": null}}\n')
    refused(cli("verify", log), "message 1 to carry the setting")


def test_a_case_with_a_role_is_a_run(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_text("question: Which HbA1c is a criterion for diabetes?\nmetadata: {role: nurse}\n")
    report = json.loads(cli("ask", tmp_path / "case.yaml", "--json").stdout)
    assert "the chain holds" in cli("verify", report["trace"]["path"]).stdout


def test_the_doctor_says_what_is_there_and_what_to_type(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    done = cli("doctor")
    assert done.returncode == 0
    assert "faiss-cpu" in done.stdout
    assert "22 specialties" in done.stdout
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "faiss" else find(name, *a))
    sick = cli("doctor")
    assert sick.returncode == 2
    assert "MISSING" in sick.stdout
    assert "pip install 'polyclinic[cpu]'" in sick.stdout


def test_help_and_unknown_words(cli: Run) -> None:
    shown = cli("--help")
    assert shown.returncode == 0
    for command in ("ask", "replay", "trace", "verify", "doctor"):
        assert command in shown.stdout
    assert cli("dance").returncode == 2
