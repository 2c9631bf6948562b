# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Regions of a picture cut out on the GPU, as OpenCV cuts them out, into a network's input."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.tensorrt.cuda import CudaDevice

SOURCE = r"""
// As OpenCV's warpAffine with INTER_LINEAR | WARP_INVERSE_MAP: places in 1/1024, rounded to 1/32
// of a pixel. rows: the picture's rows from `first` on.
extern "C" __global__ void cut(
    const unsigned char* rows, int width, int height, int first, const double* maps,
    unsigned char* out, int columns, int lines, int replicate)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= lines) return;
    const double* map = maps + 6 * blockIdx.z;
    const int u = (__double2int_rn((map[1] * y + map[2]) * 1024.0) + 16
                   + __double2int_rn(map[0] * x * 1024.0)) >> 5;
    const int v = (__double2int_rn((map[4] * y + map[5]) * 1024.0) + 16
                   + __double2int_rn(map[3] * x * 1024.0)) >> 5;
    int sums[3] = {0, 0, 0};
    for (int tap = 0; tap < 4; ++tap) {
        int column = (u >> 5) + (tap & 1), row = (v >> 5) + (tap >> 1);
        const bool inside = column >= 0 && column < width && row >= 0 && row < height;
        if (!inside && !replicate) continue;
        column = min(max(column, 0), width - 1);
        row = min(max(row, 0), height - 1) - first;
        const int weight = ((tap & 1) ? u & 31 : 32 - (u & 31))
                         * ((tap >> 1) ? v & 31 : 32 - (v & 31));
        const unsigned char* pixel = rows + 3 * ((long long)row * width + column);
        for (int c = 0; c < 3; ++c) sums[c] += weight * pixel[c];
    }
    unsigned char* made = out + 3 * (((long long)blockIdx.z * lines + y) * columns + x);
    for (int c = 0; c < 3; ++c) made[c] = (sums[c] + 512) >> 10;
}
"""
"""The kernel, in CUDA C."""

_BLOCK = (32, 8, 1)
_MAP_BYTES = 6 * 8


def rows_needed(maps: npt.NDArray[np.float64], size: tuple[int, int], height: int) -> slice:
    """
    Return the rows of a picture that regions touch; at least one.

    :param maps: (N, 2, 3) from pixels of the crops to pixels of the picture.
    :param size: lines and columns of the crops.
    :param height: of the picture.
    """
    corners = np.array([(x, y, 1) for x in (0, size[1]) for y in (0, size[0])], np.float64)
    lines = np.clip(maps[:, 1] @ corners.T, -1.0, height + 1.0)
    first = min(max(math.floor(lines.min()) - 1, 0), height - 1)
    return slice(first, max(min(math.ceil(lines.max()) + 2, height), first + 1))


