# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare our body keypoints with those of MediaPipe's own Python Pose, on pictures and on videos.

MediaPipe (model_complexity 1) runs in an environment of its own, which this script makes on first
use, because it demands NumPy 1. The pictures are scikit-image's astronaut and camera man and
variants of them, and any pictures or folders of pictures named on the command line. The videos
are the two moving about. MediaPipe runs in its video mode without smooth_landmarks, since our
keypoints are smoothed later, by the analysis.

In a video each region follows from the keypoints found in the one before, and small differences
grow: a grey level more in one picture leads elsewhere within a second, where hips are not in the
picture or hard to see. Hence two figures. 'same regions': we look at each frame where MediaPipe
looked, and are compared in the keypoints and in where to look next. 'on our own' is the whole
pipeline, and stands beside how far it is from itself after noise of one grey level in the frames.

Differences are distances in the image plane of the keypoints that MediaPipe calls visible (0.5),
in per cent of the torso's length (middle of the shoulders to middle of the hips).

    python scripts/compare_mediapipe_pose.py [PICTURE | FOLDER ...]

Exits with 1 when a limit is exceeded or a person that MediaPipe found was missed.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from compare_mediapipe import MEDIAPIPE, mediapipe_python, read_pictures

MAX_MEDIAN_PERCENT = 1.5
MIN_VISIBILITY = 0.5
KEYPOINTS = 33
SHOULDERS, HIPS = (11, 12), (23, 24)

FRAMES = 120
MEDIAPIPE_HZ = 1e6 / 33333
"""What MediaPipe's Python interface takes every video's rate to be."""
_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')

Image = npt.NDArray[np.uint8]


def variants() -> Iterator[tuple[str, Image]]:
    """Yield the pictures and variants of them, each with a name; always the same."""
    import cv2
    from skimage import data

    astronaut = np.ascontiguousarray(data.astronaut())
    camera_man = cv2.cvtColor(data.camera(), cv2.COLOR_GRAY2RGB)
    random = np.random.default_rng(20221120)

    yield 'astronaut', astronaut
    yield 'camera man', camera_man  # type: ignore[misc]
    for x, y in ((200, 120), (440, 120), (320, 200), (320, 60)):
        yield f'moved to {x}, {y}', placed(astronaut, x, y)
    for scale in (0.5, 0.7, 0.85, 1.15, 1.3):
        yield f'scaled {scale}', placed(astronaut, 320, 140, scale)
    for degrees in (-30, -20, -10, 10, 20, 30):
        yield f'rotated {degrees:+d} deg', placed(astronaut, 320, 160, 0.9, degrees)
    for gain in (0.6, 0.35, 0.2):
        yield f'dimmed to {gain}', (astronaut * gain).astype(np.uint8)
    yield 'mirrored', np.ascontiguousarray(astronaut[:, ::-1])
    for sigma in (5.0, 12.0, 25.0):
        noisy = astronaut + random.normal(0.0, sigma, astronaut.shape)
        yield f'noise {sigma:g}', np.clip(noisy, 0, 255).astype(np.uint8)
    for size in ((320, 240), (1280, 720)):
        yield (
            f'in {size[0]} x {size[1]}',
            placed(astronaut, size[0] / 2, size[1] * 0.3, size[1] / 520.0, 5.0, size),
        )
    for i in range(12):
        picture = placed(
            astronaut,
            random.uniform(220.0, 420.0),
            random.uniform(100.0, 180.0),
            random.uniform(0.6, 1.2),
            random.uniform(-20.0, 20.0),
        )
        if i % 2:
            picture = np.ascontiguousarray(picture[:, ::-1])
        gain, sigma = random.uniform(0.4, 1.1), random.uniform(0.0, 10.0)
        changed = picture * gain + random.normal(0.0, sigma, picture.shape)
        yield f'mixed {i + 1}', np.clip(changed, 0, 255).astype(np.uint8)


