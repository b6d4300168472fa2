"""`polyclinic eval`: list, run, report, compare, merge, reliability and plan of benchmark runs."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import InputError
from .interruption import interruptible

evals = typer.Typer(
    name="eval", no_args_is_help=True, rich_markup_mode=None, help="Run benchmarks and read the results."
)

Folders = Annotated[list[Path], typer.Argument(help="Folders of finished runs; several are read as one (shards).")]


@evals.command("list")
def list_them() -> None:
    """List the benchmarks, what each asks, and whether it was run on the published set; then the arms."""
    from ..evals.arms import ARMS
    from ..evals.benchmarks.table import BENCHMARKS, benchmark

    width = max(map(len, BENCHMARKS))
    for name in BENCHMARKS:
        found = benchmark(name)
        tried = "" if found.tried else " (never run on the real set)"
        typer.echo(f"{name:<{width}}  {found.task:<11}  {found.summary}{tried}")
    typer.echo("\narms")
    for name, kind in ARMS.items():
        typer.echo(f"{name:<{width}}  {kind.summary}{' (needs --engine URL)' if kind.served else ''}")
    typer.echo(f"{'tool:NAME':<{width}}  an expert tool by itself, as polyclinic tools list names it")


@evals.command()
def run(
    benchmarks: Annotated[list[str], typer.Argument(help="Benchmarks, as `polyclinic eval list` names them.")],
    data: Annotated[Path, typer.Option(help="The folder of the data sets, or a set's own folder or file.")],
    out: Annotated[Path, typer.Option(help="Where logs and traces go; a run that was killed goes on.")],
    arm: Annotated[list[str] | None, typer.Option(help="Who answers; may be repeated (default: embedded).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many samples of each, drawn by --seed.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="How often each sample is asked.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, help="Samples at once.")] = 8,
    shard: Annotated[str, typer.Option(help="i/n: only the i-th of n parts.")] = "1/1",
    seed: Annotated[int, typer.Option(min=0, help="What the order of samples is drawn from.")] = 0,
    engine: Annotated[str | None, typer.Option(help="A server's URL, for the arms that need a model.")] = None,
    model: Annotated[str | None, typer.Option(help="What the server calls its model.")] = None,
    knowledge: Annotated[list[Path] | None, typer.Option(help="An index to search as well; may be repeated.")] = None,
) -> None:
    """Run benchmarks with one or more arms on the same samples; the same command goes on with a run that was killed."""
    from ..core.settings import load_settings
    from ..evals.arms import arm as arm_type
    from ..evals.benchmarks.table import benchmark
    from ..evals.leakage import sentences_of
    from ..evals.plan import said_of
    from ..evals.run import Plan
    from ..evals.run import run as carry_out
    from ..evals.tables import page

    names = list(dict.fromkeys(arm or ["embedded"]))
    given = {"engine": engine, "model": model, "knowledge": tuple(knowledge) if knowledge else None}
    settings = load_settings({name: value for name, value in given.items() if value is not None})
    for name in names:
        if arm_type(name).served and not settings.engine.startswith(("http://", "https://")):
            raise InputError(
                expected=f"a served model for the arm {name}", got=f"the engine {settings.engine!r}",
                fix="type --engine http://localhost:8000/v1, or leave the arm out",
            )  # fmt: skip
    plan = Plan(limit=limit, epochs=epochs, concurrency=concurrency, shard=_shard(shard), seed=seed)
    chosen = [benchmark(name) for name in dict.fromkeys(benchmarks)]
    with interruptible():
        rows = carry_out(chosen, names, data, out, settings, plan, watch=_watch)
    typer.echo(page(rows, notes=[*said_of([out]), *sentences_of([out])]), nl=False)


@evals.command()
def report(
    folders: Folders,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables there instead of printing them.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write one page with tables, figures and cases there.")] = None,
) -> None:
    """Print the tables of finished runs as Markdown, or write them and a page that needs no other file."""
    from ..evals.leakage import sentences_of
    from ..evals.logs import rows_of, unfinished
    from ..evals.plan import check_together, said_of
    from ..evals.report.cases import traced_from
    from ..evals.report.page import page
    from ..evals.report.summary import summaries
    from ..evals.tables import markdown as as_markdown

    check_together(folders)
    home = html.parent if html else Path()
    found = summaries(row for folder in folders for row in traced_from(rows_of([folder]), run=folder, page=home))
    gaps = [_gaps(folder, unfinished(folder)) for folder in folders if unfinished(folder)]
    notes = [*said_of(folders), *gaps, *sentences_of(folders)]
    if html is not None:
        _write(html, page(found, runs=[str(folder) for folder in folders], notes=notes), option="--html")
    if markdown is not None:
        _write(markdown, as_markdown(found, notes=notes), option="--markdown")
    if html is None and markdown is None:
        typer.echo(as_markdown(found, notes=notes), nl=False)


def _gaps(folder: Path, missing: Sequence[str]) -> str:
    return (
        f"{folder} is not finished: no log, or none that can be read, of {'; '.join(missing)}. Type the same "
        "polyclinic eval run again."
    )


def _write(path: Path, text: str, *, option: str) -> None:
    """Write a file and say so. Raises InputError where it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            expected="a file to write to", got=f"{path}: {error.strerror}", fix=f"name another with {option}"
        ) from error
    typer.echo(str(path))


