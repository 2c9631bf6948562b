#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure how exact the analysis of posture is, on synthetic people of known posture.

It says how right the geometry is, not how right a network's keypoints are. Noise is 1 % of the
torso length (hips to shoulders, 0.5 m) as standard deviation of every coordinate: 5 mm in the
network's third dimension, about 3 pixels in the image.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aitable_ros.analysis.body_keypoints import BodyKeypoint  # noqa: E402
from aitable_ros.analysis.head_pose import CameraIntrinsics  # noqa: E402
from aitable_ros.analysis.posture_angles import ANGLE_NAMES  # noqa: E402
from aitable_ros.analysis.posture_distance import DepthImage  # noqa: E402
from aitable_ros.analysis.posture_frames import CameraPlacement  # noqa: E402
from aitable_ros.analysis.posture_measure import PostureMeter  # noqa: E402
from aitable_ros.analysis.posture_monitor import PostureMonitor  # noqa: E402
from aitable_ros.analysis.synthetic_body import (  # noqa: E402
    SittingPerson,
    depth_image,
    film_body,
)

SIZE = (640, 480)
INTRINSICS = CameraIntrinsics(*SIZE, (600.0, 0, 320.0, 0, 600.0, 240.0, 0, 0, 1))
RANGES_DEG = {
    'torso_yaw_rad': (-40, 40),
    'shoulder_tilt_rad': (-15, 15),
    'trunk_pitch_rad': (-10, 40),
    'trunk_roll_rad': (-15, 15),
    'forward_head_rad': (-10, 60),
    'head_yaw_rad': (-35, 35),
    'head_pitch_rad': (-30, 40),
    'head_roll_rad': (-25, 25),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--people', type=int, default=500)
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    people = [(random_person(rng), random_placement(rng)) for _ in range(options.people)]
    angles(people, rng)
    distances(people, rng)
    depths(people, rng)
    cost(people)
    heads()
    return 0


def random_person(rng: np.random.Generator) -> SittingPerson:
    angles = {name: math.radians(rng.uniform(*limits)) for name, limits in RANGES_DEG.items()}
    hips_m = (rng.uniform(-1.3, -0.8), rng.uniform(-0.2, 0.2), rng.uniform(-0.5, -0.35))
    return SittingPerson(**angles, hips_m=hips_m)


def random_placement(rng: np.random.Generator) -> CameraPlacement:
    pitch_rad, roll_rad = math.radians(rng.uniform(-15, 25)), math.radians(rng.uniform(-5, 5))
    return CameraPlacement.from_angles(pitch_rad, roll_rad, 0.4)


def angles(people: list[tuple[SittingPerson, CameraPlacement]], rng: np.random.Generator) -> None:
    print(f'Angles of {len(people)} people, error in degrees\n')
    print('| angle | range | largest without noise | RMS with 1 % noise | p95 | not measured |')
    print('|---|---|---|---|---|---|')
    errors: dict[float, dict[str, list[float]]] = {}
    for noise in (0.0, 0.01):
        errors[noise] = {name: [] for name in ANGLE_NAMES}
        for person, placement in people:
            body = film_body(person, INTRINSICS, placement, rng=rng, noise=noise)
            sample = PostureMeter().measure(body, SIZE, intrinsics=INTRINSICS, placement=placement)
            for name in ANGLE_NAMES:
                error = getattr(sample.angles, name) - getattr(person, name)
                errors[noise][name].append(math.degrees(error))
    for name in ANGLE_NAMES:
        exact, noisy = np.abs(errors[0.0][name]), np.abs(errors[0.01][name])
        low, high = RANGES_DEG.get(name, (-50, 70))
        rms = math.sqrt(float(np.nanmean(noisy**2)))
        print(
            f'| {name.removesuffix("_rad")} | {low} .. {high} | {np.nanmax(exact):.2g} '
            f'| {rms:.2f} | {np.nanpercentile(noisy, 95):.2f} '
            f'| {100 * float(np.isnan(noisy).mean()):.0f} % |'
        )


def true_eyes_m(person: SittingPerson) -> np.ndarray:
    points = person.points_m()
    eyes: np.ndarray = (points[BodyKeypoint.LEFT_EYE] + points[BodyKeypoint.RIGHT_EYE]) / 2
    return eyes


def distances(
    people: list[tuple[SittingPerson, CameraPlacement]], rng: np.random.Generator
) -> None:
    print('\nDistance of the eyes by their apparent distance, error in percent\n')
    print('| noise | median | p95 | not measured |')
    print('|---|---|---|---|')
    for noise in (0.0, 0.002, 0.01):
        errors = []
        for person, placement in people:
            body = film_body(person, INTRINSICS, placement, rng=rng, noise=noise)
            sample = PostureMeter().measure(body, SIZE, intrinsics=INTRINSICS, placement=placement)
            true_m = float(np.linalg.norm(true_eyes_m(person)))
            errors.append(100 * abs(math.hypot(*sample.eyes_m) / true_m - 1.0))
        print(
            f'| {100 * noise:g} % | {np.nanmedian(errors):.2f} '
            f'| {np.nanpercentile(errors, 95):.2f} | {100 * np.isnan(errors).mean():.0f} % |'
        )


def depths(people: list[tuple[SittingPerson, CameraPlacement]], rng: np.random.Generator) -> None:
    print('\nDistance of the eyes by a depth image with 3 mm noise, error in percent\n')
    print('| encoding | holes | median | largest | not measured |')
    print('|---|---|---|---|---|')
    for encoding in ('16UC1', '32FC1'):
        for holes in (0.0, 0.3, 0.8):
            errors = []
            for person, placement in people[:100]:
                meters = depth_image(person, INTRINSICS, placement)
                meters = meters + rng.normal(0.0, 0.003, meters.shape)
                lost = rng.random(meters.shape) < holes
                if encoding == '16UC1':
                    millis = np.where(lost, 0, meters * 1000).astype(np.uint16)
                    depth = DepthImage(millis, 0.001)
                else:
                    depth = DepthImage(np.where(lost, np.nan, meters).astype(np.float32), 1.0)
                body = film_body(person, INTRINSICS, placement, world=False)
                eyes_px = body.xy_px[[BodyKeypoint.LEFT_EYE, BodyKeypoint.RIGHT_EYE]].mean(0)
                if not (0 <= eyes_px[0] < SIZE[0] and 0 <= eyes_px[1] < SIZE[1]):
                    continue  # outside of the picture
                sample = PostureMeter().measure(
                    body, SIZE, intrinsics=INTRINSICS, placement=placement, depth=depth
                )
                true_m = float(np.linalg.norm(true_eyes_m(person)))
                errors.append(100 * abs(math.hypot(*sample.eyes_m) / true_m - 1.0))
            print(
                f'| {encoding} | {100 * holes:.0f} % | {np.nanmedian(errors):.2f} '
                f'| {np.nanmax(errors):.2f} | {100 * np.isnan(errors).mean():.0f} % |'
            )


def cost(people: list[tuple[SittingPerson, CameraPlacement]]) -> None:
    bodies = [(film_body(*(person, INTRINSICS, place)), place) for person, place in people[:100]]
    best_s = math.inf
    for _ in range(5):
        meter, monitor = PostureMeter(), PostureMonitor()
        begin_s = time.perf_counter()
        for i, (body, placement) in enumerate(bodies):
            sample = meter.measure(body, SIZE, intrinsics=INTRINSICS, placement=placement)
            monitor.update(i / 10, sample)
        best_s = min(best_s, (time.perf_counter() - begin_s) / len(bodies))
    print(f'\nCost of the analysis: {best_s * 1e3:.2f} ms per image (best of 5)')


def heads() -> None:
    """Compare what BlazePose says of a head in the picture and in its third dimension."""
    import skimage.data

    from aitable_ros.inference.selection import load_engine
    from aitable_ros.model_zoo.catalog import load_catalog
    from aitable_ros.model_zoo.store import ensure_models
    from aitable_ros.paths import engines_dir
    from aitable_ros.perception.body_pose import BodyDetector, BodyLandmarker, BodyPipeline

    names = ('pose_detection', 'pose_landmark')
    ensure_models(names, engines_dir(), progress=print)
    catalog = load_catalog()
    detection, landmark = (
        load_engine(catalog[name], engines_dir=engines_dir()).engine for name in names
    )
    pipeline = BodyPipeline(BodyDetector(detection), BodyLandmarker(landmark))
    print("\nThe head of scikit-image's astronaut, as BlazePose has it\n")
    print('| picture | roll of the eyes, image | third dimension | distance of the eyes there |')
    print('|---|---|---|---|')
    picture = skimage.data.astronaut()
    for name, image in (('as it is', picture), ('mirrored', picture[:, ::-1].copy())):
        body = pipeline.process_still(image)
        if body is None or body.world_m is None:
            continue
        flat, deep = (
            points[BodyKeypoint.LEFT_EYE] - points[BodyKeypoint.RIGHT_EYE]
            for points in (body.xy_px, body.world_m)
        )
        rolls = [math.degrees(math.atan2(-line[1], line[0])) for line in (flat, deep)]
        width_mm = 1000 * float(np.linalg.norm(deep))
        print(f'| {name} | {rolls[0]:.0f} | {rolls[1]:.0f} degrees | {width_mm:.0f} mm |')
    detection.close()
    landmark.close()


if __name__ == '__main__':
    sys.exit(main())
