#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Time every network on LiteRT and on ONNX Runtime, in turns, and compare their outputs.

ONNX Runtime runs both graph styles of the converter: ``native`` has an ONNX operator for each
TFLite operator, ``convolutions`` (what fetch_models makes) expresses PRelu and channel padding
by convolutions. A run includes what the engine does around the network, such as scaling the
pixels. Differences are against LiteRT, in each output's own unit (landmarks: input pixels).
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aitable_ros.inference.engine import DYNAMIC, Engine
from aitable_ros.inference.litert_engine import LitertEngine
from aitable_ros.inference.model_spec import ModelSpec
from aitable_ros.inference.onnxruntime_engine import OnnxRuntimeEngine
from aitable_ros.model_zoo.catalog import CONTRACTS
from aitable_ros.model_zoo.store import SOURCES, ensure_models
from aitable_ros.model_zoo.tflite_to_onnx import GraphStyle, convert

WARM_UP_RUNS = 10
NOISE_IMAGES = 4


def open_engines(
    spec: ModelSpec, tflite: Path, threads: int, folder: Path, stack: ExitStack
) -> dict[str, Engine]:
    engines: dict[str, Engine] = {
        'litert': stack.enter_context(LitertEngine(spec, tflite, threads=threads))
    }
    for style in GraphStyle:
        path = folder / f'{spec.name}_{style.value}.onnx'
        onnx.save(convert(tflite, spec, style=style), path)
        engines[f'onnxruntime {style.value}'] = stack.enter_context(
            OnnxRuntimeEngine(spec, path, threads=threads)
        )
    return engines


def images_of(spec: ModelSpec) -> dict[str, npt.NDArray[np.uint8]]:
    shape = tuple(1 if size == DYNAMIC else size for size in spec.inputs[0].shape)
    rng = np.random.default_rng(0)
    return {
        'noise': rng.integers(0, 256, (NOISE_IMAGES, *shape), np.uint8),
        'black': np.zeros((1, *shape), np.uint8),
        'white': np.full((1, *shape), 255, np.uint8),
    }


def differences(
    engine: Engine, reference: Engine, images: npt.NDArray[np.uint8]
) -> dict[str, dict[str, float]]:
    """Give by output the largest difference and the largest magnitude."""
    result = {output.name: {'max_difference': 0.0, 'max_value': 0.0} for output in engine.outputs}
    name = engine.inputs[0].name
    for image in images:
        ours, theirs = engine.infer({name: image}), reference.infer({name: image})
        for output, entry in result.items():
            difference = float(np.abs(ours[output] - theirs[output]).max())
            magnitude = float(np.abs(theirs[output]).max())
            entry['max_difference'] = max(entry['max_difference'], difference)
            entry['max_value'] = max(entry['max_value'], magnitude)
    return result


def time_in_turns(
    engines: dict[str, Engine], image: npt.NDArray[np.uint8], rounds: int, runs: int
) -> dict[str, list[float]]:
    """Take turns, so that a busy moment of the machine does not hit one engine alone."""
    durations_s: dict[str, list[float]] = {label: [] for label in engines}
    for turn in range(rounds + 1):
        for label, engine in engines.items():
            inputs = {engine.inputs[0].name: image}
            for _ in range(runs if turn else WARM_UP_RUNS):
                start = time.perf_counter()
                engine.infer(inputs)
                if turn:
                    durations_s[label].append(time.perf_counter() - start)
    return durations_s


def measure(name: str, tflite: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    spec = CONTRACTS[name]
    images = images_of(spec)
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engines = open_engines(spec, tflite, arguments.threads, folder, stack)
        durations_s = time_in_turns(engines, images['noise'][0], arguments.rounds, arguments.runs)
        for label, engine in engines.items():
            p50_s, p90_s = np.percentile(durations_s[label], [50, 90])
            rows.append(
                {
                    'model': name,
                    'backend': label,
                    'p50_ms': float(p50_s) * 1e3,
                    'p90_ms': float(p90_s) * 1e3,
                    'differences': {
                        kind: differences(engine, engines['litert'], batch)
                        for kind, batch in images.items()
                    },
                }
            )
    return rows


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    print(f'{"model":<16}{"backend":<28}{"p50 ms":>8}{"p90 ms":>8}  largest difference to litert')
    for row in rows:
        print(
            f'{row["model"]:<16}{row["backend"]:<28}{row["p50_ms"]:8.2f}{row["p90_ms"]:8.2f}',
            end='',
        )
        if row['backend'] == 'litert':
            print()
            continue
        texts = [
            f'{kind}: '
            + ', '.join(
                f'{output} {entry["max_difference"]:.1e} of {entry["max_value"]:.3g}'
                for output, entry in outputs.items()
            )
            for kind, outputs in row['differences'].items()
        ]
        print('  ' + '; '.join(texts))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('models', nargs='*', metavar='MODEL', help=f'of {", ".join(SOURCES)}; all')
    parser.add_argument('--engines-dir', type=Path, help='folder of the model files')
    parser.add_argument('--threads', type=int, default=1, help='threads of each engine (1)')
    parser.add_argument('--rounds', type=int, default=20, help='turns of each engine (20)')
    parser.add_argument('--runs', type=int, default=20, help='runs of a turn (20)')
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    arguments = parser.parse_args()
    unknown = set(arguments.models) - SOURCES.keys()
    if unknown or min(arguments.threads, arguments.rounds, arguments.runs) < 1:
        parser.error(f'unknown models: {unknown}' if unknown else 'numbers must be at least 1')
    files = ensure_models(
        arguments.models or list(SOURCES), arguments.engines_dir, progress=lambda line: None
    )
    rows = [row for name, path in files.items() for row in measure(name, path, arguments)]
    environment = {
        'machine': platform.machine(),
        'python': platform.python_version(),
        'onnxruntime': version('onnxruntime'),
        'ai-edge-litert': version('ai-edge-litert'),
        'threads': arguments.threads,
        'runs': arguments.rounds * arguments.runs,
    }
    if arguments.json:
        print(json.dumps({'environment': environment, 'results': rows}, indent=2))
    else:
        print(', '.join(f'{key} {value}' for key, value in environment.items()))
        print_table(rows)


if __name__ == '__main__':
    main()
