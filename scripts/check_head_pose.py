# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Check head poses against known truth, and print the figures of docs/head_pose.md.

1. Synthetic faces: exact, with noise, and seen with another field of view than is assumed.
2. The astronaut picture turned in its plane, and mirrored: how much the head turned is known.
3. The sample sequence: its roll is known; jitter before and after the filter.
4. The astronaut's face rendered turned in 3-D, its own landmarks being the surface: the turn is
   known. Measured from the surface's points themselves, and from what FaceMesh sees.
5. CPU time per face.

    python scripts/check_head_pose.py [--backend NAME]

Exits with 1 when a limit is exceeded.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aitable_ros.analysis import rotation
from aitable_ros.analysis.canonical_face import EYE_SPAN_M, RIGID_POINTS_M
from aitable_ros.analysis.head_pose import (
    FACING_XYZW,
    HeadPose,
    HeadPoseEstimator,
    HeadPoseTracker,
)
from aitable_ros.analysis.rotation import Quaternion
from aitable_ros.perception.face_landmarks import FACE_OVAL_RING, LANDMARKS
from aitable_ros.perception.face_pipeline import FacePipeline

MAX_EXACT_DEG = 0.1
MAX_ROLL_DEG = 3.0
MAX_SURFACE_DEG = 4.0
MAX_RENDERED_DEG = 6.0
MAX_COST_MS = 0.3

SIZE_PX = (640, 480)
FOV_DEG = 62.2

_ROWS = list(RIGID_POINTS_M)
_POINTS_M = np.array(list(RIGID_POINTS_M.values()))

_FAILURES: list[str] = []


def expect(what: str, value: float, limit: float) -> None:
    """Note a limit that is exceeded; NaN exceeds every one."""
    if not value <= limit:
        _FAILURES.append(f'{what}: {value:.3f}, limit {limit:g}')


def focal_px(size_px: tuple[int, int], fov_deg: float) -> float:
    return 0.5 * max(size_px) / math.tan(math.radians(0.5 * fov_deg))


def angles_deg(pose: HeadPose) -> npt.NDArray[np.float64]:
    return np.degrees((pose.yaw_rad, pose.pitch_rad, pose.roll_rad))


def view_deg(pose: HeadPose) -> npt.NDArray[np.float64]:
    return np.degrees((pose.view_yaw_rad, pose.view_pitch_rad))


def orientation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Quaternion:
    angles = (math.radians(a) for a in (yaw_deg, pitch_deg, roll_deg))
    return rotation.product(FACING_XYZW, rotation.from_yaw_pitch_roll(*angles))


def synthetic(q: Quaternion, at_m: npt.ArrayLike, fov_deg: float = FOV_DEG) -> npt.NDArray:
    points = _POINTS_M @ np.array(rotation.to_matrix(q)).T + np.asarray(at_m)
    centre = 0.5 * (np.array(SIZE_PX) - 1.0)
    landmarks = np.zeros((LANDMARKS, 3), dtype=np.float64)
    landmarks[_ROWS, :2] = points[:, :2] / points[:, 2:] * focal_px(SIZE_PX, fov_deg) + centre
    return landmarks


