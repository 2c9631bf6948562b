#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Time EmoNet on the CPU in every form that was tried, in one run, and compare the outputs.

The reference is what ``torch.onnx.export`` makes of the module, on ONNX Runtime in float32. The
change is the largest difference of any output to it, over all crops, relative to that output's
range (largest less smallest value over the crops). Crops: the built-in sequence, half of them
mirrored, at several distances; int8 is calibrated on other frames than it is judged on.

Without ``--weights`` the weights are random. Such a network passes on small errors more strongly
than a trained one; speed does not depend on the weights.

Variants whose runtime is not installed are left out and named. The first one needs torch, all of
them onnx and onnxruntime; optional are ncnn and openvino.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import logging
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from aitable_ros.inference.engine import Engine
from aitable_ros.inference.ncnn_engine import NcnnEngine
from aitable_ros.inference.onnxruntime_engine import OnnxRuntimeEngine
from aitable_ros.inference.pytorch_engine import PyTorchEngine
from aitable_ros.model_zoo.emonet import (
    EmoNet,
    EmoNetWeightsError,
    load_emonet,
    random_emonet,
)
from aitable_ros.model_zoo.emonet_contract import emonet_spec
from aitable_ros.model_zoo.emonet_export import build_onnx
from aitable_ros.model_zoo.onnx_to_ncnn import convert
from aitable_ros.perception.emonet import CropSettings, crop_face
from aitable_ros.sample.astronaut_sequence import AstronautSequence

LIMIT = 0.01
"""How much of its range an output may move."""

OUTPUTS = ('expression', 'valence', 'arousal')
TOOLS = ('torch', 'onnx', 'onnxruntime', 'ncnn', 'openvino', 'numpy')
CROPS = 24

Images = npt.NDArray[np.uint8]
Run = Callable[[Images], npt.NDArray]


@dataclass
class Variant:
    """
    One form of the network.

    :param name: as in the table.
    :param open: opens it with so many threads: images (N, 256, 256, 3) to outputs (N, 10).
    """

    name: str
    open: Callable[[int], contextlib.AbstractContextManager[Run]]


@dataclass
class _Region:
    xywh_px: npt.NDArray
    landmarks_px: None = None


def crops(count: int, phase: float) -> Images:
    """Cut faces out of the built-in sequence: at its times (k + phase) / count of its length."""
    sequence = AstronautSequence()
    made = []
    for k in range(count):
        index = int((k + phase) / count * len(sequence))
        x0, y0, x1, y1 = sequence.face_xyxy_px(index)
        settings = CropSettings(
            scale=(1.5, 1.82, 2.2)[k % 3], detection_scale=1.0, detection_shift=0.0
        )
        region = _Region(np.array([x0, y0, x1 - x0, y1 - y0], np.float32))
        crop = crop_face(sequence.frame(index), region, settings)
        assert crop is not None
        made.append(crop[:, ::-1] if k % 2 else crop)
    return np.stack(made)


def joined(outputs: Mapping[str, npt.NDArray]) -> npt.NDArray:
    return np.concatenate([outputs[name].reshape(len(outputs[name]), -1) for name in OUTPUTS], 1)


@contextlib.contextmanager
def engine_run(factory: Callable[..., Engine], *args: Any, threads: int) -> Iterator[Run]:
    with factory(*args, threads=threads) as engine:
        yield lambda images: joined(engine.infer({'image': images}))


def engine_variant(name: str, factory: Callable[..., Engine], *args: Any) -> Variant:
    return Variant(name, lambda threads: engine_run(factory, *args, threads=threads))


def export_plain(model: EmoNet, path: Path) -> None:
    """Export as the manual says, pixels scaled in the graph like ours."""

    class Wrapper(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            result = self.model(image.permute(0, 3, 1, 2).float() / 255.0)
            return result['expression'], result['valence'][:, None], result['arousal'][:, None]

    names = ('image', *OUTPUTS)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            Wrapper().eval(),
            (torch.zeros((1, 256, 256, 3), dtype=torch.uint8),),
            str(path),
            input_names=['image'],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: 'N'} for name in names},
            opset_version=17,
            dynamo=False,
        )


