# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What is drawn on a face itself: box, mesh, eyes and the axes of the head."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from aitable_ros.perception.faces.landmarks import (
    BROW_EDGES,
    FACE_OVAL_EDGES,
    LANDMARKS,
    LEFT_IRIS,
    LIPS_EDGES,
    NOSE_BRIDGE,
    RIGHT_IRIS,
    are_refined,
    line_edges,
)
from aitable_ros.visualization.overlay.drawing import (
    CARD,
    FAR_PX,
    INK,
    SUBPIXEL_BITS,
    Canvas,
    Rgb,
    circle,
    fixed_point,
    polylines,
)
from aitable_ros.visualization.overlay.face_overlay import EYE_RINGS, FaceOverlay

AXIS_COLOURS: tuple[Rgb, Rgb, Rgb] = ((255, 92, 92), (96, 220, 110), (92, 156, 255))
"""Of x, y and z, as in RViz: red, green and blue."""

_MESH_OPACITY = 0.45
_RIM_OPACITY = 0.18

_LINES = np.array(BROW_EDGES + LIPS_EDGES + FACE_OVAL_EDGES + line_edges(NOSE_BRIDGE))


def draw_face(canvas: Canvas, face: FaceOverlay, unit: int, *, mesh: bool, axes: bool) -> None:
    """
    Draw one face.

    :param unit: height of capitals in this image [pixels]; lines go with it.
    :param mesh: draw the landmarks and the lines of brows, nose, lips and face as well.
    :param axes: draw the axes of the head and the gaze as well.
    """
    thickness = max(1, round(unit / 11))
    _draw_corners(canvas, face, face.level_colour, thickness)
    large_enough = face.xywh_px[2] >= 6 * unit
    if face.landmarks_px is not None:
        _draw_landmarks(canvas, face, thickness, mesh=mesh and large_enough, large=large_enough)
    if axes and large_enough:
        _draw_axes(canvas, face, thickness)
        _draw_gaze(canvas, face, thickness)


def _draw_landmarks(
    canvas: Canvas, face: FaceOverlay, thickness: int, *, mesh: bool, large: bool
) -> None:
    assert face.landmarks_px is not None
    points = face.landmarks_px[:, :2].astype(np.float64)
    if not np.isfinite(points).all() or np.abs(points).max() > FAR_PX:
        return
    fixed = fixed_point(points)
    if mesh:
        _draw_mesh(canvas, points[:LANDMARKS], fixed, thickness)
    for ring in EYE_RINGS:
        width = thickness if large else 1
        polylines(canvas, [fixed[ring]], face.eye_colour, width, closed=True)
    if large and face.eyes_closed is False and are_refined(points):
        for centre, *edge in (points[list(iris)] for iris in (RIGHT_IRIS, LEFT_IRIS)):
            radius = float(np.linalg.norm(edge - centre, axis=1).mean())
            circle(canvas, centre[0], centre[1], max(radius / 3, 1.0), face.eye_colour)


def _draw_mesh(
    canvas: Canvas,
    points: npt.NDArray[np.float64],
    fixed: npt.NDArray[np.int32],
    thickness: int,
) -> None:
    """Draw landmarks and lines faintly: they are context, the eyes are the message."""
    height, width = canvas.shape[:2]
    left, top = np.floor(points.min(axis=0)).astype(int) - 2 * thickness - 1
    right, bottom = np.ceil(points.max(axis=0)).astype(int) + 2 * thickness + 2
    left, top = max(int(left), 0), max(int(top), 0)
    right, bottom = min(int(right), width), min(int(bottom), height)
    if left >= right or top >= bottom:
        return
    view = canvas[top:bottom, left:right]
    lines = list((fixed - (np.array((left, top), np.int32) << SUBPIXEL_BITS))[_LINES])
    pixels = np.round(points).astype(int) - (left, top)
    # light lines, with a dark rim, which is what one sees of them on bright skin
    for colour, rim, opacity in ((CARD, 1, _RIM_OPACITY), (INK, 0, _MESH_OPACITY)):
        ink = view.copy()
        polylines(ink, lines, colour, thickness + 2 * rim)
        for dx in range(rim, thickness + rim):
            for dy in range(rim, thickness + rim):
                x, y = pixels[:, 0] + dx, pixels[:, 1] + dy
                seen = (x >= 0) & (y >= 0) & (x < right - left) & (y < bottom - top)
                ink[y[seen], x[seen]] = colour
        cv2.addWeighted(ink, opacity, view, 1.0 - opacity, 0.0, dst=view)


def _draw_axes(canvas: Canvas, face: FaceOverlay, thickness: int) -> None:
    axes = face.head_axes_px
    if axes is None or not np.isfinite(axes).all() or np.abs(axes).max() > FAR_PX:
        return
    fixed = fixed_point(axes)
    # x last: it comes out of the face, towards the viewer
    order = (1, 2, 0)
    lines = [np.array((fixed[0], fixed[1 + i])) for i in order]
    polylines(canvas, lines, CARD, thickness + max(2, thickness))
    for i, line in zip(order, lines):
        polylines(canvas, [line], AXIS_COLOURS[i], thickness + 1)
    circle(canvas, float(axes[1, 0]), float(axes[1, 1]), 1.5 * thickness + 1.0, AXIS_COLOURS[0])


def _draw_gaze(canvas: Canvas, face: FaceOverlay, thickness: int) -> None:
    gaze = face.gaze_px
    if gaze is None or not np.isfinite(gaze).all() or np.abs(gaze).max() > FAR_PX:
        return
    begin, end = gaze
    length = float(np.linalg.norm(end - begin))
    lines = [np.array((begin, end))]
    if length > 4.0 * thickness:  # else it points at the camera
        along = (end - begin) / length
        across = np.array((-along[1], along[0]))
        barb = min(0.3 * length, 6.0 * thickness)
        lines.append(np.array([end - barb * (along + s * across) for s in (0.6, 0.0, -0.6)]))
        lines[1][1] = end
    fixed = [fixed_point(line) for line in lines]
    polylines(canvas, fixed, CARD, thickness + max(2, thickness))
    polylines(canvas, fixed, face.zone_colour, thickness + 1)
    circle(canvas, float(begin[0]), float(begin[1]), 1.0 + thickness, face.zone_colour)


def _draw_corners(canvas: Canvas, face: FaceOverlay, colour: Rgb, thickness: int) -> None:
    x, y, w, h = np.clip(face.xywh_px, -FAR_PX, FAR_PX)
    arm = 0.16 * min(w, h)
    if arm < 1.0:
        return
    lines = []
    for cx, sx in ((x, 1.0), (x + w, -1.0)):
        for cy, sy in ((y, 1.0), (y + h, -1.0)):
            lines.append(((cx + sx * arm, cy), (cx, cy), (cx, cy + sy * arm)))
    fixed = list(fixed_point(lines))
    polylines(canvas, fixed, CARD, thickness + max(2, thickness))
    polylines(canvas, fixed, colour, thickness + 1)
