# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The body keypoints of one person in an image stream, with BlazePose.

Bazarevsky et al. 2020, arXiv:2006.10204; Grishchenko et al. 2022, arXiv:2206.11678 (GHUM, world
landmarks). Pre- and post-processing are MediaPipe's (``pose_landmark_cpu`` graph of 0.10.21).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine, InferenceError
from aitable_ros.perception.images.checks import check_float32, check_image
from aitable_ros.perception.images.image_stream import ImageStream
from aitable_ros.perception.images.roi import RotatedRoi
from aitable_ros.perception.images.ssd import SsdNetwork, anchor_centres, sigmoid
from aitable_ros.perception.maths.one_euro import OneEuroSettings, VectorOneEuroFilter
from aitable_ros.perception.posture.body_keypoints import (
    KEYPOINT_COUNT,
    BodyKeypoint,
    BodyKeypoints,
)

DETECTION_SIZE_PX = 224
"""Side of the detector's input."""

LANDMARK_SIZE_PX = 256
"""Side of the landmark network's input."""

ALIGNMENT_POINTS = 4
"""Of a detection: middle of the hips; a point on the circle around the whole body, above the head
of who stands straight; middle of the shoulders; the same for the upper body."""

ROI_SCALE = 1.25
"""How much larger than the circle's diameter the region is (``RectTransformationCalculator``)."""

_GRIDS = ((28, 2), (14, 2), (7, 6))
"""(cells per side, anchors per cell): strides 8, 16, and three times 32."""

_POINTS = 39
"""The landmark network's points: 33 keypoints, then the two that give the next region, then four
that MediaPipe does not use either."""
_CENTRE, _ON_CIRCLE = 33, 34

_SHOULDERS = [BodyKeypoint.LEFT_SHOULDER, BodyKeypoint.RIGHT_SHOULDER]

_HEATMAP_SIZE = 64
_HEATMAP_KERNEL = 9
_HEATMAP_MIN_PEAK = 0.5
"""Defaults of MediaPipe's ``RefineLandmarksFromHeatmapCalculatorOptions``."""

_REGION_MIN_CUTOFF_HZ = 0.01
_REGION_BETA_HZ = 10.0
"""How the region is smoothed; MediaPipe's values, for speeds in diameters per second."""


@dataclass(frozen=True, eq=False)
class BodyDetection:
    """
    A person found by the detector.

    :param face_xywh_px: (4,) float32 left, top, width, height of the face in image pixels.
    :param score: 0..1.
    :param alignment_px: (4, 2) float32 x, y in image pixels; see :data:`ALIGNMENT_POINTS`.
    :raises ValueError: for other shapes or element types, or a score outside of 0..1.
    """

    face_xywh_px: npt.NDArray[np.float32]
    score: float
    alignment_px: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        check_float32('face_xywh_px', self.face_xywh_px, (4,))
        check_float32('alignment_px', self.alignment_px, (ALIGNMENT_POINTS, 2))
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f'score: expected 0..1, got {self.score}')


@dataclass(frozen=True, eq=False)
class BodyLandmarks:
    """
    What the landmark network says of one region.

    :param keypoints: the person's; its score is the network's presence.
    :param alignment_px: (2, 2) float32, middle of the hips and a point on the circle around the
        body, in image pixels: where to look in the next image.
    :param roi: the region looked at.
    """

    keypoints: BodyKeypoints
    alignment_px: npt.NDArray[np.float32]
    roi: RotatedRoi


def pose_anchors() -> npt.NDArray[np.float32]:
    """
    Return the centres of the detector's anchors.

    :returns: (2254, 2) float32 x, y in 0..1 of the input square.
    """
    return anchor_centres(_GRIDS)


def roi_from_alignment(alignment_px: npt.NDArray, *, scale: float = ROI_SCALE) -> RotatedRoi:
    """
    Return where to look for the keypoints of a person.

    The square around the circle about the first point through the second, enlarged, turned so
    that the second lies straight above (MediaPipe ``AlignmentPointsRectsCalculator``).

    :param alignment_px: (2 or more, 2) x, y: middle of the hips, point on the circle.
    :param scale: how much larger than the circle's diameter.
    :raises ValueError: when the points coincide or are not finite.
    """
    (cx, cy), (x, y) = alignment_px[:2].astype(np.float64).tolist()
    radius = math.hypot(x - cx, y - cy)
    return RotatedRoi(cx, cy, 2.0 * scale * radius, math.atan2(x - cx, cy - y))


