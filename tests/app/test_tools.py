"""`polyclinic tools` as a person uses it, and the example of docs/adding-a-tool.md as its reader would."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from polyclinic.core.blobs import Blobs
from polyclinic.core.case import Image
from polyclinic.core.errors import InputError, ToolRefusedError
from polyclinic.tools.imaging.store import ImageStore
from polyclinic.tools.registry import TOOLS, Toolbox
from polyclinic.tools.workers import shared_workers

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "adding-a-tool.md").read_text(encoding="utf-8")
RETINA = "package://skimage/data/retina.jpg"
Run = Callable[..., subprocess.CompletedProcess[str]]

MORE = """
import os
from polyclinic.core.errors import SetupError, ToolRefusedError
from polyclinic.tools.card import (
    Arguments, ComparedImagesArguments, Detection, Measurement, ScaledImageArguments, Tool, ToolCard, ToolOutput,
    measured,
)


class Weight(Arguments):
    weight_kg: float
    height_m: float = 1.7
    note: str | None = None


class Body(ToolOutput):
    bmi: Measurement


def bmi(given, images):
    if given.weight_kg > 500:
        raise ToolRefusedError(expected="a weight up to 500 kg", got=f"{given.weight_kg:g}", fix="check the unit")
    value = given.weight_kg / given.height_m**2
    return Body(bmi=measured("bmi", value, "kg/m2", "The body mass index is {}.", digits=1))


class Change(ToolOutput):
    change: Measurement
    found: tuple[Detection, ...] = ()
    before: str


def change(given, images):
    import numpy as np
    now, then = (images.open(one).array.astype(float) for one in (given.image, given.earlier))
    mask = images.put_mask(np.abs(now - then) > 100)
    picture = images.put_picture(np.zeros((8, 8, 3), np.uint8))
    return Change(
        change=measured("grey level", now.mean() - then.mean(), "1", "It is brighter by {}.", digits=1, mask=mask),
        found=(Detection(label="spot", box_px=(0, 0, 2, 2), score=0.5),), overlay=picture, before=given.earlier,
    )


class Size(ToolOutput):
    pixel: Measurement | None = None


def size(given, images):
    if given.spacing_mm is None:
        return Size()
    return Size(pixel=measured("pixel", given.spacing_mm[0] * given.spacing_mm[1], "mm2", "A pixel is {}.", digits=2))


def crash(given, images):
    os.abort() if os.environ.get("OMP_NUM_THREADS") == "1" else {}["missing words"]


def unwell():
    raise SetupError(expected="weights", got="none", fix="fetch them")


def _tool(name, arguments, output, run, modalities=(), **more):
    facts = {"version": "1.0.0", "summary": "For tests.", "measures": ("a",), "limits": ("b.",)}
    card = ToolCard(name=name, modalities=modalities, **facts)
    return Tool(card=card, arguments=arguments, output=output, run=run, **more)


TOOLS = (
    _tool("bmi", Weight, Body, bmi), _tool("change", ComparedImagesArguments, Change, change, ("xray", "ct")),
    _tool("size", ScaledImageArguments, Size, size), _tool("crash", Arguments, Size, crash),
)
UNWELL = _tool("unwell", Arguments, Size, bmi, check=unwell)
"""


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `polyclinic tools` in this process, in a folder of its own, as the installed command would."""
    from polyclinic.app import cli as module

    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["polyclinic", "tools", *map(str, words)])
        code = 0
        try:
            module.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, said.out, said.err)

    return run


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs modules, by name and text, as a distribution with entry points."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    installed: list[str] = []

    def install(name: str, text: str, *points: str) -> None:
        installed.append(name)
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[polyclinic.tools]\n" + "\n".join(points) + "\n")

    yield install
    for name in installed:
        sys.modules.pop(name, None)
    shared_workers().close()  # a worker that has imported one module will not take another of its name


@pytest.fixture
def more(added: Callable[..., None]) -> None:
    added("tools_for_tests", MORE, "a = tools_for_tests:TOOLS")


def grey(path: Path, level: int) -> Path:
    PIL.Image.fromarray(np.full((20, 30), level, np.uint8)).save(path)
    return path


def test_the_list_names_every_tool_and_fits_a_terminal(cli: Run) -> None:
    done = cli("list")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert {tool.card.name for tool in TOOLS} <= {line.split()[0] for line in lines}


def test_the_list_of_a_shelf_and_as_json(cli: Run) -> None:
    shelf = [json.loads(line) for line in cli("list", "--shelf", "classical", "--json").stdout.splitlines()]
    assert {card["name"] for card in shelf} == {tool.card.name for tool in TOOLS if tool.card.shelf == "classical"}
    wrong = cli("list", "--shelf", "top")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)