class CropKernel:
    """
    The kernel, and the GPU's memory for the rows that it reads.

    :param device: the device; its context must be current in all that follows.
    :param max_batch: most crops at once.
    :raises InferenceError: when NVRTC is missing or does not compile it.
    :raises pycuda.driver.Error: when the device refuses it.
    """

    def __init__(self, device: CudaDevice, max_batch: int) -> None:
        self._driver = device.driver
        self._module = self._driver.module_from_buffer(compile_kernel(device.compute_capability))
        self._function = self._module.get_function('cut')
        self._function.prepare('PiiiPPiii')
        self._maps = self._driver.mem_alloc(max_batch * _MAP_BYTES)
        self._rows: Any = None
        self._room = 0

    def enqueue(
        self,
        image: npt.NDArray[np.uint8],
        maps: npt.NDArray[np.float64],
        size: tuple[int, int],
        target: int,
        stream: Any,
        *,
        replicate: bool,
    ) -> object:
        """
        Send the rows that are needed and cut the regions out of them, without waiting.

        :param image: (H, W, 3) uint8.
        :param maps: (N, 2, 3) float64, C-contiguous; to be kept until the stream has come by.
        :param size: lines and columns of each crop.
        :param target: address for uint8 (N, *size, 3).
        :param replicate: outside of the picture its edge goes on, instead of black.
        :returns: what is sent, to be kept as long.
        """
        height, width = image.shape[:2]
        needed = rows_needed(maps, size, height)
        rows = np.ascontiguousarray(image[needed])
        if rows.nbytes > self._room:
            self._free_rows(stream)
            self._rows, self._room = self._driver.mem_alloc(rows.nbytes), rows.nbytes
        self._driver.memcpy_htod_async(self._rows, rows, stream)
        self._driver.memcpy_htod_async(self._maps, maps, stream)
        lines, columns = size
        grid = (-(-columns // _BLOCK[0]), -(-lines // _BLOCK[1]), len(maps))
        self._function.prepared_async_call(
            *(grid, _BLOCK, stream),
            *(int(self._rows), width, height, needed.start, int(self._maps)),
            *(target, columns, lines, int(replicate)),
        )
        return rows

    def _free_rows(self, stream: Any) -> None:
        if self._rows is not None:
            stream.synchronize()
            rows, self._rows, self._room = self._rows, None, 0
            rows.free()

    def in_order(self) -> Iterator[Callable[[], Any]]:
        """Yield what frees each thing held."""
        for memory in (self._rows, self._maps):
            if memory is not None:
                yield memory.free
        self._rows = self._maps = self._function = self._module = None


@functools.cache
def compile_kernel(compute_capability: tuple[int, int]) -> bytes:
    """
    Compile :data:`SOURCE` with NVRTC, CUDA's compiler as a library.

    :returns: machine code (cubin) for GPUs of this compute capability.
    :raises InferenceError: when NVRTC is missing, or older than CUDA 11.2, or refuses.
    """
    library = _nvrtc()
    program = ctypes.c_void_p()

    def call(function: str, *arguments: Any) -> None:
        code = getattr(library, function)(*arguments)
        if code:
            library.nvrtcGetErrorString.restype = ctypes.c_char_p
            text = library.nvrtcGetErrorString(code).decode(errors='replace')
            raise InferenceError(f'{function}: {text}{_log_of(library, program)}')

    call('nvrtcCreateProgram', ctypes.byref(program), SOURCE.encode(), b'cut.cu', 0, None, None)
    try:
        # without fused multiply-add, which rounds otherwise than OpenCV
        words = (f'--gpu-architecture=sm_{"".join(map(str, compute_capability))}', '--fmad=false')
        options = (ctypes.c_char_p * len(words))(*(word.encode() for word in words))
        call('nvrtcCompileProgram', program, len(words), options)
        size = ctypes.c_size_t()
        call('nvrtcGetCUBINSize', program, ctypes.byref(size))
        code = ctypes.create_string_buffer(size.value)
        call('nvrtcGetCUBIN', program, code)
        return code.raw
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _log_of(library: Any, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    if not program or library.nvrtcGetProgramLogSize(program, ctypes.byref(size)):
        return ''
    text = ctypes.create_string_buffer(max(size.value, 1))
    library.nvrtcGetProgramLog(program, text)
    words = ' '.join(text.value.decode(errors='replace').split())
    return f': {words[:500]}' if words else ''


def _nvrtc() -> Any:
    for name in _library_names():
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise InferenceError(
        "gpu_crops needs CUDA's compiler as a library, libnvrtc (it comes with the CUDA toolkit;"
        ' or pip install nvidia-cuda-nvrtc)'
    )


def _library_names() -> Sequence[str]:
    found = ctypes.util.find_library('nvrtc')
    names = [found] if found else []
    names += ['libnvrtc.so', *(f'libnvrtc.so.{version}' for version in ('13', '12', '11.2'))]
    package = importlib.util.find_spec('nvidia')
    for folder in (package.submodule_search_locations or ()) if package else ():
        names += map(str, sorted(Path(folder).glob('*/lib/libnvrtc.so.*[0-9]')))
    return names
