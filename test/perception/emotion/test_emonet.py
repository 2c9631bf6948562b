# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from aitable_ros.inference.engine import Engine, InferenceError
from aitable_ros.inference.litert_engine import LitertEngine
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.emonet.contract import emonet_spec
from aitable_ros.perception.emotion.emonet import (
    CROP_SCALE,
    CropSettings,
    EmoNet,
    crop_face,
    describe_model,
    detection_box,
    interpret,
    landmarks_box,
)
from aitable_ros.perception.emotion.expression import (
    ANGER,
    CONTEMPT,
    DISGUST,
    EXPRESSIONS,
    FEAR,
    HAPPY,
    UNKNOWN,
)
from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.landmarks import LEFT_TRAGION
from aitable_ros.perception.faces.mesh import FaceMesh, roi_from_detection
from aitable_ros.simulation.astronaut_sequence import AstronautSequence

NAN = float('nan')


@dataclass
class Face:
    xywh_px: npt.NDArray[np.float32]
    landmarks_px: npt.NDArray[np.float32] | None = None


def box(x: float, y: float, width: float, height: float) -> Face:
    return Face(np.array((x, y, width, height), np.float32))


EXACT = CropSettings(scale=2.0, detection_scale=1.0, detection_shift=0.0)


class FakeEmoNet(Engine):
    """Answers with what the crop's mean colour says: expression by red, valence by green."""

    backend = 'fake'

    def __init__(self, path: Path, classes: int = 8) -> None:
        spec = emonet_spec(classes)
        super().__init__(spec, path)
        self.batches: list[int] = []
        self.spoil: Callable[[dict[str, npt.NDArray]], None] = lambda outputs: None

    def _infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        images = inputs['image']
        self.batches.append(len(images))
        means = images.mean(axis=(1, 2)).astype(np.float32)
        logits = -np.abs(means[:, :1] / 10.0 - np.arange(self.outputs[0].shape[1]))
        outputs: dict[str, npt.NDArray] = {
            'expression': logits.astype(np.float32),
            'valence': means[:, 1:2] / 100.0 - 1.0,
            'arousal': means[:, 2:3] / 100.0 - 1.0,
        }
        self.spoil(outputs)
        return outputs

    def _close(self) -> None:
        pass


@pytest.fixture
def engine(tmp_path: Path) -> FakeEmoNet:
    path = tmp_path / 'emonet.onnx'
    path.write_bytes(b'weights')
    return FakeEmoNet(path)


def _noise(height: int, width: int) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_crop_is_a_square_of_1_82_mean_sides_around_the_box() -> None:
    assert pytest.approx(1.82, abs=0.005) == CROP_SCALE
    image = np.zeros((400, 400, 3), np.uint8)
    # the crop of a box of 100 x 120 px around (200, 180) sees 200 px: 100..300, 80..280, where
    # pixel 300 reaches from 299.5 to 300.5
    image[80:281, 100:301] = 255
    settings = CropSettings(detection_scale=1.0, detection_shift=0.0)
    crop = crop_face(image, box(150, 120, 100, 120), settings)
    assert crop is not None
    assert crop.shape == (256, 256, 3)
    assert crop.min() == 255
    wider = crop_face(image, box(149, 119, 102, 122), settings)
    assert wider is not None
    assert wider[:, :1].max() < 255
    assert wider[-1:].max() < 255
    assert wider[2:-2, 2:-2].min() == 255


@pytest.mark.parametrize(('left', 'top', 'side'), [(40, 30, 256), (10, 20, 128), (0, 0, 512)])
def test_sampling_is_that_of_a_cut_and_cv2_resize(left: int, top: int, side: int) -> None:
    image = cv2.GaussianBlur(_noise(520, 530), (0, 0), 3.0)
    # in coordinates in which the centre of the first pixel is 0: pixels left .. left + side - 1
    half, quarter = side / 2, side / 4
    face = box(left + half - 0.5 - quarter, top + half - 0.5 - quarter, half, half)
    crop = crop_face(image, face, EXACT)  # type: ignore[arg-type]
    cut = image[top : top + side, left : left + side]
    expected = cv2.resize(cut, (256, 256), interpolation=cv2.INTER_LINEAR)
    assert crop is not None
    difference = np.abs(crop.astype(int) - expected.astype(int))[1:-1, 1:-1]
    assert difference.max() <= 2


def test_outside_of_the_image_is_black() -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    crop = crop_face(image, box(-25, 25, 50, 50), EXACT)
    assert crop is not None
    assert crop[:, :124].max() == 0
    assert crop[4:-4, 132:].min() == 200


@pytest.mark.parametrize(
    'face',
    [
        box(10, 10, 0, 0),
        box(NAN, 10, 20, 20),
        box(10, 10, math.inf, 20),
        box(500, 10, 20, 20),
        box(10, -500, 20, 20),
        Face(np.zeros(4, np.float32), np.full((468, 3), NAN, np.float32)),
        Face(np.zeros(4, np.float32), np.zeros((468, 3), np.float32)),
    ],
)
def test_a_face_that_is_nowhere_has_no_crop(face: Face) -> None:
    assert crop_face(_noise(100, 100), face) is None


