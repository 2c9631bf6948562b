# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The body keypoints of one person from a YOLO-pose network that the user brings.

Files as Ultralytics exports them (ONNX, or a TensorRT engine), 17 COCO keypoints. Two layouts of
the output are told apart by its shape:

* dense, ``1 x 56 x N`` (YOLOv8-pose, YOLO11-pose): for each of N anchors centre x, y, width,
  height, score, 17 x (x, y, visibility); overlapping boxes are still to be suppressed;
* end-to-end, ``1 x N x 57`` (exports with NMS, YOLO26-pose): left, top, right, bottom, score,
  class, 17 x (x, y, visibility).

All coordinates are pixels of the letterboxed input, scores and visibility probabilities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import DYNAMIC, Engine, InferenceError, TensorSpec
from aitable_ros.perception.images.checks import check_image
from aitable_ros.perception.images.ssd import iou_matrix
from aitable_ros.perception.posture.body_keypoints import (
    KEYPOINT_COUNT,
    BodyKeypoint,
    BodyKeypoints,
)
from aitable_ros.perception.posture.body_pipeline import MAX_GAP_S, SWITCH_RATIO

COCO_KEYPOINTS = (
    BodyKeypoint.NOSE,
    BodyKeypoint.LEFT_EYE,
    BodyKeypoint.RIGHT_EYE,
    BodyKeypoint.LEFT_EAR,
    BodyKeypoint.RIGHT_EAR,
    BodyKeypoint.LEFT_SHOULDER,
    BodyKeypoint.RIGHT_SHOULDER,
    BodyKeypoint.LEFT_ELBOW,
    BodyKeypoint.RIGHT_ELBOW,
    BodyKeypoint.LEFT_WRIST,
    BodyKeypoint.RIGHT_WRIST,
    BodyKeypoint.LEFT_HIP,
    BodyKeypoint.RIGHT_HIP,
    BodyKeypoint.LEFT_KNEE,
    BodyKeypoint.RIGHT_KNEE,
    BodyKeypoint.LEFT_ANKLE,
    BodyKeypoint.RIGHT_ANKLE,
)
"""COCO's 17 keypoints in their order (Lin et al. 2014, arXiv:1405.0312)."""

BORDER = 114
"""Grey of the letterbox's border, as in the networks' training."""

_DENSE_ROWS = 4 + 1 + 3 * len(COCO_KEYPOINTS)
_END_TO_END_COLUMNS = _DENSE_ROWS + 1
_PERSON = 0
_LIKE = (
    f'expected float [1,{_DENSE_ROWS},N] (dense) or [1,N,{_END_TO_END_COLUMNS}] (end-to-end):'
    f' one class, {len(COCO_KEYPOINTS)} keypoints with visibility'
)

MIN_SCORE = 0.5
"""Detections below are dropped."""

NMS_IOU = 0.7
"""Of the dense layout, boxes that overlap a better one by more are dropped."""

MAX_BOXES = 300
"""So many of the best boxes go into that suppression."""

SAME_PERSON_IOU = 0.3
"""A box that overlaps the one chosen before by more is the same person."""

_MAX_SIDE_PX = 8192
_MAX_ABS_PX = 1e6
"""Coordinates beyond are as good as infinite."""


@dataclass(frozen=True)
class YoloFormat:
    """
    What a YOLO-pose file takes and gives.

    :param image: the input tensor.
    :param output: the output tensor.
    :param channels_first: whether the input is NCHW, else NHWC.
    :param height: of the input [px].
    :param width: of the input [px].
    :param dense: whether the output is dense, else end-to-end; see the module.
    """

    image: TensorSpec
    output: TensorSpec
    channels_first: bool
    height: int
    width: int
    dense: bool


