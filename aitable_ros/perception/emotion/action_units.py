# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Action units of the Facial Action Coding System, read off a face's measures.

Ekman & Friesen (1978); Ekman, Friesen & Hager (2002).
"""

from __future__ import annotations

from typing import NamedTuple

from aitable_ros.perception.emotion.face_measures import (
    POPULATION_NEUTRAL,
    FaceMeasures,
    NeutralBand,
    NeutralFace,
)


class ActionUnits(NamedTuple):
    """Intensities of action units, 0 (none) .. 1 (plain: C to D on the scale of FACS)."""

    inner_brow_raiser: float  # AU1
    outer_brow_raiser: float  # AU2
    brow_lowerer: float  # AU4
    upper_lid_raiser: float  # AU5
    cheek_raiser: float  # AU6
    lid_tightener: float  # AU7
    nose_wrinkler: float  # AU9
    upper_lip_raiser: float  # AU10
    lip_corner_puller: float  # AU12, both sides
    lip_corner_depressor: float  # AU15
    lip_stretcher: float  # AU20
    lip_pressor: float  # AU24
    lips_part: float  # AU25
    jaw_drop: float  # AU26 and AU27
    unilateral_corner: float  # AU12 or AU14 of one side only


def action_units(
    measures: FaceMeasures, neutral: NeutralFace = POPULATION_NEUTRAL, pitch_rad: float = 0.0
) -> ActionUnits:
    """
    Read action units off the measures.

    An AU is at full intensity where its measure lies a full range outside the neutral band. The
    ranges are the median changes from a person's own neutral face to the posed expression that
    shows the AU most in JAFFE (Lyons et al. 1998), measured on FaceMesh's output and rounded.

    :param measures: from :func:`~aitable_ros.perception.emotion.face_measures.measure_face`.
    :param neutral: what the face is compared with.
    :param pitch_rad: pitch of the head, up positive.
    """

    def over(name: str, full: float) -> float:
        band: NeutralBand = getattr(neutral, name)
        return min(1.0, band.above(getattr(measures, name), pitch_rad) / full)

    def under(name: str, full: float) -> float:
        band: NeutralBand = getattr(neutral, name)
        return min(1.0, band.below(getattr(measures, name), pitch_rad) / full)

    # A smile widens the mouth, lifts its corners and draws them back. A dropping jaw may draw
    # them back too, and a stretched mouth is wide: at least two of the three make a smile.
    curve = over('corner_height', 0.030)
    width = over('mouth_width', 0.120)
    retraction = under('corner_depth', 0.045)
    smile = sorted((curve, width, retraction))[1]
    not_smile = 1.0 - smile
    gap = over('lip_gap', 0.060)
    oblique = over('brow_slope', 0.025)
    return ActionUnits(
        inner_brow_raiser=max(over('inner_brow_height', 0.050), oblique),
        outer_brow_raiser=over('outer_brow_height', 0.040),
        brow_lowerer=min(
            1.0,
            under('inner_brow_height', 0.040)
            + under('brow_slope', 0.025)
            + 0.5 * under('brow_distance', 0.030),
        ),
        upper_lid_raiser=over('eye_aspect_ratio', 0.060),
        cheek_raiser=over('cheek_height', 0.030),
        lid_tightener=over('lower_lid_height', 0.012),
        # Smiling cheeks lift nostrils and upper lip as well.
        nose_wrinkler=over('nostril_height', 0.030) * not_smile,
        upper_lip_raiser=under('upper_lip_length', 0.030) * not_smile,
        lip_corner_puller=smile,
        lip_corner_depressor=under('corner_height', 0.020),
        lip_stretcher=width * not_smile,
        lip_pressor=under('lip_thickness', 0.030) * (1.0 - gap) * not_smile,
        lips_part=gap,
        jaw_drop=over('lip_gap', 0.200),
        unilateral_corner=max(over('corner_asymmetry', 0.080), under('corner_asymmetry', 0.080)),
    )
