# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT's Python module, its log, and what its refusals mean, for versions 8.5 to 11."""

from __future__ import annotations

import collections
import ctypes
import functools
import importlib
import itertools
import json
import logging
import re
import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from aitable_ros.inference.engine import InferenceError

MODULES = ('tensorrt', 'tensorrt_lean', 'tensorrt_lean_bindings')
"""Where TensorRT is looked for, in this order. The lean runtime, which runs engines but cannot
build any, is ``tensorrt_lean``; its wheels from PyPI call it ``tensorrt_lean_bindings``."""

RTX_MODULES = ('tensorrt_rtx', 'tensorrt_rtx_bindings')
"""Where TensorRT-RTX is looked for: another product, with plans of its own; 1.6 or later."""

DTYPES: Mapping[str, np.dtype] = MappingProxyType(
    {
        'BOOL': np.dtype(np.bool_),
        'FLOAT': np.dtype(np.float32),
        'HALF': np.dtype(np.float16),
        'INT8': np.dtype(np.int8),
        'INT32': np.dtype(np.int32),
        'INT64': np.dtype(np.int64),
        'UINT8': np.dtype(np.uint8),
    }
)
"""NumPy's element type by the name of TensorRT's; its ``nptype`` lacks some of them in 8.x."""

_REMEMBERED_LINES = 64
_QUOTED_LINES = 4

_log = logging.getLogger(__name__)


class LogLine(NamedTuple):
    """What TensorRT wrote, an error or else a warning; ``number`` counts up."""

    number: int
    thread: int
    is_error: bool
    text: str


class TensorRtLog:
    """
    The log of TensorRT: goes to Python's, and its last warnings and errors are kept.

    TensorRT's functions return None or False and tell the reason only here. Errors go to
    Python's log as information: whoever called raises them.

    :param trt: TensorRT's module.
    """

    def __init__(self, trt: Any) -> None:
        self._lines: collections.deque[LogLine] = collections.deque(maxlen=_REMEMBERED_LINES)
        self._numbers = itertools.count(1)
        self._last = 0
        severity = trt.ILogger.Severity
        levels = {
            severity.INTERNAL_ERROR: logging.INFO,
            severity.ERROR: logging.INFO,
            severity.WARNING: logging.WARNING,
        }
        errors = (severity.INTERNAL_ERROR, severity.ERROR)
        keep = self._keep

        class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, text: str) -> None:
                level = levels.get(severity, logging.DEBUG)
                if level > logging.DEBUG:
                    keep(severity in errors, text)
                _log.log(level, 'TensorRT: %s', text)

        self.logger = Logger()
        """What TensorRT is given, by every part of the process: it heeds only the first one."""

    def _keep(self, is_error: bool, text: str) -> None:
        self._last = next(self._numbers)
        self._lines.append(LogLine(self._last, threading.get_ident(), is_error, text))

    def mark(self) -> int:
        """Return a mark for :meth:`since`."""
        return self._last

    def own_since(self, mark: int) -> list[LogLine]:
        """Return the lines that this thread's calls have led to since the mark, oldest first."""
        thread = threading.get_ident()
        return [line for line in self._since(mark) if line.thread == thread]

    def since(self, mark: int) -> list[LogLine]:
        """
        Return the lines of this thread since the mark, oldest first.

        Where it has none, those of all threads: TensorRT has some of its own.
        """
        return self.own_since(mark) or self._since(mark)

    def _since(self, mark: int) -> list[LogLine]:
        return [line for line in tuple(self._lines) if line.number > mark]

    def quote(self, mark: int) -> str:
        """Return the errors since the mark, else the warnings, as one line of text."""
        lines = self.since(mark)
        told = [line.text for line in lines if line.is_error] or [line.text for line in lines]
        if not told:
            return 'TensorRT gave no reason'
        return 'TensorRT: ' + ' | '.join(' '.join(text.split()) for text in told[-_QUOTED_LINES:])


def load_tensorrt(modules: Sequence[str] = MODULES) -> Any:
    """
    Import TensorRT's module.

    :param modules: :data:`MODULES` or :data:`RTX_MODULES`.
    :raises InferenceError: when there is none, it cannot be imported, or it is older than 8.5.
    """
    broken: list[str] = []
    for name in modules:
        try:
            module: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                broken.append(f'{name} cannot be imported: {error}')
        except (ImportError, OSError) as error:
            broken.append(f'{name} cannot be imported: {error}')
        else:
            if hasattr(module, 'Runtime'):
                if hasattr(module.IExecutionContext, 'execute_async_v3'):
                    return module
                broken.append(f'{name} {module.__version__} is too old: 8.5 or later is needed')
            else:
                broken.append(f'{name} is not TensorRT: it has no Runtime')
    nothing = f'none of the modules {", ".join(modules)} is there: '
    if modules == RTX_MODULES:
        nothing += 'pip install tensorrt-rtx-cu13'
    else:
        nothing += 'TensorRT is a part of JetPack; elsewhere pip install tensorrt'
    raise InferenceError('; '.join(broken) or nothing)


