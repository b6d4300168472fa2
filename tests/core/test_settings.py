"""Settings: a file is weaker than the environment, which is weaker than arguments; what does not fit is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyclinic.core.errors import SetupError
from polyclinic.core.settings import load_settings


def test_defaults(tmp_path: Path) -> None:
    settings = load_settings(environment={}, folder=tmp_path)
    assert (settings.engine, settings.runs, settings.budget.calls) == ("embedded", Path("runs"), 20)


def test_each_source_is_stronger_than_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "polyclinic.toml").write_text('runs = "file"\nmodel = "file"\n[budget]\ncalls = 7\ntokens = 70\n')
    environment = {"POLYCLINIC_RUNS": "env", "POLYCLINIC_BUDGET_CALLS": "8"}
    settings = load_settings({"runs": "argument", "model": None}, environment=environment, folder=tmp_path)
    assert settings.runs == Path("argument")
    assert settings.model == "file"
    assert (settings.budget.calls, settings.budget.tokens) == (8, 70)


def test_another_file_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('engine = "mine"')
    named = {"POLYCLINIC_SETTINGS": str(tmp_path / "mine.toml")}
    assert load_settings(environment=named).engine == "mine"
    with pytest.raises(SetupError, match="unset POLYCLINIC_SETTINGS"):
        load_settings(environment={"POLYCLINIC_SETTINGS": str(tmp_path / "none.toml")})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colour = 1", "colour"),
        ("[budget]\ncalls = 1", "budget.calls"),
        ("[budget]\nhours = 1", "budget.hours"),
        ("= 1", "TOML"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "polyclinic.toml").write_text(text)
    with pytest.raises(SetupError, match=named):
        load_settings(environment={}, folder=tmp_path)


SERVED = """
engine = "http://localhost:8000/v1"
[sampling]
temperature = 0.7
samples = 5
seed = 3
[serving]
max_in_flight = 16
profile = "medgemma"
[agents.radiology]
model = "radiology-lora"
[agents.attending]
url = "http://big:8000/v1"
[agents.attending.sampling]
temperature = 0.2
"""


def test_served_models_are_set_in_tables(tmp_path: Path) -> None:
    (tmp_path / "polyclinic.toml").write_text(SERVED)
    settings = load_settings(environment={}, folder=tmp_path)
    assert (settings.sampling.samples, settings.sampling.seed, settings.sampling.top_p) == (5, 3, 1.0)
    assert (settings.serving.max_in_flight, settings.serving.faults, settings.serving.profile) == (16, 6, "medgemma")
    radiology, attending = settings.agents["radiology"], settings.agents["attending"]
    assert (radiology.model, radiology.url, radiology.sampling) == ("radiology-lora", None, None)
    assert (attending.url, attending.model) == ("http://big:8000/v1", None)
    assert attending.sampling is not None
    assert attending.sampling.temperature == 0.2


def test_the_environment_is_stronger_for_served_models_too(tmp_path: Path) -> None:
    (tmp_path / "polyclinic.toml").write_text(SERVED)
    environment = {
        "POLYCLINIC_SAMPLING_TEMPERATURE": "0.4",
        "POLYCLINIC_SAMPLING_LOGPROBS": "false",
        "POLYCLINIC_SAMPLING_MAX_CHARS": "300",
        "POLYCLINIC_SERVING_PATIENCE_S": "30",
        "POLYCLINIC_SERVING_API_KEY": "sk-environment",
        "POLYCLINIC_AGENTS": "ignored: a table is for the file",
    }
    settings = load_settings({"sampling": {"seed": 9}}, environment=environment, folder=tmp_path)
    sampling = settings.sampling
    assert (sampling.temperature, sampling.logprobs, sampling.max_chars) == (0.4, False, 300)
    assert (sampling.samples, sampling.seed) == (5, 9)
    assert settings.serving.patience_s == 30
    assert settings.serving.api_key is not None
    assert settings.serving.api_key.get_secret_value() == "sk-environment"
    assert set(settings.agents) == {"radiology", "attending"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[sampling]\nwarmth = 1", "sampling.warmth"),
        ("[sampling]\ntemperature = 3", "sampling.temperature"),
        ("[sampling]\nsamples = 5", "need a temperature above 0"),
        ("[sampling]\nmax_tokens = 1", "sampling.max_tokens"),
        ("[serving]\nmax_in_flight = 0", "serving.max_in_flight"),
        ("[serving]\npatience_s = -1", "serving.patience_s"),
        ("[agents.radiology]\nmodle = 1", "agents.radiology.modle"),
        ("[agents.radiology.sampling]\nseed = 'x'", "agents.radiology.sampling.seed"),
        ("agents = 1", "agents"),
    ],
)
def test_what_does_not_fit_a_served_model_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "polyclinic.toml").write_text(text)
    with pytest.raises(SetupError, match=named):
        load_settings(environment={}, folder=tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        'api_key = "sk-secret"',
        '[serving]\napi_key = ["sk-secret"]',
        '[serving.api_key]\nvalue = "sk-secret"',
        '[serving]\napi_key = "sk-secret"\nmax_in_flight = 0',
    ],
)
def test_a_key_in_the_wrong_place_is_not_printed(tmp_path: Path, text: str) -> None:
    (tmp_path / "polyclinic.toml").write_text(text)
    with pytest.raises(SetupError) as caught:
        load_settings(environment={}, folder=tmp_path)
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize("text", ['[serving]\napikey = "sk-secret"', 'serving = "sk-secret"'])
def test_a_misspelt_key_is_not_printed(tmp_path: Path, text: str) -> None:
    (tmp_path / "polyclinic.toml").write_text(text)
    with pytest.raises(SetupError) as caught:
        load_settings(environment={}, folder=tmp_path)
    assert "sk-secret" not in str(caught.value)


def test_a_key_is_in_nothing_that_is_printed_or_written(tmp_path: Path) -> None:
    settings = load_settings({"serving": {"api_key": "sk-secret"}}, environment={}, folder=tmp_path)
    assert settings.serving.api_key is not None
    assert "sk-secret" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_an_agents_sampling_changes_only_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "polyclinic.toml").write_text(
        "[sampling]\nseed = 7\ntemperature = 0.7\n[agents.attending.sampling]\nsamples = 5\n"
    )
    sampling = load_settings(environment={}, folder=tmp_path).agents["attending"].sampling
    assert sampling is not None
    assert (sampling.seed, sampling.temperature, sampling.samples) == (7, 0.7, 5)
