# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Identities of faces over time: the same person keeps the same id."""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.images.ssd import iou_matrix
from aitable_ros.perception.maths.settings import Settings, setting

_IMPOSSIBLE = 1e6
"""Cost of a pair that must not be associated; far above the sum of any possible costs."""

_TRIED = 4
"""Of so many faces all pairings are tried: that takes less than importing SciPy."""


@dataclass(frozen=True)
class TrackerSettings(Settings):
    """
    How far a face may move, and how long it is remembered.

    Distances are in units of the face's size (square root of its box's area), so that they
    mean the same near and far from the camera.

    :param memory_s: a face unseen for longer is forgotten; if it comes back later it is a new
        one. In header time.
    :param max_age_s: a face unseen for longer is lost: its motion is extrapolated no farther
        than this, it is looked for where it was seen last too, and faces seen more recently are
        associated before it.
    :param max_distance: how far from its expected place a face may be found in the next image;
        wide, since a quick turn of the head or a dropped frame is likelier than a change of
        persons, and the nearest faces are paired anyway.
    :param max_speed: how much farther per second that it was not seen [1/s].
    :param max_return_distance: upper limit of both together; how far from where it was lost a
        face may return.
    :param min_iou: boxes that overlap this much belong together at any distance, 0..1.
    :param max_size_ratio: how much larger or smaller a face may have become.
    :param velocity_time_s: time constant over which the velocity is averaged.
    :param trend_s: :meth:`FaceTracker.surprise` compares with where the face was heading until
        half of this ago, seen over as long again; long enough that a face which another one
        hides, and whose landmarks slide onto that one, has not begun to.
    :raises ValueError: for a value out of range.
    """

    memory_s: float = setting(3.0, 0.0, 36000.0)
    max_age_s: float = setting(0.5, 0.0, 3600.0)
    max_distance: float = setting(1.2, 0.0, 100.0)
    max_speed: float = setting(3.0, 0.0, 100.0)
    max_return_distance: float = setting(1.5, 0.0, 100.0)
    min_iou: float = setting(0.3, 0.0, 1.0)
    max_size_ratio: float = setting(2.0, 1.0, 100.0)
    velocity_time_s: float = setting(0.15, 0.001, 1e6)
    trend_s: float = setting(0.6, 0.0, 60.0)


@dataclass(frozen=True, eq=False)
class FaceObservation:
    """
    One face seen in one image.

    :param xywh_px: (4,) left, top, width, height in image pixels; finite, not empty.
    :param landmarks_px: (N, 2 or 3) landmarks, where measured: their mean then tells where the
        face is, which is steadier than the middle of the box.
    :param previous_id: the face that was followed to here by its landmarks; None where it was
        newly detected.
    """

    xywh_px: npt.NDArray
    landmarks_px: npt.NDArray | None = None
    previous_id: str | None = None


@dataclass(frozen=True)
class FaceIdentity:
    """
    Who an observation is.

    :param face_id: 'f48213_1', 'f48213_2', ...: run and number; never given to a second face.
    :param number: the number in ``face_id``: the order in which faces were first seen.
    :param tracked_s: header time since this id was given [s].
    """

    face_id: str
    number: int
    tracked_s: float


class _Track:
    """
    One remembered face.

    Places [px] and the velocity [px/s, over header time] are complex numbers, x + iy: NumPy takes
    ten times as long for two coordinates.
    """

    def __init__(
        self, face_id: str, number: int, stamp_s: float, box: npt.NDArray, centre: complex
    ) -> None:
        self.number = number
        self.face_id = face_id
        self.first_s = stamp_s
        self.last_s = stamp_s
        self.box = box
        self.centre = centre
        self.velocity = 0j
        self.history = deque([(stamp_s, centre)])

    def move(
        self, stamp_s: float, box: npt.NDArray, centre: complex, settings: TrackerSettings
    ) -> None:
        elapsed = stamp_s - self.last_s
        if elapsed > 0.0:
            gain = 1.0 - math.exp(-elapsed / settings.velocity_time_s)
            self.velocity += gain * ((centre - self.centre) / elapsed - self.velocity)
        self.last_s = stamp_s
        self.box = box
        self.centre = centre
        self.history.append((stamp_s, centre))
        while stamp_s - self.history[0][0] > settings.trend_s:
            self.history.popleft()

    def expected(self, stamp_s: float, max_age_s: float) -> complex:
        elapsed = stamp_s - self.last_s
        return self.centre + self.velocity * (elapsed if elapsed <= max_age_s else 0.0)

    def places(self, stamp_s: float, max_age_s: float) -> list[complex]:
        """Return where to look for the face: one that is lost may have stopped or gone on."""
        if stamp_s - self.last_s <= max_age_s:
            return [self.expected(stamp_s, max_age_s)]
        return [self.centre, self.centre + self.velocity * max_age_s]

    def trend(self, stamp_s: float, trend_s: float) -> tuple[complex, complex] | None:
        """Return position and velocity now, by the straight line through those of a while ago."""
        old = [entry for entry in self.history if stamp_s - entry[0] >= 0.5 * trend_s]
        if len(old) < 2 or old[0][0] == old[-1][0]:
            return None
        times = np.array([entry[0] for entry in old])
        centres = np.array([entry[1] for entry in old])
        offsets = times - times.mean()
        velocity = complex(offsets @ centres / (offsets @ offsets))
        return complex(centres.mean()) + velocity * (stamp_s - float(times.mean())), velocity