@functools.cache
def log_of(trt: Any) -> TensorRtLog:
    """Return the one log that every user of this TensorRT module in the process shares."""
    return TensorRtLog(trt)


def create_runtime(trt: Any, log: TensorRtLog) -> Any:
    """
    Create a ``trt.Runtime``; a CUDA context must be current.

    :raises InferenceError: when TensorRT cannot work with this driver.
    """
    mark = log.mark()
    runtime = trt.Runtime(log.logger)
    # In its own thread alone: others may be loading engines, and be refused, meanwhile.
    said = log.own_since(mark)
    if any(line.is_error or 'CUDA initialization failure' in line.text for line in said):
        # The object wraps a null pointer now; to use it, and even to free it, ends the process
        # (seen with 8.6, 10.16 and 11.4). So it must outlive the interpreter.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(runtime))
        raise InferenceError(
            f'TensorRT {trt.__version__} does not start; the NVIDIA driver may be too old for it;'
            f' {log.quote(mark)}'
        )
    return runtime


_PLAN_START = b'ftrt\0\0\0\0'  # tag and layout 0: what trtexec --getPlanVersionOnly looks for
_VERSION_AT = slice(24, 28)  # and where it then finds the version
_SIZE_AT = slice(16, 24)  # seen in plans of 8.6, which TensorRT checks against the file's size
_OTHER_PLAN_STARTS = (b'ptrt', b'vtrt')  # until 8.5; of TensorRT-RTX


def plan_of_file(content: bytes) -> bytes:
    """
    Return the plan that a file holds.

    :param content: of the file. Ultralytics' exporter puts metadata before the plan: their
        length in 4 bytes, then JSON.
    """
    length = int.from_bytes(content[:4], 'little')
    if content[4:5] == b'{' and 4 + length < len(content):
        try:
            json.loads(content[4 : 4 + length])
        except (ValueError, RecursionError):
            return content
        return content[4 + length :]
    return content


HOST_CODE_REFUSED = 'the plan is version-compatible and so carries code'
"""How :func:`explain_refusal` says that a plan was not allowed to bring code."""

_REFUSALS = (
    (
        r'getEngineHostCodeAllowed',
        f'{HOST_CODE_REFUSED} that would run on the host; allow that (allow_host_code) only for a'
        ' file that you built yourself',
    ),
    (
        r'incompatible device|Expected compute capability',
        'it was built for another GPU; build it on this one',
    ),
    (
        r'expectedPlatformTag|Platform specific tag',
        'it was built for another platform (processor or operating system); build it on this one',
    ),
    (
        r'not compatible with this version of TensorRT|Version tag does not match'
        r'|stdVersionRead|magicTag|serialization version|newer plan file'
        r'|could not create lean runtime',
        'it was built for another TensorRT version{built}; build it with this one',
    ),
    (
        r'could not be allocated|out ?of ?memory|cudaErrorMemoryAllocation',
        'there is not enough GPU memory',
    ),
    (
        r'size == blobSize|does not match archive size',
        'the file is truncated or damaged: it is not as long as it should be',
    ),
    (r'corrupt|CHECK_EQ\(maybe_magic', 'the file is damaged'),
)


def explain_refusal(plan: bytes, reason: str) -> str:
    """
    Say in plain words why TensorRT would not load a plan.

    :param plan: the plan.
    :param reason: the lines that TensorRT logged.
    """
    declared = int.from_bytes(plan[_SIZE_AT], 'little')
    if plan.startswith(_PLAN_START) and len(plan) < declared:
        return f'the file is truncated: the plan has {declared} bytes, {len(plan)} are there'
    known = plan.startswith((_PLAN_START[:4], *_OTHER_PLAN_STARTS))
    if not known and re.search('magic', reason, re.IGNORECASE):
        return 'the file is damaged or not a TensorRT plan'
    for pattern, words in _REFUSALS:
        if re.search(pattern, reason, re.IGNORECASE):
            version = plan[_VERSION_AT]
            told = plan.startswith(_PLAN_START) and len(version) == 4
            return words.format(built=f' ({".".join(map(str, version[:3]))})' if told else '')
    return 'TensorRT refused it'
