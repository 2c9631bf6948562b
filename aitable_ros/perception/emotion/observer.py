# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Emotion: the faces of an image in, the expression of each out.

Four readings, each better than the next: EmoNet, EmotiEffLib's networks, the network fer with the
face's shape, and the shape alone. The first whose network loads reads; every estimate names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine, InferenceError
from aitable_ros.inference.selection import AUTO, Load, Selection, Skipped, close_all, opened
from aitable_ros.perception.emotion.emonet import EmoNet
from aitable_ros.perception.emotion.emotieff import EmotiEff
from aitable_ros.perception.emotion.expression import UNCERTAIN, UNKNOWN, EmotionEstimate
from aitable_ros.perception.emotion.expression_geometry import GeometryExpression
from aitable_ros.perception.emotion.expression_head import NEUTRAL_BONUS
from aitable_ros.perception.emotion.expression_smoothing import EmotionSmoother
from aitable_ros.perception.emotion.face_measures import frontalise
from aitable_ros.perception.emotion.learned_expression import LearnedExpression
from aitable_ros.perception.emotion.neutral_face import NeutralFaceLearner
from aitable_ros.perception.emotion.readings import CHAIN, EXPRESSION, GEOMETRY, NETWORKS
from aitable_ros.perception.faces.observer import Look, SeenFaces
from aitable_ros.perception.faces.people import People
from aitable_ros.perception.faces.pipeline import TrackedFace
from aitable_ros.perception.images.stream_order import StreamOrder
from aitable_ros.perception.maths.rate_limit import RateLimit

MIN_CONFIDENCE = 0.4
"""Where confidence is calibrated, what is below is right in three of ten; docs/emotion.md."""


@dataclass(frozen=True)
class EmotionSettings:
    """
    How expressions are read.

    :param max_rate_hz: images per second that the network is run on for a face; 0: all [Hz].
    :param crop_scale: side of the crop of EmoNet or EmotiEffLib over that of the tight landmark
        box; 0: the network's own.
    :param neutral_bonus: how much more often than others faces are taken to be neutral, in
        log-odds; of the reading ``expression``.
    :param min_face_px: faces that are narrower are UNKNOWN [pixels].
    :param min_confidence: below this confidence the expression is UNCERTAIN, 0..1.
    :param smoothing_s: time constant over which a face's results are averaged; 0: not at all [s].
    :param forget_after_s: a face that was not seen for this long starts anew [s].
    """

    max_rate_hz: float = 5.0
    crop_scale: float = 0.0
    neutral_bonus: float = NEUTRAL_BONUS
    min_face_px: float = 48.0
    min_confidence: float = MIN_CONFIDENCE
    smoothing_s: float = 0.0
    forget_after_s: float = 3.0


@dataclass(frozen=True, eq=False)
class EmotionReading:
    """
    The expression of one face.

    :param face: whose.
    :param estimate: what was read.
    """

    face: TrackedFace
    estimate: EmotionEstimate


class _Person:
    """What is kept of one face id."""

    def __init__(self, smoothing_s: float) -> None:
        self.smoother = EmotionSmoother(smoothing_s)
        self.neutral = NeutralFaceLearner()
        self.limit = RateLimit()