def check_synthetic() -> None:
    estimator = HeadPoseEstimator()
    worst, count = 0.0, 0
    for yaw, pitch, roll in itertools.product(
        range(-60, 61, 20), range(-45, 46, 15), range(-45, 46, 15)
    ):
        for at_m in ((0.0, 0.0, 0.4), (0.0, 0.0, 1.5), (0.2, 0.1, 0.6), (-0.3, -0.2, 0.9)):
            q = orientation(yaw, pitch, roll)
            pose = estimator.estimate(synthetic(q, at_m), SIZE_PX)
            count += 1
            error = math.inf if pose is None else rotation.angle_between(q, pose.orientation_xyzw)
            worst = max(worst, math.degrees(error))
    print(f'exact projections: largest error {worst:.4f} deg in {count} poses')
    expect('exact projections', worst, MAX_EXACT_DEG)

    random = np.random.default_rng(20240229)
    print('noise of every landmark, in % of the eye span -> 50th and 95th percentile of the error')
    for percent in (0.5, 1.0, 2.0):
        errors, distances = [], []
        for _ in range(400):
            truth = random.uniform((-40, -25, -30), (40, 25, 30))
            place = random.uniform((-0.15, -0.1, 0.5), (0.15, 0.1, 0.8))
            landmarks = synthetic(orientation(*truth), place)
            span_px = EYE_SPAN_M * focal_px(SIZE_PX, FOV_DEG) / place[2]
            landmarks[:, :2] += random.normal(0, percent / 100 * span_px, (LANDMARKS, 2))
            pose = estimator.estimate(landmarks, SIZE_PX)
            assert pose is not None
            errors.append(np.abs(angles_deg(pose) - truth))
            distances.append(abs(pose.position_m[2] / place[2] - 1))
        low, high = np.percentile(errors, [50, 95], axis=0)
        parts = ', '.join(
            f'{name} {a:.1f} / {b:.1f}' for name, a, b in zip(('yaw', 'pitch', 'roll'), low, high)
        )
        print(f'  {percent:g} %: {parts} deg; distance {100 * np.median(distances):.1f} %')

    print(f'another field of view than the assumed {FOV_DEG} deg: largest error over poses')
    print('  of -30, 0, 30 deg yaw and -20, 0, 20 deg pitch at 0.6 m; the same 0.2 m to the side:')
    print('  error of yaw and pitch, and of view yaw and view pitch')
    for fov_deg in (45.0, 55.0, 70.0, 80.0):
        ahead, beside = (errors_with(fov_deg, (x, 0.0, 0.6)) for x in (0.0, 0.2))
        print(
            f'  {fov_deg:g} deg: yaw {ahead[0]:.1f}, pitch {ahead[1]:.1f} deg; distance x '
            f'{ahead[4]:.2f}; error_ratio up to {ahead[5]:.3f}; to the side '
            f'{beside[0]:.1f}, {beside[1]:.1f}; view {beside[2]:.1f}, {beside[3]:.1f} deg'
        )


