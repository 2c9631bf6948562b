# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure the CPU time of the body's keypoints, ours and MediaPipe's, in the same run.

Ours is BlazePose's detection and landmarks while a person is followed, on one thread, on each CPU
backend; MediaPipe's is its Python Pose in video mode (model_complexity 1, smooth_landmarks=False).
Each runs in a process of its own over the same moving 640x480 sequence of 10 Hz, by short turns,
so that whatever else the machine does meets all. First frame after frame; then paced, 10 frames a
second, where the process sleeps in between and finds its caches cold. The time is the process's
CPU time over all its threads, without loading, and when paced also that of waking up; the cost of
ROS is not in it.

    python scripts/benchmark_posture.py

Exits with 1 when ours takes more CPU time per frame than MediaPipe's, or misses more than 1 % of
the frames.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from benchmark_perception import there_and_back
from compare_mediapipe import MEDIAPIPE, mediapipe_python
from compare_mediapipe_pose import placed

WIDTH, HEIGHT, RATE_HZ = 640, 480, 10.0
SEQUENCE_FRAMES = 100
MAX_MISSED = 0.01

OURS, OURS_LITERT, DETECTION, THEIRS = 'ours', 'ours-litert', 'detection', 'mediapipe'
TITLES = {
    OURS: 'ours, backend auto',
    OURS_LITERT: 'ours, backend litert',
    DETECTION: 'ours, detection in every frame',
    THEIRS: 'MediaPipe Pose, video mode',
}
_BACKENDS = {OURS: 'auto', OURS_LITERT: 'litert', DETECTION: 'auto'}

HandleFrame = Callable[[npt.NDArray[np.uint8], float], bool]


def sequence(frames: int) -> npt.NDArray[np.uint8]:
    """Return (frames, 480, 640, 3) RGB: scikit-image's astronaut sways, leans and comes nearer."""
    from skimage import data

    picture = np.ascontiguousarray(data.astronaut())
    result = np.empty((frames, HEIGHT, WIDTH, 3), dtype=np.uint8)
    for i, frame in enumerate(result):
        t = i / RATE_HZ
        frame[:] = placed(
            picture,
            320.0 + 60.0 * math.sin(0.8 * t),
            150.0 + 20.0 * math.sin(1.1 * t),
            0.9 + 0.1 * math.sin(0.5 * t),
            8.0 * math.sin(0.9 * t),
        )
    return result


def our_frame_function(who: str) -> HandleFrame:
    """Return what handles one frame and tells whether a person was found."""
    import cv2

    from aitable_ros.inference.selection import load_engine
    from aitable_ros.model_zoo.catalog import load_catalog
    from aitable_ros.model_zoo.store import ensure_models
    from aitable_ros.paths import engines_dir
    from aitable_ros.perception.body_pose import BodySettings
    from aitable_ros.perception.body_source import BLAZEPOSE_MODELS, load_body_source

    cv2.setNumThreads(1)
    folder = engines_dir()
    ensure_models(BLAZEPOSE_MODELS, folder)
    catalog = load_catalog()
    source = load_body_source(
        lambda names: [load_engine(catalog[n], _BACKENDS[who], engines_dir=folder) for n in names],
        engines_dir=folder,
        settings=BodySettings(redetect_interval_s=0.0) if who == DETECTION else None,
    )
    print(f'{TITLES[who]}: {source.backend}', file=sys.stderr)
    estimator = source.estimator
    return lambda image, stamp_s: estimator.process(image, stamp_s) is not None


def their_frame_function() -> HandleFrame:
    """Return MediaPipe's part; it reckons time by itself."""
    import mediapipe

    pose = mediapipe.solutions.pose.Pose(
        static_image_mode=False, model_complexity=1, smooth_landmarks=False
    )
    return lambda image, stamp_s: pose.process(image).pose_landmarks is not None


