"""What reports state and deny, in the words of radiologists; what is past, resolved or uncertain is neither."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from polyclinic.tools.reported import stated_in

NEITHER = """
Pneumonia has resolved.
The pneumonia has almost completely resolved.
Previously seen right pneumothorax has resolved in the interval.
Pneumonia and pleural effusion have resolved.
Pneumonia has resolved and the pleural effusion has cleared.
Pneumonia, resolved.
Resolving pneumonia.
Interval resolution of the right pleural effusion.
The pneumothorax is no longer seen.
History of pneumonia; lungs are clear.
Prior pneumonia.
No history of pneumonia.
Status post pneumonia.
Old healed rib fracture.
Indication: pneumonia. Lungs are clear.
Clinical question: pulmonary embolism?
Cannot exclude pneumonia.
Pneumonia cannot be excluded.
Pneumonia is not excluded.
A small pneumothorax can't be ruled out.
This does not exclude pneumonia.
Rule out pneumonia.
CT to exclude pulmonary embolism.
Evaluate for pneumothorax.
Right lower lobe opacity, possibly pneumonia.
Opacity may represent pneumonia or atelectasis.
Suspected pneumonia.
Pneumonia is likely.
Findings concerning for pneumonia.
Opacity suspicious for pneumonia versus atelectasis.
?pneumonia
Basal opacity ? pneumonia.
Pneumonia?
If pneumonia develops, repeat the radiograph.
Increased risk of pneumothorax.
Pneumothorax could not be assessed.
No large pleural effusion.
Her father had pneumonia.
""".strip().split("\n")


@pytest.mark.parametrize("text", NEITHER)
def test_past_resolved_and_uncertain_mentions_take_no_side(text: str) -> None:
    assert stated_in(text) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("No significant pleural effusion but pneumonia in the right base.",
         {("pleural-effusion", "absent", None), ("pneumonia", "present", "right")}),
        ("No pneumothorax, however there is a large left pleural effusion.",
         {("pneumothorax", "absent", None), ("pleural-effusion", "present", "left")}),
        ("No focal consolidation, pleural effusion or pneumothorax.",
         {("consolidation", "absent", None), ("pleural-effusion", "absent", None), ("pneumothorax", "absent", None)}),
        ("Pneumothorax? None seen.", {("pneumothorax", "absent", None)}),
        ("Is there a pneumothorax? No.", {("pneumothorax", "absent", None)}),
        ("Pneumothorax? Yes, small.", {("pneumothorax", "present", None)}),
        ("Fracture? Yes.", {("fracture", "present", None)}),
        ("Is there a pneumothorax? No pleural effusion.", {("pleural-effusion", "absent", None)}),
        ("?PE. No pulmonary embolism.", {("pulmonary-embolism", "absent", None)}),
        ("Pneumonia has not resolved.", {("pneumonia", "present", None)}),
        ("There is a small left pleural effusion and pneumonia cannot be excluded.",
         {("pleural-effusion", "present", "left")}),
        ("Pneumonia is possible, pneumothorax is absent.", {("pneumothorax", "absent", None)}),
        ("Left pleural effusion, possible pneumonia.", {("pleural-effusion", "present", "left")}),
        ("Prior pneumonia, now with pleural effusion.", {("pleural-effusion", "present", None)}),
        ("The pleural effusion has cleared in the interval with persistent cardiomegaly.",
         {("cardiomegaly", "present", None)}),
        ("Compared with the prior study, the pleural effusion is larger.", {("pleural-effusion", "present", None)}),
        ("Compared to 3 May 2019, pneumonia has worsened.", {("pneumonia", "present", None)}),
        ("Previously seen pleural effusion persists.", {("pleural-effusion", "present", None)}),
        ("67-year-old man with pneumonia.", {("pneumonia", "present", None)}),
        ("Consolidation is consistent with pneumonia.",
         {("consolidation", "present", None), ("pneumonia", "present", None)}),
        ("No findings suggestive of pneumonia.", {("pneumonia", "absent", None)}),
        ("Pneumothorax is unlikely.", {("pneumothorax", "absent", None)}),
        ("Pneumonia is not likely.", {("pneumonia", "absent", None)}),
        ("Pulmonary embolism has been ruled out.", {("pulmonary-embolism", "absent", None)}),
        ("CT excludes pulmonary embolism.", {("pulmonary-embolism", "absent", None)}),
        ("The heart is not enlarged; pulmonary oedema is present.",
         {("cardiomegaly", "absent", None), ("pulmonary-oedema", "present", None)}),
        ("Clinical history: pneumonia\nFindings: No pleural effusion.", {("pleural-effusion", "absent", None)}),
        ("Normal except for a small pleural effusion.", {("pleural-effusion", "present", None)}),
    ],
)  # fmt: skip
def test_what_is_stated_or_denied_is_kept(text: str, said: set[tuple[str, str, str | None]]) -> None:
    assert set(stated_in(text)) == said


WORDS = (
    "pneumonia", "pneumothorax", "no", "possible", "resolved", "has", "history of", "but", "and", ",", ";", "?", ".",
    "cannot", "exclude", "be", "excluded", "now", "left", "\n", "is", "not", "likely", "there is", "suggestive of",
)  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join) | st.text(max_size=200))
@example("possible now " * 50)
@example("pneumonia has resolved and " * 50)
def test_any_text_can_be_read(text: str) -> None:
    found = stated_in(text)
    assert len({(finding, side) for finding, _, side in found}) == len(found)
    assert stated_in(text) == found


@pytest.mark.parametrize("piece", ["no ", " ", "\n", "? ", "possible ", "resolved ", "suggestive of no ", "and has "])
def test_long_texts_are_read_in_time(piece: str) -> None:
    assert stated_in(piece * (20_000 // len(piece))) == ()