def errors_with(fov_deg: float, at_m: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Return the largest errors of yaw, pitch, their view angles, mean distance, error_ratio."""
    rows = []
    for yaw, pitch in itertools.product((-30, 0, 30), (-20, 0, 20)):
        q = orientation(yaw, pitch, 0)
        truth = HeadPose(q, at_m, 0.0, 0.0, True)
        pose = HeadPoseEstimator().estimate(synthetic(q, at_m, fov_deg), SIZE_PX)
        assert pose is not None
        angles = np.abs(angles_deg(pose) - angles_deg(truth))[:2]
        view = np.abs(view_deg(pose) - view_deg(truth))
        rows.append((*angles, *view, pose.distance_m / truth.distance_m, pose.error_ratio))
    worst = np.max(rows, axis=0)
    worst[4] = np.mean(rows, axis=0)[4]
    return worst


def landmarks_of(pipeline: FacePipeline, image: npt.NDArray[np.uint8]) -> npt.NDArray | None:
    faces = pipeline.process_still(image)
    return faces[0].landmarks_px if faces else None


def pose_of(pipeline: FacePipeline, image: npt.NDArray[np.uint8]) -> HeadPose | None:
    landmarks = landmarks_of(pipeline, image)
    if landmarks is None:
        return None
    return HeadPoseEstimator().estimate(landmarks, (image.shape[1], image.shape[0]))


def check_picture(pipeline: FacePipeline, picture: npt.NDArray[np.uint8]) -> None:
    height, width = picture.shape[:2]
    upright = pose_of(pipeline, picture)
    if upright is None:
        raise SystemExit('the face in the astronaut picture was not found')
    print(
        'astronaut: yaw {:.1f}, pitch {:.1f}, roll {:.1f} deg;'.format(*angles_deg(upright)),
        'seen from (view yaw, pitch) {:.1f}, {:.1f} deg;'.format(*view_deg(upright)),
        f'{upright.distance_m:.2f} m, error_ratio {upright.error_ratio:.3f}',
    )
    print(
        'turned in its plane, clockwise -> error of yaw, pitch, roll; of the whole rotation [deg]'
    )
    worst = 0.0
    for clockwise_deg in (-40, -30, -20, -10, 10, 20, 30, 40):
        matrix = cv2.getRotationMatrix2D(
            (0.5 * (width - 1), 0.5 * (height - 1)), -clockwise_deg, 1.0
        )
        turned = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        pose = pose_of(pipeline, np.asarray(turned, np.uint8))
        if pose is None:
            print(f'  {clockwise_deg:+d}: no face')
            worst = math.inf
            continue
        # About the optical axis, which is where the assumed camera looks.
        spin = rotation.from_rotation_vector((0.0, 0.0, math.radians(clockwise_deg)))
        expected_q = rotation.product(spin, upright.orientation_xyzw)
        facing = rotation.product(rotation.inverse(FACING_XYZW), expected_q)
        expected = np.degrees(rotation.to_yaw_pitch_roll(facing))
        errors = angles_deg(pose) - expected
        whole = math.degrees(rotation.angle_between(expected_q, pose.orientation_xyzw))
        print(f'  {clockwise_deg:+d}: {"{:+.1f} {:+.1f} {:+.1f}".format(*errors)}; {whole:.1f}')
        worst = max(worst, abs(errors[2]))
    expect('roll of the turned picture', worst, MAX_ROLL_DEG)

    mirrored = pose_of(pipeline, np.ascontiguousarray(picture[:, ::-1]))
    if mirrored is None:
        _FAILURES.append('mirrored picture: no face')
        return
    difference = angles_deg(mirrored) - angles_deg(upright) * (-1, 1, -1)
    print('mirrored: yaw {:.1f}, pitch {:.1f}, roll {:.1f} deg'.format(*angles_deg(mirrored)))
    expect('mirrored picture', float(np.abs(difference).max()), MAX_ROLL_DEG)


def check_sequence(pipeline: FacePipeline) -> None:
    from aitable_ros.sample import AstronautSequence

    sequence = AstronautSequence()
    tracker = HeadPoseTracker()
    size_px = (sequence.width, sequence.height)
    raw, smooth, roll_deg = [], [], []
    lost = 0
    for i in range(len(sequence)):
        faces = pipeline.process(sequence.frame(i), sequence.stamp_s(i))
        landmarks = faces[0].landmarks_px if faces else None
        pose = tracker.update(sequence.stamp_s(i), landmarks, size_px)
        if pose is None or tracker.raw is None:
            lost += 1
            continue
        raw.append((*angles_deg(tracker.raw), *tracker.raw.position_m))
        smooth.append((*angles_deg(pose), *pose.position_m))
        # The sequence's roll is clockwise as seen: to the person's left shoulder.
        roll_deg.append(-math.degrees(sequence.head(i).roll_rad))
    for name, values in (('raw', raw), ('filtered', smooth)):
        table = np.array(values)
        # The head in the picture is tilted itself.
        roll_error = table[:, 2] - roll_deg
        roll_error -= np.median(roll_error)
        low, high = np.percentile(np.abs(roll_error), [50, 95])
        # Second differences are free of the motion; of white noise they have 6 times the variance.
        jitter = np.std(np.diff(table, 2, axis=0), axis=0) / math.sqrt(6)
        print(
            f'sample sequence, {name}: roll follows its truth within {low:.1f} deg (median), '
            f'{high:.1f} (95th percentile); jitter of yaw, pitch, roll '
            f'{jitter[0]:.2f} {jitter[1]:.2f} {jitter[2]:.2f} deg, of distance '
            f'{1000 * jitter[5]:.1f} mm'
        )
        expect(f'roll of the sample sequence, {name}', float(high), MAX_ROLL_DEG)
    print(f'sample sequence: no pose in {lost} of {len(sequence)} frames')
    expect('sample sequence: frames without a pose', lost, 0.01 * len(sequence))


class TurnedFace:
    """
    The face of a picture as a textured surface that can be turned.

    :param picture: (H, W, 3) uint8 RGB.
    :param landmarks_px: (468, 3) of its face.
    :param pose: its pose.
    """

    def __init__(
        self, picture: npt.NDArray[np.uint8], landmarks_px: npt.NDArray, pose: HeadPose
    ) -> None:
        from scipy.spatial import Delaunay

        self._picture = picture
        height, width = picture.shape[:2]
        self._centre = 0.5 * (np.array((width, height)) - 1.0)
        self._focal = focal_px((width, height), FOV_DEG)
        points = landmarks_px.astype(np.float64)
        # The head goes on beyond the face: rings around it, at the depth of its silhouette.
        oval = points[list(FACE_OVAL_RING)]
        middle = np.append(oval[:, :2].mean(axis=0), 0.0)
        rings = [middle + (oval - middle) * (scale, scale, 1.0) for scale in (1.15, 1.35, 1.6)]
        points = np.concatenate([points, *rings])
        self._triangles = Delaunay(points[:, :2]).simplices
        self._texture = points[:, :2].astype(np.float32)
        # Weak perspective: one scale for x, y and z, that of the sellion.
        distance = pose.position_m[2] + (points[:, 2] - landmarks_px[168, 2]) * (
            pose.position_m[2] / self._focal
        )
        rays = (points[:, :2] - self._centre) / self._focal
        self._points_m = np.column_stack((rays * distance[:, None], distance))
        # Turn about a point behind the eyes.
        back = rotation.rotate(pose.orientation_xyzw, (-0.1, 0.0, 0.0))
        self._pivot = np.add(pose.position_m, back)
        self._background = np.asarray(cv2.GaussianBlur(picture, (0, 0), 25.0), np.uint8)

    def render(self, turn: Quaternion) -> npt.NDArray[np.uint8]:
        """
        Draw the face, turned.

        :param turn: in the optical frame.
        """
        points, pixels = self._place(turn)
        canvas = self._background.copy()
        depth = points[self._triangles, 2].mean(axis=1)
        for triangle in self._triangles[np.argsort(-depth)]:
            self._draw(self._texture[triangle], pixels[triangle], canvas)
        return canvas

    def pose(self, turn: Quaternion) -> HeadPose:
        """
        Measure the pose from the turned surface itself.

        :param turn: in the optical frame.
        """
        _, pixels = self._place(turn)
        height, width = self._picture.shape[:2]
        pose = HeadPoseEstimator().estimate(pixels[:LANDMARKS], (width, height))
        assert pose is not None
        return pose

    def _place(self, turn: Quaternion) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        matrix = np.array(rotation.to_matrix(turn))
        points = (self._points_m - self._pivot) @ matrix.T + self._pivot
        pixels = points[:, :2] / points[:, 2:] * self._focal + self._centre
        return points, pixels.astype(np.float32)

    def _draw(
        self, source: npt.NDArray, target: npt.NDArray, canvas: npt.NDArray[np.uint8]
    ) -> None:
        height, width = canvas.shape[:2]
        (x0, y0), (x1, y1) = np.floor(target.min(axis=0)), np.ceil(target.max(axis=0)) + 1
        left, top = max(int(x0), 0), max(int(y0), 0)
        right, bottom = min(int(x1), width), min(int(y1), height)
        if right <= left or bottom <= top:
            return
        inside = np.float32(target - np.array((left, top), np.float32))
        size = (right - left, bottom - top)
        patch = cv2.warpAffine(
            self._picture,
            cv2.getAffineTransform(source, inside),
            size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        mask = np.zeros((size[1], size[0]), np.uint8)
        cv2.fillConvexPoly(mask, np.round(inside).astype(np.int32), 255)
        part = canvas[top:bottom, left:right]
        part[mask > 0] = np.asarray(patch)[mask > 0]


def turns() -> Iterator[tuple[int, int]]:
    for yaw in (-30, -20, -10, 10, 20, 30):
        yield yaw, 0
    for pitch in (-20, -10, 10, 20):
        yield 0, pitch
    yield from ((-20, -15), (-20, 15), (20, -15), (20, 15))


def check_rendered(pipeline: FacePipeline, picture: npt.NDArray[np.uint8]) -> None:
    # The face into the middle, and twice as large.
    matrix = np.array(((2.0, 0.0, 320.0 - 2 * 225.5), (0.0, 2.0, 240.0 - 2 * 123.0)))
    image = np.asarray(
        cv2.warpAffine(picture, matrix, SIZE_PX, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )
    landmarks, pose = landmarks_of(pipeline, image), pose_of(pipeline, image)
    if landmarks is None or pose is None:
        raise SystemExit('the face in the enlarged astronaut picture was not found')
    face = TurnedFace(image, landmarks, pose)
    start = pose_of(pipeline, face.render(rotation.IDENTITY))
    if start is None:
        raise SystemExit('the face in the rendered picture was not found')
    print(
        'rendered, not turned: yaw {:.1f}, pitch {:.1f}, roll {:.1f} deg'.format(
            *angles_deg(start)
        )
    )
    exact_start = face.pose(rotation.IDENTITY)
    print('rendered, turned by yaw, pitch -> measured from the surface; from the image [deg]')
    errors = []
    for yaw, pitch in turns():
        facing = rotation.from_yaw_pitch_roll(math.radians(yaw), math.radians(pitch), 0.0)
        turn = rotation.product(
            rotation.product(FACING_XYZW, facing), rotation.inverse(FACING_XYZW)
        )
        turned = pose_of(pipeline, face.render(turn))
        if turned is None:
            print(f'  {yaw:+d}, {pitch:+d}: no face')
            errors.append(np.full(4, math.inf))
            continue
        exact = turn_deg(exact_start, face.pose(turn))
        seen = turn_deg(start, turned)
        print(f'  {yaw:+d}, {pitch:+d}: {exact[0]:+.1f}, {exact[1]:+.1f};', end='')
        print(f' {seen[0]:+.1f}, {seen[1]:+.1f}')
        errors.append(np.abs((*exact - (yaw, pitch), *seen - (yaw, pitch))))
    median, worst = np.median(errors, axis=0), np.max(errors, axis=0)
    for i, source in ((0, 'surface'), (2, 'image')):
        print(
            f'  error from the {source}: yaw {median[i]:.1f} (median), {worst[i]:.1f} (largest); '
            f'pitch {median[i + 1]:.1f}, {worst[i + 1]:.1f} deg'
        )
    expect('turns of the surface', float(np.max(worst[:2])), MAX_SURFACE_DEG)
    expect('turns of the rendered face', float(np.max(median[2:])), MAX_RENDERED_DEG)


def turn_deg(before: HeadPose, after: HeadPose) -> npt.NDArray[np.float64]:
    """Return yaw and pitch of the turn from one pose to another, about the camera's axes."""
    moved = rotation.product(after.orientation_xyzw, rotation.inverse(before.orientation_xyzw))
    facing = rotation.product(rotation.product(rotation.inverse(FACING_XYZW), moved), FACING_XYZW)
    return np.degrees(rotation.to_yaw_pitch_roll(facing)[:2])


def check_cost() -> None:
    random = np.random.default_rng(1)
    meshes = []
    for i in range(200):
        q = orientation(30 * math.sin(i / 10), 15 * math.sin(i / 7), 0)
        meshes.append(synthetic(q, (0, 0, 0.6)) + random.normal(0, 1.0, (LANDMARKS, 3)))
    best_ms = math.inf
    for _ in range(9):
        tracker = HeadPoseTracker()
        begin = time.process_time()
        for i, landmarks in enumerate(meshes):
            tracker.update(i / 30, landmarks, SIZE_PX)
        best_ms = min(best_ms, 1000 * (time.process_time() - begin) / len(meshes))
    print(f'cost per face, filter included: {best_ms:.3f} ms of one core (best of 9)')
    expect('cost per face [ms]', best_ms, MAX_COST_MS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--backend', default='auto', help='backend of the networks (auto)')
    backend = parser.parse_args().backend
    cv2.setNumThreads(1)

    from skimage import data

    from aitable_ros.inference.selection import load_engine
    from aitable_ros.model_zoo.catalog import load_catalog
    from aitable_ros.paths import engines_dir
    from aitable_ros.perception.face_detector import FaceDetector
    from aitable_ros.perception.face_mesh import FaceMesh

    check_synthetic()
    catalog = load_catalog()
    selections = [
        load_engine(catalog[name], backend, engines_dir=engines_dir(), threads=1)
        for name in ('face_detection', 'face_mesh')
    ]
    for selection in selections:
        print(f'{selection.engine.name} runs on {selection.backend}')
    pipeline = FacePipeline(FaceDetector(selections[0].engine), FaceMesh(selections[1].engine))
    picture = np.ascontiguousarray(data.astronaut())
    check_picture(pipeline, picture)
    check_sequence(pipeline)
    check_rendered(pipeline, picture)
    for selection in selections:
        selection.engine.close()
    check_cost()

    for failure in _FAILURES:
        print(f'EXCEEDED: {failure}')
    print('limits: ' + ('EXCEEDED' if _FAILURES else 'kept'))
    return 1 if _FAILURES else 0


if __name__ == '__main__':
    sys.exit(main())
