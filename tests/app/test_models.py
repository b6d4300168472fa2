"""`polyclinic models list|show|check` as a person uses it: what fits, what can be pasted, and what is refused."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from polyclinic.agents.profiles import load_profiles, profile_for

Run = Callable[..., subprocess.CompletedProcess[str]]
NAMES = [one.name for one in load_profiles()]
DOUBLE = Path(__file__).resolve().parents[2] / "bench" / "double.py"


@pytest.fixture
def models(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `polyclinic models …` in this process, through the door that turns errors into exit codes."""
    from polyclinic.app import cli
    from polyclinic.app.models import models as commands

    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.add_typer(commands)
    monkeypatch.setattr(cli, "app", app)

    def run(*words: object, columns: int = 100) -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "argv", ["polyclinic", "models", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, said.out, said.err)

    return run


def pasted(text: str, start: str) -> list[list[str]]:
    """The commands in `text` that begin with `start`, as a shell would read them."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith(f"  {start}")]


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_the_list_fits_and_names_every_profile(models: Run, columns: int) -> None:
    done = models("list", columns=columns)
    assert done.returncode == 0
    rows = done.stdout.splitlines()
    assert rows[0].split() == ["profile", "sees", "context", "boxes", "examples"]
    assert [row.split()[0] for row in rows[1 : len(NAMES) + 1]] == NAMES
    assert max(map(len, rows)) <= min(columns, 100)
    assert "models show NAME" in rows[-1]


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("name", NAMES)
def test_every_profile_is_shown_within_the_columns(models: Run, name: str, columns: int) -> None:
    done = models("show", name, columns=columns)
    assert done.returncode == 0, done.stderr
    assert f"(profile {name})" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= columns
    for part in ("served by vLLM", "context", "licence", "\nServe", "\nAsk", "\nNote"):
        assert part in done.stdout


@pytest.mark.parametrize("columns", [80, 100])
def test_the_commands_shown_can_be_pasted(models: Run, columns: int) -> None:
    done = models("show", "Lingshu-7B", "--lora", "chest=/a b", "--port", 8001, columns=columns)
    full = "lingshu-medical-mllm/Lingshu-7B"
    (serve,) = pasted(done.stdout, "vllm serve")
    assert serve == shlex.split(profile_for(full).serve_command(full, loras=["chest=/a b"], port=8001))
    ask = ["polyclinic", "ask", "CASE", "--engine", "http://localhost:8001/v1", "--model"]
    assert pasted(done.stdout, "polyclinic ask") == [[*ask, full], [*ask, "chest"]]


def test_a_served_name_keeps_its_name(models: Run) -> None:
    done = models("show", "medgemma-4b-it-mine")
    assert pasted(done.stdout, "vllm serve")[0][2] == "medgemma-4b-it-mine"
    assert "unused94" in done.stdout
    assert "256 tokens" in done.stdout


def test_a_profile_without_a_published_model_leaves_its_place(models: Run) -> None:
    done = models("show", "gmai-vl")
    assert pasted(done.stdout, "vllm serve")[0][2] == "MODEL"
    assert "Serve (not confirmed; see the note)" in done.stdout


def test_memory_is_shown_where_it_is_known(models: Run) -> None:
    done = models("show", "qwen3-vl", columns=100)
    assert "Qwen/Qwen3-VL-8B-Instruct: 9B, 18 GB of weights, 0.15 GB for each 1000 tokens of cache" in done.stdout
    assert "Qwen/Qwen3-VL-2B-Instruct: 2B, 4 GB of weights, cache not confirmed" in done.stdout
    assert "Pathology-LLaVA: size not confirmed" in models("show", "pa-llava").stdout


@pytest.mark.parametrize(("name", "near"), [("medgema", "medgemma"), ("lingsu-7b", "Lingshu-7B"), ("\x1b[31m", "list")])
def test_an_unknown_name_is_refused_with_the_nearest(models: Run, name: str, near: str) -> None:
    done = models("show", name)
    assert done.returncode == 2
    assert done.stdout == ""
    line = done.stderr.strip()
    assert line.startswith("polyclinic: expected a known model or profile; got ")
    assert near in line
    assert "polyclinic models list" in line
    assert "\n" not in line
    assert "\x1b" not in line


def test_a_bad_adapter_is_refused(models: Run) -> None:
    done = models("show", "qwen3-vl", "--lora", "chest")
    assert done.returncode == 2
    assert "NAME=PATH" in done.stderr
    assert done.stdout == ""


def test_importing_the_commands_loads_nothing_else() -> None:
    command = "import sys, polyclinic.app.models; print('pydantic' in sys.modules, 'rich.table' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"


@contextmanager
def serving(*flags: str) -> Iterator[str]:
    """The URL of a double in a process of its own."""
    command = [sys.executable, str(DOUBLE), "--latency-s=0.01", *flags]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def double() -> Iterator[str]:
    with serving('--models=["qwen2.5-vl-7b", "other"]') as url:
        yield url


@pytest.mark.usefixtures("loopback")
@pytest.mark.parametrize("columns", [80, 100])
def test_a_server_that_does_all_is_said_to(models: Run, double: str, columns: int) -> None:
    done = models("check", double, columns=columns)
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= columns
    assert done.stdout.startswith(f"qwen2.5-vl-7b at {double}\n  profile         qwen2-5-vl: ")
    marks = {line[11:24].strip(): line[:9].strip() for line in done.stdout.splitlines() if line[11:24].strip()}
    good = {
        "answers",
        "schema",
        "turn",
        "image",
        "images",
        "logprobs",
        "samples",
        "repeats",
        "prefix cache",
        "priority",
    }
    assert {name for name, mark in marks.items() if mark == "ok"} == good
    assert not {"MISSING", "FAILED"} & set(marks.values())
    ask = ["polyclinic", "ask", "CASE", "--engine", double, "--model", "qwen2.5-vl-7b"]
    assert pasted(done.stdout, "polyclinic ask") == [ask]


@pytest.mark.usefixtures("loopback")
def test_findings_are_also_json(models: Run, double: str) -> None:
    done = models("check", double, "--model", "other", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["usable"], report["model"], report["profile"]) == (
        0,
        True,
        "other",
        "generic-vision",
    )
    assert {"name", "tried", "result", "came", "change", "needed"} == set(report["findings"][0])
    assert [finding["name"] for finding in report["findings"] if finding["needed"]] == ["answers", "schema", "turn"]


@pytest.mark.usefixtures("loopback")
@pytest.mark.parametrize("kind", ["malformed", "wrong_schema", "empty", "no_choices", "html", "500", "drop"])
def test_a_server_that_misbehaves_is_not_said_to_work(models: Run, kind: str) -> None:
    with serving("--fault-rate=1", f'--fault-kinds=["{kind}"]') as url:
        done = models("check", url, columns=80)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "FAILED" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert pasted(done.stdout, "polyclinic") == [["polyclinic", "models", "check", url, "--model", "double"]]
    assert "Cases would fail here (" in done.stdout


@pytest.mark.usefixtures("loopback")
def test_what_to_change_stands_below_what_is_wrong(models: Run) -> None:
    with serving("--fault-rate=1", '--fault-kinds=["wrong_schema"]') as url:
        lines = models("check", url, columns=80).stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("FAILED     schema        "))
    below = "".join(line.strip() for line in lines[at : at + 6])
    assert "→ serve with vLLM, " in below
    assert """'{"backend":"xgrammar","disable_any_whitespace":true}'""" in below


@pytest.mark.usefixtures("loopback")
def test_what_cannot_be_checked_is_one_plain_line(models: Run, double: str) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        nobody = models("check", f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
    stranger, no_url = models("check", double, "--model", "stranger"), models("check", "localhost:8000")
    for done, said in ((nobody, "Connect"), (stranger, "qwen2.5-vl-7b, other"), (no_url, "http://localhost:8000/v1")):
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("polyclinic: expected ")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
