"""The door to inspect-ai: samples through arms, side by side, every row in a log that `inspect view` shows.

OUT/runs/BENCHMARK/ARM/SAMPLE-EPOCH/   the traces of one sample, as `polyclinic ask` writes them
OUT/logs/*.eval                        inspect's logs, one per benchmark and arm
OUT/plan.json                          what was asked for: a run that was killed is taken up only for the same

A run that was killed is started again by the same command: finished traces are read, unfinished ones go on, and no call
is made twice. Samples start from nothing but themselves: none sees what another one asked or found.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..core.canonical import digest
from ..core.errors import InputError, PolyclinicError, RunLockedError, SetupError
from ..core.settings import Settings
from ..core.whole import write_whole
from ..knowledge.index.folder import open_index
from ..knowledge.index.joined import Joined, shipped_index
from .arm import Arm
from .arms import SELF_CONSISTENCY, Making, arm
from .benchmark import Benchmark
from .leakage import held_back
from .logs import KEY, LOGS, check_installed, rows_in
from .outcomes import Row
from .sample import Sample
from .scoring import row_of, shown_target

if TYPE_CHECKING:
    from inspect_ai.scorer import Scorer

Watch: TypeAlias = Callable[[str, int, int], None]
"""Told after each sample: which benchmark and arm, samples done, samples in all."""

PLAN = "plan.json"
RUNS = "runs"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run: `limit` samples of each benchmark (all when None), each `epochs` times, `concurrency` at once;
    `shard` (i, n) takes the i-th of n parts, counted from 1. The samples do not depend on the shard's order."""

    limit: int | None = None
    epochs: int = 1
    concurrency: int = 8
    shard: tuple[int, int] = (1, 1)
    seed: int = 0


def chosen(samples: Sequence[Sample], plan: Plan) -> list[Sample]:
    """The samples of a plan in an order drawn from its seed: every arm gets the same, shards share nothing."""
    ordered = sorted(samples, key=lambda sample: digest([plan.seed, sample.id]))[: plan.limit]
    part, parts = plan.shard
    return sorted(ordered[part - 1 :: parts], key=lambda sample: sample.id)


def run(
    benchmarks: Sequence[Benchmark],
    arms: Sequence[str],
    data: Path,
    out: Path,
    settings: Settings,
    plan: Plan,
    *,
    watch: Watch = lambda what, done, total: None,
) -> list[Row]:
    """Every row of every benchmark and arm. Raises InputError for data, arms or a folder that cannot be used, and
    MissingExtraError without inspect-ai."""
    makers = {name: arm(name) for name in sorted(arms, key=lambda name: name == SELF_CONSISTENCY)}
    check_installed()
    samples = {each.name: list(each.samples(each.at(data))) for each in benchmarks}
    for each in benchmarks:
        for sample in samples[each.name][:1]:
            shown_target(sample)
    knowledge = Joined(*map(open_index, settings.knowledge), shipped_index())
    _take_up(out, samples, plan)
    rows: list[Row] = []
    for each in benchmarks:
        mine, own = chosen(samples[each.name], plan), list[Row]()
        store = held_back(knowledge, each.name, samples[each.name], out)
        for name, maker in makers.items():
            making = Making(
                settings=settings, samples=samples[each.name], runs=out / RUNS / each.name / name,
                knowledge=store, concurrency=plan.concurrency, before=own,
            )  # fmt: skip
            made = maker.make(making)
            _check_arm(out, each.name, name, made.identity)
            own += _evaluated(each, name, made, mine, out=out, plan=plan, watch=watch)
        rows += own
    return rows


def _take_up(out: Path, samples: Mapping[str, Sequence[Sample]], plan: Plan) -> None:
    """Write down what is asked for, or check that it is what the folder holds. Raises InputError, SetupError."""
    sets = {
        name: digest([[each.id, each.case.model_dump(mode="json")] for each in found])
        for name, found in samples.items()
    }
    wanted: dict[str, Any] = {
        "limit": plan.limit, "epochs": plan.epochs, "shard": list(plan.shard), "seed": plan.seed,
    }  # fmt: skip
    path = out / PLAN
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        unlike = sorted(name for name in wanted if known[name] != wanted[name])
        unlike += sorted(name for name in sets if known["sets"].get(name, sets[name]) != sets[name])
        if unlike:
            raise InputError(
                expected=f"the plan of the run in {out}", got=f"another {' and '.join(unlike)}",
                fix="name another folder with --out, or give the same options and data",
            )  # fmt: skip
        sets = known["sets"] | sets
        wanted["arms"] = known.get("arms", {})
    _write_plan(path, wanted | {"sets": sets})


