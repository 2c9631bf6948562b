# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Networks on ncnn, on the CPU.

ncnn computes 3x3 convolutions with Winograd's algorithm, with a third of the multiplications of
the direct one and in float32 nonetheless.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import Engine, InferenceError
from aitable_ros.inference.model_spec import ModelSpec

_MAGIC = b'aitNCNN1'
_FOOTER = struct.Struct('<32sQ8s')
_GRAPH_MAGIC = '7767517\n'  # first line of ncnn's .param files


def pack(graph: str, weights: bytes) -> bytes:
    """
    Join the two files of an ncnn network, ``.param`` and ``.bin``, into one.

    The weights come first, so that ncnn can read them from the file as it is; the graph and a
    footer with its length and the SHA-256 of both follow.

    :param graph: the contents of the ``.param`` file.
    :param weights: the contents of the ``.bin`` file.
    :returns: the contents of the ``.ncnn`` file.
    """
    text = graph.encode()
    digest = hashlib.sha256(weights + text).digest()
    return weights + text + _FOOTER.pack(digest, len(text), _MAGIC)


def unpack(content: bytes) -> tuple[str, bytes]:
    """
    Take a ``.ncnn`` file apart; the inverse of :func:`pack`.

    :param content: the file's contents.
    :returns: graph and weights.
    :raises ValueError: when it is not such a file, is truncated or damaged.
    """
    if len(content) < _FOOTER.size or not content.endswith(_MAGIC):
        raise ValueError(f'is truncated or not a .ncnn file ({len(content)} bytes)')
    body, footer = content[: -_FOOTER.size], content[-_FOOTER.size :]
    digest, length, _ = _FOOTER.unpack(footer)
    if length > len(body) or hashlib.sha256(body).digest() != digest:
        raise ValueError('is damaged: its SHA-256 is not the one that it ends with')
    begin = len(body) - length
    try:
        graph = body[begin:].decode()
    except UnicodeDecodeError as error:
        raise ValueError(f'is damaged: its graph is not text: {error}') from error
    if not graph.startswith(_GRAPH_MAGIC):
        raise ValueError('holds no ncnn graph')
    return graph, body[:begin]


class NcnnEngine(Engine):
    """
    A ``.ncnn`` file (:func:`pack`) run by ncnn in float32, one image at a time.

    The scaling of the pixels is part of the graph.

    :param spec: the network's contract, with one image input uint8 (N, H, W, 3).
    :param path: the file.
    :param threads: threads that one run uses. They sleep, not spin, between runs.
    :raises InferenceError: when ncnn is missing, or the file is missing, damaged, or of another
        network.
    """

    backend = 'ncnn'

    def __init__(self, spec: ModelSpec, path: Path, *, threads: int = 1) -> None:
        super().__init__(spec, path, threads)
        try:
            self._ncnn: Any = importlib.import_module('ncnn')
        except ImportError as error:
            raise self._error(f'ncnn cannot be imported: {error}') from error
        content = self._read_file()
        try:
            graph, _ = unpack(content)
        except ValueError as error:
            raise self._error(f'{self.path} {error}') from error
        self._check_input(graph)
        self._net: Any = self._load(graph, threads)

    def _check_input(self, graph: str) -> None:
        image = self._check_image(channels=3)
        _, height, width, channels = image.shape
        wanted = f'Input {image.name} 0 1 {image.name} 0={width} 1={height} 2={channels}'
        inputs = [line for line in graph.splitlines() if line.startswith('Input ')]
        if inputs != [wanted]:
            raise self._error(
                f'{self.path}: not this network: expected the input {wanted!r}, found {inputs}'
            )

    def _load(self, graph: str, threads: int) -> Any:
        net = self._ncnn.Net()
        options = net.opt
        options.num_threads = threads
        options.openmp_blocktime = 0
        # Half precision moves the outputs by several percent of their range.
        for name in ('fp16_packed', 'fp16_storage', 'fp16_arithmetic', 'bf16_storage'):
            setattr(options, f'use_{name}', False)
        options.use_vulkan_compute = False
        if net.load_param_mem(graph) != 0 or net.load_model(str(self.path)) != 0:
            raise self._error(f'{self.path} cannot be loaded by this version of ncnn')
        missing = {output.name for output in self.outputs} - set(net.output_names())
        if missing or self.inputs[0].name not in net.input_names():
            raise self._error(
                f'{self.path}: not this network: its outputs are'
                f' {", ".join(net.output_names())}; {", ".join(sorted(missing))} missing'
            )
        return net

    def _infer(self, inputs: Mapping[str, npt.NDArray]) -> dict[str, npt.NDArray]:
        images = inputs[self.inputs[0].name]
        outputs = self._empty_outputs(len(images))
        for index, image in enumerate(images):
            self._run(np.ascontiguousarray(image), index, outputs)
        return outputs

    def _run(
        self, image: npt.NDArray[np.uint8], index: int, outputs: dict[str, npt.NDArray]
    ) -> None:
        height, width = image.shape[:2]
        mat = self._ncnn.Mat
        try:
            pixels = mat.from_pixels(image, mat.PixelType.PIXEL_RGB, width, height)
            with self._net.create_extractor() as extractor:
                extractor.input(self.inputs[0].name, pixels)
                for output in self.outputs:
                    status, values = extractor.extract(output.name)
                    array = np.array(values)
                    if status != 0 or array.size != math.prod(output.shape[1:]):
                        raise self._error(
                            f'output {output}: got status {status} and'
                            f' {array.dtype.name}{list(array.shape)}'
                        )
                    outputs[output.name][index] = array.reshape(output.shape[1:])
        except InferenceError:
            raise
        except Exception as error:  # of the binding: which ones is not documented
            raise self._error(f'run failed: {error}') from error

    def _close(self) -> None:
        self._net.clear()
        self._net = None
