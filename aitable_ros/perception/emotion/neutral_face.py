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

import math
from dataclasses import fields

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
)

_BINS = 120
_REACH = 3.0
"""Histograms reach this many widths of the population's band to both sides of its centre."""

_LEARNED = tuple(f.name for f in fields(NeutralFace) if f.name != 'lip_gap')
"""Lips that touch have the same gap on everybody; talking, not the person, moves it."""

_COLUMNS = np.array([i for i, f in enumerate(fields(NeutralFace)) if f.name in _LEARNED])

_QUARTILES_TO_BAND = 1.2816 / 0.6745
"""From the distance of the quartiles to that of the 10th and 90th percentile, which the
population's bands span, on a normal distribution."""

# Evidence is time at rest [s]: below the first the population's face is given, from the second on
# the person's own, between a mixture; after the third an old frame counts 1/e.
_MIN_EVIDENCE_S = 15.0
_FULL_EVIDENCE_S = 60.0
_MEMORY_S = 300.0

# Frames do not count with less evidence per second than this (the estimator is sure of an
# expression), the head turned farther, a smaller face, a mesh that fits a face less well, the
# mouth open wider or the eyes closed farther (0.21 is the usual limit, Soukupova & Cech 2016,
# below which FaceMesh sees some open eyes). Lengths are in eye spans.
_MIN_REST = 0.05
_MAX_TURN_RAD = 0.35
_MIN_EYE_SPAN_PX = 30.0
_MAX_RESIDUAL = 0.10
_MAX_LIP_GAP = 0.08
_MIN_EYE_ASPECT_RATIO = 0.18

# Farthest way of the person's band from the population's, in widths of the latter, and narrowest
# band as a share of it, which is FaceMesh's own noise.
_MAX_OFFSET = 1.5
_MIN_WIDTH = 0.4

_MAX_GAP_S = 0.5
"""Longest time for which one frame may stand [s]."""


class NeutralFaceLearner:
    """The neutral face of one person; one learner each."""

    def __init__(self) -> None:
        self._estimator = GeometryExpression()
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
        self.evidence_s = 0.0
        """Time at rest that was seen of the person [s]."""
        self._last_s = math.nan
        self.neutral = POPULATION_NEUTRAL
        """The face to compare with: hand it to :meth:`GeometryExpression.estimate_face`."""

    @property
    def trust(self) -> float:
        """Share of the person's own face in :attr:`neutral`, 0..1."""
        share = (self.evidence_s - _MIN_EVIDENCE_S) / (_FULL_EVIDENCE_S - _MIN_EVIDENCE_S)
        return min(max(share, 0.0), 1.0)

    def offset_from(self, usual: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """
        Tell by how much this person at rest differs, as far as it can be trusted.

        :param usual: (15,) the measures of others at rest, by the order of
            :class:`~aitable_ros.perception.emotion.face_measures.FaceMeasures`.
        :returns: (15,) differences times :attr:`trust`; None: nothing is known yet.
        """
        if self.trust == 0.0:
            return None
        offset = np.zeros(len(usual))
        median = np.clip(self._percentile(0.5), -_MAX_OFFSET, _MAX_OFFSET)
        offset[_COLUMNS] = self._centre + self._width * median - usual[_COLUMNS]
        return self.trust * offset

    def update_face(
        self, stamp_s: float, face: FrontalFace | None, most_rest: float = 1.0
    ) -> None:
        """
        Learn from one frame.

        :param stamp_s: header time [s]. An equal one changes nothing; an earlier one (a bag that
            loops) makes the learner forget.
        :param face: from :func:`~aitable_ros.perception.emotion.face_measures.frontalise`; None:
            not measured.
        :param most_rest: how neutral another reading finds the face, 0..1: it counts for no more.
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
        measures = face.measures
        pitch_rad = face.pitch_rad
        if (
            face.turn_rad > _MAX_TURN_RAD
            or face.eye_span_px < _MIN_EYE_SPAN_PX
            or face.residual > _MAX_RESIDUAL
            or measures.lip_gap > _MAX_LIP_GAP
            or measures.eye_aspect_ratio < _MIN_EYE_ASPECT_RATIO
        ):
            return
        rest = self._rest(measures, POPULATION_NEUTRAL, pitch_rad)
        if self.neutral is not POPULATION_NEUTRAL:
            rest = max(rest, self._rest(measures, self.neutral, pitch_rad))
        rest = min(rest, most_rest)
        if rest < _MIN_REST:
            return
        self._add(measures, pitch_rad, rest * min(elapsed_s, _MAX_GAP_S))

    def _rest(self, measures: FaceMeasures, neutral: NeutralFace, pitch_rad: float) -> float:
        """Tell how neutral a face is, 0..1."""
        probabilities = self._estimator.probabilities(measures, neutral, pitch_rad)
        return min(1.0, float(probabilities[NEUTRAL]) / self._neutral_at_rest)

    def _add(self, measures: FaceMeasures, pitch_rad: float, evidence_s: float) -> None:
        values = np.array([getattr(measures, name) for name in _LEARNED])
        widths = (values - self._per_pitch * pitch_rad - self._centre) / self._width
        bins = ((widths + _REACH) * (_BINS / (2.0 * _REACH))).clip(0, _BINS - 1).astype(np.intp)
        self._weights *= math.exp(-evidence_s / _MEMORY_S)
        self._weights[np.arange(len(_LEARNED)), bins] += evidence_s
        self.evidence_s += evidence_s
        if self.trust > 0.0:
            self.neutral = self._blend()

    def _blend(self) -> NeutralFace:
        """Mix the population's bands with the person's."""
        trust = self.trust
        lower, median, upper = (self._percentile(share) for share in (0.25, 0.5, 0.75))
        spread = _QUARTILES_TO_BAND * (upper - lower)
        half = 0.5 * np.clip(spread, _MIN_WIDTH, 1.0)
        centre = np.clip(median, -_MAX_OFFSET, _MAX_OFFSET)
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