def infer_format(engine: Engine) -> YoloFormat:
    """
    Find out from the tensors' shapes what a YOLO-pose file takes and gives.

    :param engine: a loaded file. One image input: float32 or float16 (pixels 0..1) or uint8
        (0..255), RGB, NCHW or NHWC, of fixed size. One output: see the module.
    :raises InferenceError: when it is no such file, or its shapes do not tell; the message says
        what is there and what was expected.
    """
    if len(engine.inputs) != 1 or len(engine.outputs) != 1:
        tensors = ', '.join(map(str, (*engine.inputs, *engine.outputs)))
        raise InferenceError(
            f'{engine}: a YOLO-pose file has one input and one output; this has {tensors}'
        )
    (image,), (output,) = engine.inputs, engine.outputs
    channels_first, height, width = _image_size(engine, image)
    return YoloFormat(image, output, channels_first, height, width, _is_dense(engine, output))


def _image_size(engine: Engine, image: TensorSpec) -> tuple[bool, int, int]:
    if DYNAMIC in image.shape[1:]:
        raise InferenceError(
            f'{engine}: input {image}: the picture size is open; export it for one size (dynamic'
            ' or not, only the batch may be left open)'
        )
    shape = image.shape
    first, last = len(shape) == 4 and shape[1] == 3, len(shape) == 4 and shape[3] == 3
    if (
        image.dtype not in (np.float32, np.float16, np.uint8)
        or first == last
        or shape[0] not in (1, DYNAMIC)
    ):
        raise InferenceError(
            f'{engine}: input {image}: expected one RGB picture, float32, float16 or uint8'
            ' [1,3,H,W] or [1,H,W,3]'
        )
    height, width = shape[2:] if first else shape[1:3]
    if max(height, width) > _MAX_SIDE_PX:
        raise InferenceError(f'{engine}: input {image}: more than {_MAX_SIDE_PX} pixels a side')
    return first, height, width


def _is_dense(engine: Engine, output: TensorSpec) -> bool:
    shape = output.shape
    fits = (
        output.dtype in (np.float32, np.float16) and len(shape) == 3 and shape[0] in (1, DYNAMIC)
    )
    if fits and DYNAMIC in shape[1:]:
        raise InferenceError(
            f'{engine}: output {output}: the shape does not tell the layout, since it is open;'
            f' {_LIKE}. Export it for one picture size'
        )
    dense = fits and shape[1] == _DENSE_ROWS
    end_to_end = fits and shape[2] == _END_TO_END_COLUMNS
    if dense and end_to_end:
        raise InferenceError(
            f'{engine}: output {output}: ambiguous, it may be {shape[2]} anchors or {shape[1]}'
            f' people; {_LIKE}. Export it for another picture size, or another max_det'
        )
    if not (dense or end_to_end):
        raise InferenceError(f'{engine}: output {output}: {_LIKE}')
    return dense


@dataclass(frozen=True)
class Letterbox:
    """
    A picture scaled into a frame of another aspect ratio, in its middle.

    :param scale_x: frame pixels per image pixel, horizontally.
    :param scale_y: the same vertically; apart from rounding to whole pixels it is scale_x.
    :param left: border [frame px].
    :param top: border [frame px].
    """

    scale_x: float
    scale_y: float
    left: int
    top: int

    @classmethod
    def fit(
        cls, image: npt.NDArray[np.uint8], height: int, width: int
    ) -> tuple[Letterbox, npt.NDArray[np.uint8]]:
        """
        Scale a picture, bilinearly, and put a grey border around it.

        :param image: (H, W, 3) uint8.
        :param height: of the frame [px].
        :param width: of the frame [px].
        :returns: the geometry; (height, width, 3) uint8.
        """
        rows, columns = image.shape[:2]
        scale = min(height / rows, width / columns)
        inner_width = min(max(round(columns * scale), 1), width)
        inner_height = min(max(round(rows * scale), 1), height)
        left, top = (width - inner_width) // 2, (height - inner_height) // 2
        framed = np.full((height, width, 3), BORDER, dtype=np.uint8)
        inner = framed[top : top + inner_height, left : left + inner_width]
        inner[:] = cv2.resize(image, (inner_width, inner_height), interpolation=cv2.INTER_LINEAR)
        return cls(inner_width / columns, inner_height / rows, left, top), framed

    def to_image(self, xy: npt.NDArray) -> npt.NDArray:
        """
        Map points of the frame to the image.

        Without the half pixel by which ``cv2.resize`` moves pixel centres: the labels that these
        networks learn from are scaled without it, too.

        :param xy: (..., 2) in frame pixels.
        :returns: (..., 2) float64 in image pixels.
        """
        shifted = np.asarray(xy, dtype=np.float64) - (self.left, self.top)
        return shifted / (self.scale_x, self.scale_y)


