"""The command line: what a person types and what comes back. Exit codes: 0 done, 1 failed, 2 bad input or set-up."""

from __future__ import annotations

import gc
import io
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from .evals import evals
from .index import index, search
from .interruption import interruptible
from .label import label
from .models import models
from .tools import Models, tools
from .train import train

COLLECT = (10_000, 20, 50)
"""How seldom the garbage collector looks: a command that imports and records much pays an eighth of its work for the
usual (700, 10, 10), in pauses of up to half a second (docs/lab-log.md)."""

app = typer.Typer(
    name="polyclinic",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


app.add_typer(models)
app.add_typer(index)
app.add_typer(tools)
app.add_typer(evals)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"polyclinic {version('polyclinic')}")
        raise typer.Exit


@app.callback()
def polyclinic(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Multi-agent clinical reasoning with evidence for every statement and a trace that replays.

    Research software, not a medical device.
    """


Engine = Annotated[
    str | None, typer.Option(help="embedded (the default), or a server's URL: http://localhost:8000/v1.")
]
Model = Annotated[str | None, typer.Option(help="What the server calls its model (its only one by default).")]
Indexes = Annotated[list[Path] | None, typer.Option(help="An index to search as well; may be repeated.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
Run = Annotated[Path, typer.Argument(help="A trace file, a run folder or a transcript.")]


@app.command()
def ask(
    case: Annotated[Path | None, typer.Argument(help="A case file, JSON or YAML.")] = None,
    question: Annotated[str | None, typer.Option(help="The question (wins over the case file's).")] = None,
    image: Annotated[list[str] | None, typer.Option(help="PNG, JPEG, TIFF, DICOM or NIfTI; may be repeated.")] = None,
    modality: Annotated[str | None, typer.Option(help="What the images are, such as fundus, ct or histology.")] = None,
    options: Annotated[str | None, typer.Option(help='Answer options: "A=first;B=second".')] = None,
    visits: Annotated[Path | None, typer.Option(help="Earlier visits: YAML, JSON or a FHIR Bundle.")] = None,
    engine: Engine = None,
    model: Model = None,
    runs: Annotated[Path | None, typer.Option(help="Folder for traces (default: runs).")] = None,
    root: Annotated[Path | None, typer.Option(help="The only folder images may be read from.")] = None,
    knowledge: Indexes = None,
    models: Models = None,
    as_json: AsJson = False,
) -> None:
    """Ask the clinic about a case; the same command resumes a run that was interrupted."""
    from . import run

    with interruptible():
        run.ask(
            case, question=question, images=image or [], modality=modality, options=options, visits=visits,
            settings={
                "engine": engine, "model": model, "runs": runs, "root": root,
                "knowledge": tuple(knowledge) if knowledge else None, "models": models,
            },
            as_json=as_json,
        )  # fmt: skip


@app.command()
def replay(
    path: Run,
    fork_at: Annotated[int | None, typer.Option(help="Replay up to this step, then go live.")] = None,
    engine: Engine = None,
    model: Model = None,
    knowledge: Indexes = None,
    as_json: AsJson = False,
) -> None:
    """Give a recorded run or conversation back exactly, without any model; or ask it again with --engine."""
    from . import run

    with interruptible():
        chosen = {"engine": engine, "model": model, "knowledge": tuple(knowledge) if knowledge else None}
        run.replay(path, fork_at=fork_at, settings=chosen, as_json=as_json)


@app.command()
def trace(path: Run) -> None:
    """Show who did what, in which step, and how long it took."""
    from . import run

    run.trace(path)


@app.command()
def verify(path: Run) -> None:
    """Check that no line of a finished run was edited, removed or moved."""
    from . import run

    run.verify(path)


app.command()(search)
app.command()(train)
app.command()(label)


@app.command()
def doctor() -> None:
    """Say what is installed, what is missing and what to type."""
    from .doctor import examine

    raise typer.Exit(examine())


def main() -> None:
    """The `polyclinic` command: one plain line on stderr for every error that is not a bug."""
    gc.set_threshold(*COLLECT)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ✓ shows ?
    try:
        try:
            app()
        except SystemExit as end:
            if isinstance(end.__context__, BrokenPipeError):  # typer makes it an exit with code 1
                raise end.__context__ from None
            sys.stdout.flush()  # what is still held back must not fail later, where nobody catches it
            raise
    except BrokenPipeError:
        _reader_gone()
    except OSError as error:
        _say(f"expected to print; got {error.strerror or error}; give the output another place")
        sys.exit(1)
    except Exception as error:
        from ..core.errors import InputError, PolyclinicError, SetupError

        if not isinstance(error, PolyclinicError):
            raise
        _say(str(error))
        sys.exit(2 if isinstance(error, InputError | SetupError) else 1)


def _reader_gone() -> NoReturn:
    """Ends as a program does whose reader has seen enough, such as `head`: without a word, by the code of SIGPIPE."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    sys.exit(141)


def _say(message: str) -> None:
    print(f"polyclinic: {message}", file=sys.stderr)