def export_half(source: Path, path: Path) -> None:
    """Convert to float16, outputs kept in float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half = convert_float_to_float16(onnx.load(source), keep_io_types=True)
    onnx.save(half, path)


def export_int8(source: Path, path: Path, calibration: Images) -> None:
    """Quantise statically: 8-bit activations, 8-bit weights per channel."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.images = iter(calibration)

        def get_next(self) -> dict[str, Images] | None:
            image = next(self.images, None)
            return None if image is None else {'image': image[None]}

    logging.disable(logging.WARNING)
    quantization.quantize_static(
        str(source),
        str(path),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        op_types_to_quantize=['Conv'],
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    logging.disable(logging.NOTSET)


@contextlib.contextmanager
def openvino_run(path: Path, precision: str, threads: int) -> Iterator[Run]:
    import openvino

    options = {
        'INFERENCE_PRECISION_HINT': precision,
        'INFERENCE_NUM_THREADS': threads,
        'NUM_STREAMS': 1,
    }
    compiled = openvino.Core().compile_model(str(path), 'CPU', options)
    request = compiled.create_infer_request()

    def run(images: Images) -> npt.NDArray:
        request.infer({'image': images})
        return joined({name: request.get_tensor(name).data.copy() for name in OUTPUTS})

    yield run


def openvino_variant(name: str, path: Path, precision: str) -> Variant:
    return Variant(name, lambda threads: openvino_run(path, precision, threads))


def make_variants(model: EmoNet, folder: Path) -> list[Variant]:
    """Write the network in all its forms; the first one is the reference."""
    spec = emonet_spec(model.classes)
    torch.save(model.state_dict(), folder / 'emonet.pth')
    export_plain(model, folder / 'plain.onnx')
    weights = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
    graph = build_onnx(weights, spec)
    onnx.save(graph, folder / 'emonet.onnx')
    (folder / 'emonet.ncnn').write_bytes(convert(graph))
    export_half(folder / 'emonet.onnx', folder / 'half.onnx')
    export_int8(folder / 'emonet.onnx', folder / 'int8.onnx', crops(CROPS, 0.5))

    def onnxruntime(name: str, file: str) -> Variant:
        return engine_variant(f'onnxruntime {name}', OnnxRuntimeEngine, spec, folder / file)

    variants = [
        onnxruntime('float32, plain export', 'plain.onnx'),
        onnxruntime('float32, aitable', 'emonet.onnx'),
        onnxruntime('float16', 'half.onnx'),
        onnxruntime('int8', 'int8.onnx'),
        engine_variant('pytorch float32, aitable', PyTorchEngine, spec, folder / 'emonet.pth'),
    ]
    if importlib.util.find_spec('ncnn') is None:
        print('left out: ncnn is not installed')
    else:
        path = folder / 'emonet.ncnn'
        variants.append(engine_variant('ncnn float32, aitable', NcnnEngine, spec, path))
    if importlib.util.find_spec('openvino') is None:
        print('left out: openvino is not installed')
    else:
        variants += [
            openvino_variant('openvino float32', folder / 'emonet.onnx', 'f32'),
            openvino_variant('openvino bfloat16', folder / 'emonet.onnx', 'bf16'),
            openvino_variant('openvino int8', folder / 'int8.onnx', 'f32'),
        ]
    return variants


def measure(variants: Sequence[Variant], threads: int, rounds: int) -> list[dict[str, Any]]:
    """Time one image at a time, in turns, so that a busy moment does not hit one alone."""
    images = crops(CROPS, 0.0)
    rows: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        runs = [stack.enter_context(variant.open(threads)) for variant in variants]
        outputs = [np.concatenate([run(image[None]) for image in images]) for run in runs]
        wall_s: list[list[float]] = [[] for _ in runs]
        cpu_s: list[list[float]] = [[] for _ in runs]
        for turn in range(rounds):
            image = images[turn % len(images)][None]
            for i, run in enumerate(runs):
                begin_cpu, begin = time.process_time(), time.perf_counter()
                run(image)
                wall_s[i].append(time.perf_counter() - begin)
                cpu_s[i].append(time.process_time() - begin_cpu)
    ranges = np.ptp(outputs[0], axis=0)
    for i, variant in enumerate(variants):
        change = float((np.abs(outputs[i] - outputs[0]) / ranges).max())
        rows.append(
            {
                'variant': variant.name,
                'threads': threads,
                'p50_ms': float(np.median(wall_s[i])) * 1e3,
                'min_ms': float(np.min(wall_s[i])) * 1e3,
                'cpu_ms': float(np.median(cpu_s[i])) * 1e3,
                'change_of_range': change,
            }
        )
    return rows


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    print('| variant | threads | p50 ms | fastest ms | CPU ms | change, % of range | |')
    print('|---|---:|---:|---:|---:|---:|---|')
    for row in rows:
        verdict = '' if row['change_of_range'] <= LIMIT else 'too inexact'
        print(
            f'| {row["variant"]} | {row["threads"]} | {row["p50_ms"]:.0f} | {row["min_ms"]:.0f}'
            f' | {row["cpu_ms"]:.0f} | {row["change_of_range"] * 100:.2g} | {verdict} |'
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--weights', type=Path, help='checkpoint of EmoNet; random ones')
    parser.add_argument('--seed', type=int, default=0, help='of the random weights (0)')
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2], help='(1 2)')
    parser.add_argument('--rounds', type=int, default=30, help='timed runs of each variant (30)')
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    arguments = parser.parse_args()
    if min(*arguments.threads, arguments.rounds) < 1:
        parser.error('numbers must be at least 1')
    if arguments.weights:
        try:
            model = load_emonet(arguments.weights).model
        except EmoNetWeightsError as error:
            parser.error(str(error))
    else:
        model = random_emonet(8, arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        variants = make_variants(model, Path(folder))
        rows = [
            row
            for threads in arguments.threads
            for row in measure(variants, threads, arguments.rounds)
        ]
    environment = {'machine': platform.machine(), 'python': platform.python_version()}
    for tool in TOOLS:
        with contextlib.suppress(PackageNotFoundError):
            environment[tool] = version(tool)
    environment['weights'] = str(arguments.weights or f'random, seed {arguments.seed}')
    if arguments.json:
        print(json.dumps({'environment': environment, 'results': rows}, indent=2))
    else:
        print(', '.join(f'{key} {value}' for key, value in environment.items()), end='\n\n')
        print_table(rows)


if __name__ == '__main__':
    main()
