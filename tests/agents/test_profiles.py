"""The model profiles: complete, chosen by name, honest about cost, and refused when they are spoilt."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.agents.profiles import (
    FILE,
    GENERIC,
    WORKING_TOKENS,
    Profile,
    load_profiles,
    profile_for,
    read_profiles,
)
from polyclinic.core.errors import InputError, SetupError

each_profile = pytest.mark.parametrize("one", load_profiles(), ids=lambda one: one.name)
FAMILIES = {
    "qwen2-5-vl", "qwen2-vl", "med-r1", "qwen3-vl", "qwen3-vl-thinking", "qwen3", "hulu-med", "medgemma",
    "medgemma-text", "gemma3", "internvl3", "internvl2", "medrega", "gmai-vl", "llava", "llava-med", "pa-llava",
    "llama3", "generic-vision", "generic",
}  # fmt: skip


def profile(name: str) -> Profile:
    return next(one for one in load_profiles() if one.name == name)


def flags(command: str) -> dict[str, str]:
    """Each flag of a command with the word after it."""
    words = shlex.split(command)
    return {word: after for word, after in zip(words, [*words[1:], ""], strict=True) if word.startswith("--")}


def test_the_families_are_the_ones_we_promise() -> None:
    assert {one.name for one in load_profiles()} == FAMILIES
    assert load_profiles()[-1].name == GENERIC


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2-5-vl"),
        ("/models/Qwen2_5-VL-72B-Instruct-AWQ/", "qwen2-5-vl"),
        ("lingshu-medical-mllm/Lingshu-32B", "qwen2-5-vl"),
        ("LINGSHU", "qwen2-5-vl"),
        ("lingshu-medical-mllm/Lingshu-I-8B", "internvl3"),
        ("someone/Lingshu-I-8B-GPTQ", "internvl3"),
        ("OralGPT/OralGPT-Omni-7B-Instruct", "qwen2-5-vl"),
        ("Qwen/Qwen2-VL-72B-Instruct", "qwen2-vl"),
        ("yuxianglai117/Med-R1", "med-r1"),
        ("medvlm-r1", "med-r1"),
        ("Qwen/Qwen3-VL-4B-Instruct-FP8", "qwen3-vl"),
        ("Qwen/Qwen3-VL-30B-A3B-Thinking-FP8", "qwen3-vl-thinking"),
        ("Qwen/Qwen3-1.7B", "qwen3"),
        ("qwen3", "qwen3"),
        ("Qwen/Qwen3.5-9B-Instruct", "generic-vision"),
        ("ZJU-AI4H/Hulu-Med-14B", "hulu-med"),
        ("google/medgemma-1.5-4b-it", "medgemma"),
        ("medgemma-4b-it", "medgemma"),
        ("google/medgemma-27b-text-it", "medgemma-text"),
        ("unsloth/medgemma-27b-text-it-bnb-4bit", "medgemma-text"),
        ("google/gemma-3-12b-it", "gemma3"),
        ("google/gemma-3n-E2B-it", "generic-vision"),
        ("OpenGVLab/InternVL3_5-14B", "internvl3"),
        ("OpenGVLab/InternVL2_5-8B-AWQ", "internvl2"),
        ("OpenGVLab/Mini-InternVL2-1B-DA-Medical", "internvl2"),
        ("xmed-lab/MedRegA", "medrega"),
        ("GMAI-VL", "gmai-vl"),
        ("llava-hf/llava-1.5-7b-hf", "llava"),
        ("llava-hf/llava-v1.6-mistral-7b-hf", "generic-vision"),
        ("microsoft/llava-med-v1.5-mistral-7b", "llava-med"),
        ("PA-LLaVA", "pa-llava"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama3"),
        ("meta-llama/Llama-3.2-11B-Vision-Instruct", "generic-vision"),
        ("gpt-oss-20b", "generic"),
        ("", "generic"),
        ("[!a]*?", "generic"),
    ],
)
def test_a_model_finds_its_profile(model: str, expected: str) -> None:
    assert profile_for(model).name == expected
    assert profile_for(f" {model.upper()} ").name == expected


@given(st.text(max_size=80))
def test_any_name_has_a_profile(name: str) -> None:
    assert profile_for(name) in load_profiles()


@each_profile
def test_listed_models_and_patterns_belong_to_their_profile(one: Profile) -> None:
    for model in one.models:
        assert profile_for(model.id) is one


@each_profile
def test_a_profile_is_whole(one: Profile) -> None:
    assert one.vision == (one.image_placement is not None)
    assert one.note.endswith((".\n", "."))
    assert (one.boxes.convention == "none") == (one.boxes.forms == ())
    if one.vllm != "yes" or one.licence is None or one.context_tokens is None:
        assert any(word in one.note for word in ("not confirmed", "Nothing", "no licence"))


@each_profile
def test_one_image_leaves_room_in_the_context(one: Profile) -> None:
    tokens = one.image_tokens(4096, 3072)
    if tokens and one.context_tokens and one.max_images:
        assert tokens * one.max_images <= min(one.context_tokens, WORKING_TOKENS) / 2


@pytest.mark.parametrize(
    ("name", "width", "height", "seen", "tokens"),
    [
        ("qwen2-5-vl", 1024, 1024, (980, 980), 35 * 35),
        ("qwen2-5-vl", 640, 480, (644, 476), 23 * 17),
        ("qwen2-5-vl", 10, 10, (56, 56), 4),
        ("qwen3-vl", 640, 480, (640, 480), 20 * 15),
        ("qwen3-vl", 1024, 1024, (1024, 1024), 1024),
        ("qwen3-vl", 64, 64, (256, 256), 64),
        ("medgemma", 4000, 300, (896, 896), 256),
        ("llava", 1, 1, (336, 336), 576),
        ("medrega", 512, 512, (448, 448), 256),
        ("internvl3", 448, 448, (448, 448), 256),
        ("internvl3", 896, 448, (896, 448), 3 * 256),
        ("internvl3", 896, 896, (896, 896), 5 * 256),
        ("internvl3", 3000, 2000, (1344, 896), 7 * 256),
        ("hulu-med", 1344, 672, (672, 336), None),
        ("qwen3", 640, 480, (640, 480), None),
    ],
)
def test_the_cost_of_an_image(name: str, width: int, height: int, seen: tuple[int, int], tokens: int | None) -> None:
    assert profile(name).seen_px(width, height) == seen
    assert profile(name).image_tokens(width, height) == tokens


@given(st.sampled_from(load_profiles()), st.integers(1, 20_000), st.integers(1, 20_000))
def test_the_seen_size_keeps_the_limits_and_is_a_fixed_point(one: Profile, width: int, height: int) -> None:
    wide, high = one.seen_px(width, height)
    assert wide >= 1
    assert high >= 1
    assert one.max_side_px is None or max(wide, high) <= one.max_side_px
    if one.max_pixels:
        assert wide * high <= one.max_pixels * 1.01 + wide + high  # rounding to whole pixels
    if one.pixels_per_token and one.max_pixels and one.min_pixels:
        assert one.min_pixels <= wide * high <= one.max_pixels
        assert one.seen_px(wide, high) == (wide, high)  # sent in this size, the server resizes nothing


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="0×5"):
        profile("qwen3-vl").image_tokens(0, 5)


@each_profile
def test_the_serve_command_says_what_the_clinic_relies_on(one: Profile) -> None:
    command = one.serve_command("some/model", port=9000)
    assert shlex.split(command)[:3] == ["vllm", "serve", "some/model"]
    said = flags(command)
    assert said["--port"] == "9000"
    assert said["--scheduling-policy"] == "priority"
    assert "--enable-prefix-caching" in said
    assert json.loads(said["--structured-outputs-config"]) == {"backend": "xgrammar", "disable_any_whitespace": True}
    assert ("--limit-mm-per-prompt" in said) == one.vision
    assert ("--max-model-len" in said) == (one.context_tokens is not None)
    assert "--enable-lora" not in said
    for flag in ("--limit-mm-per-prompt", "--mm-processor-kwargs"):
        json.loads(said.get(flag, "{}"))


def test_the_serve_command_of_a_family_is_exact() -> None:
    assert profile("qwen2-5-vl").serve_command("lingshu-medical-mllm/Lingshu-7B", loras=["chest=/a b", "eye=x"]) == (
        "vllm serve lingshu-medical-mllm/Lingshu-7B --port 8000 --max-model-len 32768 --enable-prefix-caching "
        "--scheduling-policy priority "
        """--structured-outputs-config '{"backend":"xgrammar","disable_any_whitespace":true}' """
        """--limit-mm-per-prompt '{"image":8,"video":0}' """
        """--mm-processor-kwargs '{"min_pixels":3136,"max_pixels":1003520}' """
        "--enable-lora --max-loras 2 --max-lora-rank 64 --lora-modules 'chest=/a b' eye=x"
    )


def test_a_thinking_family_is_served_with_its_parser() -> None:
    assert flags(profile("qwen3-vl-thinking").serve_command("m"))["--reasoning-parser"] == "deepseek_r1"
    assert flags(profile("qwen3").serve_command("m"))["--reasoning-parser"] == "qwen3"
    assert "--reasoning-parser" not in flags(profile("medgemma").serve_command("m"))


@pytest.mark.parametrize("adapter", ["chest", "=path", "chest=", ""])
def test_an_adapter_needs_a_name_and_a_path(adapter: str) -> None:
    with pytest.raises(InputError, match="NAME=PATH"):
        profile("qwen3").serve_command("m", loras=[adapter])


def test_memory_counts_weights_and_cache() -> None:
    memory = profile("qwen2-5-vl").memory_gb(8)
    assert memory.weights_gb == 16
    assert memory.kv_gb_per_1000_tokens == pytest.approx(2 * 28 * 4 * 128 * 2 * 1000 / 1e9)
    assert profile("qwen2-5-vl").memory_gb(5).kv_gb_per_1000_tokens is None


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A copy of the shipped file, to be spoilt."""
    path = tmp_path / "profiles.toml"
    path.write_text(FILE.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def test_a_copy_is_read(table: Path) -> None:
    assert read_profiles(table) == load_profiles()


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("[qwen2-5-vl]", "[qwen2-5-vl", "valid TOML"),
        ("[qwen2-5-vl]", "[Qwen2-5-vl]", r"name in \[Qwen2-5-vl\]"),
        ("[qwen2-5-vl]", "stray = 1\n[qwen2-5-vl]", r"a table \[stray\]"),
        ("pixels_per_token = 784", "pixels_per_token = 785", r"\[qwen2-5-vl\].*square patch"),
        ("pixels_per_token = 784", "pixels_per_token = 784\ntile_px = 448", "come together"),
        ("pixels_per_token = 784", "pixels_per_token = 784\ntokens_per_image = 9", "give one of"),
        ("max_side_px = 896\ntokens_per_image", "tokens_per_image", "needs max_side_px"),
        ("vision = true", "vision = false", r"\[qwen2-5-vl\].*max_images"),
        ('convention = "absolute"', 'convention = "pixels"', r"boxes\.convention in \[qwen2-5-vl\]"),
        ('vllm = "yes"', 'vllm = "maybe"', r"vllm in \[qwen2-5-vl\]"),
        ('vllm = "yes"', 'vllm = "yes"\ncolour = "red"', r"colour in \[qwen2-5-vl\]"),
        ('"*lingshu*"', '"*Lingshu*"', r"patterns\.\d in \[qwen2-5-vl\]"),
        ('"*lingshu*"', '"*"', r"patterns\.\d in \[qwen2-5-vl\]"),
        ('"*lingshu*"', '"*internvl2*"', r"each pattern in one entry.*internvl2"),
        ("Qwen/Qwen2-VL-7B-Instruct", "Qwen/Qwen2.5-VL-7B-Instruct", "each model in one entry"),
        ("Qwen/Qwen2-VL-7B-Instruct", "Qwen2-VL-7B-Instruct", r"models\.0\.id in \[qwen2-vl\]"),
        ("[generic]", "[other]", r"\[generic\] as the last entry"),
        ("patterns = []", 'patterns = ["*other*"]', r"\[generic\] as the last entry"),
    ],
)
def test_a_spoilt_file_is_refused_with_the_place(table: Path, good: str, bad: str, said: str) -> None:
    text = table.read_text(encoding="utf-8")
    assert good in text
    table.write_text(text.replace(good, bad, 1), encoding="utf-8")
    with pytest.raises(SetupError, match=said) as caught:
        read_profiles(table)
    assert "profiles.toml" in caught.value.fix


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="valid TOML"):
        read_profiles(tmp_path / "profiles.toml")