def run_prefix(stamp_s: float) -> str:
    """
    Give what the numbers of a run of the tracker begin with, so that no id means two people.

    It follows from when the run's first image was taken, not from chance: of the same images
    come the same ids, byte for byte.

    :param stamp_s: header time of the first image [s]; 0: time has no date, there is no prefix.
    :returns: five digits and an underscore: 100,000 runs.
    """
    return '' if stamp_s == 0.0 else f'{zlib.crc32(b"%d" % round(stamp_s * 1e3)) % 100_000:05d}_'


class FaceTracker:
    """
    Give faces ids that stay with the person.

    An observation that carries an id (its landmarks were followed from image to image) keeps
    it. The others are associated with the remembered faces by distance from where each is
    expected and by overlap, all at once, so that the total cost is the least (Hungarian
    method): first with faces seen recently, then with lost ones. Who is left over is new.

    Time is header time, and goes on until :meth:`reset`. Ids are not used again even then.

    :param settings: thresholds; the defaults suit one to four people at a table.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings if settings is not None else TrackerSettings()
        self.run = ''
        """What tells the ids of this run from those of others: :func:`run_prefix`."""
        self._tracks: dict[str, _Track] = {}
        self._given = 0

    def reset(self) -> None:
        """Forget all faces; ids go on counting."""
        self._tracks.clear()

    def surprise(self, face_id: str, stamp_s: float, observation: FaceObservation) -> float:
        """
        Tell how far an observation is from where a face was heading.

        :param face_id: a remembered face.
        :param stamp_s: header time of the observation [s].
        :param observation: the observation.
        :returns: distance in units of the face's size; infinite for a face not remembered.
        """
        track = self._tracks.get(face_id)
        if track is None:
            return math.inf
        box, centre = _measure(observation)
        trend = track.trend(stamp_s, self.settings.trend_s)
        heading = track.expected(stamp_s, self.settings.max_age_s) if trend is None else trend[0]
        return abs(heading - centre) / _size(box)

    def rewind(self, face_id: str) -> None:
        """
        Put a face back to where it was heading, since where it was seen last it was not.

        For a face whose landmarks slid onto another one that hides it: it will come out near
        its own way, not near where the other one has gone.

        :param face_id: a face; nothing happens if it is not remembered.
        """
        track = self._tracks.get(face_id)
        trend = None if track is None else track.trend(track.last_s, self.settings.trend_s)
        if track is None or trend is None:
            return
        centre, track.velocity = trend
        track.box = _shifted(track.box, centre - track.centre)
        track.centre = centre

    def expected_shift_px(self, face_id: str, stamp_s: float) -> tuple[float, float]:
        """
        Tell how far a face is expected to have moved since it was last seen.

        :param face_id: a face.
        :param stamp_s: header time of the image in which it is to be looked for [s].
        :returns: x and y in pixels; 0, 0 for a face that is lost or not remembered.
        """
        track = self._tracks.get(face_id)
        if track is None:
            return 0.0, 0.0
        shift = track.expected(stamp_s, self.settings.max_age_s) - track.centre
        return shift.real, shift.imag

    def identity(self, face_id: str, stamp_s: float) -> FaceIdentity:
        """
        Tell who a remembered face is.

        :raises KeyError: when it is not remembered.
        """
        track = self._tracks[face_id]
        return FaceIdentity(face_id, track.number, stamp_s - track.first_s)

    def update(
        self,
        stamp_s: float,
        observations: Sequence[FaceObservation],
        waiting: Collection[str] = (),
    ) -> list[FaceIdentity]:
        """
        Take in what one image shows.

        :param stamp_s: header time of the image [s]; not before the last one's.
        :param observations: all its faces; of several with one ``previous_id`` the first keeps it.
        :param waiting: ids of faces that are there and were not measured: nobody else is they.
        :returns: one identity per observation, in their order.
        """
        here = {*waiting, *(observation.previous_id for observation in observations)}
        for face_id in [
            i
            for i, t in self._tracks.items()
            if stamp_s - t.last_s > self.settings.memory_s and i not in here
        ]:
            del self._tracks[face_id]

        measured = [_measure(observation) for observation in observations]
        chosen: list[_Track | None] = [None] * len(observations)
        free = {key: track for key, track in self._tracks.items() if key not in waiting}
        for i, observation in enumerate(observations):
            if observation.previous_id is not None:
                chosen[i] = free.pop(observation.previous_id, None)
        recent = [t for t in free.values() if stamp_s - t.last_s <= self.settings.max_age_s]
        lost = [t for t in free.values() if stamp_s - t.last_s > self.settings.max_age_s]
        for tracks in (recent, lost):
            unnamed = [i for i, track in enumerate(chosen) if track is None]
            if tracks and unnamed:
                for k, match in self._associate(stamp_s, [measured[i] for i in unnamed], tracks):
                    chosen[unnamed[k]] = match

        identities = []
        for (box, centre), track in zip(measured, chosen):
            if track is None:
                self._given += 1
                face_id = f'f{self.run}{self._given}'
                track = _Track(face_id, self._given, stamp_s, box, centre)
                self._tracks[track.face_id] = track
            else:
                track.move(stamp_s, box, centre, self.settings)
            identities.append(FaceIdentity(track.face_id, track.number, stamp_s - track.first_s))
        return identities

    def _associate(
        self,
        stamp_s: float,
        measured: Sequence[tuple[npt.NDArray, complex]],
        tracks: Sequence[_Track],
    ) -> list[tuple[int, _Track]]:
        settings = self.settings
        costs = np.full((len(measured), len(tracks)), _IMPOSSIBLE)
        for j, track in enumerate(tracks):
            places = track.places(stamp_s, settings.max_age_s)
            shifted = _shifted(track.box, places[0] - track.centre)
            reach = min(
                settings.max_distance + settings.max_speed * (stamp_s - track.last_s),
                settings.max_return_distance,
            )
            for i, (box, centre) in enumerate(measured):
                ratio = _size(box) / _size(track.box)
                if max(ratio, 1.0 / ratio) > settings.max_size_ratio:
                    continue
                distance = min(abs(place - centre) for place in places)
                distance /= math.sqrt(_size(box) * _size(track.box))
                overlap = float(iou_matrix(shifted[None], box[None])[0, 0])
                if distance <= reach or overlap >= max(settings.min_iou, 1e-9):
                    costs[i, j] = distance + 1.0 - overlap
        return [(i, tracks[j]) for i, j in _assigned(costs) if costs[i, j] < _IMPOSSIBLE]


def _assigned(costs: npt.NDArray) -> list[tuple[int, int]]:
    """Pair rows with columns so that the sum of the costs is least."""
    if max(costs.shape) > _TRIED:
        from scipy.optimize import linear_sum_assignment  # 43 MB, 0.3 s

        rows, columns = linear_sum_assignment(costs)
        return list(zip(rows.tolist(), columns.tolist()))
    if costs.shape[0] > costs.shape[1]:
        return [(i, j) for j, i in _assigned(costs.T)]
    given = costs.tolist()
    chosen = min(
        permutations(range(costs.shape[1]), costs.shape[0]),
        key=lambda columns: sum(row[j] for row, j in zip(given, columns)),
    )
    return list(enumerate(chosen))


def _measure(observation: FaceObservation) -> tuple[npt.NDArray, complex]:
    """Give the box (4,) float64 and the centre."""
    box = np.asarray(observation.xywh_px, dtype=np.float64)
    points = observation.landmarks_px
    if points is None:
        x, y, width, height = box.tolist()
        return box, complex(x + 0.5 * width, y + 0.5 * height)
    rows = np.ascontiguousarray(points.T[:2])
    x, y = np.add.reduce(rows, axis=1, dtype=np.float64).tolist()
    return box, complex(x / len(points), y / len(points))


def _shifted(box: npt.NDArray, by: complex) -> npt.NDArray:
    return box + np.array((by.real, by.imag, 0.0, 0.0))


def _size(box: npt.NDArray) -> float:
    return math.sqrt(float(box[2]) * float(box[3]))
