# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The CUDA device as TensorRT engines need it: PyCUDA for memory, ctypes for graphs."""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from aitable_ros.inference.engine import InferenceError

DRIVER_LIBRARY = 'libcuda.so.1'
"""NVIDIA's driver as a library: on every machine that can run CUDA programs, Jetsons included."""

NON_BLOCKING = 1
"""``CU_STREAM_NON_BLOCKING``: a stream that does not wait for the legacy default stream. PyTorch
works on that one, and work there would break the capture of a stream that does wait."""

_CAPTURE_THREAD_LOCAL = 1
"""``CU_STREAM_CAPTURE_MODE_THREAD_LOCAL``: what other threads do meanwhile is no concern."""

_devices: dict[int, CudaDevice] = {}
_devices_lock = threading.Lock()


class CudaDevice:
    """
    A CUDA device and its primary context, which PyTorch and the CUDA runtime use as well.

    ``with device:`` makes the context current in the calling thread; it nests. PyCUDA frees
    what was allocated under it in any thread, but only while this very Context object, not
    another one for the same context, is current: hence one per process, from
    :func:`open_device`.

    :param driver: the module ``pycuda.driver``, initialised.
    :param ordinal: number of the device, from 0.
    """

    def __init__(self, driver: Any, ordinal: int) -> None:
        device = driver.Device(ordinal)
        self.driver = driver
        self.ordinal = ordinal
        self.name: str = device.name()
        self.compute_capability: tuple[int, int] = device.compute_capability()
        self._context = device.retain_primary_context()
        self._push: Callable[[], None] = self._context.push
        self._pop: Callable[[], None] = driver.Context.pop

    def __enter__(self) -> CudaDevice:
        """Make the primary context current in this thread."""
        self._push()
        return self

    def __exit__(self, *exception: object) -> None:
        """Make current again what was before."""
        self._pop()

    def memory_bytes(self) -> tuple[int, int]:
        """
        Return the free and the total memory of the device, in bytes.

        :raises InferenceError: when the device does not answer.
        """
        try:
            with self:
                free, total = self.driver.mem_get_info()
        except self.driver.Error as error:
            raise InferenceError(f'{self} does not answer: {error}') from error
        return free, total

    def unwind(self) -> None:
        """Pop this context from the calling thread's stack as often as it is on top."""
        context = self.driver.Context
        while (current := context.get_current()) is not None and current == self._context:
            context.pop()

    def __str__(self) -> str:
        """Format as ``CUDA device 0 (NVIDIA H200)``."""
        return f'CUDA device {self.ordinal} ({self.name})'


def open_device(ordinal: int = 0) -> CudaDevice:
    """
    Return the device; its primary context is retained by the first call and kept until exit.

    :param ordinal: number of the device, from 0.
    :raises InferenceError: when PyCUDA is not installed, or there is no driver or no such
        device.
    """
    with _devices_lock:
        if ordinal not in _devices:
            driver = _initialised_driver()
            try:
                count = driver.Device.count()
                if not 0 <= ordinal < count:
                    raise InferenceError(f'no CUDA device {ordinal}: this machine has {count}')
                _devices[ordinal] = CudaDevice(driver, ordinal)
            except driver.Error as error:
                raise InferenceError(f'CUDA device {ordinal} cannot be used: {error}') from error
            if len(_devices) == 1:
                atexit.register(_unwind_devices)
        return _devices[ordinal]


def _initialised_driver() -> Any:
    try:
        driver: Any = importlib.import_module('pycuda.driver')
    except ModuleNotFoundError as error:
        raise InferenceError(
            f'module {error.name} is not installed (pip install pycuda)'
        ) from error
    except ImportError as error:
        hint = ': there is no NVIDIA driver' if 'libcuda' in str(error) else ''
        raise InferenceError(f'PyCUDA cannot be imported{hint} ({error})') from error
    try:
        driver.init()
    except driver.Error as error:
        raise InferenceError(f'no CUDA device can be used: {error}') from error
    return driver


def _unwind_devices() -> None:
    # Ctrl-C can strike between a push and the block that pops it. PyCUDA aborts a process whose
    # main thread ends with a context pushed.
    for device in _devices.values():
        device.unwind()