@evals.command()
def compare(
    first: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    second: Annotated[Path, typer.Argument(help="Another one, of the same benchmarks.")],
) -> None:
    """Compare two runs arm by arm, on the samples both asked: exact test, adjusted (Holm), and the difference."""
    from ..evals.logs import rows_of, unfinished
    from ..evals.plan import asked_of, other_sets
    from ..evals.results import adjusted, by_arm, pair, taught
    from ..evals.tables import chance

    before, after = (by_arm(rows_of([folder])) for folder in (first, second))
    shared = sorted(before.keys() & after.keys())
    if not shared:
        raise InputError(
            expected="two runs with a benchmark and an arm in common", got="none", fix="name runs of the same benchmark"
        )
    for benchmark in other_sets(first, second):
        typer.echo(
            f"{benchmark}: the two runs read other data, or another version of polyclinic read them: what is compared "
            "are samples of the same name and key"
        )
    for folder in (first, second):
        for line in asked_of([folder]):
            typer.echo(f"{folder}: {line}")
        if missing := unfinished(folder):
            typer.echo(_gaps(folder, missing))
    made_from = [key for key in shared if taught([*before[key], *after[key]])]
    for benchmark, arm in made_from:
        typer.echo(f"{benchmark}, {arm}: made from these very samples, so that nothing is compared")
    for found in adjusted([pair(before[key], after[key]) for key in shared if key not in made_from]):
        benchmark, arm = found.benchmark, found.first
        left = len(before[benchmark, arm]) + len(after[benchmark, arm]) - 2 * found.n
        typer.echo(
            f"{benchmark}, {arm}: first minus second {found.difference.value:+.3f} "
            f"({found.difference.low:+.3f} to {found.difference.high:+.3f}), n = {found.n}; groups for the first "
            f"{found.test.for_first}, for the second {found.test.for_second}, exact p = {chance(found.test.p)}, "
            f"after Holm {chance(found.adjusted_p)}"
            + (f"; {left} answers of one run alone are left out" if left else "")
        )
    for benchmark, arm in sorted(before.keys() ^ after.keys()):
        typer.echo(f"{benchmark}, {arm}: in one run only")


@evals.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="The folders of all shards of one run.")],
    out: Annotated[Path, typer.Option(help="A new folder for the whole run.")],
) -> None:
    """Join the shards of a run into one folder, as a run without shards would have left it."""
    from ..evals.merge import merge as joined

    count = joined(folders, out)
    typer.echo(f"{out}: {count} logs of {len(folders)} shards")


@evals.command()
def unpack(
    benchmark: Annotated[str, typer.Argument(help="A benchmark whose pictures stand in its file.")],
    data: Annotated[Path, typer.Option(help="The folder of the data sets, or the set's own.")],
) -> None:
    """Write the pictures that a benchmark's file holds to a folder beside it, where `eval run` looks for them."""
    from ..evals.benchmarks.table import BENCHMARKS
    from ..evals.benchmarks.table import benchmark as named

    found = named(benchmark)
    if found.unpack is None:
        there = [name for name in BENCHMARKS if named(name).unpack]
        raise InputError(
            expected=f"a benchmark whose pictures stand in its file: {' or '.join(there)}", got=benchmark,
            fix="type polyclinic eval run: its pictures are files already, or it has none",
        )  # fmt: skip
    path = found.at(data)
    typer.echo(f"{found.unpack(path):,} pictures beside {path}")


@evals.command()
def reliability(
    folders: Folders,
    out: Annotated[Path, typer.Option(help="The table to write; the setting `reliability` names it to a clinic.")],
) -> None:
    """Write how often each role and tool was right, by modality, for the attending to read."""
    from ..evals.reliability import reliability as measured

    table = measured(folders)
    try:
        out.write_text(table.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            expected="a file to write to", got=f"{out}: {error.strerror}", fix="name another with --out"
        ) from error
    for name, shares in sorted({**table.roles, **table.tools}.items()):
        for modality, share in sorted(shares.items()):
            typer.echo(f"{name}, {modality}: {share.right} of {share.n} ({share.low:.2f} to {share.high:.2f})")
    typer.echo(str(out))


@evals.command()
def plan(
    n: Annotated[int, typer.Argument(min=2, max=100_000, help="How many samples.")],
    discordance: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The share of samples that only one of two arms has right.")
    ] = 0.2,
    alpha: Annotated[float, typer.Option(help="The error that is allowed.")] = 0.05,
    power: Annotated[float, typer.Option(help="How likely a true difference is to be found.")] = 0.8,
    tests: Annotated[int, typer.Option(min=1, help="How many comparisons the run will make (Holm).")] = 1,
) -> None:
    """Say which difference of two arms so many samples can show, before a run is paid for."""
    from ..evals.statistics.power import detectable_difference

    found = detectable_difference(n, discordance=discordance, alpha=alpha / tests, power=power)
    if math.isnan(found):
        raise InputError(
            expected=f"enough samples to show a difference where {discordance:g} of them are right by one arm alone",
            got=f"{n:,}: not even the greatest difference there can be would be found",
            fix="type a larger number of samples",
        )  # fmt: skip
    typer.echo(
        f"{n:,} samples show a difference of {found:.3f} or more (McNemar's exact test, error {alpha:g}"
        + (f" over {tests:,} comparisons" if tests > 1 else "")
        + f", power {power:g}, {discordance:g} of the samples right by one arm alone)."
    )


def _shard(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise InputError(expected="--shard i/n with 1 ≤ i ≤ n", got=repr(text), fix="type --shard 1/4 for a quarter")
    return int(part), int(parts)


def _watch(what: str, done: int, total: int) -> None:
    """A line per tenth, on stderr."""
    if done == total or done * 10 // total > (done - 1) * 10 // total:
        print(f"{what}: {done:,} of {total:,}", file=sys.stderr)
