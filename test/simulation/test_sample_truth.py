# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The networks see in the sample what its truth says.

The EAR is measured on the lids that the attention mesh sees. FaceMesh's own close only by a third,
here as on photographs of people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.selection import load_engine
from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.mesh import FaceMesh
from aitable_ros.perception.faces.pipeline import FacePipeline
from aitable_ros.perception.fatigue.eye_openness import eye_aspect_ratios
from aitable_ros.simulation import CLOSED_OPENNESS, AstronautSequence
from aitable_ros.simulation.eyelids import LEFT_EYE, RIGHT_EYE

pytestmark = pytest.mark.models

LIDS_MARGIN_S = 0.02


@dataclass(frozen=True)
class Measured:
    """
    What the networks made of every frame of the sequence.

    :param stamps_s: (N,).
    :param openness: (N,) the truth.
    :param ids: per frame the ids of the faces found.
    :param ear: (N, 2) of left and right eye; NaN: no face.
    :param place_error: (N,) distance of the eyes from the truth, in widths of the face.
    """

    stamps_s: np.ndarray
    openness: np.ndarray
    ids: list[tuple[str, ...]]
    ear: np.ndarray
    place_error: np.ndarray

    @property
    def open_ear(self) -> np.ndarray:
        """(2,) median over the frames with open eyes."""
        return np.nanmedian(self.ear[self.openness == 1], axis=0)


@pytest.fixture(scope='module')
def sequence() -> AstronautSequence:
    return AstronautSequence()


def eye_centers_px(sequence: AstronautSequence, index: int) -> npt.NDArray[np.float64]:
    """The middles between the corners of the subject's left and right eye."""
    corners = [(eye.upper[0], eye.upper[-1]) for eye in (LEFT_EYE, RIGHT_EYE)]
    matrix = sequence.picture_to_frame(index)
    return np.mean(corners, axis=1) @ matrix[:, :2].T + matrix[:, 2]


@pytest.fixture(scope='module')
def measured(
    sequence: AstronautSequence, catalog: Mapping[str, ModelSpec], engines_dir: Path
) -> Measured:
    count = len(sequence)
    stamps_s = np.array([sequence.stamp_s(i) for i in range(count)])
    ids: list[tuple[str, ...]] = []
    measured_ears = np.full((count, 2), np.nan)
    place_error = np.full(count, np.nan)
    with (
        load_engine(catalog['face_detection'], engines_dir=engines_dir).engine as detection,
        load_engine(catalog['face_attention'], engines_dir=engines_dir).engine as mesh,
    ):
        pipeline = FacePipeline(FaceDetector(detection), FaceMesh(mesh))
        for i in range(count):
            image = sequence.frame(i)
            faces = pipeline.process(image, sequence.stamp_s(i))
            ids.append(tuple(face.face_id for face in faces))
            if len(faces) != 1 or faces[0].landmarks_px is None:
                continue
            landmarks_px = faces[0].landmarks_px
            ears = eye_aspect_ratios(landmarks_px)
            measured_ears[i] = ears.left, ears.right
            eyes_px = [
                landmarks_px[list(pair), :2].mean(axis=0) for pair in ((362, 263), (33, 133))
            ]
            distances = np.linalg.norm(eyes_px - eye_centers_px(sequence, i), axis=1)
            place_error[i] = distances.max() / sequence.head(i).face_width_px
    openness = np.array([sequence.openness(t) for t in stamps_s])
    return Measured(stamps_s, openness, ids, measured_ears, place_error)


def test_one_face_is_found_in_all_but_one_percent_of_the_frames(measured: Measured):
    assert sum(len(ids) == 1 for ids in measured.ids) >= 0.99 * len(measured.ids)
    assert max(len(ids) for ids in measured.ids) == 1


def test_the_face_keeps_its_id_throughout(measured: Measured):
    assert len({face_id for ids in measured.ids for face_id in ids}) == 1


def test_the_eyes_are_where_the_truth_says(measured: Measured):
    assert np.nanmax(measured.place_error) < 0.04


def test_every_closure_halves_both_ears(sequence: AstronautSequence, measured: Measured):
    """While the lids are within a tenth of the opening, that is: not only for one lucky frame."""
    halved = (measured.ear < 0.5 * measured.open_ear).all(axis=1)
    nearly_shut = measured.openness <= CLOSED_OPENNESS / 2
    for closure in sequence.closures:
        during = (closure.start_s <= measured.stamps_s) & (measured.stamps_s <= closure.end_s)
        assert (during & nearly_shut).sum() >= 2
        assert halved[during & nearly_shut].all(), closure


def test_nothing_else_halves_any_ear(sequence: AstronautSequence, measured: Measured):
    lids_move = np.zeros(len(measured.stamps_s), dtype=bool)
    for closure in sequence.closures:
        lids_move |= (closure.lids_start_s - LIDS_MARGIN_S <= measured.stamps_s) & (
            measured.stamps_s <= closure.lids_end_s + LIDS_MARGIN_S
        )
    assert lids_move.mean() < 0.4
    halved = (measured.ear < 0.5 * measured.open_ear).any(axis=1)
    assert not halved[~lids_move].any()


def test_the_open_ear_is_steady_over_size_tilt_and_light(measured: Measured):
    wide_open = measured.ear[measured.openness == 1] / measured.open_ear
    low, high = np.nanpercentile(wide_open, [1, 99], axis=0)
    assert (low > 0.85).all()
    assert (high < 1.15).all()