def test_a_card_is_shown_whole(cli: Run) -> None:
    shown = " ".join(cli("show", "fundus_vessels").stdout.split())
    for words in ("Segments retinal vessels", "n = 28, CHASE_DB1", "No distinction of arteries", "30 s, 1500 MB"):
        assert words in shown
    assert json.loads(cli("show", "fundus_vessels", "--json").stdout)["figures"][0]["n"] == 28


def test_arguments_are_shown_with_their_types(cli: Run, more: None) -> None:
    shown = " ".join(cli("show", "bmi").stdout.split())
    assert "--set weight_kg: number --set height_m: number (default 1.7) --set note: string (optional)" in shown
    assert "no image" in shown


def test_an_unknown_tool_names_the_nearest(cli: Run) -> None:
    for command in (["show", "fundus_vesels"], ["run", "fundus_vesels", RETINA], ["check", "fundus_vesels"]):
        done = cli(*command)
        assert done.returncode == 2
        assert done.stderr == (
            "polyclinic: expected a tool such as fundus_vessels; got 'fundus_vesels'; type polyclinic tools list\n"
        )


def test_a_run_writes_masks_overlay_and_result(cli: Run, tmp_path: Path) -> None:
    done = cli("run", "fundus_vessels", RETINA, "--out", "out", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == result
    assert (result["tool"], result["image"]["modality"]) == ("fundus_vessels", "fundus")
    assert "taken as fundus" in result["limitations"][0]
    density = result["measurements"][0]
    assert density["mask"] == "mask-1-vessel_density.png" == result["output"]["vessel_density"]["mask"]
    with PIL.Image.open(tmp_path / "out" / density["mask"]) as mask:
        assert mask.size == tuple(result["image"]["size_px"])
        levels = {level for _, level in mask.getcolors()}
    assert levels == {0, 255}
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == set(result["files"].values()) >= {"overlay.png", "result.json", "mask-2-field_of_view.png"}


def test_a_run_says_what_it_measured(cli: Run) -> None:
    done = cli("run", "fundus_disc", RETINA, "--modality", "fundus")
    assert re.search(r"• The optic disc is \d+\.\d % as wide as the field of view\.", done.stdout)
    assert "taken as" not in done.stdout
    assert "not a medical device" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fundus_vessels", RETINA, "--modality", "ct"], "an image of fundus for fundus_vessels; got ct"),
        (["fundus_vessels", RETINA, "--modality", "eye"], "photograph, ultrasound, xray; got 'eye'; name one of them"),
        (["fundus_vessels", "absent.png"], "absent.png"),
        (["fundus_vessels"], "one image for fundus_vessels; got 0; type polyclinic tools run fundus_vessels IMAGE"),
        (["fundus_vessels", RETINA, RETINA], "one image for fundus_vessels; got 2"),
        (["fundus_vessels", RETINA, "--modality", "fundos"], "got 'fundos'; type --modality fundus"),
        (["fundus_vessels", RETINA, "--set", "zoom=2"], "it has none; got 'zoom'; type polyclinic tools show"),
        (["lesion_size", RETINA, "--set", "bocks=2"], "lesion_size: box, point; got 'bocks'; type --set box=VALUE"),
        (["lesion_size", RETINA, "--set", "spacing_mm=2"], "got 'spacing_mm'; type --spacing ROW,COLUMN"),
        (["lesion_size", RETINA, "--set", "box=1,2"], "with 4 integers, such as 10,20,30,40; got '1,2'; type for"),
        (["lesion_size", RETINA, "--set", "point=1,2", "--set", "point=3,4"], "--set point once; got twice: '1,2' and"),
        (["egfr_creatinine", "--set", "age=50"], "--set creatinine=VALUE --set sex=VALUE; got only age; type poly"),
        (["egfr_creatinine", "--set", "creatinine=1.2 mg/dL", "--set", "age=50", "--set", "sex=man"],
         "--set sex with female | male; got 'man'; type for example --set sex=female"),
        (["fundus_vessels", RETINA, "--set", "zoom"], "--set KEY=VALUE; got 'zoom'"),
        (["fundus_vessels", RETINA, "--spacing", "wide"], "--spacing ROW,COLUMN in mm; got 'wide'"),
        (["fundus_vessels", "package://skimage/data/camera.png"], "picture without colour"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_line_and_exit_code_2(words: list[str], said: str, cli: Run) -> None:
    done = cli("run", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_a_calculator_needs_no_image(cli: Run, more: None) -> None:
    done = cli("run", "bmi", "--set", "weight_kg=80", "--set", "height_m=2", "--set", "note=fasting", "--json")
    result = json.loads(done.stdout)
    assert (result["measurements"][0]["text"], result["files"]) == ("The body mass index is 20.0 kg/m2.", {})
    refused = cli("run", "bmi", "--set", "weight_kg=80000")
    assert (refused.returncode, refused.stderr) == (
        2, "polyclinic: expected a weight up to 500 kg; got 80000; check the unit\n",
    )  # fmt: skip
    assert cli("run", "bmi", RETINA, "--set", "weight_kg=80").returncode == 2


def test_a_comparison_takes_the_earlier_image_last(cli: Run, more: None, tmp_path: Path) -> None:
    now, then = grey(tmp_path / "now.png", 200), grey(tmp_path / "then.png", 50)
    result = json.loads(cli("run", "change", now, then, "--out", "o", "--json").stdout)
    assert result["measurements"][0]["value"] == 150.0
    assert result["earlier"]["modality"] == "xray"
    assert result["output"]["found"] == [{"label": "spot", "box_px": [0, 0, 2, 2], "score": 0.5}]
    assert set(result["files"].values()) == {"mask-1-grey_level.png", "overlay.png", "before.png", "result.json"}
    assert "two images, the earlier one last" in cli("run", "change", now).stderr


def test_a_second_run_leaves_no_file_of_the_first(cli: Run, more: None, tmp_path: Path) -> None:
    now, then = grey(tmp_path / "now.png", 200), grey(tmp_path / "then.png", 50)
    cli("run", "change", now, then, "--out", "o")
    (tmp_path / "o" / "mine.png").write_bytes(b"of the user")
    cli("run", "bmi", "--set", "weight_kg=80", "--out", "o")
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"mine.png", "result.json"}


def test_a_refused_run_leaves_no_earlier_result(cli: Run, more: None, tmp_path: Path) -> None:
    now, then = grey(tmp_path / "now.png", 200), grey(tmp_path / "then.png", 50)
    refusals: tuple[tuple[object, ...], ...] = (
        ("change", now, "absent.png"), ("chnge", now, then), ("change", now, then, "--set", "depth=1"),
        ("bmi", "--set", "weight_kg=80000"),
    )  # fmt: skip
    for words in refusals:
        assert cli("run", "change", now, then, "--out", "o").returncode == 0
        (tmp_path / "o" / "mine.png").write_bytes(b"of the user")
        assert cli("run", *words, "--out", "o", "--json").returncode == 2
        assert {path.name for path in (tmp_path / "o").iterdir()} == {"mine.png"}


def test_a_result_of_another_program_and_a_picture_that_is_looked_at_stay(cli: Run, more: None, tmp_path: Path) -> None:
    now, then = grey(tmp_path / "now.png", 200), grey(tmp_path / "then.png", 50)
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "result.json").write_text('{"files": {"a": "now.png"}}')
    assert cli("run", "change", now, "--out", "o").returncode == 2
    assert (tmp_path / "o" / "result.json").exists()
    cli("run", "change", now, then, "--out", "o")
    assert cli("run", "image_quality", tmp_path / "o" / "overlay.png", "--out", "o").returncode == 0


def test_a_kind_of_picture_the_tool_is_not_made_for_is_refused_unless_stated(cli: Run, data_dir: Path) -> None:
    head = data_dir / "ct_brain_hemorrhage_seg" / "images" / "120018.png"
    if not head.is_file():
        pytest.skip(f"no sample data: {head}")
    refused = cli("run", "brain_tumour", head)
    assert refused.returncode == 2
    assert "got one that looks like a CT of the head, and no modality stated; type --modality mr if" in refused.stderr
    assert cli("run", "brain_tumour", head, "--modality", "mr").returncode == 0


def test_an_image_whose_looks_do_not_tell_is_taken_with_a_note(cli: Run, more: None, tmp_path: Path) -> None:
    now, then = grey(tmp_path / "now.png", 200), grey(tmp_path / "then.png", 50)
    notes = json.loads(cli("run", "change", now, then, "--json").stdout)["limitations"]
    assert notes[0] == (
        "The file does not say what kind of image it is and its looks do not tell; it was taken as xray "
        "(type --modality xray to state it)."
    )


@pytest.mark.parametrize("name", ["ct_volumes", "hounsfield"])
def test_a_nifti_file_of_unknown_modality_is_told_how_to_state_it(name: str, cli: Run, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    values = np.random.default_rng(0).normal(0, 300, (24, 24, 8)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 2.0, 2.0, 1.0])), tmp_path / "a.nii")
    assert "; type --modality ct if" in cli("run", name, "a.nii").stderr