class MemoryBlock:
    """
    Pinned host memory and as much memory on the GPU, for all inputs or all outputs.

    :param driver: ``pycuda.driver``.
    :param nbytes: size of each.
    :param mapped: the GPU uses the host memory itself, and has none of its own.
    """

    def __init__(self, driver: Any, nbytes: int, *, mapped: bool = False) -> None:
        self._driver = driver
        self.nbytes = nbytes
        self.mapped = mapped
        self._device_memory: Any = None
        self._host_memory: Any = None

    def allocate(self) -> None:
        """
        Allocate both; what :meth:`in_order` yields frees them, also where this failed.

        :raises pycuda.driver.MemoryError: when there is too little.
        """
        flags = self._driver.host_alloc_flags.DEVICEMAP if self.mapped else 0
        if not self.mapped:
            self._device_memory = self._driver.mem_alloc(self.nbytes)
        self.host: npt.NDArray[np.uint8] = self._driver.pagelocked_empty(
            self.nbytes, np.uint8, mem_flags=flags
        )
        self._host_memory = self.host.base
        self.address = (
            int(self._host_memory.get_device_pointer())
            if self.mapped
            else int(self._device_memory)
        )

    def view(self, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> npt.NDArray:
        """Return the part of the pinned memory from this byte on as an array."""
        size = math.prod(shape) * dtype.itemsize
        return self.host[offset : offset + size].view(dtype).reshape(shape)

    def in_order(self) -> Iterator[Callable[[], Any]]:
        """Yield what frees the memory."""
        for memory in (self._device_memory, self._host_memory):
            if memory is not None:
                yield memory.free


class CudaGraph:
    """
    Work recorded once from a stream and then launched as a whole.

    PyCUDA has no graphs, so this talks to the driver itself. Create, launch and close it with
    the stream's context current.

    :param stream: the stream, as ``pycuda.driver.Stream`` gives it in ``handle``.
    :param record: enqueues the work on that stream, without waiting for it. It may raise.
    :raises InferenceError: when the driver cannot capture; what ``record`` raised goes through.
        The stream is usable afterwards.
    """

    def __init__(self, stream: int, record: Callable[[], None]) -> None:
        self._driver = _driver_library()
        self._stream = ctypes.c_void_p(stream)
        self._executable = ctypes.c_void_p()
        graph = ctypes.c_void_p()
        self._call('cuStreamBeginCapture_v2', self._stream, ctypes.c_int(_CAPTURE_THREAD_LOCAL))
        try:
            try:
                record()
            except BaseException:
                # gives the stream back; that the capture is invalid by now is known
                self._driver.cuStreamEndCapture(self._stream, ctypes.byref(graph))
                raise
            self._call('cuStreamEndCapture', self._stream, ctypes.byref(graph))
            self._instantiate(graph)
        finally:
            if graph:
                self._driver.cuGraphDestroy(graph)

    def _instantiate(self, graph: ctypes.c_void_p) -> None:
        executable = ctypes.byref(self._executable)
        if hasattr(self._driver, 'cuGraphInstantiateWithFlags'):  # since CUDA 11.4
            self._call('cuGraphInstantiateWithFlags', executable, graph, ctypes.c_ulonglong(0))
        else:
            self._call('cuGraphInstantiate_v2', executable, graph, None, None, ctypes.c_size_t(0))

    def launch(self) -> None:
        """Enqueue the recorded work on the stream; raises InferenceError when refused."""
        self._call('cuGraphLaunch', self._executable, self._stream)

    def close(self) -> None:
        """Free the graph; calling it again does nothing."""
        if self._executable:
            executable, self._executable = self._executable, ctypes.c_void_p()
            self._call('cuGraphExecDestroy', executable)

    def _call(self, function: str, *arguments: Any) -> None:
        call_driver(self._driver, function, *arguments)


def call_driver(driver: Any, function: str, *arguments: Any) -> None:
    """
    Call a function of the CUDA driver's library.

    :raises InferenceError: when it fails, in the driver's words.
    """
    code = getattr(driver, function)(*arguments)
    if code:
        text = ctypes.c_char_p()
        if driver.cuGetErrorString(ctypes.c_int(code), ctypes.byref(text)) or not text.value:
            raise InferenceError(f'{function} failed with error {code}')
        raise InferenceError(f'{function}: {text.value.decode()} (error {code})')


@functools.cache
def _driver_library() -> Any:
    # Of its functions all arguments are given as types of C; the result, int, is ctypes' default.
    try:
        return ctypes.CDLL(DRIVER_LIBRARY)
    except OSError as error:
        raise InferenceError(f'the CUDA driver cannot be loaded: {error}') from error