def placed(
    image: Image,
    x: float,
    y: float,
    scale: float = 1.0,
    degrees: float = 0.0,
    size: tuple[int, int] = (640, 480),
) -> Image:
    """Draw a picture so that its point 225, 120, which is in both faces, comes to x, y."""
    import cv2

    matrix = cv2.getRotationMatrix2D((225.0, 120.0), degrees, scale)
    matrix[:, 2] += np.array((x - 225.0, y - 120.0))
    return cv2.warpAffine(  # type: ignore[return-value]
        image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def videos() -> Iterator[tuple[str, list[Image]]]:
    """Yield videos of somebody swaying, leaning and coming nearer, each with a name."""
    import cv2
    from skimage import data

    camera_man = cv2.cvtColor(data.camera(), cv2.COLOR_GRAY2RGB)
    for who, picture in (('camera man', camera_man), ('astronaut', data.astronaut())):
        for rate_hz in (30.0, 10.0):
            frames = [
                placed(
                    np.ascontiguousarray(picture),
                    320.0 + 90.0 * math.sin(0.8 * t),
                    150.0 + 30.0 * math.sin(1.1 * t),
                    0.85 + 0.2 * math.sin(0.5 * t),
                    12.0 * math.sin(0.9 * t),
                )
                for t in np.arange(FRAMES) / rate_hz
            ]
            yield f'{who}, {rate_hz:g} Hz', frames


def expand(paths: Sequence[Path]) -> list[Path]:
    """Replace folders by the pictures in them."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (file for file in path.rglob('*') if file.suffix.lower() in _SUFFIXES)
            files += sorted(inside)
        else:
            files.append(path)
    return files


def dump_mediapipe(folder: Path) -> None:
    """
    Write MediaPipe's keypoints; runs in MediaPipe's environment.

    :param folder: has pictures NNNNNN.npy and videos vN-NNNNNN.npy, each (H, W, 3) uint8 RGB;
        beside each, *.pose.npy is written: (33, 7) float64 x, y [px], visibility, 0, world x, y, z
        [m], or (0, 7) where there is nobody; and of videos *.rois.npy: (2, 4) the region looked at
        and that for the next frame: x, y, size [px], angle [rad], NaN where there is none.
    """
    from mediapipe.python.solution_base import SolutionBase
    from mediapipe.python.solutions.pose import Pose

    def save(result: Any, path: Path, width: int, height: int) -> None:
        rows: list[tuple[float, ...]] = []
        if result.pose_landmarks:
            rows = [
                (p.x * width, p.y * height, p.visibility, 0.0, w.x, w.y, w.z)
                for p, w in zip(
                    result.pose_landmarks.landmark, result.pose_world_landmarks.landmark
                )
            ]
        np.save(path.with_suffix('.pose.npy'), np.reshape(rows, (-1, 7)))

    with Pose(static_image_mode=True, model_complexity=1) as pose:
        for path in sorted(folder.glob('[0-9]?????.npy')):
            image = np.load(path)
            save(pose.process(image), path, image.shape[1], image.shape[0])
    for film in sorted({path.name.partition('-')[0] for path in folder.glob('v*-??????.npy')}):
        # As Pose makes it, with two streams more.
        graph = SolutionBase(
            binary_graph_path='mediapipe/modules/pose_landmark/pose_landmark_cpu.binarypb',
            side_inputs={
                'model_complexity': 1,
                'smooth_landmarks': False,
                'enable_segmentation': False,
                'smooth_segmentation': False,
                'use_prev_landmarks': True,
            },
            outputs=[
                'pose_landmarks',
                'pose_world_landmarks',
                'pose_rect',
                'pose_rect_from_landmarks',
            ],
        )
        with graph:
            for path in sorted(folder.glob(f'{film}-??????.npy')):
                image = np.load(path)
                height, width = image.shape[:2]
                result = graph.process({'image': image})
                save(result, path, width, height)
                rois = [
                    (r.x_center * width, r.y_center * height, r.width * width, r.rotation)
                    if r is not None
                    else (math.nan,) * 4
                    for r in (result.pose_rect, result.pose_rect_from_landmarks)
                ]
                np.save(path.with_suffix('.rois.npy'), rois)


def our_pipeline(backend: str) -> Any:
    """Return our pipeline with both networks loaded."""
    from aitable_ros.inference.selection import load_engine
    from aitable_ros.model_zoo.catalog import load_catalog
    from aitable_ros.model_zoo.store import ensure_models
    from aitable_ros.paths import engines_dir
    from aitable_ros.perception.body_pose import BodyDetector, BodyLandmarker, BodyPipeline

    names = ('pose_detection', 'pose_landmark')
    ensure_models(names)
    catalog = load_catalog()
    engines = []
    for name in names:
        selection = load_engine(catalog[name], backend, engines_dir=engines_dir())
        print(f'{name} runs on {selection.backend}')
        engines.append(selection.engine)
    return BodyPipeline(BodyDetector(engines[0]), BodyLandmarker(engines[1]))


def differences_percent(theirs: npt.NDArray, ours: Any) -> npt.NDArray[np.float64]:
    """
    Return how far our keypoints are from MediaPipe's.

    :param theirs: (33, 7), as :func:`dump_mediapipe` writes it.
    :param ours: our BodyKeypoints.
    :returns: (N,) distances of the visible keypoints in % of the torso's length.
    """
    visible = theirs[:, 2] >= MIN_VISIBILITY
    distances = np.linalg.norm(theirs[:, :2] - ours.xy_px, axis=1)[visible]
    return distances / np.linalg.norm(_torso(theirs[:, :2])) * 100.0


def world_differences_percent(theirs: npt.NDArray, ours: Any) -> npt.NDArray[np.float64]:
    """Return the same of the world landmarks, in space."""
    visible = theirs[:, 2] >= MIN_VISIBILITY
    distances = np.linalg.norm(theirs[:, 4:] - ours.world_m, axis=1)[visible]
    return distances / np.linalg.norm(_torso(theirs[:, 4:])) * 100.0


def _torso(points: npt.NDArray) -> npt.NDArray:
    return points[list(SHOULDERS)].mean(axis=0) - points[list(HIPS)].mean(axis=0)


class Table:
    """Prints line after line and keeps what the summary needs."""

    def __init__(self) -> None:
        self.image: list[npt.NDArray] = []
        self.world: list[npt.NDArray] = []
        self.missed = 0
        self.extra = 0

    def add(self, name: str, theirs: Sequence[npt.NDArray], ours: Sequence[Any]) -> None:
        """Compare pictures that belong together."""
        image, world = [], []
        for their, our in zip(theirs, ours):
            if len(their) and our is not None:
                image.append(differences_percent(their, our))
                world.append(world_differences_percent(their, our))
            self.missed += bool(len(their) and our is None)
            self.extra += bool(not len(their) and our is not None)
        found = f'{sum(our is not None for our in ours)}/{sum(map(bool, map(len, theirs)))}'
        figures = _figures(np.concatenate(image)) if image else ''
        print(f'{name:<32}{found:>9}{figures}')
        self.image += image
        self.world += world

    def summary(self, what: str, *, limited: bool = True) -> bool:
        """Print the end of a part; return whether it is within the limit."""
        if not self.image:
            print(f'{what}: nobody was found by both')
            return False
        image, world = np.concatenate(self.image), np.concatenate(self.world)
        print(f'{"all":<41}{_figures(image)}')
        print(f'{"all, world landmarks":<41}{_figures(world)}')
        print(f'{what}: {len(image)} keypoints; found only by MediaPipe: {self.missed},'
              f' only by us: {self.extra}')  # fmt: skip
        if not limited:
            return True
        within = bool(np.median(image) <= MAX_MEDIAN_PERCENT)
        print(f'limit: median {MAX_MEDIAN_PERCENT:g} %: ' + ('kept' if within else 'EXCEEDED'))
        return within and not self.missed


def _figures(values: npt.NDArray) -> str:
    figures = (np.median(values), np.percentile(values, 95), values.max())
    return ''.join(f'{figure:>9.4f} %' for figure in figures)


def main() -> int:
    """Run the comparison and print it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('pictures', nargs='*', type=Path, help='further pictures, or folders')
    parser.add_argument('--mediapipe-python', type=Path, help=f'a Python that has {MEDIAPIPE}')
    parser.add_argument('--backend', default='auto', help='our backend')
    parser.add_argument('--dump', type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.dump is not None:
        dump_mediapipe(arguments.dump)
        return 0

    python = mediapipe_python(arguments.mediapipe_python)
    pictures = [*variants(), *read_pictures(expand(arguments.pictures))]
    films = list(videos())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, (_, image) in enumerate(pictures):
            np.save(folder / f'{i:06}.npy', image)
        for number, (_, frames) in enumerate(films):
            for i, image in enumerate(frames):
                np.save(folder / f'v{number}-{i:06}.npy', image)
        command = [str(python), str(Path(__file__).resolve()), '--dump', name]
        run = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
        if run.returncode != 0:
            print(run.stderr, file=sys.stderr)
            raise SystemExit(f'MediaPipe failed in {python}')
        theirs = [np.load(folder / f'{i:06}.pose.npy') for i in range(len(pictures))]
        their_films, their_regions = (
            [
                [np.load(folder / f'v{number}-{i:06}.{what}.npy') for i in range(len(frames))]
                for number, (_, frames) in enumerate(films)
            ]
            for what in ('pose', 'rois')
        )
    pipeline = our_pipeline(arguments.backend)
    print(f'{"":<32}{"people":>9}{"median":>11}{"p95":>11}{"max":>11}')
    stills = Table()
    for (name, image), their in zip(pictures, theirs):
        stills.add(name, [their], [pipeline.process_still(image)])
    kept = stills.summary('pictures')
    same, free = Table(), Table()
    noise = np.random.default_rng(7)
    for (name, frames), their_frames, their_rois in zip(films, their_films, their_regions):
        ours, next_rois = in_same_regions(pipeline, frames, their_rois)
        same.add(f'{name}, same regions', their_frames, ours)
        report_regions(their_frames, their_rois, next_rois)
        pipeline.reset()
        ours = [pipeline.process(image, i / MEDIAPIPE_HZ) for i, image in enumerate(frames)]
        free.add(f'{name}, on our own', their_frames, ours)
        pipeline.reset()
        noisy = [
            np.clip(image.astype(np.int16) + noise.integers(-1, 2, image.shape), 0, 255)
            for image in frames
        ]
        again = [
            pipeline.process(image.astype(np.uint8), i / MEDIAPIPE_HZ)
            for i, image in enumerate(noisy)
        ]
        report_ourselves(ours, again)
    kept &= same.summary('videos, same regions')
    free.summary('videos, on our own', limited=False)
    print("people: ours/MediaPipe's; differences of visible keypoints in % of the torso's length")
    return 0 if kept else 1


def in_same_regions(
    pipeline: Any, frames: Sequence[Image], their_rois: Sequence[npt.NDArray]
) -> tuple[list[Any], list[Any]]:
    """Return our keypoints in MediaPipe's regions, and the regions that we would go on with."""
    from aitable_ros.perception.body_pose import RegionFollower
    from aitable_ros.perception.roi import RotatedRoi

    follower = RegionFollower()
    keypoints: list[Any] = []
    regions: list[Any] = []
    for i, (image, rois) in enumerate(zip(frames, their_rois)):
        here, there = rois
        person = None
        if np.isfinite(here).all():
            person = pipeline.landmarker.run(image, RotatedRoi(*here.tolist()))
        if person is None or not np.isfinite(there).all():
            follower.reset()
            keypoints.append(None)
            regions.append(None)
            continue
        keypoints.append(person.keypoints)
        regions.append(follower.update(person.alignment_px, (i + 1) / MEDIAPIPE_HZ))
    return keypoints, regions


def report_regions(
    their_frames: Sequence[npt.NDArray], their_rois: Sequence[npt.NDArray], ours: Sequence[Any]
) -> None:
    """Print how far our next regions' centres are from MediaPipe's."""
    distances = [
        math.dist(rois[1, :2].tolist(), (our.cx, our.cy)) / np.linalg.norm(_torso(their)) * 100.0
        for their, rois, our in zip(their_frames, their_rois, ours)
        if our is not None and len(their)
    ]
    if distances:
        print(f'{"  centre of the next region":<41}{_figures(np.array(distances))}')


def report_ourselves(ours: Sequence[Any], again: Sequence[Any]) -> None:
    """Print how far our keypoints are from ours after noise."""
    distances = [
        np.linalg.norm(a.xy_px - b.xy_px, axis=1)[a.visibility >= MIN_VISIBILITY]
        / np.linalg.norm(_torso(a.xy_px))
        * 100.0
        for a, b in zip(ours, again)
        if a is not None and b is not None
    ]
    if distances:
        print(f'{"  we from ourselves after noise":<41}{_figures(np.concatenate(distances))}')


if __name__ == '__main__':
    sys.exit(main())