@pytest.mark.parametrize("words", ["list --json", "show lesion_size"])
def test_a_reader_that_has_seen_enough_is_a_normal_end(words: str) -> None:
    code = "import sys; from polyclinic.app.cli import main; sys.argv[0] = 'polyclinic'; main()"
    command = [sys.executable, "-c", code, "tools", *words.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


def test_the_spacing_is_stated_by_the_user(cli: Run, more: None, tmp_path: Path) -> None:
    picture = grey(tmp_path / "a.png", 9)
    assert "A pixel is 0.20 mm2." in cli("run", "size", picture, "--spacing", "0.5,0.4").stdout
    assert "A pixel is 0.25 mm2." in cli("run", "size", picture, "--spacing", "0.5").stdout
    assert "Nothing could be measured." in cli("run", "size", picture).stdout


def test_a_broken_tool_is_exit_code_1_and_can_be_looked_at(cli: Run, more: None) -> None:
    done = cli("run", "crash")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "ended: SIGABRT; type polyclinic tools run crash --set KEY=VALUE --debug to see why" in done.stderr
    looked = cli("run", "crash", "--debug")
    assert looked.returncode == 1
    assert "KeyError: 'missing words'" in looked.stderr


def test_a_folder_that_cannot_be_written_is_said(cli: Run, more: None, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = cli("run", "bmi", "--set", "weight_kg=80", "--out", "file")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "a folder to write in" in done.stderr


def test_check_says_which_tools_work(cli: Run, added: Callable[..., None]) -> None:
    good = cli("check", "fundus_vessels")
    assert (good.returncode, good.stdout.split()[:2]) == (0, ["ok", "fundus_vessels"])
    added("tools_for_tests", MORE, "a = tools_for_tests:UNWELL", "b = no_such_module:TOOL")
    bad = cli("check")
    assert bad.returncode == 2
    assert "BROKEN   unwell: expected weights; got none; fetch them" in bad.stdout
    assert "BROKEN   entry point b = no_such_module:TOOL: ModuleNotFoundError" in bad.stdout
    assert "no_such_module" in cli("list").stdout
    assert cli("run", "unwell").returncode == 2


def test_every_shipped_tool_passes_its_check(cli: Run) -> None:
    assert cli("check").returncode == 0


async def test_the_example_of_the_docs_runs(
    cli: Run, added: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    (point,) = re.findall(r'^\w+ = "my_package\.skin_redness:TOOL"$', PAGE, re.M)
    added("skin_redness", code, point.replace("my_package.", "").replace('"', ""))
    box = Toolbox.installed()
    store = ImageStore(Blobs(tmp_path / "blobs"))
    face = store.take_in(
        Image(path="package://skimage/data/astronaut.png", modality="photograph"), base=tmp_path, root=None
    ).image
    assert "skin_redness" in {card.name for card in box.recommended(face)}
    output: Any = await box.run("skin_redness", {"image": face.blob}, {str(face.blob): face}, store)
    assert output.redness.value > 0
    assert store.open(output.red_area.mask).array.shape == (512, 512)
    camera = store.take_in(
        Image(path="package://skimage/data/camera.png", modality="photograph"), base=tmp_path, root=None
    ).image
    with pytest.raises(ToolRefusedError, match="without colour"):
        await box.run("skin_redness", {"image": camera.blob}, {str(camera.blob): camera}, store)


def test_the_example_measures_what_it_says(added: Callable[..., None]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    added("skin_redness", code)
    import importlib

    index = importlib.import_module("skin_redness").redness_index
    picture = np.array([[[100, 10, 0], [50, 50, 50], [0, 0, 0]]], np.uint8)
    np.testing.assert_allclose(index(picture), [[100.0, 0.0, 0.0]])


def test_a_clash_of_names_is_one_line(cli: Run, added: Callable[..., None]) -> None:
    added("tools_for_tests", MORE + "\nCLASH = _tool('hounsfield', Arguments, Size, bmi)", "a = tools_for_tests:CLASH")
    done = cli("list")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "two tools called 'hounsfield'" in done.stderr
    with pytest.raises(InputError):
        Toolbox.installed()


def test_the_doctor_says_how_many_tools_work(
    capsys: pytest.CaptureFixture[str], added: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from polyclinic.app.doctor import examine

    monkeypatch.chdir(tmp_path)
    examine()
    assert re.search(rf"^ok +\d+ of {len(TOOLS)} tools work here", capsys.readouterr().out, re.M)
    added("tools_for_tests", MORE, "a = tools_for_tests:UNWELL", "b = no_such_module:TOOL")
    assert examine() == 2
    out = capsys.readouterr().out
    assert re.search(r"^MISSING +tool unwell: expected weights; got none; fetch them$", out, re.M)
    assert re.search(r"^MISSING +tools of no_such_module:TOOL: ModuleNotFoundError", out, re.M)
