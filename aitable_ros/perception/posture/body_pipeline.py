# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""From an image stream to the body of the person at the table."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.images.checks import check_image
from aitable_ros.perception.images.image_stream import ImageStream
from aitable_ros.perception.images.roi import RotatedRoi
from aitable_ros.perception.maths.one_euro import OneEuroSettings, VectorOneEuroFilter
from aitable_ros.perception.posture.blazepose import (
    BodyDetector,
    BodyLandmarker,
    BodyLandmarks,
    roi_from_alignment,
)
from aitable_ros.perception.posture.body_keypoints import (
    BodyKeypoint,
    BodyKeypoints,
)

_SHOULDERS = [BodyKeypoint.LEFT_SHOULDER, BodyKeypoint.RIGHT_SHOULDER]


_REGION_MIN_CUTOFF_HZ = 0.01


_REGION_BETA_HZ = 10.0
"""How the region is smoothed; MediaPipe's values, for speeds in diameters per second."""


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
        return roi_from_alignment(np.reshape(smooth, (2, 2)))


MIN_PRESENCE = 0.5
"""Keypoints with a lower score are not a person (MediaPipe's value)."""

REDETECT_INTERVAL_S = 2.0
"""
While a person is followed, the detector looks this often whether someone nearer has come, in
header time. MediaPipe never does.
"""

MAX_GAP_S = 0.5
"""
When the image before is longer ago, another person may have taken the place: the detector must
confirm the one that is followed, or find nobody else.
"""

MAX_UNCONFIRMED_S = 5.0
"""
For so long a person is followed whom the detector does not find while it finds others, as when
looking away; then one of those is.
"""

SAME_PERSON = 0.3
"""
Shoulders whose middle is nearer than this to where the detector sees a person's are that person's,
as a part of the radius of its circle about the upper body (which is about 1.6 shoulder widths).
"""

SWITCH_RATIO = 1.5
"""
Who is larger by this factor takes the place of the person that is followed. The circle's radius
scatters by 20 %.
"""

MAX_CANDIDATES = 3
"""How many detections, the largest first, are tried until one has keypoints."""


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
    detector runs every :data:`REDETECT_INTERVAL_S`; otherwise it runs in every image.

    Not thread-safe: one stream, one thread (as the engines demand).

    :param detector: finds people.
    :param landmarker: measures one.
    """

    def __init__(self, detector: BodyDetector, landmarker: BodyLandmarker) -> None:
        self.detector = detector
        self.landmarker = landmarker
        self.reset()

    def reset(self) -> None:
        """Forget the person: the stream begins anew."""
        self._stream = ImageStream()
        self._forget()

    def _forget(self) -> None:
        self._roi: RotatedRoi | None = None
        self._follower = RegionFollower()
        self._detected_s = -math.inf
        self._confirmed_s = -math.inf

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
        gap_s = self._stream.advance(image, stamp_s)
        if gap_s is None:
            self._forget()
            gap_s = 0.0
        image = np.ascontiguousarray(image)

        person = None if self._roi is None else self._measure(image, self._roi)
        gap = gap_s > MAX_GAP_S
        if person is None or gap or stamp_s - self._detected_s >= REDETECT_INTERVAL_S:
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
        image = np.ascontiguousarray(image)
        person = self._choose(image, self._candidates(image))
        return None if person is None else person.keypoints

    def _measure(self, image: npt.NDArray[np.uint8], roi: RotatedRoi) -> BodyLandmarks | None:
        person = self.landmarker.run(image, roi)
        if person is None or person.keypoints.score < MIN_PRESENCE:
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
                least_px = SWITCH_RATIO * same.radius_px
                candidates = [c for c in candidates if c.radius_px >= least_px]
            elif stamp_s - self._confirmed_s <= MAX_UNCONFIRMED_S:
                return followed
        person = self._choose(image, candidates)
        if person is None:
            return followed
        self._confirmed_s = stamp_s
        return person

    def _candidates(self, image: npt.NDArray[np.uint8]) -> list[_Candidate]:
        """Return the detections, the largest person first."""
        candidates = []
        for detection in self.detector.detect(image):
            roi = roi_from_alignment(detection.keypoints_px)
            if roi is not None:
                shoulders, on_circle = detection.keypoints_px[2:].tolist()
                radius_px = math.dist(shoulders, on_circle)
                candidates.append(_Candidate(roi, (shoulders[0], shoulders[1]), radius_px))
        return sorted(candidates, key=lambda candidate: -candidate.radius_px)

    def _is_same(self, person: BodyLandmarks, candidate: _Candidate) -> bool:
        shoulders = person.keypoints.xy_px[_SHOULDERS].mean(axis=0).tolist()
        distance_px = math.dist(shoulders, candidate.shoulders_px)
        return distance_px <= SAME_PERSON * candidate.radius_px

    def _choose(
        self, image: npt.NDArray[np.uint8], candidates: list[_Candidate]
    ) -> BodyLandmarks | None:
        """Return the first of the candidates who has keypoints."""
        for candidate in candidates[:MAX_CANDIDATES]:
            person = self._measure(image, candidate.roi)
            if person is not None:
                return person
        return None
