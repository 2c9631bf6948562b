#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
What one launch for several networks saves, and what cutting crops on the GPU does.

Needs a GPU, and the engines of the networks named (``build_engines``). All sides take turns in one
process; figures are medians over the rounds, in brackets the quartiles.

    python3 scripts/benchmarks/tensorrt_launches.py together face_attention emonet
    python3 scripts/benchmarks/tensorrt_launches.py crops face_mesh emonet
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from aitable_ros import paths
from aitable_ros.inference.tensorrt.engine import TensorRtEngine
from aitable_ros.inference.tensorrt.engine_group import EngineGroup
from aitable_ros.model_zoo.catalog import CONTRACTS

ROUNDS = 12
RUNS = 30
FRAMES = ((640, 480), (1280, 720), (1920, 1080))
FACES = (1, 2, 4)


def take_turns(sides: Mapping[str, Callable[[], object]]) -> dict[str, str]:
    """Return for each side its time and its thread's CPU time for a run [ms], as text."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for round_ in range(ROUNDS + 1):
        for name, run in sides.items():
            times = []
            for _ in range(RUNS):
                before, cpu_before = time.perf_counter(), time.thread_time()
                run()
                now, cpu_now = time.perf_counter(), time.thread_time()
                times.append((now - before, cpu_now - cpu_before))
            if round_:  # the first one warms up
                wall, cpu = (statistics.median(column) for column in zip(*times))
                taken[name].append((wall, cpu))
    return {
        name: ' | '.join(quartiles(column) for column in zip(*values))
        for name, values in taken.items()
    }


def quartiles(seconds: tuple[float, ...]) -> str:
    """Return the median and the quartiles in milliseconds."""
    low, middle, high = (1e3 * value for value in statistics.quantiles(seconds, n=4))
    return f'{middle:.3f} ({low:.3f}-{high:.3f})'


def compare_launches(folder: Path, names: list[str]) -> None:
    """Print the time of the networks one by one, the sum, and in one launch."""
    rng = np.random.default_rng(0)
    with ExitStack() as stack:
        engines = [
            stack.enter_context(TensorRtEngine(CONTRACTS[name], folder / f'{name}.engine'))
            for name in names
        ]
        group = stack.enter_context(EngineGroup(engines))
        inputs = [
            {'image': rng.integers(0, 256, (1, *engine.inputs[0].shape[1:]), np.uint8)}
            for engine in engines
        ]
        singles: dict[str, Callable[[], object]] = {
            name: partial(engine.infer, given)
            for name, engine, given in zip(names, engines, inputs)
        }
        times = take_turns(
            {
                **singles,
                'one by one': lambda: [e.infer(given) for e, given in zip(engines, inputs)],
                'one launch': lambda: group.infer(inputs),
            }
        )
        print('| networks | host to host, ms | CPU of the thread, ms |\n|---|---|---|')
        for name, text in times.items():
            print(f'| {name} | {text} |')
        if not group.uses_cuda_graph:
            print('they did not run in one graph')


def compare_crops(folder: Path, names: list[str]) -> None:
    """Print the time from a frame to the answers with crops cut by OpenCV and on the GPU."""
    import cv2

    from aitable_ros.perception.images.regions import infer_regions
    from aitable_ros.perception.images.roi import RotatedRoi

    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    print('| network | frame | faces | crops | frame to answers, ms | CPU of the thread, ms |')
    print('|---|---|---|---|---|---|')
    for name in names:
        spec, path = CONTRACTS[name], folder / f'{name}.engine'
        size = spec.inputs[0].shape[1]
        with (
            TensorRtEngine(spec, path) as plain,
            TensorRtEngine(spec, path, gpu_crops=True) as cutting,
        ):
            for width, height in FRAMES:
                frame = rng.integers(0, 256, (height, width, 3), np.uint8)
                frame = np.asarray(cv2.GaussianBlur(frame, (0, 0), 3.0), np.uint8)
                for faces in FACES:
                    side = 0.4 * height
                    rois = [
                        RotatedRoi(width * (i + 1) / (faces + 1), height / 2, side, 0.1 * i)
                        for i in range(faces)
                    ]

                    sides = {
                        'CPU': partial(infer_regions, plain, frame, rois, size),
                        'GPU': partial(infer_regions, cutting, frame, rois, size),
                    }
                    want, got = (run()[0] for run in sides.values())
                    for output, values in want.items():
                        np.testing.assert_array_equal(got[output], values)
                    times = take_turns(sides)
                    for crops, text in times.items():
                        print(f'| {name} | {width}x{height} | {faces} | {crops} | {text} |')


def main() -> None:
    """Run the command line tool."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('what', choices=('together', 'crops'))
    parser.add_argument('models', nargs='+', metavar='MODEL', choices=tuple(CONTRACTS))
    parser.add_argument('--engines-dir', type=Path, help='the engines folder')
    arguments = parser.parse_args()
    folder = paths.engines_dir(arguments.engines_dir)
    work = compare_launches if arguments.what == 'together' else compare_crops
    work(folder, arguments.models)


if __name__ == '__main__':
    main()
