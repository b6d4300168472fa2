"""What headers say: the times of a film's frames, and whether text may be burnt into the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from polyclinic.core.errors import InputError
from polyclinic.tools.imaging.dicom_facts import burnt_in, frame_times
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from tests.tools.imaging.headers import ct_slice, header_bytes


def header(**fields: Any) -> Dataset:
    made = Dataset()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("fields", "times"),
    [
        ({"FrameTime": "40"}, (0.0, 0.04, 0.08)), ({"CineRate": "20"}, (0.0, 0.05, 0.1)),
        ({"RecommendedDisplayFrameRate": "10"}, (0.0, 0.1, 0.2)),
        ({"FrameTimeVector": ["0", "30", "50"], "FrameTime": "40"}, (0.0, 0.03, 0.08)),
        ({"FrameTimeVector": ["0", "30"], "FrameTime": "40"}, (0.0, 0.04, 0.08)), ({}, ()), ({"FrameTime": "0"}, ()),
        ({"FrameTime": "-5"}, ()),
    ],
)  # fmt: skip
def test_frames_have_times_in_seconds(fields: dict[str, Any], times: tuple[float, ...]) -> None:
    assert frame_times(header(**fields), 3) == pytest.approx(times)
    assert frame_times(header(**fields), 1) == ()


@given(st.lists(st.floats(0, 1_000), min_size=2, max_size=9))
def test_times_never_run_backwards(steps: list[float]) -> None:
    times = frame_times({"FrameTimeVector": steps}, len(steps))
    assert list(times) == sorted(times)
    assert times[0] == 0
    assert times[-1] == pytest.approx(sum(steps[1:]) / 1000)


def test_a_frame_is_chosen_by_its_time(take: Callable[..., TakenIn], store: ImageStore) -> None:
    film = ct_slice(np.zeros((4, 4), np.int16), NumberOfFrames=3, FrameTime="40", Modality="XA")
    film.PixelData = np.repeat(np.arange(3, dtype="<i2"), 16).tobytes()
    taken = take(header_bytes(film), frame_time_s=0.07)
    assert (taken.image.frame, taken.image.frames, taken.image.frame_time_s) == (3, 3, 0.08)
    assert store.open(str(taken.image.blob)).array[0, 0] == 2 - 1024
    with pytest.raises(InputError, match=r"ends at 0\.08 s"):
        take(header_bytes(film), frame_time_s=5.0)
    del film.FrameTime
    with pytest.raises(InputError, match="does not say it"):
        take(header_bytes(film), frame_time_s=0.05)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"BurnedInAnnotation": "YES"}, "is burnt into"), ({"Modality": "US"}, "may hold"),
        ({"Modality": "US", "BurnedInAnnotation": "NO"}, ""), ({"Modality": "CT"}, ""),
        ({"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "may hold"),
        ({"Modality": "CR", "ConversionType": "DF"}, "may hold"),
    ],
)  # fmt: skip
def test_text_in_the_picture_is_flagged_by_what_the_header_says(fields: dict[str, str], said: str) -> None:
    found = " ".join(burnt_in(header(**fields)))
    assert said in found
    assert bool(said) == bool(found)