def _oval() -> npt.NDArray[np.float32]:
    landmarks = np.zeros((468, 3), np.float32)
    landmarks[:, :2] = (100, 100)
    landmarks[152, :2] = (100, 160)
    landmarks[LEFT_TRAGION, :2] = (150, 100)
    landmarks[234, :2] = (50, 100)
    landmarks[105, :2] = (90, 60)  # upper edge of the right brow
    landmarks[10, :2] = (100, 40)
    landmarks[:, 2] = 1000
    return landmarks


def test_the_box_reaches_from_brows_to_chin_and_from_ear_to_ear() -> None:
    assert landmarks_box(_oval()) == (100.0, 110.0, 100.0)


def test_the_forehead_does_not_count() -> None:
    landmarks = _oval()
    landmarks[[10, 109, 67, 103, 54, 338, 297, 332, 284], 1] -= 50
    assert landmarks_box(landmarks) == landmarks_box(_oval())


def test_landmarks_are_preferred_to_the_box() -> None:
    image = _noise(240, 240)
    with_both = crop_face(image, Face(np.array((0, 0, 10, 10), np.float32), _oval()))
    same_place = crop_face(
        image,
        box(50, 60, 100, 100),
        CropSettings(detection_scale=1.0, detection_shift=0.0),
    )
    assert with_both is not None
    np.testing.assert_array_equal(with_both, same_place)


def test_a_detection_is_scaled_and_shifted_down() -> None:
    settings = CropSettings(detection_scale=0.9, detection_shift=0.05)
    found = detection_box(np.array((10, 20, 100, 100), np.float32), settings)
    assert found == pytest.approx((60.0, 75.0, 90.0))


@pytest.mark.models
def test_detector_and_landmarks_lead_to_nearly_the_same_crop(engines_dir: Path) -> None:
    sequence = AstronautSequence()
    with (
        LitertEngine(CONTRACTS['face_detection'], engines_dir / 'face_detection.tflite') as a,
        LitertEngine(CONTRACTS['face_mesh'], engines_dir / 'face_mesh.tflite') as b,
    ):
        detector, mesh = FaceDetector(a), FaceMesh(b)
        ratios, shifts = [], []
        for index in range(0, len(sequence), 25):
            frame = sequence.frame(index)
            (detection,) = detector.detect(frame)
            (result,) = mesh.run(frame, [roi_from_detection(detection)])
            assert result is not None
            _, wanted_cy, wanted_side = landmarks_box(result.landmarks_px)
            _, found_cy, found_side = detection_box(detection.xywh_px)
            ratios.append(found_side / wanted_side)
            shifts.append((found_cy - wanted_cy) / wanted_side)
    assert np.median(ratios) == pytest.approx(1.0, abs=0.04)
    assert min(ratios) > 0.9
    assert max(ratios) < 1.1
    assert np.median(shifts) == pytest.approx(0.0, abs=0.02)
    assert np.abs(shifts).max() < 0.08


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    logits = np.array((0.0, 2.0, 1.0, -1.0, 0.5, 0.0, -3.0, 1.5), np.float32)
    estimate = interpret(logits, 0.25, -0.5, backend='onnxruntime', model='m')
    expected = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum()
    np.testing.assert_allclose(estimate.probabilities, expected, rtol=1e-12)
    assert estimate.expression == HAPPY
    assert estimate.label == 'happy'
    assert estimate.confidence == pytest.approx(expected[1])
    assert (estimate.valence, estimate.arousal) == (0.25, -0.5)
    assert (estimate.backend, estimate.model) == ('onnxruntime', 'm')


def test_large_logits_do_not_overflow() -> None:
    logits = np.full(8, -1e30, np.float32)
    logits[CONTEMPT] = 3e38
    estimate = interpret(logits, 0.0, 0.0, backend='b')
    assert estimate.expression == CONTEMPT
    assert estimate.confidence == 1.0


@pytest.mark.parametrize(('value', 'clamped'), [(1.7, 1.0), (-9.0, -1.0), (0.3, 0.3)])
def test_valence_and_arousal_are_clamped(value: float, clamped: float) -> None:
    estimate = interpret(np.zeros(8, np.float32), value, -value, backend='b')
    assert (estimate.valence, estimate.arousal) == (clamped, -clamped)


def test_the_fifth_of_5_classes_is_anger() -> None:
    logits = np.array((0.0, 0.0, 0.0, 0.0, 4.0), np.float32)
    estimate = interpret(logits, 0.0, 0.0, backend='b')
    assert estimate.expression == ANGER
    missing = [FEAR, DISGUST, CONTEMPT]
    assert np.isnan(estimate.probabilities[missing]).all()
    known = np.delete(estimate.probabilities, missing)
    assert known.sum() == pytest.approx(1.0)
    assert len(known) == len(EXPRESSIONS) - 3


