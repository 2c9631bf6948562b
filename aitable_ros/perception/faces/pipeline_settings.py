# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""When faces are looked for, and what counts as one."""

from __future__ import annotations

from dataclasses import dataclass

from aitable_ros.perception.maths.settings import Settings, setting


@dataclass(frozen=True)
class PipelineSettings(Settings):
    """
    When to detect, and what counts as a face.

    :param max_faces: at most so many faces at a time, 1..64.
    :param budget_ms: time that landmarks may take in an image; with more faces than that is
        enough for they take turns [ms]; 0: no limit.
    :param min_presence: landmarks with a lower presence are not a face, 0..1 (MediaPipe: 0.5).
    :param min_followed_presence: ... where a face was an image ago, 0..1 (0.25: choice; lids that
        close and what covers a part of a face lower it).
    :param sure_presence: new landmarks with a lower presence are also looked for turned by 90, 180
        and 270 degrees, and the surest count (1 - 1e-6: 150 faces the right way up all had more,
        9 in 10 with the eyes taken for the mouth less).
    :param min_face_px: detections and landmark boxes whose longer side is shorter are ignored.
    :param redetect_interval_s: while all faces are followed, the detector looks this often for
        more of them, and whether they are still where their landmarks are, in header time; 0:
        in every image.
    :param max_gap_s: when the image before is longer ago, faces may have moved too far to be
        followed by their landmarks alone, and the detector looks in this image too.
    :param max_shift: landmarks that lie farther than this from where they were looked for, in
        units of the face's size, are looked for again, with the detector's help. FaceMesh
        measures faces up to about 0.15 beside the region's middle well; beyond that it places
        a face where none is, at full presence.
    :param max_slip: landmarks that are farther than this from what the detector says of the
        same face (mean offset of eyes, nose and mouth, in units of the face's size) have slipped
        off it and are measured anew. The two networks agree to 0.1 on faces tilted up to 50
        degrees.
    :param detection_iou: a detection that overlaps a followed face by less is another face, 0..1.
    :param merge_iou: two tracked faces whose landmark boxes overlap this much have fallen onto
        the same face, 0..1.
    :param merge_surprise: of such two the one that was tracked longer survives, unless it is
        farther from where it was heading by more than this, in units of the face's size: then
        it slid onto the other one, which hides it.
    :raises ValueError: for a value out of range.
    """

    max_faces: int = setting(4, 1, 64)
    budget_ms: float = setting(0.0, 0.0, 1000.0)
    min_presence: float = setting(0.5, 0.0, 1.0)
    min_followed_presence: float = setting(0.25, 0.0, 1.0)
    sure_presence: float = setting(1.0 - 1e-6, 0.0, 1.0)
    min_face_px: float = setting(24.0, 0.0, 10000.0)
    redetect_interval_s: float = setting(0.5, 0.0, 3600.0)
    max_gap_s: float = setting(0.12, 0.0, 3600.0)
    max_shift: float = setting(0.08, 0.0, 10.0)
    max_slip: float = setting(0.15, 0.0, 10.0)
    detection_iou: float = setting(0.1, 0.0, 1.0)
    merge_iou: float = setting(0.5, 0.0, 1.0)
    merge_surprise: float = setting(0.1, 0.0, 10.0)