class BodyDetector:
    """
    Find people in an image with BlazePose's detector.

    It looks for faces, and estimates from them where the body is; the whole image is seen in
    224 x 224 pixels, and people that fill less than a fifth or so of it are missed.

    :param engine: pose_detection network: ``image`` uint8 (N, 224, 224, 3) RGB in; ``boxes``
        float32 (N, 2254, 12) in input pixels relative to the anchors and ``scores`` float32
        (N, 2254, 1) logits out. Stays the caller's: it is not closed here.
    :param min_score: detections below are dropped, 0..1; 1 lets none pass.
    :param nms_iou: faces that overlap more than this are merged, 0..1.
    :raises ValueError: for a setting out of range.
    """

    def __init__(self, engine: Engine, *, min_score: float = 0.5, nms_iou: float = 0.3) -> None:
        self.engine = engine
        self._network = SsdNetwork(
            engine,
            anchors=pose_anchors(),
            input_size_px=DETECTION_SIZE_PX,
            points=ALIGNMENT_POINTS,
            min_score=min_score,
            nms_iou=nms_iou,
        )

    def detect(self, image: npt.NDArray[np.uint8]) -> list[BodyDetection]:
        """
        Find the people of one image.

        :param image: (H, W, 3) uint8 RGB of any size.
        :returns: people, best first; none where the network's output is not finite.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when the engine fails or gives other shapes than declared.
        """
        return [BodyDetection(*found) for found in self._network.detect(image)]


