# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure the CPU time per frame of following a face, ours and MediaPipe's, in the same run.

Ours is detection, landmarks and EAR in tracking mode on one thread; MediaPipe's is its Python
FaceMesh in video mode (static_image_mode=False, max_num_faces=1), both without and with a network
that refines the eyes. Each runs in a
process of its own over the same moving 640x480 sequence, by short turns, so that whatever else
the machine does meets both. The time is the process's CPU time over all its threads, without
loading; each frame is first copied, untimed, into the same buffer, as if it had just arrived.

    python scripts/benchmarks/perception.py

Exits with 1 when ours takes more CPU time than MediaPipe's or misses more than 1 % of the frames.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mediapipe_python import MEDIAPIPE, mediapipe_python

WIDTH, HEIGHT, RATE_HZ = 640, 480, 30.0
SEQUENCE_FRAMES = 150
MAX_MISSED = 0.01

OURS, OURS_SEVERAL, OURS_REFINED = 'ours', 'ours-several', 'ours-refined'
THEIRS, THEIRS_REFINED = 'mediapipe', 'mediapipe-refined'
TITLES = {
    OURS: 'ours, max_faces 1',
    OURS_SEVERAL: 'ours, max_faces 4',
    THEIRS: 'MediaPipe FaceMesh, max_num_faces 1',
    OURS_REFINED: 'ours, refined lids, lips and irises',
    THEIRS_REFINED: 'MediaPipe, refine_landmarks=True',
}


def moving_face(frames: int) -> npt.NDArray[np.uint8]:
    """Return (frames, 480, 640, 3) RGB: scikit-image's astronaut moves, tilts and scales."""
    import cv2
    from skimage import data

    image = np.ascontiguousarray(data.astronaut())
    sequence = np.empty((frames, HEIGHT, WIDTH, 3), dtype=np.uint8)
    for i, frame in enumerate(sequence):
        phase = 2.0 * np.pi * i / RATE_HZ
        matrix = cv2.getRotationMatrix2D(
            (225.0, 120.0), 15.0 * np.sin(phase / 3.1), 1.25 + 0.25 * np.sin(phase / 4.3)
        )
        matrix[:, 2] += (
            320.0 + 90.0 * np.sin(phase / 3.7) - 225.0,
            220.0 + 40.0 * np.sin(phase / 2.3) - 120.0,
        )
        cv2.warpAffine(image, matrix, (WIDTH, HEIGHT), dst=frame, borderMode=cv2.BORDER_REPLICATE)
    return sequence


def our_frame_function(
    max_faces: int, backend: str, *, refine_eyes: bool
) -> Callable[[npt.NDArray[np.uint8], float], bool]:
    """Return what handles one frame and tells whether a face was found."""
    import cv2

    from aitable_ros.inference.selection import load_engine
    from aitable_ros.model_zoo.catalog import load_catalog
    from aitable_ros.paths import engines_dir
    from aitable_ros.perception.faces.detector import FaceDetector
    from aitable_ros.perception.faces.mesh import FaceMesh
    from aitable_ros.perception.faces.observer import LIGHT_NETWORKS, NETWORKS
    from aitable_ros.perception.faces.pipeline import FacePipeline
    from aitable_ros.perception.faces.pipeline_settings import PipelineSettings
    from aitable_ros.perception.fatigue.eye_openness import eye_aspect_ratios

    cv2.setNumThreads(1)
    catalog = load_catalog()
    engines = [
        load_engine(catalog[name], backend, engines_dir=engines_dir(), threads=1).engine
        for name in (NETWORKS if refine_eyes else LIGHT_NETWORKS)
    ]
    print(f'{", ".join(map(str, engines))}', file=sys.stderr)
    pipeline = FacePipeline(
        FaceDetector(engines[0]),
        FaceMesh(engines[1]),
        settings=PipelineSettings(max_faces=max_faces),
    )

    def handle(image: npt.NDArray[np.uint8], stamp_s: float) -> bool:
        faces = pipeline.process(image, stamp_s)
        landmarks_px = [face.landmarks_px for face in faces if face.landmarks_px is not None]
        for of_face_px in landmarks_px:
            eye_aspect_ratios(of_face_px)
        return bool(faces)

    return handle


def their_frame_function(*, refine: bool) -> Callable[[npt.NDArray[np.uint8], float], bool]:
    """Return MediaPipe's part; it reckons time by itself."""
    import mediapipe

    mesh = mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=False, max_num_faces=1, refine_landmarks=refine
    )

    def handle(image: npt.NDArray[np.uint8], stamp_s: float) -> bool:
        return bool(mesh.process(image).multi_face_landmarks)

    return handle


def there_and_back(frames: int) -> Iterator[int]:
    """Yield 0 ... frames - 1 ... 0 and so on without end: motion without a jump."""
    while True:
        yield from range(frames - 1)
        yield from range(frames - 1, 0, -1)