def _write_plan(path: Path, plan: Mapping[str, Any]) -> None:
    write_whole(path, (json.dumps(plan, indent=1, sort_keys=True) + "\n").encode())


def _check_arm(out: Path, benchmark: str, name: str, identity: str) -> None:
    """Write down who answers, or check that it is who did. Raises InputError: its answers would be another's."""
    path = out / PLAN
    plan = json.loads(path.read_text(encoding="utf-8"))
    known = plan.setdefault("arms", {}).setdefault(f"{benchmark}, {name}", identity)
    if known != identity:
        raise InputError(
            expected=f"the arm {name} as it was when the run in {out} began",
            got="another model, sampling, index, set of tools or version of polyclinic",
            fix="name another folder with --out, or give the same options",
        )  # fmt: skip
    _write_plan(path, plan)


def _evaluated(
    benchmark: Benchmark, name: str, made: Arm, samples: Sequence[Sample], *, out: Path, plan: Plan, watch: Watch
) -> list[Row]:
    """The rows of one benchmark and arm, through inspect; they also lie in the log it writes."""
    import inspect_ai
    from inspect_ai.dataset import MemoryDataset
    from inspect_ai.dataset import Sample as Item
    from inspect_ai.scorer import Score, Target, accuracy, scorer, stderr
    from inspect_ai.solver import Generate, Solver, TaskState, solver

    by_id = {sample.id: sample for sample in samples}
    done = itertools.count(1)
    stopped: list[PolyclinicError] = []

    @solver(name=f"polyclinic_{name.replace('-', '_')}")
    def asked() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            sample = by_id[str(state.sample_id)]
            folder = out / RUNS / benchmark.name / name / f"{sample.id}-{state.epoch}"
            try:
                said = await made.answer(sample, folder, root=out)
            except PolyclinicError as error:
                stopped.append(error)
                raise
            row = row_of(sample, said, benchmark=benchmark.name, arm=name, epoch=state.epoch, root=out)
            state.metadata[KEY] = row.model_dump(mode="json")
            state.output.completion = row.shown
            watch(f"{benchmark.name}, {name}", next(done), len(samples) * plan.epochs)
            return state

        return solve

    @scorer(metrics=[accuracy(), stderr()], name="right")
    def judged() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:
            row = state.metadata[KEY]
            value = {"right": "C", "wrong": "I"}.get(row["outcome"], "N")
            return Score(value=value, answer=row["shown"], explanation=row["said"]["why"] or row["outcome"])

        return score

    items = [Item(id=sample.id, input=sample.case.question, target=shown_target(sample)) for sample in samples]
    task = inspect_ai.Task(
        dataset=MemoryDataset(items), solver=asked(), scorer=judged(), name=f"{benchmark.name}-{name}"
    )
    (log,) = inspect_ai.eval(
        task, model=None, log_dir=str(out / LOGS), epochs=plan.epochs, max_samples=plan.concurrency, max_tasks=1,
        fail_on_error=True, display="none", log_level="warning", ctl_server=False, log_realtime=False,
        metadata={"arm": name, "identity": made.identity, "benchmark": benchmark.name},
    )  # fmt: skip
    if stopped:
        raise _plain(stopped[0], out)
    return rows_in(log)


def _plain(error: PolyclinicError, out: Path) -> PolyclinicError:
    """What stopped a run, as it concerns who started the run."""
    if not isinstance(error, RunLockedError):
        return error
    return SetupError(
        expected=f"one run at a time into {out}", got="another one that is writing there",
        fix="wait until it ends, or name another folder with --out",
    )  # fmt: skip