class EmotionObserver:
    """
    Reads the expression of every face.

    Use and close it in the thread that loaded it.

    :param selections: the reading's engine, the observer's own from now on; empty: the landmarks
        are read, relative to the person's own neutral face.
    :param settings: thresholds.
    :param reading: which of :data:`~aitable_ros.perception.emotion.readings.READINGS` it is.
    :param skipped: the readings before it, and why they do not run.
    :raises InferenceError: when the engine is of another network.
    """

    def __init__(
        self,
        selections: Sequence[Selection] = (),
        settings: EmotionSettings | None = None,
        *,
        reading: str = GEOMETRY,
        skipped: Sequence[Skipped] = (),
    ) -> None:
        self.selections = tuple(selections)
        self.reading = reading
        self.skipped = tuple(skipped)
        self.network: EmoNet | LearnedExpression | None = None
        if selections:
            self.network = _NETWORKS.get(reading, EmoNet)(selections[0].engine)
        self.without_image = 0
        """How many images were due, but not at hand."""
        self._geometry = GeometryExpression()
        self.settings = settings or EmotionSettings()
        self._people = People(self._new_person, self.settings.forget_after_s)
        self.adopt(self.settings)

    @classmethod
    def load(
        cls,
        load: Load,
        *,
        backend: str = AUTO,
        reading: str = AUTO,
        settings: EmotionSettings | None = None,
    ) -> EmotionObserver:
        """
        Load a reading, or say why a lesser one has to do.

        :param load: loads networks of the catalog.
        :param backend: what runs the network. One that was named has to run one: then ``auto``
            does not end with the landmarks.
        :param reading: a name, or ``auto``: the first of
            :data:`~aitable_ros.perception.emotion.readings.CHAIN` that loads.
        :raises InferenceError: when nothing of what was asked for loads.
        """
        skipped: list[Skipped] = []
        for name in CHAIN if reading == AUTO else (reading,):
            if name not in NETWORKS:
                if skipped and backend != AUTO:
                    break
                return cls((), settings, skipped=skipped)
            try:
                with opened(load, (NETWORKS[name],)) as selections:
                    return cls(selections, settings, reading=name, skipped=skipped)
            except InferenceError as error:
                skipped.append(Skipped(name, str(error)))
        raise InferenceError('; '.join(map(str, skipped)))

    @property
    def stream(self) -> StreamOrder:
        """Where the stream stands."""
        return self._people.stream

    @property
    def backend(self) -> str:
        """What reads, as the estimates say it."""
        return self.selections[0].backend if self.selections else GEOMETRY

    def adopt(self, settings: EmotionSettings) -> None:
        """Take over other thresholds; nobody is forgotten."""
        self.settings = settings
        if isinstance(self.network, LearnedExpression):
            self.network.neutral_bonus = settings.neutral_bonus
        elif self.network is not None:
            self.network.scale_crop(settings.crop_scale)
        self._people.forget_after_s = settings.forget_after_s
        for person in self._people:
            person.smoother.time_constant_s = settings.smoothing_s

    def continue_from(self, previous: EmotionObserver) -> None:
        """Go on with the people of an observer that is not used any more."""
        self._people = previous._people
        self._people.make = self._new_person
        self.adopt(self.settings)

    def close(self) -> None:
        """Free the networks."""
        close_all(self.selections)

    def reset(self) -> None:
        """Forget everybody."""
        self._people.clear()

    def observe(self, seen: SeenFaces, look: Look) -> list[EmotionReading]:
        """
        Read the faces of the stream's next image.

        :param seen: its faces.
        :param look: called where a network looks at them.
        :returns: one reading per face; none of those whose turn it is not (a network looks
            at each ``max_rate_hz`` times a second), or where the image is not at hand.
        :raises InferenceError: when the engine fails.
        """
        stamp_s = self._people.advance(seen.stamp_s)
        if self.stream.anew:
            for person in self._people:
                person.limit.reset()
        people = [(face, self._people.see(face.face_id, face.tracked_s)) for face in seen.faces]
        if self.network is None:
            estimates: Sequence[EmotionEstimate] = [
                self._read_landmarks(face, person, stamp_s) for face, person in people
            ]
        else:
            # each at its own time: faces that take turns are not in every image
            people = [(face, one) for face, one in people if one.limit.is_due(stamp_s)]
            image = look() if people else None
            if image is None:
                self.without_image += bool(people)
                return []
            faces = [face for face, _ in people]
            for _, person in people:
                person.limit.take(stamp_s, self.settings.max_rate_hz)
            if isinstance(self.network, LearnedExpression):
                learners = [person.neutral for _, person in people]
                estimates = self.network.run(image, faces, learners, stamp_s)
            else:
                estimates = self.network.run(image, faces)
        return [
            EmotionReading(face, self._finish(face, person, estimate, stamp_s))
            for (face, person), estimate in zip(people, estimates)
        ]

    def observe_still(self, seen: SeenFaces, image: npt.NDArray[np.uint8]) -> list[EmotionReading]:
        """
        Read the faces of a picture that belongs to no stream: each against the neutral face.

        :param image: (H, W, 3) uint8 RGB.
        :raises InferenceError: when the engine fails.
        """
        kept = self._people
        self._people = People(self._new_person, self.settings.forget_after_s)
        try:
            return self.observe(seen, lambda: image)
        finally:
            self._people = kept

    def _new_person(self) -> _Person:
        return _Person(self.settings.smoothing_s)

    def _read_landmarks(
        self, face: TrackedFace, person: _Person, stamp_s: float
    ) -> EmotionEstimate:
        if face.landmarks_px is None or not face.views.expression_is_seen:
            return EmotionEstimate.unknown(GEOMETRY, reading=GEOMETRY)
        frontal = frontalise(face.landmarks_px)
        person.neutral.update_face(stamp_s, frontal)
        return self._geometry.estimate_face(frontal, person.neutral.neutral)

    def _finish(
        self, face: TrackedFace, person: _Person, estimate: EmotionEstimate, stamp_s: float
    ) -> EmotionEstimate:
        """Smooth an estimate, and withhold what should not be claimed."""
        if face.xywh_px[2] < self.settings.min_face_px or not face.views.expression_is_seen:
            estimate = EmotionEstimate.unknown(estimate.backend, estimate.model, self.reading)
        estimate = person.smoother.update(stamp_s, estimate)
        if (
            estimate.expression != UNKNOWN
            and not estimate.confidence >= self.settings.min_confidence
        ):
            estimate = replace(estimate, expression=UNCERTAIN)
        return estimate


_NETWORKS: Mapping[str, Callable[[Engine], EmoNet | LearnedExpression]] = MappingProxyType(
    {'emotieff': EmotiEff, 'emotieff_mbf': EmotiEff, EXPRESSION: LearnedExpression}
)
