"""Arms of a served model: what each costs, what each may not use, and self-consistency at the team's tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polyclinic.core.errors import InputError
from polyclinic.core.runs import TRACE, read_run
from polyclinic.core.settings import Settings
from polyclinic.evals.arms import ARMS, MOST_SAMPLES, samples_for
from polyclinic.evals.benchmarks.table import benchmark
from polyclinic.evals.merge import merge
from polyclinic.evals.outcomes import Row, Said
from polyclinic.evals.results import by_arm
from polyclinic.evals.run import Plan, run

pytest.importorskip("inspect_ai", reason="needs the extra [eval]")

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # streams inspect leaves open
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("inspect_clean"),
]

SERVED = tuple(name for name, kind in ARMS.items() if kind.served)


def asked(data: Path, out: Path, server: Any, *arms: str) -> dict[str, list[Row]]:
    rows = run([benchmark("pubmedqa")], arms, data, out, Settings(engine=server.url), Plan(limit=3))
    return {arm: group for (_, arm), group in by_arm(rows).items()}


def config_of(row: Row, out: Path) -> dict[str, Any]:
    _, records = read_run(out / row.said.trace / TRACE)
    config: dict[str, Any] = records[0].request["config"]
    return config


def test_every_served_arm_answers_the_same_samples_and_says_what_it_cost(
    data: Path, tmp_path: Path, server: Any
) -> None:
    found = asked(data, tmp_path, server, *SERVED)
    assert set(found) == set(SERVED)
    assert len({tuple(row.sample for row in rows) for rows in found.values()}) == 1
    assert all(row.outcome in {"right", "wrong"} for rows in found.values() for row in rows)
    calls = {name: rows[0].said.chat_calls for name, rows in found.items()}
    assert calls["single"] == calls["self-consistency"] == 2
    assert calls["team"] == calls["vote"] + 1 == 1 + 3 * 2 + 1
    spent = {
        name: sum(row.said.prompt_tokens + row.said.completion_tokens for row in rows) for name, rows in found.items()
    }
    assert spent["single"] < spent["self-consistency"]
    arrangements = {name: config_of(rows[0], tmp_path)["arrangement"] for name, rows in found.items()}
    assert arrangements == {
        "team": "team", "team-no-retrieval": "team", "team-no-tools": "team", "vote": "vote", "single": "single",
        "self-consistency": "single",
    }  # fmt: skip
    assert config_of(found["team-no-retrieval"][0], tmp_path)["knowledge"]["version"] == "none"
    assert set(config_of(found["team-no-tools"][0], tmp_path)["tools"]) == {"image_quality"}


def test_self_consistency_needs_the_arms_it_is_measured_by(data: Path, tmp_path: Path, server: Any) -> None:
    with pytest.raises(InputError, match=r"got no arm team; type --arm team --arm single --arm self-consistency"):
        asked(data, tmp_path, server, "single", "self-consistency")


@pytest.mark.parametrize(
    ("team", "single", "samples"),
    [((9000, 1000), (2000, 400), 20), ((2000, 400), (2000, 400), 1), ((10**6, 0), (10, 1), MOST_SAMPLES)],
)
def test_so_many_samples_as_cost_what_the_team_does(
    team: tuple[int, int], single: tuple[int, int], samples: int
) -> None:
    def said(tokens: tuple[int, int]) -> list[Said]:
        return [Said(option="A", prompt_tokens=tokens[0], completion_tokens=tokens[1])] * 3

    assert samples_for(team=said(team), single=said(single)) == samples


def test_without_counted_tokens_nothing_says_how_many_samples_it_takes() -> None:
    spent = [Said(option="A", prompt_tokens=9, completion_tokens=3)]
    with pytest.raises(InputError, match=r"got none of team; serve a model"):
        samples_for(team=[Said(option="A")], single=spent)


def test_what_is_drawn_at_random_follows_the_seed(data: Path, tmp_path: Path) -> None:
    drawn = {
        seed: {
            row.sample: row.said.option
            for row in run([benchmark("pubmedqa")], ["random"], data, tmp_path / str(seed), Settings(), Plan(seed=seed))
        }
        for seed in (0, 1)
    }
    assert drawn[0].keys() == drawn[1].keys()
    assert drawn[0] != drawn[1]


def test_the_samples_of_self_consistency_are_recorded(data: Path, tmp_path: Path, server: Any) -> None:
    found = asked(data, tmp_path, server, "team", "single", "self-consistency")
    wanted = samples_for(team=[r.said for r in found["team"]], single=[r.said for r in found["single"]])
    settings = json.dumps(config_of(found["self-consistency"][0], tmp_path)["engine_settings"])
    assert wanted > 1
    assert f'"samples": {wanted}' in settings
    assert '"temperature": 0.7' in settings


def test_self_consistency_goes_into_the_merged_run_of_shards(data: Path, tmp_path: Path, server: Any) -> None:
    settings, before = Settings(engine=server.url), list[Row]()
    for part in (1, 2):
        shard = Plan(limit=4, shard=(part, 2))
        before += run([benchmark("pubmedqa")], ["team", "single"], data, tmp_path / str(part), settings, shard)
    merge([tmp_path / "1", tmp_path / "2"], tmp_path / "whole")
    asked_before = len(server.log())
    arms = ["team", "single", "self-consistency"]
    rows = run([benchmark("pubmedqa")], arms, data, tmp_path / "whole", settings, Plan(limit=4))
    found = by_arm(rows)
    assert [*found["pubmedqa", "team"], *found["pubmedqa", "single"]] == sorted(
        before, key=lambda row: (row.arm != "team", row.sample)
    )
    assert len(found["pubmedqa", "self-consistency"]) == 4
    assert len(server.log()) - asked_before == sum(row.said.chat_calls for row in found["pubmedqa", "self-consistency"])
