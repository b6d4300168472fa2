"""The door to inspect-ai: samples through arms, side by side, every row in a log that `inspect view` shows.

OUT/runs/BENCHMARK/ARM/SAMPLE-EPOCH/   the traces of one sample, as `polyclinic ask` writes them
OUT/logs/*.eval                        inspect's logs, one per benchmark and arm
OUT/plan.json                          what was asked for: a run that was killed is taken up only for the same
OUT/.lock                              held by the one run that writes there

A run that was killed is started again by the same command: finished traces are read, unfinished ones go on, and no call
is made twice. Samples start from nothing but themselves: none sees what another one asked or found.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..core.canonical import digest
from ..core.errors import InputError, StorageError, TraceError
from ..core.runs import REPORT, TRACE
from ..core.settings import Settings
from ..knowledge.index.folder import open_index
from ..knowledge.index.joined import Joined, shipped_index
from .arm import Arm
from .arms import SELF_CONSISTENCY, Making, arm
from .benchmark import Benchmark
from .leakage import held_back
from .logs import KEY, LOGS, check_installed, keep_only, rows_in
from .outcomes import Row
from .plan import Written, check_arm, fingerprint, key, only_run, take_up
from .sample import Sample
from .scoring import row_of, shown_target

if TYPE_CHECKING:
    from inspect_ai.scorer import Scorer

Watch: TypeAlias = Callable[[str, int, int], None]
"""Told after each sample: which benchmark and arm, samples done, samples in all."""

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

    def written(self, samples: Mapping[str, Sequence[Sample]], arms: Iterable[str] = ()) -> Written:
        """The plan for these sets and arms, as it is written down."""
        sets = {name: fingerprint(found) for name, found in samples.items()}
        begun = {key(benchmark, arm): "" for arm in arms for benchmark in samples}
        return Written(limit=self.limit, epochs=self.epochs, shard=self.shard, seed=self.seed, sets=sets, arms=begun)


def chosen(samples: Sequence[Sample], plan: Plan) -> list[Sample]:
    """The samples of a plan in an order drawn from its seed: every arm gets the same, shards share nothing. Those that
    count together are asked together: `plan.limit` takes whole sets, as many as fit."""
    part, parts = plan.shard
    mine = together(samples, plan)[part - 1 :: parts]
    return sorted((sample for each in mine for sample in each), key=lambda sample: sample.id)


def together(samples: Sequence[Sample], plan: Plan) -> list[list[Sample]]:
    """The sets of all shards, in the order drawn; a sample that counts by itself is a set. Raises InputError for a
    limit that is less than the first of them."""
    sets: dict[str, list[Sample]] = {}
    for sample in samples:
        sets.setdefault(sample.asked_with or sample.id, []).append(sample)
    ordered = sorted(sets.items(), key=lambda item: digest([plan.seed, item[0]]))
    ends = itertools.accumulate(len(each) for _, each in ordered)
    kept = [each for (_, each), end in zip(ordered, ends, strict=True) if plan.limit is None or end <= plan.limit]
    if ordered and not kept:
        fewest = len(ordered[0][1])
        raise InputError(
            expected=f"--limit {fewest} or more: {fewest} samples of {ordered[0][0]} count together",
            got=str(plan.limit),
            fix=f"type --limit {fewest}",
        )  # fmt: skip
    return kept


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
    """Every row of every benchmark and arm. Raises InputError for data, arms or a folder that cannot be used,
    RunLockedError for a folder that another run writes to, and MissingExtraError without inspect-ai."""
    makers = {name: arm(name) for name in sorted(arms, key=lambda name: name == SELF_CONSISTENCY)}
    check_installed()
    samples = {each.name: list(each.samples(each.at(data))) for each in benchmarks}
    _check_shards(makers, samples, plan)
    for maker in makers.values():
        for each in benchmarks:
            maker.check(each.name, samples[each.name], settings, makers)
    knowledge = Joined(*map(open_index, settings.knowledge), shipped_index())
    rows: list[Row] = []
    with only_run(out):
        take_up(out, plan.written(samples, makers))
        for each in benchmarks:
            mine, own = chosen(samples[each.name], plan), list[Row]()
            store = held_back(knowledge, each.name, samples[each.name], out)
            for name, maker in makers.items():
                making = Making(
                    settings=settings, samples=samples[each.name], runs=out / RUNS / each.name / name,
                    knowledge=store, concurrency=plan.concurrency, before=own,
                    benchmark=each.name, seed=plan.seed,
                )  # fmt: skip
                made = maker.make(making)
                asyncio.run(made.prepare())
                check_arm(out, each.name, name, made.identity)
                own += _evaluated(each, name, made, mine, out=out, plan=plan, watch=watch)
            rows += own
    return rows


def _check_shards(arms: Collection[str], samples: Mapping[str, Sequence[Sample]], plan: Plan) -> None:
    """Raise InputError, in every shard alike, for more shards than samples and for an arm that needs the whole set."""
    parts = plan.shard[1]
    counts = {name: len(together(found, plan)) for name, found in samples.items()}
    fewest = min(counts, key=lambda name: counts[name])
    there = counts[fewest]
    if parts > there:
        raise InputError(
            expected=f"at most as many shards as samples or sets of them: {there:,} of {fewest}",
            got=f"{parts:,} shards",
            fix=f"type --shard 1/{there} to --shard {there}/{there}" if there else "name a set with samples",
        )  # fmt: skip
    if SELF_CONSISTENCY in arms and parts > 1:
        raise InputError(
            expected="the whole run for the arm self-consistency: all samples of team and single say how often it asks",
            got=f"--shard {plan.shard[0]}/{parts}",
            fix="run the other arms in shards, merge them, and type the command without --shard, --out the merged run",
        )  # fmt: skip


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
    stopped: list[Exception] = []

    @solver(name=f"polyclinic_{name.replace('-', '_')}")
    def asked() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            sample = by_id[str(state.sample_id)]
            folder = out / RUNS / benchmark.name / name / f"{sample.id}-{state.epoch}"
            try:
                said = await made.answer(sample, folder, root=out)
                row = row_of(sample, said, benchmark=benchmark.name, arm=name, epoch=state.epoch, root=out)
            except Exception as error:  # the border of a sample: inspect keeps no more of it than its words
                error = _as_it_concerns_the_run(error, folder)
                error.add_note(f"at the sample {sample.id} of {benchmark.name}, arm {name}")
                stopped.append(error)
                raise
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
    with _warnings_on_stderr():
        logs = inspect_ai.eval(
            task, model=None, log_dir=str(out / LOGS), epochs=plan.epochs, max_samples=plan.concurrency, max_tasks=1,
            fail_on_error=True, display="none", log_level="warning", ctl_server=False, log_realtime=False,
            metadata={"arm": name, "identity": made.identity, "benchmark": benchmark.name},
        )  # fmt: skip
    if not logs:  # inspect keeps Ctrl-C to itself
        raise KeyboardInterrupt
    (log,) = logs
    if stopped:
        (out / LOGS / Path(log.location).name).unlink(missing_ok=True)  # it stands for nothing
        raise stopped[0]
    rows = rows_in(log)
    keep_only(log, out)
    return rows


@contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    """What a person who waits must know, such as a server that is away: inspect would keep it to itself."""
    handler, logger = logging.StreamHandler(), logging.getLogger("polyclinic")
    handler.setFormatter(logging.Formatter("polyclinic: %(message)s"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _as_it_concerns_the_run(error: Exception, folder: Path) -> Exception:
    """What stopped a run at the sample in `folder`, with what to do about it there; a bug as it is."""
    lost = [trace for trace in (path.with_name(TRACE) for path in folder.glob(f"*/{REPORT}")) if not trace.exists()]
    if type(error) is TraceError or (isinstance(error, StorageError) and lost):
        fix = f"delete {folder} and type the same command: that sample is asked anew"
        return TraceError(expected=error.expected, got=error.got, fix=fix)
    space = "free some space, then type the same command: it goes on where it was"
    if isinstance(error, StorageError):
        return StorageError(expected=error.expected, got=error.got, fix=space)
    if not isinstance(error, OSError) or error.errno is None:
        return error
    return StorageError(
        expected=f"room and permission for a run in {folder}",
        got=f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}",
        fix=space,
    )
