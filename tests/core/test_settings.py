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
