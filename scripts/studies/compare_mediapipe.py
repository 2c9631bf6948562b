# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare our face landmarks with those of MediaPipe's own Python FaceMesh on still pictures.

MediaPipe (static_image_mode, no refinement) runs in an environment of its own, which is made on
first use, because it demands NumPy 1. The pictures are scikit-image's astronaut and
variants of it, and any files named on the command line. Differences are distances in the image
plane, in per cent of the distance between the eyes' centres.

    python scripts/studies/compare_mediapipe.py [PICTURE ...]

Exits with 1 when a limit is exceeded or a face that MediaPipe found was missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mediapipe_python import MEDIAPIPE, mediapipe_python

MAX_MEDIAN_PERCENT = 1.0
MAX_P95_PERCENT = 3.0

RIGHT_EYE_CORNERS = (33, 133)
LEFT_EYE_CORNERS = (362, 263)


def variants() -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    """Yield the astronaut picture and variants of it, each with a name; always the same."""
    import cv2
    from skimage import data

    image = np.ascontiguousarray(data.astronaut())
    random = np.random.default_rng(20210607)
    face = (225.0, 120.0)

    def warped(
        scale: float, degrees: float, at: tuple[float, float], size: tuple[int, int]
    ) -> npt.NDArray[np.uint8]:
        matrix = cv2.getRotationMatrix2D(face, degrees, scale)
        matrix[:, 2] += np.subtract(at, face)
        return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR)  # type: ignore[return-value]

    def noisy(sigma: float) -> npt.NDArray[np.uint8]:
        return np.clip(image + random.normal(0.0, sigma, image.shape), 0, 255).astype(np.uint8)

    yield 'astronaut', image
    for x, y in ((120, 100), (520, 110), (320, 380), (60, 240), (600, 240)):
        yield f'moved to {x}, {y}', warped(1.0, 0.0, (x, y), (640, 480))
    for scale in (0.35, 0.5, 0.7, 0.85, 1.2, 1.5):
        # BlazeFace sees 128 pixels of the whole picture: a small face needs a small picture.
        width, height = (640, 480) if scale > 0.8 else (320, 240) if scale > 0.4 else (200, 150)
        yield f'scaled {scale}', warped(scale, 0.0, (width / 2, height / 2), (width, height))
    for degrees in (-30, -20, -10, 10, 20, 30):
        yield f'rotated {degrees:+d} deg', warped(1.0, degrees, (320, 240), (640, 480))
    for gain in (0.6, 0.35, 0.2):
        yield f'dimmed to {gain}', (image * gain).astype(np.uint8)
    yield 'mirrored', np.ascontiguousarray(image[:, ::-1])
    for sigma in (5.0, 12.0, 25.0):
        yield f'noise {sigma:g}', noisy(sigma)
    for i in range(12):
        picture = warped(
            random.uniform(0.85, 1.5),
            random.uniform(-30.0, 30.0),
            (random.uniform(200.0, 440.0), random.uniform(160.0, 320.0)),
            (640, 480),
        )
        if i % 2:
            picture = np.ascontiguousarray(picture[:, ::-1])
        gain, sigma = random.uniform(0.4, 1.1), random.uniform(0.0, 10.0)
        changed = picture * gain + random.normal(0.0, sigma, picture.shape)
        yield f'mixed {i + 1}', np.clip(changed, 0, 255).astype(np.uint8)


def read_pictures(paths: Sequence[Path]) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    """Yield the user's own pictures as RGB, each with its name."""
    import cv2

    for path in paths:
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise SystemExit(f'{path}: not a readable picture')
        yield path.name, np.ascontiguousarray(bgr[:, :, ::-1])


def dump_mediapipe(folder: Path, max_faces: int) -> None:
    """
    Write MediaPipe's landmarks beside each picture; runs in MediaPipe's environment.

    :param folder: has NNN.npy, each (H, W, 3) uint8 RGB; NNN.faces.npy is written, (faces, 468,
        3) float64 in pixels.
    :param max_faces: MediaPipe's ``max_num_faces``.
    """
    import mediapipe

    with mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=max_faces, refine_landmarks=False
    ) as mesh:
        for path in sorted(folder.glob('[0-9]*.npy')):
            image = np.load(path)
            height, width = image.shape[:2]
            found = mesh.process(image).multi_face_landmarks or []
            faces = np.array([[(p.x, p.y, p.z) for p in face.landmark] for face in found])
            faces = faces.reshape(-1, 468, 3) * (width, height, width)
            np.save(path.with_suffix('.faces.npy'), faces)