@pytest.mark.parametrize('bad', [NAN, math.inf, -math.inf])
@pytest.mark.parametrize('place', ['logits', 'valence', 'arousal'])
def test_outputs_that_are_not_numbers_are_unknown(bad: float, place: str) -> None:
    logits = np.zeros(8, np.float32)
    values = {'valence': 0.5, 'arousal': 0.5}
    if place == 'logits':
        logits[3] = bad
    else:
        values[place] = bad
    estimate = interpret(logits, **values, backend='b', model='m')
    assert estimate.expression == UNKNOWN
    assert math.isnan(estimate.confidence)
    assert math.isnan(estimate.valence)
    assert math.isnan(estimate.arousal)
    assert np.isnan(estimate.probabilities).all()
    assert (estimate.backend, estimate.model) == ('b', 'm')


def _faces_in_colours(count: int) -> tuple[npt.NDArray[np.uint8], list[Face]]:
    """Faces side by side; the red of the k-th says expression k % 8."""
    image = np.zeros((64, 64 * count, 3), np.uint8)
    faces = []
    for k in range(count):
        image[:, 64 * k : 64 * (k + 1)] = (10 * (k % 8), 100 + k, 100 - k)
        faces.append(box(64 * k + 24, 24, 16, 16))
    return image, faces


def test_all_faces_of_an_image_are_one_batch_in_their_order(engine: FakeEmoNet) -> None:
    image, faces = _faces_in_colours(8)
    estimates = EmoNet(engine, settings=EXACT).run(image, faces)
    assert engine.batches == [8]
    assert [estimate.expression for estimate in estimates] == list(range(8))
    np.testing.assert_allclose([e.valence for e in estimates], np.arange(8) / 100, atol=1e-3)
    np.testing.assert_allclose([e.arousal for e in estimates], -np.arange(8) / 100, atol=1e-3)
    assert {estimate.backend for estimate in estimates} == {'fake'}


def test_more_faces_than_a_batch_takes_are_split(engine: FakeEmoNet) -> None:
    engine.max_batch = 3  # type: ignore[attr-defined]
    image, faces = _faces_in_colours(7)
    estimates = EmoNet(engine, settings=EXACT).run(image, faces)
    assert engine.batches == [3, 3, 1]
    assert [estimate.expression for estimate in estimates] == list(range(7))


def test_faces_outside_of_the_image_are_unknown_and_cost_nothing(engine: FakeEmoNet) -> None:
    image, faces = _faces_in_colours(3)
    faces[1] = box(1000, 1000, 20, 20)
    estimates = EmoNet(engine, settings=EXACT).run(image, faces)
    assert engine.batches == [2]
    assert [estimate.expression for estimate in estimates] == [0, UNKNOWN, 2]
    assert EmoNet(engine).run(image, [faces[1]])[0].expression == UNKNOWN
    assert EmoNet(engine).run(image, []) == []
    assert engine.batches == [2]


def test_one_spoiled_face_leaves_the_others_alone(engine: FakeEmoNet) -> None:
    def spoil(outputs: dict[str, npt.NDArray]) -> None:
        outputs['expression'][1, 4] = NAN

    engine.spoil = spoil
    image, faces = _faces_in_colours(3)
    estimates = EmoNet(engine, settings=EXACT).run(image, faces)
    assert [estimate.expression for estimate in estimates] == [0, UNKNOWN, 2]


def test_images_of_any_memory_layout(engine: FakeEmoNet) -> None:
    image, faces = _faces_in_colours(4)
    estimates = EmoNet(engine, settings=EXACT).run(np.asfortranarray(image), faces)
    assert [estimate.expression for estimate in estimates] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r'uint8\[H,W,3\]'):
        EmoNet(engine).run(image[..., 0], faces)


def test_the_5_class_network_is_recognised_by_its_output(tmp_path: Path) -> None:
    path = tmp_path / 'emonet.onnx'
    path.write_bytes(b'five')
    image = np.full((64, 64, 3), 40, np.uint8)
    emonet = EmoNet(FakeEmoNet(path, classes=5), settings=EXACT)
    assert emonet.run(image, [box(24, 24, 16, 16)])[0].expression == ANGER


def test_estimates_name_the_model_file(engine: FakeEmoNet) -> None:
    expected = f'emonet.onnx sha256:{hashlib.sha256(b"weights").hexdigest()[:12]}'
    assert describe_model(engine.path) == expected
    image, faces = _faces_in_colours(1)
    assert EmoNet(engine).run(image, faces)[0].model == expected
    engine.path.unlink()
    with pytest.raises(InferenceError, match='cannot be read'):
        EmoNet(engine)


def test_another_network_is_refused(engine: FakeEmoNet) -> None:
    engine.outputs = engine.outputs[1:]
    with pytest.raises(InferenceError, match='expected logits of 8 expressions'):
        EmoNet(engine)


@pytest.mark.parametrize('name', ['expression', 'valence', 'arousal'])
def test_outputs_of_another_shape_are_refused(engine: FakeEmoNet, name: str) -> None:
    def spoil(outputs: dict[str, npt.NDArray]) -> None:
        outputs[name] = outputs[name][:, :0]

    engine.spoil = spoil
    image, faces = _faces_in_colours(2)
    with pytest.raises(InferenceError, match='expected outputs'):
        EmoNet(engine).run(image, faces)