class BodyLandmarker:
    """
    Measure one person's keypoints with BlazePose GHUM.

    :param engine: pose_landmark network: ``image`` uint8 (N, 256, 256, 3) RGB in; ``landmarks``
        float32 (N, 39, 5): x, y, z in input pixels, visibility and presence as logits;
        ``presence`` float32 (N, 1) probability; ``heatmap`` float32 (N, 64, 64, 39) logits;
        ``world`` float32 (N, 39, 3) metres. Stays the caller's: it is not closed here.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def run(self, image: npt.NDArray[np.uint8], roi: RotatedRoi) -> BodyLandmarks | None:
        """
        Measure the person in a region.

        A keypoint's visibility is the lower of what the network says of being in the picture
        (presence) and of being there and not hidden (visibility), and 0 outside of the image.

        :param image: (H, W, 3) uint8 RGB.
        :param roi: where the person is.
        :returns: None where the network's output is not finite. The caller judges the score.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when the engine fails or gives other shapes than declared.
        """
        check_image(image)
        crop, to_image = roi.crop(image, LANDMARK_SIZE_PX)
        outputs = self.engine.infer({'image': crop[None]})
        for tensor in self.engine.outputs:
            if outputs[tensor.name].shape != (1, *tensor.shape[1:]):
                raise InferenceError(
                    f'{self.engine}: expected {tensor}, got {list(outputs[tensor.name].shape)}'
                )
        landmarks = outputs['landmarks'][0].astype(np.float64)
        world = outputs['world'][0].astype(np.float64)
        heatmap = outputs['heatmap'][0]
        score = float(outputs['presence'][0, 0])
        if not (
            np.isfinite(landmarks).all()
            and np.isfinite(world).all()
            and np.isfinite(heatmap).all()
            and math.isfinite(score)
        ):
            return None
        xy = refine_from_heatmap(landmarks[:, :2], heatmap)
        with np.errstate(over='ignore', invalid='ignore'):
            xy_px = (xy @ to_image[:, :2].T + to_image[:, 2]).astype(np.float32)
        if not np.isfinite(xy_px).all():
            return None
        keypoints_px = xy_px[:KEYPOINT_COUNT]
        height, width = image.shape[:2]
        inside = ((keypoints_px >= 0.0) & (keypoints_px <= (width - 1, height - 1))).all(axis=1)
        visibility = sigmoid(landmarks[:KEYPOINT_COUNT, 3:]).min(axis=1) * inside
        return BodyLandmarks(
            BodyKeypoints(
                keypoints_px,
                visibility.astype(np.float32),
                min(max(score, 0.0), 1.0),
                _turned(world[:KEYPOINT_COUNT], roi.angle_rad).astype(np.float32),
            ),
            xy_px[[_CENTRE, _ON_CIRCLE]],
            roi,
        )


def refine_from_heatmap(xy_px: npt.NDArray, heatmap: npt.NDArray) -> npt.NDArray[np.float64]:
    """
    Move points to the heatmap's centre of gravity about them, where the heatmap is sure.

    MediaPipe ``RefineLandmarksFromHeatmapCalculator``: 9 x 9 cells around the point, weighted by
    the sigmoid of the heatmap; a point whose best cell is below 0.5, or that lies outside, stays.

    :param xy_px: (39, 2) in pixels of the landmark network's input.
    :param heatmap: (64, 64, 39) logits: row, column, point.
    :returns: (39, 2) float64 in the same pixels.
    """
    cell_px = LANDMARK_SIZE_PX / _HEATMAP_SIZE
    # Clipped far outside first: what does not fit into an integer is as far out as any.
    cells = np.trunc(np.clip(xy_px / cell_px, -1e6, 1e6)).astype(np.int64)
    reach = _HEATMAP_KERNEL // 2
    steps = np.arange(-reach, reach + 1)
    columns = cells[:, 0, None, None] + steps[None, None, :]
    rows = cells[:, 1, None, None] + steps[None, :, None]
    columns, rows = np.broadcast_arrays(columns, rows)
    there = (columns >= 0) & (columns < _HEATMAP_SIZE) & (rows >= 0) & (rows < _HEATMAP_SIZE)
    points = np.arange(len(xy_px))[:, None, None]
    last = _HEATMAP_SIZE - 1
    values = heatmap[np.clip(rows, 0, last), np.clip(columns, 0, last), points]
    weights = sigmoid(values) * there
    total = weights.sum(axis=(1, 2))
    inside = ((cells >= 0) & (cells < _HEATMAP_SIZE)).all(axis=1)
    sure = inside & (weights.max(axis=(1, 2)) >= _HEATMAP_MIN_PEAK)
    refined = np.array(xy_px, dtype=np.float64)
    for axis, indices in enumerate((columns, rows)):
        moments = (weights * indices).sum(axis=(1, 2))
        refined[sure, axis] = moments[sure] / total[sure] * cell_px
    return refined


def _turned(world_m: npt.NDArray, angle_rad: float) -> npt.NDArray[np.float64]:
    """Turn points about the camera's axis: from the crop's axes to the image's."""
    cosine, sine = math.cos(angle_rad), math.sin(angle_rad)
    turned = world_m.copy()
    turned[:, 0] = cosine * world_m[:, 0] - sine * world_m[:, 1]
    turned[:, 1] = sine * world_m[:, 0] + cosine * world_m[:, 1]
    return turned


class RegionFollower:
    """
    Say where to look in the next image.

    The region is smoothed, since keypoints move with the region, and it with them: each coordinate
    for itself with a 1-Euro filter (MediaPipe ``LandmarksSmoothingCalculator``), which stays
    within 1.6 % of the circle's diameter of a steady motion of any speed.
    """

    def __init__(self) -> None:
        self._filters: list[VectorOneEuroFilter] = []

    def reset(self) -> None:
        """Forget where the person was."""
        self._filters = []

    def update(self, alignment_px: npt.NDArray, stamp_s: float) -> RotatedRoi | None:
        """
        Take what the landmark network says of one image.

        :param alignment_px: (2, 2), as :attr:`BodyLandmarks.alignment_px`.
        :param stamp_s: header time of the image [s].
        :returns: None when the points coincide.
        """
        centre, on_circle = alignment_px.astype(np.float64).tolist()
        diameter_px = 2.0 * math.dist(centre, on_circle)
        if not diameter_px > 0.0:
            return None
        settings = OneEuroSettings(_REGION_MIN_CUTOFF_HZ, _REGION_BETA_HZ / diameter_px)
        if not self._filters:
            self._filters = [VectorOneEuroFilter() for _ in range(4)]
        smooth = []
        for one_euro, value in zip(self._filters, (*centre, *on_circle)):
            one_euro.settings = settings
            smooth.append(one_euro.update(stamp_s, (value,))[0])
        return _roi_or_none(np.reshape(smooth, (2, 2)))