def our_landmarks(
    images: Sequence[npt.NDArray[np.uint8]], max_faces: int, backend: str
) -> list[list[npt.NDArray[np.float32]]]:
    """Return per picture the landmarks of its faces, (468, 3) in pixels."""
    from aitable_ros.inference.selection import load_engine
    from aitable_ros.model_zoo.catalog import load_catalog
    from aitable_ros.paths import engines_dir
    from aitable_ros.perception.faces.detector import FaceDetector
    from aitable_ros.perception.faces.mesh import FaceMesh
    from aitable_ros.perception.faces.pipeline import FacePipeline, PipelineSettings

    catalog = load_catalog()
    selections = [
        load_engine(catalog[name], backend, engines_dir=engines_dir())
        for name in ('face_detection', 'face_mesh')
    ]
    for selection in selections:
        print(f'{selection.engine.name} runs on {selection.backend}')
    pipeline = FacePipeline(
        FaceDetector(selections[0].engine),
        FaceMesh(selections[1].engine),
        settings=PipelineSettings(max_faces=max_faces, min_face_px=0.0),
    )
    results = []
    for image in images:
        faces = pipeline.process_still(image)
        results.append([face.landmarks_px for face in faces if face.landmarks_px is not None])
    for selection in selections:
        selection.engine.close()
    return results


def eye_distance_px(landmarks: npt.NDArray) -> float:
    """Return the distance between the eyes' centres, each the middle of its corners."""
    right = landmarks[list(RIGHT_EYE_CORNERS), :2].mean(axis=0)
    left = landmarks[list(LEFT_EYE_CORNERS), :2].mean(axis=0)
    return float(np.linalg.norm(right - left))


def differences_percent(
    theirs: npt.NDArray, ours: Sequence[npt.NDArray]
) -> npt.NDArray[np.float64] | None:
    """
    Return how far our landmarks are from one of MediaPipe's faces.

    :param theirs: (468, 3) landmarks of the face [px].
    :param ours: all our faces in the same picture.
    :returns: (468,) distances of the nearest face in % of the distance between the eyes; None
        when no face of ours is within one such distance.
    """
    scale = eye_distance_px(theirs)
    best = None
    for face in ours:
        distances = np.linalg.norm(theirs[:, :2] - face[:, :2], axis=1) / scale * 100.0
        if np.median(distances) < 100.0 and (best is None or distances.mean() < best.mean()):
            best = distances
    return best


def main() -> int:
    """Run the comparison and print it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('pictures', nargs='*', type=Path, help='further pictures')
    parser.add_argument('--mediapipe-python', type=Path, help=f'a Python that has {MEDIAPIPE}')
    parser.add_argument('--max-faces', type=int, default=4, help='faces per picture')
    parser.add_argument('--backend', default='auto', help='our backend')
    parser.add_argument('--dump', type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.dump is not None:
        dump_mediapipe(arguments.dump, arguments.max_faces)
        return 0

    python = mediapipe_python(arguments.mediapipe_python)
    pictures = [*variants(), *read_pictures(arguments.pictures)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, (_, image) in enumerate(pictures):
            np.save(folder / f'{i:03}.npy', image)
        command = [str(python), str(Path(__file__).resolve()), '--dump', name]
        run = subprocess.run(
            [*command, '--max-faces', str(arguments.max_faces)],
            check=False,
            stderr=subprocess.PIPE,
            text=True,
        )
        if run.returncode != 0:
            print(run.stderr, file=sys.stderr)
            raise SystemExit(f'MediaPipe failed in {python}')
        theirs = [np.load(folder / f'{i:03}.faces.npy') for i in range(len(pictures))]
    ours = our_landmarks([image for _, image in pictures], arguments.max_faces, arguments.backend)
    return report([name for name, _ in pictures], theirs, ours)


def report(
    names: Sequence[str],
    theirs: Sequence[npt.NDArray],
    ours: Sequence[Sequence[npt.NDArray]],
) -> int:
    """Print the comparison; return 0 when it is within the limits."""
    print(f'{"picture":<24}{"faces":>7}{"median":>11}{"p95":>11}{"max":>11}')
    everything, missed, extra = [], 0, 0
    for name, their_faces, our_faces in zip(names, theirs, ours):
        found = [differences_percent(face, our_faces) for face in their_faces]
        matched = [difference for difference in found if difference is not None]
        missed += len(found) - len(matched)
        extra += len(our_faces) - len(matched)
        counts = f'{len(our_faces)}/{len(their_faces)}'
        if matched:
            values = np.concatenate(matched)
            everything.append(values)
            print(f'{name:<24}{counts:>7}{_figures(values)}')
        else:
            print(f'{name:<24}{counts:>7}')
    print("faces: ours/MediaPipe's; differences in % of the distance between the eyes")
    if not everything:
        print('no face was found by both')
        return 1
    values = np.concatenate(everything)
    print(f'{"all":<24}{len(values) // 468:>7}{_figures(values)}')
    print(f'faces found by MediaPipe only: {missed}; by us only: {extra}')
    within = np.median(values) <= MAX_MEDIAN_PERCENT
    within &= np.percentile(values, 95) <= MAX_P95_PERCENT
    print(
        f'limits: median {MAX_MEDIAN_PERCENT:g} %, p95 {MAX_P95_PERCENT:g} %: '
        + ('kept' if within else 'EXCEEDED')
    )
    return 0 if within and not missed else 1


def _figures(values: npt.NDArray) -> str:
    figures = (np.median(values), np.percentile(values, 95), values.max())
    return ''.join(f'{figure:>9.4f} %' for figure in figures)


if __name__ == '__main__':
    sys.exit(main())
