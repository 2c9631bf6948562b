# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
INT8: pictures to calibrate on, TensorRT's calibrator (until 10), and Q/DQ graphs (from 11 on).

Accuracy must be measured before an INT8 engine is used: small networks lose much.
"""

from __future__ import annotations

import copy
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from aitable_ros.inference.tensorrt.cuda import CudaDevice

DEFAULT_BATCH = 8
MAX_IMAGES = 512
"""More pictures than this change little and take long; they are spread over the folder."""


class CalibrationError(RuntimeError):
    """There is nothing to calibrate on, or calibration cannot be done here."""


def load_images(folder: Path, height: int, width: int) -> npt.NDArray[np.uint8]:
    """
    Read the pictures of a folder as the network is to see them.

    They should be crops as the network gets them in use (whole camera pictures for detectors,
    faces for FaceMesh and EmoNet, eyes for Iris), some hundred, as varied as in use.

    :param folder: of picture files, which are stretched to the network's size, and of ``.npy``
        files with uint8 (N, height, width, 3) or (height, width, 3) RGB.
    :returns: uint8 (N, height, width, 3) RGB, at most :data:`MAX_IMAGES`.
    :raises CalibrationError: when there are none, or one cannot be read.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise CalibrationError(f'{folder} cannot be listed: {error.strerror or error}') from error
    arrays = [entry for entry in entries if entry.suffix == '.npy']
    images = [image for path in arrays for image in _read_array(path, height, width)]
    room = max(MAX_IMAGES - len(images), 0)
    # reading pictures takes OpenCV, which a machine that is given arrays can do without
    if not arrays or (room and len(entries) > len(arrays)):
        images += _read_pictures(folder, height, width, room, required=not arrays)
    return np.stack(images)[:MAX_IMAGES]


def _read_pictures(
    folder: Path, height: int, width: int, room: int, *, required: bool
) -> Iterator[npt.NDArray[np.uint8]]:
    import cv2

    from aitable_ros.sources.frame_source import SourceError
    from aitable_ros.sources.picture_source import PICTURE_SUFFIXES, list_pictures, read_picture

    try:
        if not required and not any(
            entry.suffix.lower() in PICTURE_SUFFIXES for entry in folder.iterdir()
        ):
            return
        pictures = list_pictures(folder)
        count = min(len(pictures), room)
        for index in np.unique(np.linspace(0, len(pictures) - 1, count).astype(int)):
            picture = read_picture(pictures[index])
            fitted = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            yield fitted.astype(np.uint8, copy=False)
    except SourceError as error:
        raise CalibrationError(str(error)) from error


def _read_array(path: Path, height: int, width: int) -> Iterator[npt.NDArray[np.uint8]]:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CalibrationError(f'{path} cannot be read: {error}') from error
    if values.dtype != np.uint8 or values.shape[-3:] != (height, width, 3) or values.ndim > 4:
        raise CalibrationError(
            f'{path}: expected uint8[N,{height},{width},3], got'
            f' {values.dtype.name}{list(values.shape)}'
        )
    yield from values.reshape(-1, height, width, 3)


def images_digest(images: npt.NDArray[np.uint8]) -> str:
    """Return a digest of pictures, for cache keys."""
    return hashlib.sha256(repr(images.shape).encode() + images.tobytes()).hexdigest()


class Batches:
    """Pictures (N, H, W, 3) in batches of up to N; the last is filled up from the start."""

    def __init__(self, images: npt.NDArray[np.uint8], size: int = DEFAULT_BATCH) -> None:
        if not len(images):
            raise CalibrationError('no pictures to calibrate on')
        self.size = min(size, len(images))
        self._images = images

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self._images) // self.size)

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield arrays (size, H, W, 3)."""
        for start in range(0, len(self._images), self.size):
            rows = np.arange(start, start + self.size) % len(self._images)
            yield np.ascontiguousarray(self._images[rows])


def create_calibrator(
    trt: Any, batches: Batches, device: CudaDevice, report: Callable[[], None]
) -> Any:
    """
    Return TensorRT's entropy calibrator for a network with one input.

    The device's context must be current while it works. TensorRT refers to it without owning it;
    its ``close`` frees the GPU memory.

    :param trt: TensorRT's module, 8.5 to 10.
    :param batches: the pictures.
    :param device: the CUDA device.
    :param report: called after each batch.
    """
    pending = iter(batches)

    class Calibrator(trt.IInt8EntropyCalibrator2):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)
            self.memory: Any = None

        def get_batch_size(self) -> int:
            return batches.size

        def get_batch(self, names: list[str]) -> list[int] | None:
            batch = next(pending, None)
            if batch is None:
                return None
            if self.memory is None:
                self.memory = device.driver.mem_alloc(batch.nbytes)
            device.driver.memcpy_htod(self.memory, batch)
            report()
            return [int(self.memory)]

        def read_calibration_cache(self) -> bytes | None:
            return None  # the pictures decide, each time anew

        def write_calibration_cache(self, cache: object) -> None:
            pass

        def close(self) -> None:
            if self.memory is not None:
                self.memory.free()

    return Calibrator()


def quantize(
    model: onnx.ModelProto, images: npt.NDArray[np.uint8], keep: Iterable[str] = ()
) -> onnx.ModelProto:
    """
    Insert Q/DQ pairs before convolutions and matrix products, from the ranges that pictures give.

    Symmetric, per tensor for activations and per channel for weights: what TensorRT takes.

    :param model: in FP32, with one input, uint8 (N, H, W, 3).
    :param images: (N, H, W, 3); at least one batch, where the model has a fixed one.
    :param keep: names of nodes that are not quantized.
    :raises CalibrationError: when ONNX Runtime is missing or refuses.
    """
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise CalibrationError(
            f'INT8 needs ONNX Runtime here (pip install onnxruntime): {error}'
        ) from error
    name = model.graph.input[0].name

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            size = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
            self._batches = iter(Batches(images, max(size, 1)))

        def get_next(self) -> Mapping[str, npt.NDArray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {name: batch}

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / 'quantized.onnx'
        try:
            quantization.quantize_static(
                copy.deepcopy(model),  # it is changed
                str(target),
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=['Conv', 'Gemm', 'MatMul'],
                per_channel=True,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=sorted(keep),
                calibrate_method=quantization.CalibrationMethod.MinMax,
                extra_options={
                    'ActivationSymmetric': True,
                    'WeightSymmetric': True,
                    'QuantizeBias': False,
                    'AddQDQPairToWeight': True,
                },
            )
            return onnx.load(str(target))
        except Exception as error:  # onnxruntime's errors share no base class
            raise CalibrationError(
                f'quantizing failed: {type(error).__name__}: {error}'
            ) from error