@dataclass(frozen=True)
class BodySettings:
    """
    When to detect, and who is followed.

    :param min_presence: keypoints with a lower score are not a person, 0..1 (MediaPipe: 0.5).
    :param redetect_interval_s: while a person is followed, the detector looks this often whether
        someone nearer has come, in header time; 0: in every image. MediaPipe never does.
    :param max_gap_s: when the image before is longer ago, another person may have taken the
        place: the detector must confirm the one that is followed, or find nobody else.
    :param max_unconfirmed_s: for so long a person is followed whom the detector does not find
        while it finds others, as when looking away; then one of those is.
    :param same_person: shoulders whose middle is nearer than this to where the detector sees a
        person's are that person's, as a part of the radius of its circle about the upper body
        (which is about 1.6 shoulder widths).
    :param switch_ratio: who is larger by this factor takes the place of the person that is
        followed, 1 or more. The circle's radius scatters by 20 %.
    :param max_candidates: how many detections, the largest first, are tried until one has
        keypoints, 1..16.
    :raises ValueError: for a value out of range.
    """

    min_presence: float = 0.5
    redetect_interval_s: float = 2.0
    max_gap_s: float = 0.5
    max_unconfirmed_s: float = 5.0
    same_person: float = 0.3
    switch_ratio: float = 1.5
    max_candidates: int = 3

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_presence <= 1.0:
            raise ValueError(f'min_presence: expected 0..1, got {self.min_presence}')
        for name in ('redetect_interval_s', 'max_gap_s', 'max_unconfirmed_s', 'same_person'):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f'{name}: expected a finite number >= 0, got {value}')
        if not 1.0 <= self.switch_ratio < math.inf:
            raise ValueError(f'switch_ratio: expected 1 or more, got {self.switch_ratio}')
        if not 1 <= self.max_candidates <= 16:
            raise ValueError(f'max_candidates: expected 1..16, got {self.max_candidates}')


@dataclass(frozen=True)
class _Candidate:
    """
    A detection, ready to be measured.

    :param roi: where to look for keypoints.
    :param shoulders_px: x, y of their middle.
    :param radius_px: of the circle about the upper body; how large the person is. It depends less
        on what the picture does not show than the circle about the whole body.
    """

    roi: RotatedRoi
    shoulders_px: tuple[float, float]
    radius_px: float