class YoloPose:
    """
    Find one person in an image stream: the one at the table, who is the largest.

    Every image is looked at as a whole; of several people the one chosen before stays, as long as
    nobody is much larger. Not thread-safe.

    :param engine: a YOLO-pose file, loaded without a contract of its own (see
        :attr:`~aitable_ros.inference.model_spec.ModelSpec.is_open`). Stays the caller's.
    :raises InferenceError: when the file is no YOLO-pose network, or its shapes are ambiguous.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.format = infer_format(engine)
        self.reset()

    def reset(self) -> None:
        """Forget the person: the stream begins anew."""
        self._xywh: npt.NDArray | None = None
        self._last_s = -math.inf

    def process(self, image: npt.NDArray[np.uint8], stamp_s: float) -> BodyKeypoints | None:
        """
        Find the person in the stream's next image.

        :param image: (H, W, 3) uint8 RGB.
        :param stamp_s: header time of the image [s].
        :returns: None when there is nobody. Keypoints that COCO does not have are NaN.
        :raises ValueError: when the image is not one, or the stamp is not finite.
        :raises InferenceError: when the engine fails.
        """
        if not math.isfinite(stamp_s):
            raise ValueError(f'stamp_s: expected a finite number, got {stamp_s}')
        if not 0.0 <= stamp_s - self._last_s <= MAX_GAP_S:
            self._xywh = None
        people = self._find(image)
        self._last_s = stamp_s
        chosen = self._choose(people)
        self._xywh = None if chosen is None else people.xywh_px[chosen]
        return None if chosen is None else people.keypoints(chosen, image)

    def process_still(self, image: npt.NDArray[np.uint8]) -> BodyKeypoints | None:
        """
        Find the largest person of one picture that belongs to no stream.

        Leaves what :meth:`process` remembers untouched.

        :param image: (H, W, 3) uint8 RGB.
        :returns: None when there is nobody.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when the engine fails.
        """
        people = self._find(image)
        if not len(people.scores):
            return None
        return people.keypoints(int(people.sizes_px.argmax()), image)

    def _choose(self, people: _People) -> int | None:
        if not len(people.scores):
            return None
        largest = int(people.sizes_px.argmax())
        if self._xywh is None:
            return largest
        overlaps = iou_matrix(self._xywh[None], people.xywh_px)[0]
        same = int(overlaps.argmax())
        if overlaps[same] <= SAME_PERSON_IOU:
            return largest
        limit_px = SWITCH_RATIO * people.sizes_px[same]
        return largest if people.sizes_px[largest] >= limit_px else same

    def _find(self, image: npt.NDArray[np.uint8]) -> _People:
        check_image(image)
        form = self.format
        letterbox, framed = Letterbox.fit(image, form.height, form.width)
        tensor = framed.transpose(2, 0, 1) if form.channels_first else framed
        if form.image.dtype != np.uint8:
            tensor = (tensor * np.float32(1.0 / 255.0)).astype(form.image.dtype, copy=False)
        batch = np.ascontiguousarray(tensor[None])
        output = self.engine.infer({form.image.name: batch})[form.output.name]
        if output.shape != (1, *form.output.shape[1:]):
            raise InferenceError(
                f'{self.engine}: expected {form.output}, got {list(output.shape)}'
            )
        rows = output[0].astype(np.float32, copy=False)
        if form.dense:
            return self._read_dense(rows, letterbox)
        return self._read_end_to_end(rows, letterbox)

    @staticmethod
    def _read_dense(rows: npt.NDArray, letterbox: Letterbox) -> _People:
        # NaN fails the comparison; selecting first spares transposing all anchors.
        found = rows[:, rows[4] >= MIN_SCORE].T.astype(np.float64)
        half = 0.5 * found[:, 2:4]
        xyxy = np.hstack((found[:, :2] - half, found[:, :2] + half))
        people = _People.of(xyxy, found[:, 4], found[:, 5:], letterbox)
        boxes, scores = people.xywh_px.tolist(), people.scores.tolist()
        found_best = cv2.dnn.NMSBoxes(boxes, scores, 0.0, NMS_IOU, top_k=MAX_BOXES)
        kept = np.array(found_best, dtype=np.intp).reshape(-1)  # old versions give a column
        return _People(people.xywh_px[kept], people.scores[kept], people.points[kept])

    @staticmethod
    def _read_end_to_end(rows: npt.NDArray, letterbox: Letterbox) -> _People:
        found = rows[(rows[:, 4] >= MIN_SCORE) & (rows[:, 5] == _PERSON)]
        found = found.astype(np.float64)
        return _People.of(found[:, :4], found[:, 4], found[:, 6:], letterbox)


@dataclass(frozen=True, eq=False)
class _People:
    """
    The people of one image.

    :param xywh_px: (N, 4) left, top, width, height in image pixels.
    :param scores: (N,).
    :param points: (N, 17, 3) x, y in image pixels, visibility.
    """

    xywh_px: npt.NDArray
    scores: npt.NDArray
    points: npt.NDArray

    @classmethod
    def of(
        cls, xyxy: npt.NDArray, scores: npt.NDArray, points: npt.NDArray, letterbox: Letterbox
    ) -> _People:
        """Map boxes and points from the frame to the image; drop what makes no sense."""
        with np.errstate(invalid='ignore'):
            sizes = xyxy[:, 2:] - xyxy[:, :2]
        valid = (
            (np.abs(xyxy) <= _MAX_ABS_PX).all(axis=1)
            & np.isfinite(scores)
            & (sizes > 0.0).all(axis=1)
            & (np.abs(points) <= _MAX_ABS_PX).all(axis=1)
        )
        xyxy, scores = xyxy[valid], np.clip(scores[valid], 0.0, 1.0)
        points = points[valid].reshape(-1, len(COCO_KEYPOINTS), 3)
        upper_left = letterbox.to_image(xyxy[:, :2])
        xywh_px = np.hstack((upper_left, letterbox.to_image(xyxy[:, 2:]) - upper_left))
        mapped = np.concatenate((letterbox.to_image(points[..., :2]), points[..., 2:]), axis=-1)
        return cls(xywh_px, scores, mapped)

    @property
    def sizes_px(self) -> npt.NDArray:
        """Roots of the boxes' areas, (N,)."""
        return np.sqrt(self.xywh_px[:, 2] * self.xywh_px[:, 3])

    def keypoints(self, index: int, image: npt.NDArray) -> BodyKeypoints:
        """Return one of them; what lies outside of the image is not visible."""
        height, width = image.shape[:2]
        xy, visibility = self.points[index, :, :2], self.points[index, :, 2]
        inside = ((xy >= 0.0) & (xy <= (width - 1, height - 1))).all(axis=1)
        xy_px = np.full((KEYPOINT_COUNT, 2), np.nan, dtype=np.float32)
        seen = np.zeros(KEYPOINT_COUNT, dtype=np.float32)
        xy_px[list(COCO_KEYPOINTS)] = xy
        seen[list(COCO_KEYPOINTS)] = np.clip(visibility, 0.0, 1.0) * inside
        return BodyKeypoints(xy_px, seen, float(self.scores[index]))
