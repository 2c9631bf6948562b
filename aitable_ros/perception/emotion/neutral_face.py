# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
A person's own neutral face, learned while they are watched.

People differ more at rest than a slight expression moves a face, so the population's neutral face
reads a resting smile as happiness and misses a slight smile on most others. Against the person's
own resting face both come out right.

The difficulty is that nobody tells the learner when the face rests. Three choices answer it:

- *Which frames count.* Only those in which the measures can be trusted and nobody speaks or
  blinks: head frontal and large enough, mouth closed, eyes open. A frame in which the estimator is
  sure of an expression does not count at all.
- *How much they count.* A frame's evidence is its duration times its probability of being
  neutral, as a share of that of a face at perfect rest. A resting face that the population would
  call a smile is learned too, only more slowly; twenty seconds of smiling at the start weigh less
  than the rest that follows. Once something is known of the person, the probability is the larger
  of those against the population and against the person, so that a person who frowns at rest is
  not drawn to the slight smiles that look neutral to others.
- *What is kept.* A fading, evidence-weighted histogram of each measure. Its median is the
  person's neutral value and its quartiles give the width of the band: whatever happens in less
  than a quarter of the evidence does not move them far. Memory is constant.

Until enough evidence is in, the population's neutral face is given, then a mixture that moves to
the person's own. How far it may move is limited: a face that stays outside is an expression held,
not a face at rest.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from aitable_ros.perception.emotion.expression import NEUTRAL
from aitable_ros.perception.emotion.expression_geometry import GeometryExpression
from aitable_ros.perception.emotion.face_measures import (
    POPULATION_NEUTRAL,
    FaceMeasures,
    FrontalFace,
    NeutralBand,
    NeutralFace,
    frontalise,
)

_BINS = 120
_REACH = 3.0
"""Histograms reach this many widths of the population's band to both sides of its centre."""

_LEARNED = tuple(f.name for f in fields(NeutralFace) if f.name != 'lip_gap')
"""Lips that touch have the same gap on everybody; talking, not the person, moves it."""

_QUARTILES_TO_BAND = 1.2816 / 0.6745
"""From the distance of the quartiles to that of the 10th and 90th percentile, which the
population's bands span, on a normal distribution."""


class NeutralState(enum.Enum):
    """Whose neutral face is given."""

    CALIBRATING = 'calibrating'
    """The population's: too little was seen of the person."""

    CALIBRATED = 'calibrated'
    """The person's own, or on its way there; see :attr:`NeutralFaceLearner.trust`."""


@dataclass(frozen=True)
class NeutralFaceSettings:
    """
    How the neutral face is learned. Evidence is time at rest [s]; see the module.

    :param min_evidence_s: below, the population's face is given.
    :param full_evidence_s: from here on the person's own is; between, a mixture.
    :param memory_s: evidence after which an old frame counts 1/e.
    :param min_rest: frames whose evidence per second is below this do not count, 0..1: the
        estimator is sure of an expression.
    :param max_turn_rad: frames with the head turned farther from the camera do not count.
    :param min_eye_span_px: nor those with a smaller face.
    :param max_residual: nor those whose mesh fits a face less well [eye spans].
    :param max_lip_gap: nor those with the mouth open wider [eye spans].
    :param min_eye_aspect_ratio: nor those with the eyes closed farther; 0.21 is the usual limit
        (Soukupova & Cech 2016), below which FaceMesh sees some open eyes.
    :param max_offset: farthest way of the person's band from the population's, in widths of the
        latter.
    :param min_width: narrowest band, as a share of the population's: FaceMesh's own noise.
    :param max_gap_s: longest time for which one frame may stand [s].
    :raises ValueError: when a value is out of order.
    """

    min_evidence_s: float = 15.0
    full_evidence_s: float = 60.0
    memory_s: float = 300.0
    min_rest: float = 0.05
    max_turn_rad: float = 0.35
    min_eye_span_px: float = 30.0
    max_residual: float = 0.10
    max_lip_gap: float = 0.08
    min_eye_aspect_ratio: float = 0.18
    max_offset: float = 1.5
    min_width: float = 0.4
    max_gap_s: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 < self.min_evidence_s < self.full_evidence_s < math.inf:
            raise ValueError(f'expected 0 < min_evidence_s < full_evidence_s, got {self}')
        positive = (self.memory_s, self.max_turn_rad, self.max_residual, self.max_gap_s)
        if not all(0.0 < value < math.inf for value in positive):
            raise ValueError(f'memory, turn, residual and gap must be positive, got {self}')
        limits = (self.min_eye_span_px, self.max_lip_gap, self.min_eye_aspect_ratio)
        if not all(0.0 <= value < math.inf for value in limits):
            raise ValueError(f'size, lip gap and eye limits must not be negative, got {self}')
        if not (0.0 <= self.min_rest < 1.0 and 0.0 < self.min_width <= 1.0):
            raise ValueError(f'min_rest must lie in 0..1, min_width in 0..1 above 0, got {self}')
        if not 0.0 <= self.max_offset < _REACH:
            raise ValueError(f'max_offset must lie in 0..{_REACH:g}, got {self.max_offset}')