def work(who: str, sequence_path: Path, turn_frames: int, backend: str) -> None:
    """Go on through the sequence for every line on stdin; answer with a line of JSON each."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what the libraries print must not get between the answers
    sequence = np.load(sequence_path)
    if who in (THEIRS, THEIRS_REFINED):
        handle = their_frame_function(refine=who == THEIRS_REFINED)
    else:
        handle = our_frame_function(
            4 if who == OURS_SEVERAL else 1, backend, refine_eyes=who == OURS_REFINED
        )
    indices = there_and_back(len(sequence))
    frame = np.empty_like(sequence[0])
    count = 0

    def turn(frames: int) -> dict[str, float]:
        nonlocal count
        found, cpu_s, wall_s = 0, 0.0, 0.0
        for _ in range(frames):
            frame[:] = sequence[next(indices)]
            cpu_begin_s, wall_begin_s = time.process_time(), time.perf_counter()
            found += handle(frame, count / RATE_HZ)
            cpu_s += time.process_time() - cpu_begin_s
            wall_s += time.perf_counter() - wall_begin_s
            count += 1
        return {
            'cpu_ms': 1e3 * cpu_s / frames,
            'wall_ms': 1e3 * wall_s / frames,
            'missed': 1.0 - found / frames,
        }

    turn(10)  # lazy initialisation
    for _ in sys.stdin:
        print(json.dumps(turn(turn_frames)), file=answers, flush=True)


def main() -> int:
    """Run the benchmark and print it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--mediapipe-python', type=Path, help=f'a Python that has {MEDIAPIPE}')
    parser.add_argument('--rounds', type=int, default=40, help='turns of each')
    parser.add_argument('--frames', type=int, default=30, help='frames per turn')
    parser.add_argument('--backend', default='auto', help='our backend')
    parser.add_argument('--work', choices=TITLES, help=argparse.SUPPRESS)
    parser.add_argument('--sequence', type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        work(arguments.work, arguments.sequence, arguments.frames, arguments.backend)
        return 0

    theirs = mediapipe_python(arguments.mediapipe_python)
    pythons = {
        who: theirs if who in (THEIRS, THEIRS_REFINED) else Path(sys.executable) for who in TITLES
    }
    answers: dict[str, list[dict[str, float]]] = {who: [] for who in TITLES}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        sequence_path = Path(folder) / 'sequence.npy'
        np.save(sequence_path, moving_face(SEQUENCE_FRAMES))
        workers = {}
        for who, python in pythons.items():
            command = [str(python), str(Path(__file__).resolve()), '--work', who]
            command += ['--sequence', str(sequence_path), '--backend', arguments.backend]
            command += ['--frames', str(arguments.frames)]
            workers[who] = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
        for _ in range(arguments.rounds):
            for who, worker in workers.items():
                assert worker.stdin is not None
                assert worker.stdout is not None
                with contextlib.suppress(BrokenPipeError):
                    print('go', file=worker.stdin, flush=True)
                line = worker.stdout.readline()
                if not line:
                    raise SystemExit(f'{TITLES[who]}: ended early, see above')
                answers[who].append(json.loads(line))
        for worker in workers.values():
            assert worker.stdin is not None
            worker.stdin.close()
    return report(answers, arguments.frames)


def report(answers: dict[str, list[dict[str, float]]], frames: int) -> int:
    """Print the figures; return 0 when ours is not slower and does not lose the face."""
    rounds = len(answers[OURS])
    print(f'{WIDTH}x{HEIGHT}, {rounds} turns of {frames} frames each; ms per frame')
    print(f'{"":<38}{"CPU median":>11}{"CPU least":>11}{"wall":>8}{"missed":>9}')
    for who, title in TITLES.items():
        cpu = [answer['cpu_ms'] for answer in answers[who]]
        wall = statistics.median(answer['wall_ms'] for answer in answers[who])
        missed = statistics.mean(answer['missed'] for answer in answers[who])
        print(
            f'{title:<38}{statistics.median(cpu):>11.2f}{min(cpu):>11.2f}{wall:>8.2f}'
            f'{missed:>9.1%}'
        )

    def ratio_of(a: str, b: str) -> float:
        pairs = zip(answers[a], answers[b])
        return statistics.median(ours['cpu_ms'] / theirs['cpu_ms'] for ours, theirs in pairs)

    ratio = ratio_of(OURS, THEIRS)
    missed = statistics.mean(answer['missed'] for answer in answers[OURS])
    print(f'CPU time, ours / MediaPipe (median over turns): {ratio:.2f}')
    print(f'the same, both with refined eyes: {ratio_of(OURS_REFINED, THEIRS_REFINED):.2f}')
    return 0 if ratio <= 1.0 and missed <= MAX_MISSED else 1


if __name__ == '__main__':
    sys.exit(main())
