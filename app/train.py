"""`polyclinic train`: making the networks of the learned tools again, with bars that say how far it is."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..core.errors import MissingExtraError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ..tools.learned.cards import TrainedCard

_PACKAGES = ("torch", "onnx", "onnxruntime", "skimage", "PIL")


def train(
    name: Annotated[str, typer.Argument(help="The recipe, such as vessels or nuclei.")],
    data: Annotated[Path, typer.Option(help="The folder of the data set, or one that holds it.")],
    out: Annotated[Path, typer.Option(help="Where the weights and their card go; a training that was ended goes on.")],
    folds: Annotated[int, typer.Option(min=2, help="Into how many parts the data are cut to be measured on.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="What all chance is drawn from.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, or cuda where there is a GPU.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; figures can differ in the last digits.")] = 1,
    only_figures: Annotated[
        bool, typer.Option("--only-figures", help="Train nothing: measure the networks in the folder again.")
    ] = False,
) -> None:
    """Train the network of a learned tool: cross-validated, exported to ONNX, with a card of its figures.

    kind_of_picture, by which the gate tells kinds of pictures apart, has no network: it takes --data and --out alone.
    """
    from ..tools.learned.training.table import KINDS, check_name

    if name == KINDS:
        _train_kinds(data, out)
        return
    check_name(name)
    _check_installed(*_PACKAGES)
    from ..tools.learned.training.recipe import train as carry_out
    from ..tools.learned.training.table import recipe

    with _Bars() as bars:
        card = carry_out(
            recipe(name), data, out, count=folds, seed=seed, device=device, threads=threads,
            only_figures=only_figures, progress=bars.see,
        )  # fmt: skip
    _say(card, out)


def _train_kinds(data: Path, out: Path) -> None:
    _check_installed("skimage", "PIL")
    from ..tools.gate.recipe import train as carry_out

    typer.echo("kind_of_picture: some minutes", err=True)
    written = carry_out(data, out)
    typer.echo(f"{written}: the model")
    typer.echo(f"{written.with_suffix('.json')}: its figures")


def _check_installed(*packages: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        extra = "train" if missing[0] in {"torch", "onnx"} else "imaging"
        raise MissingExtraError.of(missing[0], extra)


def _say(card: TrainedCard, out: Path) -> None:
    for figure in card.figures:
        low, high = figure.interval or (figure.value, figure.value)
        typer.echo(f"{figure.metric}: {figure.value:g} ({low:g} to {high:g}), {figure.dataset}, n = {figure.n}")
    typer.echo(f"{out / card.name}.onnx: {card.parameters} parameters, sha256 {card.sha256[:12]}…")
    typer.echo(f"{out / card.name}.json: its card")


class _Bars:
    """A bar per fit on a terminal, a line per tenth of a fit elsewhere; both on stderr."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _Bars:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
                TimeRemainingColumn(), TextColumn("loss {task.fields[loss]:.3f}"), console=Console(stderr=True),
            )  # fmt: skip
            self._bars.start()
        return self

    def __exit__(self, *error: object) -> Literal[False]:
        if self._bars:
            self._bars.stop()
        return False

    def see(self, fit: str, done: int, steps: int, loss: float) -> None:
        """Take note of one step."""
        if self._bars:
            if fit not in self._tasks:
                self._tasks[fit] = self._bars.add_task(fit, total=steps, loss=loss)
            self._bars.update(self._tasks[fit], completed=done, loss=loss)
        elif done * 10 // steps > (done - 1) * 10 // steps:
            typer.echo(f"{fit}: step {done} of {steps}, loss {loss:.3f}", err=True)