def work(who: str, sequence_path: Path, frames: int) -> None:
    """For every line on stdin handle some frames, paced if it says so; answer in JSON."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what the libraries print must not get between the answers
    pictures = np.load(sequence_path)
    handle = their_frame_function() if who == THEIRS else our_frame_function(who)
    indices = there_and_back(len(pictures))
    frame = np.empty_like(pictures[0])
    count = 0

    def turn(paced: bool) -> dict[str, float]:
        nonlocal count
        found, cpu_s, wall_s = 0, 0.0, 0.0
        due_s = time.perf_counter()
        for _ in range(frames):
            frame[:] = pictures[next(indices)]
            cpu_begin_s = time.process_time()
            if paced:
                due_s += 1.0 / RATE_HZ
                time.sleep(max(due_s - time.perf_counter(), 0.0))
            wall_begin_s = time.perf_counter()
            found += handle(frame, count / RATE_HZ)
            cpu_s += time.process_time() - cpu_begin_s
            wall_s += time.perf_counter() - wall_begin_s
            count += 1
        return {
            'cpu_ms': 1e3 * cpu_s / frames,
            'wall_ms': 1e3 * wall_s / frames,
            'missed': 1.0 - found / frames,
        }

    turn(False)  # lazy initialisation
    for line in sys.stdin:
        print(json.dumps(turn(line.strip() == 'paced')), file=answers, flush=True)


def main() -> int:
    """Run the benchmark and print it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--mediapipe-python', type=Path, help=f'a Python that has {MEDIAPIPE}')
    parser.add_argument('--rounds', type=int, default=20, help='turns of each, at full speed')
    parser.add_argument('--paced-rounds', type=int, default=3, help='turns of each, at 10 Hz')
    parser.add_argument('--frames', type=int, default=30, help='frames per turn')
    parser.add_argument('--work', choices=TITLES, help=argparse.SUPPRESS)
    parser.add_argument('--sequence', type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        work(arguments.work, arguments.sequence, arguments.frames)
        return 0

    theirs = mediapipe_python(arguments.mediapipe_python)
    answers: dict[str, dict[str, list[dict[str, float]]]] = {
        mode: {who: [] for who in TITLES} for mode in ('full', 'paced')
    }
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = Path(folder) / 'sequence.npy'
        np.save(path, sequence(SEQUENCE_FRAMES))
        workers = {}
        for who in TITLES:
            python = theirs if who == THEIRS else Path(sys.executable)
            command = [str(python), str(Path(__file__).resolve()), '--work', who]
            command += ['--sequence', str(path), '--frames', str(arguments.frames)]
            workers[who] = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
        modes = ['full'] * arguments.rounds + ['paced'] * arguments.paced_rounds
        for mode in modes:
            for who, worker in workers.items():
                assert worker.stdin is not None
                assert worker.stdout is not None
                with contextlib.suppress(BrokenPipeError):
                    print(mode, file=worker.stdin, flush=True)
                line = worker.stdout.readline()
                if not line:
                    raise SystemExit(f'{TITLES[who]}: ended early, see above')
                answers[mode][who].append(json.loads(line))
        for worker in workers.values():
            assert worker.stdin is not None
            worker.stdin.close()
    return report(answers, arguments.frames)


def report(answers: dict[str, dict[str, list[dict[str, float]]]], frames: int) -> int:
    """Print the figures; return 0 when ours is not slower and does not lose the person."""
    print(f'{WIDTH}x{HEIGHT}, {len(answers["full"][OURS])} turns of {frames} frames; ms per frame')
    print(f'{"":<34}{"CPU":>8}{"least":>8}{"wall":>8}{"missed":>9}{"paced: CPU":>13}{"core":>8}')
    for who, title in TITLES.items():
        full, paced = answers['full'][who], answers['paced'][who]
        cpu = [answer['cpu_ms'] for answer in full]
        wall = statistics.median(answer['wall_ms'] for answer in full)
        missed = statistics.mean(answer['missed'] for answer in full)
        line = (
            f'{title:<34}{statistics.median(cpu):>8.2f}{min(cpu):>8.2f}{wall:>8.2f}{missed:>9.1%}'
        )
        if paced:
            cpu_ms = statistics.median(answer['cpu_ms'] for answer in paced)
            line += f'{cpu_ms:>13.2f}{cpu_ms * RATE_HZ / 1e3:>8.1%}'
        print(line)
    pairs = list(zip(answers['full'][OURS], answers['full'][THEIRS]))
    ratio = statistics.median(ours['cpu_ms'] / theirs['cpu_ms'] for ours, theirs in pairs)
    missed = statistics.mean(answer['missed'] for answer in answers['full'][OURS])
    print(f'CPU time, ours / MediaPipe (median over turns): {ratio:.2f}')
    return 0 if ratio <= 1.0 and missed <= MAX_MISSED else 1


if __name__ == '__main__':
    sys.exit(main())