class NeutralFaceLearner:
    """
    The neutral face of one person; one learner each.

    :param settings: parameters; defaults where None.
    :param estimator: whose judgement says what is at rest; the default one where None.
    """

    def __init__(
        self,
        settings: NeutralFaceSettings | None = None,
        estimator: GeometryExpression | None = None,
    ) -> None:
        self.settings = settings or NeutralFaceSettings()
        self._estimator = estimator or GeometryExpression()
        bands: list[NeutralBand] = [getattr(POPULATION_NEUTRAL, name) for name in _LEARNED]
        low = np.array([band.low for band in bands])
        high = np.array([band.high for band in bands])
        self._per_pitch = np.array([band.per_pitch for band in bands])
        self._centre, self._width = 0.5 * (low + high), high - low
        at_rest = dict(zip(_LEARNED, self._centre.tolist()))
        probabilities = self._estimator.probabilities(FaceMeasures(lip_gap=0.0, **at_rest))
        self._neutral_at_rest = float(probabilities[NEUTRAL])
        self.reset()

    def reset(self) -> None:
        """Forget the person."""
        self._weights = np.zeros((len(_LEARNED), _BINS))
        self._evidence_s = 0.0
        self._last_s = math.nan
        self._neutral = POPULATION_NEUTRAL

    @property
    def state(self) -> NeutralState:
        """Whether the population's neutral face is given, or the person's own."""
        return NeutralState.CALIBRATED if self.trust > 0.0 else NeutralState.CALIBRATING

    @property
    def trust(self) -> float:
        """Share of the person's own face in :attr:`neutral`, 0..1."""
        s = self.settings
        share = (self._evidence_s - s.min_evidence_s) / (s.full_evidence_s - s.min_evidence_s)
        return min(max(share, 0.0), 1.0)

    @property
    def evidence_s(self) -> float:
        """Time at rest that was seen of the person [s]."""
        return self._evidence_s

    @property
    def neutral(self) -> NeutralFace:
        """The face to compare with: hand it to :meth:`GeometryExpression.estimate`."""
        return self._neutral

    def update(self, stamp_s: float, landmarks_px: npt.ArrayLike | None) -> None:
        """
        Learn from one frame.

        :param stamp_s: header time [s]. An equal one changes nothing; an earlier one (a bag that
            loops) makes the learner forget.
        :param landmarks_px: (468 or more, 3) FaceMesh points [pixels]; see
            :func:`~aitable_ros.perception.emotion.face_measures.frontalise`. None or not finite:
                not
            measured.
        :raises ValueError: when the stamp is not finite or the shape is another.
        """
        self.update_face(stamp_s, None if landmarks_px is None else frontalise(landmarks_px))

    def update_face(self, stamp_s: float, face: FrontalFace | None) -> None:
        """
        Learn from one frame whose face was turned to the front already.

        :param stamp_s: as for :meth:`update`.
        :param face: from :func:`~aitable_ros.perception.emotion.face_measures.frontalise`.
        :raises ValueError: when the stamp is not finite.
        """
        if not math.isfinite(stamp_s):
            raise ValueError(f'stamp_s: expected a finite number, got {stamp_s}')
        elapsed_s = stamp_s - self._last_s
        if elapsed_s < 0.0:
            self.reset()
        self._last_s = stamp_s
        if face is None or not elapsed_s > 0.0:
            return
        s = self.settings
        measures = face.measures
        pitch_rad = face.pitch_rad
        if (
            face.turn_rad > s.max_turn_rad
            or face.eye_span_px < s.min_eye_span_px
            or face.residual > s.max_residual
            or measures.lip_gap > s.max_lip_gap
            or measures.eye_aspect_ratio < s.min_eye_aspect_ratio
        ):
            return
        rest = self._rest(measures, POPULATION_NEUTRAL, pitch_rad)
        if self._neutral is not POPULATION_NEUTRAL:
            rest = max(rest, self._rest(measures, self._neutral, pitch_rad))
        if rest < s.min_rest:
            return
        self._add(measures, pitch_rad, rest * min(elapsed_s, s.max_gap_s))

    def _rest(self, measures: FaceMeasures, neutral: NeutralFace, pitch_rad: float) -> float:
        """Tell how neutral a face is, 0..1."""
        probabilities = self._estimator.probabilities(measures, neutral, pitch_rad)
        return min(1.0, float(probabilities[NEUTRAL]) / self._neutral_at_rest)

    def _add(self, measures: FaceMeasures, pitch_rad: float, evidence_s: float) -> None:
        values = np.array([getattr(measures, name) for name in _LEARNED])
        widths = (values - self._per_pitch * pitch_rad - self._centre) / self._width
        bins = ((widths + _REACH) * (_BINS / (2.0 * _REACH))).clip(0, _BINS - 1).astype(np.intp)
        self._weights *= math.exp(-evidence_s / self.settings.memory_s)
        self._weights[np.arange(len(_LEARNED)), bins] += evidence_s
        self._evidence_s += evidence_s
        if self.trust > 0.0:
            self._neutral = self._blend()

    def _blend(self) -> NeutralFace:
        """Mix the population's bands with the person's."""
        s, trust = self.settings, self.trust
        lower, median, upper = (self._percentile(share) for share in (0.25, 0.5, 0.75))
        spread = _QUARTILES_TO_BAND * (upper - lower)
        half = 0.5 * np.clip(spread, s.min_width, 1.0)
        centre = np.clip(median, -s.max_offset, s.max_offset)
        low = self._centre + self._width * ((1.0 - trust) * -0.5 + trust * (centre - half))
        high = self._centre + self._width * ((1.0 - trust) * 0.5 + trust * (centre + half))
        bands = {
            name: NeutralBand(*edges)
            for name, *edges in zip(
                _LEARNED, low.tolist(), high.tolist(), self._per_pitch.tolist()
            )
        }
        return NeutralFace(**bands)

    def _percentile(self, share: float) -> npt.NDArray[np.float64]:
        """Return each measure's percentile in widths of the population's band from its centre."""
        cumulative = np.cumsum(self._weights, axis=1)
        target = share * cumulative[:, -1]
        rows = np.arange(len(_LEARNED))
        bins = np.argmax(cumulative >= target[:, None], axis=1)
        weight = self._weights[rows, bins]
        inside = 1.0 - (cumulative[rows, bins] - target) / weight
        position: npt.NDArray[np.float64] = (bins + inside) * (2.0 * _REACH / _BINS) - _REACH
        return position
