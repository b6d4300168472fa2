"""`polyclinic label`: a person names the classes of a few pictures, and a head learns them while they do.

The pictures that teach most are asked for first; every few labels the head is made again and measured on labels it had
not seen. Each answer is appended to the label file at once, so that the work goes on where it stopped; of several lines
for one picture the last counts, and one without a class takes the label back.
"""

from __future__ import annotations

import csv
import hashlib
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ..core.case import Modality, pseudonym
from ..core.errors import InputError, MissingExtraError, StorageError

if TYPE_CHECKING:
    from ..knowledge.encoders.protocol import Encoder
    from ..tools.neural.heads import Head

UNDO, SKIP, QUIT = "u", "s", "q"
COLUMNS = ("picture", "class", "group")
VECTORS = "vectors.npz"
FOLDERS = "folders"

_READ = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".nii", ".gz"})


def label(
    images: Annotated[Path, typer.Argument(help="The folder of pictures, folders in it included.")],
    out: Annotated[Path, typer.Option(help="The head's folder; its name is the head's name.")],
    classes: Annotated[str, typer.Option(help="The classes, such as benign,malignant,normal.")],
    encoder: Annotated[str, typer.Option(help="radiomics, or a CLIP, SigLIP or DINO model's folder.")] = "radiomics",
    labels: Annotated[
        Path | None, typer.Option(help="The label file: picture,class[,group] (default: labels.csv beside the head).")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="What the pictures are, such as ultrasound.")] = None,
    group: Annotated[
        str | None,
        typer.Option(help="The patient in a file's name: a regular expression with one (group). DICOM files say it."),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="After how many labels the head is made again.")] = 5,
    most: Annotated[int | None, typer.Option(min=1, help="Stop after this many labels in all.")] = None,
    answers: Annotated[
        str | None, typer.Option(help="Ask nobody: a CSV file as --labels, or `folders` for the folders' names.")
    ] = None,
    at_random: Annotated[bool, typer.Option("--at-random", help="Ask in no order, to compare.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="What chance is drawn from.")] = 0,
) -> None:
    """Label pictures one by one, the most telling first, and make a head of them."""
    listed = _classes(classes)
    kinds = _modalities(modality)
    pattern = _pattern(group)
    known = _known(answers, images, listed) if answers and answers != FOLDERS else {}
    shelf = _pictures(images, encoder, out)
    file = labels or out / "labels.csv"
    work = Work(
        shelf=shelf, classes=listed, modalities=kinds, out=out, file=LabelFile(file, images), seed=seed,
        at_random=at_random,
    )  # fmt: skip
    work.group(pattern, {name: patient for name, (_, patient) in known.items() if patient})
    ask = _asked_of(answers, known, work.file, listed) if answers else Terminal(listed)
    typer.echo(f"{len(shelf.paths)} pictures, {len(work.given)} labelled. {'' if answers else _KEYS}".rstrip())
    work.loop(ask, every=every, most=most)
    head = work.finish()
    if head is None:
        typer.echo(f"No head yet: it takes labels of two classes. What was labelled is in {file}.")
        return
    for figure in head.card.figures:
        low, high = figure.interval or (figure.value, figure.value)
        typer.echo(f"{figure.metric}: {figure.value:.3f} ({low:.3f} to {high:.3f}), n = {figure.n}")
    if head.card.doubt and head.card.figures:
        typer.echo(f"{head.card.doubt} Name patients with --group, or in the column group of {file}.")
    typer.echo(f"{out}: the head {head.card.name} of {sum(head.card.labelled.values())} labels ({head.card.method})")


_KEYS = f"Type a class, its number or its beginning; {UNDO} undo, {SKIP} skip, {QUIT} quit."

Ask = Callable[[Path, str], str]
"""Asks for the class of a picture, given its path and how far the work is; may answer UNDO, SKIP or QUIT."""


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """The pictures with their paths, their hashes, pseudonyms of their patients ("" where no header names one) and
    their vectors (n, d)."""

    paths: tuple[Path, ...]
    hashes: tuple[str, ...]
    patients: tuple[str, ...]
    vectors: Any
    encoder: Encoder


class LabelFile:
    """Labels by picture, in the order they were given, on disk line by line. Pictures are named as below `base`."""

    def __init__(self, path: Path, base: Path) -> None:
        self.path, self._base = path, base

    def read(self) -> dict[str, tuple[str, str]]:
        """The class and the group of each picture. Raises InputError for a file that is none."""
        found: dict[str, tuple[str, str]] = {}
        for row in self._rows():
            name = row["picture"]
            found.pop(name, None)
            if row["class"]:
                found[name] = (row["class"], row.get("group") or "")
        return found

    def add(self, picture: Path, klass: str, group: str = "") -> None:
        """Append one line; an empty class takes the picture's label back. Raises StorageError."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            begun = self.path.is_file() and self.path.stat().st_size > 0
            columns = next(csv.reader([self._text().partition("\n")[0]])) if begun else list(COLUMNS)
            with self.path.open("a", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore", lineterminator="\n")
                if not begun:
                    writer.writeheader()
                writer.writerow({"picture": self.name(picture), "class": klass, "group": group})
        except OSError as error:
            raise StorageError(
                expected=f"to write {self.path}", got=error.strerror or str(error), fix="free the disk, or name another"
            ) from error

    def name(self, picture: Path) -> str:
        return picture.relative_to(self._base).as_posix() if picture.is_relative_to(self._base) else picture.as_posix()

    def _text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def _rows(self) -> Iterator[dict[str, str]]:
        if not self.path.exists():
            return
        try:
            rows = list(csv.DictReader(self._text().splitlines()))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise _unfit(self.path, getattr(error, "strerror", None) or str(error)) from None
        for row in rows:
            if not row.get("picture") or row.get("class") is None:
                raise _unfit(self.path, f"the line {dict(list(row.items())[:3])}")
            yield row


@dataclass(kw_only=True)
class Work:
    """The labelling of one set of pictures: what is labelled, what comes next, and the head it makes."""

    shelf: Shelf
    classes: tuple[str, ...]
    modalities: tuple[Modality, ...]
    out: Path
    file: LabelFile
    seed: int = 0
    at_random: bool = False
    given: dict[int, str] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
    skipped: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        rows = {self.file.name(path): row for row, path in enumerate(self.shelf.paths)}
        for name, (klass, group) in self.file.read().items():
            if klass not in self.classes:
                raise InputError(
                    expected=f"labels among {', '.join(self.classes)} in {self.file.path}", got=f"{klass!r} for {name}",
                    fix="name all classes with --classes, or correct the file",
                )  # fmt: skip
            if name in rows:
                self.given[rows[name]], self.groups[rows[name]] = klass, group

    def group(self, pattern: re.Pattern[str] | None, stated: Mapping[str, str]) -> None:
        """Find the patient of every picture whose label names none: as stated, in its name, or in its header.

        Raises InputError for a name that the pattern does not fit.
        """
        for row, path in enumerate(self.shelf.paths):
            patient = self.shelf.patients[row]
            if pattern is not None:
                found = pattern.search(path.name)
                if found is None or not found[1]:
                    raise InputError(
                        expected=f"names that --group {pattern.pattern!r} finds a patient in", got=repr(path.name),
                        fix="correct the pattern, or rename the file",
                    )  # fmt: skip
                patient = pseudonym(found[1])
            self.groups[row] = self.groups.get(row) or stated.get(self.file.name(path)) or patient

    def loop(self, ask: Ask, *, every: int, most: int | None) -> None:
        """Ask until the pictures, `most` labels or the answers are at an end."""
        since = 0
        while (row := self._next()) is not None and (most is None or len(self.given) < most):
            answer = ask(self.shelf.paths[row], f"{len(self.given)} of {len(self.shelf.paths)} labelled")
            if answer == QUIT:
                return
            if answer == UNDO:
                self._undo()
                continue
            if answer == SKIP:
                self.skipped.append(row)
                continue
            self.given[row] = answer
            self.file.add(self.shelf.paths[row], answer, self.groups.get(row, ""))
            since += 1
            if since % every == 0:
                self._say()

    def finish(self) -> Head | None:
        """Make the head with all its figures, write it and give it back; None before there are two classes."""
        if len(set(self.given.values())) < 2:
            return None
        head = self._head(measure=True)
        head.save(self.out)
        return head

    def _next(self) -> int | None:
        from ..tools.neural.active import at_random, most_informative

        choose = at_random if self.at_random else most_informative
        found = choose(self.shelf.vectors, self.given, 1, left_out=self.skipped, seed=self.seed)
        return found[0] if found else None

    def _undo(self) -> None:
        """Take the last label back; its picture is asked for again in its turn."""
        if self.given:
            row, _ = self.given.popitem()
            self.file.add(self.shelf.paths[row], "")

    def _say(self) -> None:
        if len(set(self.given.values())) < 2:
            return
        head = self._head(measure=False)
        accuracy = head.card.accuracy
        if accuracy is None:
            return
        low, high = accuracy.interval or (accuracy.value, accuracy.value)
        typer.echo(
            f"{accuracy.n} labels: cross-validated accuracy {accuracy.value:.2f} ({low:.2f} to {high:.2f}), "
            f"{head.card.method}"
        )

    def _head(self, *, measure: bool) -> Head:
        from ..tools.neural.heads import Label, make_head

        rows = list(self.given)
        labels = [
            Label(picture=self.shelf.hashes[row], klass=self.given[row], group=self.groups.get(row, "")) for row in rows
        ]
        return make_head(
            self.out.resolve().name, self.shelf.encoder, self.shelf.vectors[rows], labels, classes=self.classes,
            modalities=self.modalities, seed=self.seed, measure="all" if measure else "accuracy",
        )  # fmt: skip


class Terminal:
    """Asks the person at the terminal."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._shown = ", ".join(f"{number} {klass}" for number, klass in enumerate(classes, 1))

    def __call__(self, picture: Path, progress: str) -> str:
        typer.echo(f"\n[{progress}] {picture}")
        while True:
            try:
                typed = typer.prompt(self._shown, prompt_suffix=": ").strip()
            except (typer.Abort, EOFError):
                typer.echo()
                return QUIT
            if meant := self._meant(typed):
                return meant
            typer.echo(f"{typed!r} is none of them. {_KEYS}")

    def _meant(self, typed: str) -> str | None:
        """The class, by its name, its number or a beginning that no other has; or what to do instead."""
        if typed in self._classes:
            return typed
        if typed.lower() in {UNDO, SKIP, QUIT}:
            return typed.lower()
        if typed.isascii() and typed.isdigit():
            return self._classes[int(typed) - 1] if 1 <= int(typed) <= len(self._classes) else None
        begun = [klass for klass in self._classes if typed and klass.lower().startswith(typed.lower())]
        return begun[0] if len(begun) == 1 else None


def _asked_of(answers: str, known: Mapping[str, tuple[str, str]], file: LabelFile, classes: Sequence[str]) -> Ask:
    """Answers from the names of folders or from what is known instead of a person; a picture without one is skipped."""
    if answers == FOLDERS:
        return lambda picture, _: picture.parent.name if picture.parent.name in classes else SKIP
    return lambda picture, _: known.get(file.name(picture), (SKIP, ""))[0]


def _known(answers: str, images: Path, classes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The class and the group of each picture in a CSV file. Raises InputError."""
    file = LabelFile(Path(answers), images)
    if not file.path.is_file():
        raise InputError(expected="a CSV file, or the word folders", got=repr(answers), fix="check --answers")
    known = file.read()
    strange = next((klass for klass, _ in known.values() if klass not in classes), None)
    if strange is not None:
        raise InputError(
            expected=f"answers among {', '.join(classes)}", got=f"{strange!r} in {answers!r}", fix="correct --classes"
        )
    return known


def _pattern(typed: str | None) -> re.Pattern[str] | None:
    if typed is None:
        return None
    try:
        pattern = re.compile(typed)
        got = f"{pattern.groups} groups in {typed!r}"
    except re.error as error:
        pattern, got = None, f"{typed!r}: {error}"
    if pattern is None or pattern.groups != 1:
        raise InputError(
            expected="--group with a regular expression that has one group", got=got, fix=r"type it as '^(\d+)_'"
        )
    return pattern


def _classes(typed: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in typed.split(","))
    if len(found) < 2 or not all(found) or len(set(found)) < len(found) or {UNDO, SKIP, QUIT} & set(found):
        raise InputError(
            expected=f"two classes or more with names of their own, none of them {UNDO}, {SKIP} or {QUIT}",
            got=repr(typed), fix="type them as --classes benign,malignant,normal",
        )  # fmt: skip
    return found


def _modalities(typed: str | None) -> tuple[Modality, ...]:
    known: tuple[Modality, ...] = get_args(Modality)
    if typed is None:
        return ()
    if typed not in known:
        raise InputError(expected="--modality " + ", ".join(known), got=repr(typed), fix="name one of them")
    return tuple(kind for kind in known if kind == typed)


def _pictures(folder: Path, spec: str, out: Path) -> Shelf:
    """Every picture below `folder` with its vector; those that cannot be read are named and left out."""
    import numpy as np

    from ..knowledge.encoders.load import load_encoder

    try:
        from ..tools.imaging.dicom import is_dicom, read_dicom_facts
        from ..tools.imaging.store import read_picture
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error.name or "pillow", "imaging") from None
    if not folder.is_dir():
        raise InputError(expected="a folder of pictures", got=f"{str(folder)!r}, which is none", fix="check the path")
    if folder.resolve().is_relative_to(out.resolve()):
        raise InputError(
            expected="a folder of the head's own, beside the pictures or below them", got=f"--out {str(out)!r}",
            fix="name another",
        )  # fmt: skip
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            expected=f"--out with a folder that can be written: {out}", got=error.strerror or str(error),
            fix="name another",
        ) from None  # fmt: skip
    encoder = load_encoder(spec)
    kept = _kept(out / VECTORS, encoder.identity)
    paths, hashes, patients, rows = [], [], [], []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in _READ):
        if path.resolve().is_relative_to(out.resolve()):
            continue
        try:
            data = path.read_bytes()
            name = hashlib.sha256(data).hexdigest()
            if name not in kept:
                kept[name] = encoder.encode_pictures([read_picture(path)])[0]
            patients.append((read_dicom_facts(path).patient_id if is_dicom(data) else None) or "")
        except (InputError, OSError) as error:
            typer.echo(f"left out: {path}: {error.got if isinstance(error, InputError) else error.strerror}", err=True)
            continue
        paths.append(path)
        hashes.append(name)
        rows.append(kept[name])
    if len(paths) < 2:
        raise InputError(
            expected="a folder of two pictures or more", got=f"{len(paths)} in {str(folder)!r}", fix="name another"
        )
    vectors = np.stack(rows).astype(np.float32)
    np.savez(out / VECTORS, identity=np.array(encoder.identity), hashes=np.array(hashes), vectors=vectors)
    return Shelf(
        paths=tuple(paths), hashes=tuple(hashes), patients=tuple(patients), vectors=vectors, encoder=encoder
    )  # fmt: skip


def _kept(file: Path, identity: str) -> dict[str, Any]:
    """Vectors by picture from an earlier time, if they are this encoder's."""
    import numpy as np

    try:
        with np.load(file, allow_pickle=False) as arrays:
            if str(arrays["identity"]) == identity:
                return dict(zip(map(str, arrays["hashes"]), arrays["vectors"], strict=True))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass  # none yet, or damaged: they are made again
    return {}


def _unfit(path: Path, got: str) -> InputError:
    return InputError(
        expected="a CSV file with the columns picture and class", got=f"{got} in {str(path)!r}", fix="correct the file"
    )