class BodyPipeline:
    """
    Follow one person in an image stream: the one at the table, who is the largest.

    While the keypoints hold, the next image is searched around where they were only, and the
    detector runs every ``redetect_interval_s``; otherwise it runs in every image.

    Not thread-safe: one stream, one thread (as the engines demand).

    :param detector: finds people.
    :param landmarker: measures one.
    :param settings: thresholds.
    """

    def __init__(
        self,
        detector: BodyDetector,
        landmarker: BodyLandmarker,
        settings: BodySettings | None = None,
    ) -> None:
        self.settings = settings if settings is not None else BodySettings()
        self.detector = detector
        self.landmarker = landmarker
        self.reset()

    def reset(self) -> None:
        """Forget the person: the stream begins anew."""
        self._roi: RotatedRoi | None = None
        self._follower = RegionFollower()
        self._stream = ImageStream()
        self._detected_s = -math.inf
        self._confirmed_s = -math.inf

    def continue_from(self, other: BodyPipeline) -> None:
        """
        Go on with the person of another pipeline, with own networks and thresholds.

        :param other: what followed the stream until now; not to be used any more.
        """
        self._roi = other._roi
        self._follower = other._follower
        self._stream = other._stream
        self._detected_s = other._detected_s
        self._confirmed_s = other._confirmed_s

    def process(self, image: npt.NDArray[np.uint8], stamp_s: float) -> BodyKeypoints | None:
        """
        Find or follow the person in the stream's next image.

        An image of another size than the one before, or an earlier one, begins a new stream.

        :param image: (H, W, 3) uint8 RGB.
        :param stamp_s: header time of the image [s].
        :returns: None when there is nobody.
        :raises ValueError: when the image is not one, or the stamp is not finite.
        :raises InferenceError: when an engine fails.
        """
        if not self._stream.continues(image, stamp_s):
            self.reset()
        gap_s = self._stream.advance(image, stamp_s)
        image = np.ascontiguousarray(image)

        person = self._follow(image) if self._roi is not None else None
        gap = gap_s > self.settings.max_gap_s
        if (
            person is None
            or gap
            or stamp_s - self._detected_s >= self.settings.redetect_interval_s
        ):
            self._detected_s = stamp_s
            if person is None or gap:
                self._confirmed_s = -math.inf
            found = self._detect(image, person, stamp_s)
            if found is not person:
                self._follower.reset()
                person = found
        if person is None:
            self._roi = None
            return None
        self._roi = self._follower.update(person.alignment_px, stamp_s)
        return person.keypoints

    def process_still(self, image: npt.NDArray[np.uint8]) -> BodyKeypoints | None:
        """
        Find the largest person of one picture that belongs to no stream.

        Leaves what :meth:`process` remembers untouched.

        :param image: (H, W, 3) uint8 RGB.
        :returns: None when there is nobody.
        :raises ValueError: when the image is not one.
        :raises InferenceError: when an engine fails.
        """
        check_image(image)
        person = self._choose(image, self._candidates(image))
        return None if person is None else person.keypoints

    def _follow(self, image: npt.NDArray[np.uint8]) -> BodyLandmarks | None:
        assert self._roi is not None
        return self._judged(self.landmarker.run(image, self._roi))

    def _judged(self, person: BodyLandmarks | None) -> BodyLandmarks | None:
        if person is None or person.keypoints.score < self.settings.min_presence:
            return None
        return person

    def _detect(
        self, image: npt.NDArray[np.uint8], followed: BodyLandmarks | None, stamp_s: float
    ) -> BodyLandmarks | None:
        """Return who is to be followed from now on."""
        candidates = self._candidates(image)
        if followed is not None:
            same = next((c for c in candidates if self._is_same(followed, c)), None)
            if same is not None:
                self._confirmed_s = stamp_s
                least_px = self.settings.switch_ratio * same.radius_px
                candidates = [c for c in candidates if c.radius_px >= least_px]
            elif stamp_s - self._confirmed_s <= self.settings.max_unconfirmed_s:
                return followed
        person = self._choose(image, candidates)
        if person is None:
            return followed
        self._confirmed_s = stamp_s
        return person

    def _candidates(self, image: npt.NDArray[np.uint8]) -> list[_Candidate]:
        """Return the detections, the largest person first."""
        candidates = []
        for detection in self.detector.detect(np.ascontiguousarray(image)):
            roi = _roi_or_none(detection.alignment_px)
            if roi is not None:
                shoulders, on_circle = detection.alignment_px[2:].tolist()
                radius_px = math.dist(shoulders, on_circle)
                candidates.append(_Candidate(roi, (shoulders[0], shoulders[1]), radius_px))
        return sorted(candidates, key=lambda candidate: -candidate.radius_px)

    def _is_same(self, person: BodyLandmarks, candidate: _Candidate) -> bool:
        shoulders = person.keypoints.xy_px[_SHOULDERS].mean(axis=0).tolist()
        distance_px = math.dist(shoulders, candidate.shoulders_px)
        return distance_px <= self.settings.same_person * candidate.radius_px

    def _choose(
        self, image: npt.NDArray[np.uint8], candidates: list[_Candidate]
    ) -> BodyLandmarks | None:
        """Return the first of the candidates who has keypoints."""
        image = np.ascontiguousarray(image)
        for candidate in candidates[: self.settings.max_candidates]:
            person = self._judged(self.landmarker.run(image, candidate.roi))
            if person is not None:
                return person
        return None


def _roi_or_none(alignment_px: npt.NDArray) -> RotatedRoi | None:
    try:
        return roi_from_alignment(alignment_px)
    except ValueError:  # the points coincide
        return None
