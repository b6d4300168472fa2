"""`polyclinic label`: typed answers, undone, resumed or read from files, and the head that comes of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pydicom
import pytest
import skimage.data
import typer
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from polyclinic.app.label import LabelFile, Terminal, label
from polyclinic.core.case import pseudonym
from polyclinic.core.errors import InputError
from polyclinic.tools.neural.heads import head_tool, read_head


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(label)
    return app


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight patches each of bricks and of grass, in folders of these names."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name in ("brick", "grass"):
        (folder / name).mkdir()
        for number, (top, left) in enumerate(rng.integers(0, 400, (8, 2))):
            picture = getattr(skimage.data, name)()[top : top + 96, left : left + 96]
            PIL.Image.fromarray(picture).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def pictures(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals, tmp_path / "pictures"))


def arguments(pictures: Path, out: Path, *more: str) -> list[str]:
    return [str(pictures), "--out", str(out), "--classes", "brick,grass", *more]


def test_answers_from_folders_make_a_head_that_is_a_tool(command: typer.Typer, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "my head"
    done = CliRunner().invoke(command, arguments(pictures, out, "--answers", "folders", "--modality", "photograph"))
    assert done.exit_code == 0, done.output
    assert "16 pictures, 0 labelled." in done.output
    assert "5 labels: cross-validated accuracy" in done.output
    card = read_head(out).card
    assert card.name == "my_head"
    assert card.labelled == {"brick": 8, "grass": 8}
    assert card.accuracy is not None
    assert card.accuracy.value > 0.8
    assert head_tool(out).card.modalities == ("photograph",)
    assert len((out / "labels.csv").read_text().splitlines()) == 17


def test_a_person_types_undoes_skips_and_goes_on_later(command: typer.Typer, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "head"
    typed = "g\n2\nwhat\nu\n1\ns\nbrick\nq\n"
    done = CliRunner().invoke(command, arguments(pictures, out), input=typed)
    assert done.exit_code == 0, done.output
    assert "'what' is none of them. Type a class, its number or its beginning" in done.output
    labelled = list(LabelFile(out / "labels.csv", pictures).read().values())
    assert [klass for klass, _ in labelled] == ["grass", "brick", "brick"]
    again = CliRunner().invoke(command, arguments(pictures, out, "--most", "4"), input="grass\n")
    assert "16 pictures, 3 labelled." in again.output
    assert read_head(out).card.labelled == {"brick": 2, "grass": 2}


def test_the_end_of_the_input_ends_the_work_and_keeps_it(command: typer.Typer, pictures: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, arguments(pictures, tmp_path / "head"), input="1\n")
    assert done.exit_code == 0, done.output
    assert "No head yet: it takes labels of two classes." in done.output
    assert len(LabelFile(tmp_path / "head" / "labels.csv", pictures).read()) == 1


def test_a_label_file_answers_and_its_groups_are_kept(command: typer.Typer, pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "known.csv"
    lines = [f"{kind}/{n}.png,{kind},patient {kind} {n // 2}" for kind in ("brick", "grass") for n in range(8)]
    file.write_text("\n".join(["picture,class,group", *lines]) + "\n")
    done = CliRunner().invoke(command, arguments(pictures, tmp_path / "head", "--labels", str(file), "--most", "1"))
    assert done.exit_code == 0, done.output
    assert "16 pictures, 16 labelled." in done.output
    assert read_head(tmp_path / "head").card.groups == 8
    other = arguments(pictures, tmp_path / "other", "--answers", str(file), "--most", "6")
    assert CliRunner().invoke(command, other).exit_code == 0
    assert sum(read_head(tmp_path / "other").card.labelled.values()) == 6


def test_patients_come_from_names_files_of_answers_and_headers(
    command: typer.Typer, pictures: Path, tmp_path: Path
) -> None:
    for file in sorted(pictures.glob("*/*.png")):
        file.rename(file.with_name(f"{file.parent.name}{int(file.stem) // 4}_{file.name}"))
    unknown = CliRunner().invoke(command, arguments(pictures, tmp_path / "a", "--answers", "folders"))
    assert "The patient of 16 of 16 labelled pictures is not known: pictures of one patient may lie" in unknown.output
    assert "Name patients with --group, or in the column group of" in unknown.output
    assert any("both sides of a fold" in limit for limit in head_tool(tmp_path / "a").card.limits)
    named = arguments(pictures, tmp_path / "b", "--answers", "folders", "--group", r"^(\w+?)_")
    done = CliRunner().invoke(command, named)
    assert "is not known" not in done.output
    assert read_head(tmp_path / "b").card.groups == 4
    assert not any("both sides of a fold" in limit for limit in head_tool(tmp_path / "b").card.limits)
    kept = LabelFile(tmp_path / "b/labels.csv", pictures).read()
    assert {group for _, group in kept.values()} == {
        pseudonym(f"{kind}{n}") for kind in ("brick", "grass") for n in (0, 1)
    }
    answers = arguments(pictures, tmp_path / "c", "--answers", str(tmp_path / "b/labels.csv"))
    assert CliRunner().invoke(command, answers).exit_code == 0
    assert read_head(tmp_path / "c").card.groups == 4


def test_the_patient_in_a_dicom_header_is_never_stored_as_read(command: typer.Typer, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    header = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    header.PatientID = "Hudson^1951"
    for number, kind in enumerate(("a", "a", "b", "b")):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        header.PixelData = np.roll(header.pixel_array, 30 * number, axis=0).tobytes()
        header.save_as(folder / kind / f"{number}.dcm")
    out = tmp_path / "head"
    done = CliRunner().invoke(
        command, [str(folder), "--out", str(out), "--classes", "a,b", "--answers", "folders", "--most", "4"]
    )
    assert done.exit_code == 0, done.output
    assert {group for _, group in LabelFile(out / "labels.csv", folder).read().values()} == {pseudonym("Hudson^1951")}
    assert all(b"Hudson" not in file.read_bytes() for file in out.iterdir())


def test_equal_labels_give_an_equal_head(command: typer.Typer, pictures: Path, tmp_path: Path) -> None:
    for name in ("a/head", "b/head"):
        CliRunner().invoke(command, arguments(pictures, tmp_path / name, "--answers", "folders", "--most", "8"))
    assert (tmp_path / "a/head/head.json").read_bytes() == (tmp_path / "b/head/head.json").read_bytes()
    assert (tmp_path / "a/head/head.npz").read_bytes() == (tmp_path / "b/head/head.npz").read_bytes()


def test_at_random_asks_in_another_order(command: typer.Typer, pictures: Path, tmp_path: Path) -> None:
    orders = []
    for more in ([], ["--at-random"], ["--at-random", "--seed", "1"]):
        out = tmp_path / f"head{len(orders)}"
        CliRunner().invoke(command, arguments(pictures, out, "--answers", "folders", "--most", "6", *more))
        orders.append(list(LabelFile(out / "labels.csv", pictures).read()))
    assert len({tuple(order) for order in orders}) == 3


def test_what_is_no_picture_is_named_and_left_out(command: typer.Typer, pictures: Path, tmp_path: Path) -> None:
    (pictures / "notes.png").write_text("no picture")
    (pictures / "notes.txt").write_text("not looked at")
    done = CliRunner().invoke(command, arguments(pictures, tmp_path / "head", "--answers", "folders", "--most", "2"))
    assert "left out: " in done.stderr
    assert "notes.png" in done.stderr
    assert "notes.txt" not in done.output + done.stderr
    assert "16 pictures" in done.output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--classes", "one"], "two classes or more"),
        (["--classes", "a,a"], "two classes or more"),
        (["--classes", "q,a"], "none of them u, s or q"),
        (["--modality", "xrays"], "--modality blood_smear"),
        (["--answers", "nowhere.csv"], "a CSV file, or the word folders"),
        (["--encoder", "nowhere"], "radiomics, minilm, a model's folder"),
        (["--group", "("], "a regular expression that has one group; got '('"),
        (["--group", "name"], "a regular expression that has one group; got 0 groups in 'name'"),
        (["--group", "(patient)"], "names that --group '(patient)' finds a patient in; got '0.png'"),
        (["--labels", "."], "a CSV file with the columns picture and class; got Is a directory in '.'"),
    ],
)
def test_what_cannot_be_used_is_told(
    command: typer.Typer, pictures: Path, tmp_path: Path, more: list[str], said: str
) -> None:
    done = CliRunner().invoke(command, [*arguments(pictures, tmp_path / "head"), *more])
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)


def test_a_folder_of_a_head_that_cannot_be_one_is_told(command: typer.Typer, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for out, said in (
        (tmp_path / "file", "File exists"), (tmp_path / "file/head", "Not a directory"),
        (pictures, "beside the pictures"), (tmp_path, "a folder of the head's own"),
    ):  # fmt: skip
        done = CliRunner().invoke(command, arguments(pictures, out))
        assert isinstance(done.exception, InputError)
        assert said in str(done.exception)


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "picture,class\nx\n", "picture,class\n,brick\n"])
def test_a_file_of_no_labels_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=r"the columns picture and class"):
        LabelFile(tmp_path / "labels.csv", tmp_path).read()


def test_a_label_of_no_class_is_told(command: typer.Typer, pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("picture,class\nbrick/0.png,stone\n")
    done = CliRunner().invoke(command, arguments(pictures, tmp_path / "head", "--labels", str(file)))
    assert isinstance(done.exception, InputError)
    assert "'stone' for brick/0.png" in str(done.exception)


def test_a_beginning_that_two_classes_share_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["be", "0", "3", "ben"])
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: next(typed))
    assert Terminal(("benign", "beyond"))(Path("a.png"), "0 of 1") == "benign"
