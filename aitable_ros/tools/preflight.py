# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Look over this machine before the flight: what runs here, on what, and what stands in the way.

Whatever is native code (ROS, TensorRT, CUDA, the runtimes and every network on them) is loaded in
processes of their own: one that crashes is a finding, not the end of the tool.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import struct
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from aitable_ros import __version__, paths
from aitable_ros.tools.isolation import Outcome, run_isolated

PYTHONS = ((3, 10), (3, 13))
"""First and last version of Python that aitable is tested with."""

PROBE_TIMEOUT_S = 60.0
MIN_FREE_DISK_BYTES = 10**9
MIN_FREE_GPU_BYTES = 512 * 2**20
MIN_FREE_SHM_BYTES = 72 * 10**6
"""Eight participants (nodes, source, viewer) of 8.6 MB each; docs/transport.md."""
MIN_FREE_MEMORY_BYTES = 10**9

MAX_DOMAIN_ID = 101
"""Higher ROS domains use UDP ports that Linux also gives to others; ROS 2, 'The ROS_DOMAIN_ID'."""

_WRAP_WIDTH = 100
_MIN_WIDTH = 60


class Status(IntEnum):
    """How a check came out; its value is the exit status when nothing is worse."""

    OK = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True)
class Check:
    """
    One finding.

    :param name: what was looked at.
    :param status: whether it is as it should be. A warning: it works, but with less, or slower.
    :param summary: what was found.
    :param advice: what to do about it; empty when nothing.
    """

    name: str
    status: Status
    summary: str
    advice: str = ''

    def __post_init__(self) -> None:
        if not self.name or not self.summary:
            raise ValueError(f'a check needs a name and a summary: {self}')


Checker = Callable[[], Sequence[Check]]


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0 when all is fine, 1 with warnings, 2 with errors.
    """
    arguments = _parser().parse_args(argv)
    try:
        checks = run_checks(checkers(arguments.engines_dir, arguments.models_file))
    except KeyboardInterrupt:
        return 130
    worst = max(check.status for check in checks)
    if arguments.json:
        print(json.dumps(as_document(checks), indent=2))
    else:
        print_table(checks, sys.stdout)
    return int(worst)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='preflight',
        description=(
            'Look over this machine: Python, ROS, TensorRT and the other runtimes, which of them'
            ' would run each network, from which file, and why not a better one; folders,'
            ' cameras, memory. Changes nothing.'
        ),
        epilog='Exit status: 0 when all is fine, 1 with warnings, 2 with errors.',
    )
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    parser.add_argument('--engines-dir', metavar='DIR', type=Path, help='the engines folder')
    parser.add_argument(
        '--models-file', metavar='FILE', type=Path, help='a catalog other than config/models.yaml'
    )
    return parser


def checkers(
    engines_dir: Path | None = None, models_file: Path | None = None
) -> dict[str, Checker]:
    """
    Return all checks, by the name under which one that breaks is reported.

    :param engines_dir: the folder of model files; None for that of
        :func:`aitable_ros.paths.engines_dir`.
    :param models_file: the catalog; None for config/models.yaml.
    """
    environment = dict(os.environ)
    return {
        'python': check_python,
        'machine': check_machine,
        'packages': check_packages,
        'ros': partial(check_ros, environment),
        'shared memory': check_shared_memory,
        'cuda': check_cuda,
        'tensorrt': check_tensorrt,
        'pycuda': check_pycuda,
        'onnxruntime': check_onnxruntime,
        'litert': check_litert,
        'pytorch': partial(check_optional, 'pytorch', 'torch', 'the pytorch backend'),
        'mediapipe': partial(check_optional, 'mediapipe', 'mediapipe', 'the mediapipe backend'),
        'models': partial(check_models, engines_dir, models_file),
        'engines folder': lambda: check_folder(
            'engines folder', paths.engines_dir(engines_dir), paths.ENGINES_DIR_VARIABLE
        ),
        'cache folder': lambda: check_folder(
            'cache folder', paths.cache_dir(), paths.CACHE_DIR_VARIABLE
        ),
        'cameras': check_cameras,
    }


def run_checks(checks: Mapping[str, Checker]) -> list[Check]:
    """
    Run checks, some at a time, and return their findings in order.

    :param checks: by name. One that raises is reported as an error under its name.
    """

    def guarded(item: tuple[str, Checker]) -> Sequence[Check]:
        name, check = item
        try:
            return check()
        except Exception as error:
            reason = f'{type(error).__name__}: {error}'
            return [
                Check(
                    name,
                    Status.ERROR,
                    f'could not be examined: {" ".join(reason.split())}',
                    'this is a fault of preflight or of what it needs (see packages)',
                )
            ]

    # most of the time goes into processes of their own
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 4)) as pool:
        return [check for found in pool.map(guarded, checks.items()) for check in found]


def as_document(checks: Sequence[Check]) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    worst = max(check.status for check in checks)
    return {
        'aitable_ros': __version__,
        'status': worst.name.lower(),
        'checks': [{**asdict(check), 'status': check.status.name.lower()} for check in checks],
    }


_COLOURS = {Status.OK: '32', Status.WARNING: '33', Status.ERROR: '31'}


def print_table(checks: Sequence[Check], stream: TextIO) -> None:
    """Print findings for people; in colour, and as wide as it is, on a terminal."""
    terminal = stream.isatty()
    coloured = terminal and not os.environ.get('NO_COLOR') and os.environ.get('TERM') != 'dumb'
    width = max(shutil.get_terminal_size().columns, _MIN_WIDTH) if terminal else _WRAP_WIDTH
    name_width = max(len(check.name) for check in checks)
    indent = ' ' * (len('warning') + name_width + 4)
    for check in checks:
        label = f'{check.status.name.lower():<7}'
        if coloured:
            label = f'\x1b[{_COLOURS[check.status]}m{label}\x1b[0m'
        texts = [check.summary, *([f'-> {check.advice}'] if check.advice else [])]
        lines = [line for text in texts for line in _wrapped(text, width - len(indent))]
        print(f'{label}  {check.name:<{name_width}}  {lines[0]}', file=stream)
        for line in lines[1:]:
            print(f'{indent}{line}', file=stream)
    counts = Counter(check.status for check in checks)
    print(
        f'{len(checks)} checks: {counts[Status.OK]} ok, {counts[Status.WARNING]} with warnings,'
        f' {counts[Status.ERROR]} with errors',
        file=stream,
    )


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> list[Check]:
    """
    Compare the version of Python with those that aitable is tested with.

    :param version: major, minor and micro number.
    """
    first, last = PYTHONS
    summary = f'{".".join(map(str, version))} ({sys.executable})'
    if version[:2] < first:
        status, advice = Status.ERROR, f'Python {_dotted(first)} or later is needed'
    elif version[:2] > last:
        status, advice = Status.WARNING, f'tested with {_dotted(first)} to {_dotted(last)}'
    else:
        status, advice = Status.OK, ''
    return [Check('python', status, summary, advice)]


def _dotted(version: tuple[int, ...]) -> str:
    return '.'.join(map(str, version))


def check_machine(proc: Path = Path('/proc'), etc: Path = Path('/etc')) -> list[Check]:
    """
    Tell what machine this is, and how much memory it has free.

    :param proc: the proc filesystem; ``device-tree/model`` in it names a Jetson.
    :param etc: the folder of ``nv_tegra_release``, which names the release of Jetson Linux.
    """
    parts = [f'{platform.machine()}, {os.cpu_count()} CPU cores']
    model = _text(proc / 'device-tree' / 'model').rstrip('\0').strip()
    if model:
        parts.insert(0, model)
    release = re.search(r'R(\d+).*?REVISION: ([\d.]+)', _text(etc / 'nv_tegra_release'))
    if release:
        parts.append(f'Jetson Linux {release[1]}.{release[2]}')
    # "MemTotal:       16315432 kB"; "kB" is KiB
    sizes = dict(re.findall(r'^(\w+):\s+(\d+) kB', _text(proc / 'meminfo'), re.MULTILINE))
    status, advice = Status.OK, ''
    if 'MemTotal' in sizes and 'MemAvailable' in sizes:
        total, free = (int(sizes[key]) * 1024 for key in ('MemTotal', 'MemAvailable'))
        parts.append(f'{_gigabytes(free)} of {_gigabytes(total)} memory available')
        if free < MIN_FREE_MEMORY_BYTES:
            status = Status.WARNING
            advice = f'less than {_gigabytes(MIN_FREE_MEMORY_BYTES)} available: end other programs'
    return [Check('machine', status, ', '.join(parts), advice)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8', errors='replace')
    except OSError:
        return ''


def _gigabytes(size: int) -> str:
    return f'{size / 1e9:.1f} GB'


_PACKAGES = {'numpy': 'numpy', 'cv2': 'opencv-python-headless', 'yaml': 'pyyaml'}
"""What every part of aitable needs: module, and package that brings it."""

_TOOL_PACKAGES = {
    'onnx': ('onnx', 'fetch_models converts to ONNX'),
    'tflite': ('tflite', 'fetch_models converts to ONNX'),
    'skimage': ('scikit-image', 'the built-in sample'),
    'tqdm': ('tqdm', 'analyze'),
}


def check_packages() -> list[Check]:
    """Import the Python packages that aitable cannot do without; look for those of its tools."""
    outcome = run_isolated(probe_imports, list(_PACKAGES), timeout_s=PROBE_TIMEOUT_S)
    versions = {m['module']: m['version'] for m in outcome.messages if 'version' in m}
    failures = {m['module']: m['failure'] for m in outcome.messages if 'failure' in m}
    checks = []
    if versions:
        summary = ', '.join(f'{module} {version}' for module, version in versions.items())
        checks.append(Check('packages', Status.OK, summary))
    for module, package in _PACKAGES.items():
        if module not in versions:
            reason = failures.get(module, outcome.failure)
            advice = f'pip install {package}, or the package of it that your system has'
            checks.append(Check('packages', Status.ERROR, f'{module}: {reason}', advice))
    missing = [module for module in _TOOL_PACKAGES if not _is_there(module)]
    if missing:
        needed = dict.fromkeys(_TOOL_PACKAGES[module][1] for module in missing)
        checks.append(
            Check(
                'tool packages',
                Status.WARNING,
                f'{", ".join(missing)} not installed; needed for: {", ".join(needed)}',
                f'pip install {" ".join(_TOOL_PACKAGES[module][0] for module in missing)}',
            )
        )
    return checks


def probe_imports(modules: Sequence[str]) -> Iterator[dict[str, str]]:
    """Import modules and yield each one's version, or how that failed."""
    for name in modules:
        try:
            module = importlib.import_module(name)
        except Exception as error:
            yield {'module': name, 'failure': f'{type(error).__name__}: {error}'}
        else:
            yield {'module': name, 'version': str(getattr(module, '__version__', 'of no version'))}


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # broken in its own way, but there
        return True


def check_ros(environment: Mapping[str, str], ros_root: Path = Path('/opt/ros')) -> list[Check]:
    """
    Look for ROS 2 (distribution, rclpy, middleware), aitable's messages and the transport.

    :param environment: environment variables.
    :param ros_root: where ROS distributions are installed.
    """
    distribution = environment.get('ROS_DISTRO', '')
    if not _is_there('rclpy'):
        setups = sorted(ros_root.glob('*/setup.bash'))
        if environment.get('ROS_VERSION') == '1':
            advice = f'{distribution} is ROS 1; aitable needs ROS 2'
        elif setups and not distribution:
            advice = f'source {setups[-1]}'
        elif distribution:
            advice = (
                f'ROS {distribution} is sourced, but not for this Python ({sys.executable}):'
                ' use the one that it was built for, not one of conda or another version'
            )
        else:
            advice = 'install ROS 2, or source scripts/ros_env.sh; without it only analyze works'
        return [Check('ros', Status.ERROR, 'module rclpy is not installed', advice)]
    outcome = run_isolated(probe_ros, timeout_s=PROBE_TIMEOUT_S)
    found: dict[str, str] = {}
    for message in outcome.messages:
        found.update(message)
    name = f'ROS 2 {distribution or "of unknown distribution (ROS_DISTRO is not set)"}'
    if 'rclpy' not in found:
        reason = found.get('failure') or outcome.failure
        return [
            Check(
                'ros',
                Status.ERROR,
                f'{name}: rclpy cannot be imported: {reason}',
                'rclpy works with the Python that it was built for, and after its setup.bash was'
                ' sourced',
            )
        ]
    checks = [
        Check(
            'ros',
            Status.OK if distribution else Status.WARNING,
            f'{name}, rclpy {found["rclpy"]}',
            '' if distribution else 'source the setup.bash of your ROS installation',
        )
    ]
    if 'messages' in found:
        checks.append(Check('messages', Status.OK, f'aitable_msgs ({found["messages"]})'))
    else:
        reason = found.get('messages failure') or outcome.failure
        checks.append(
            Check(
                'messages',
                Status.ERROR,
                f'aitable_msgs cannot be imported: {reason}',
                'colcon build, then source install/setup.bash',
            )
        )
    if 'middleware' in found:
        checks += check_transport(environment, found['middleware'])
    else:
        reason = found.get('middleware failure') or outcome.failure
        checks.append(
            Check(
                'transport',
                Status.ERROR,
                f'the middleware ({environment.get("RMW_IMPLEMENTATION") or "the default one"})'
                f' cannot be loaded: {reason}',
                'install it, or choose another one: unset RMW_IMPLEMENTATION',
            )
        )
    return checks


def probe_ros() -> Iterator[dict[str, str]]:
    """Import rclpy and the messages, load the middleware; yield what was found."""
    try:
        rclpy = importlib.import_module('rclpy')
    except Exception as error:
        yield {'failure': f'{type(error).__name__}: {error}'}
        return
    yield {'rclpy': _version_of('rclpy') or str(Path(str(rclpy.__file__)).parent)}
    try:
        messages = importlib.import_module('aitable_msgs.msg')
        # A folder of .msg files in the path can be imported, too.
        for name in ('Emotion', 'Face', 'FaceArray', 'Fatigue'):
            getattr(messages, name)
        yield {'messages': str(Path(str(messages.__file__)).parent)}
    except Exception as error:
        yield {'messages failure': f'{type(error).__name__}: {error}'}
    try:
        utilities = importlib.import_module('rclpy.utilities')
        yield {'middleware': utilities.get_rmw_implementation_identifier()}
    except Exception as error:
        yield {'middleware failure': f'{type(error).__name__}: {error}'}


def _version_of(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ''


def check_transport(environment: Mapping[str, str], middleware: str) -> list[Check]:
    """
    Look at the settings with which images travel between processes.

    :param environment: environment variables.
    :param middleware: name of the one that rclpy loaded, as ``rmw_fastrtps_cpp``.
    """
    transport = importlib.import_module('aitable_ros.ros_support.transport')
    problems: list[tuple[str, str]] = []
    if middleware.startswith('rmw_fastrtps'):
        chosen = {n: environment[n] for n in transport.USER_VARIABLES if environment.get(n)}
        ours = transport.profile_file()
        for name in transport.PROFILE_VARIABLES:
            if name in chosen and not Path(chosen[name]).is_file():
                problems.append(
                    (f'{name} names {chosen[name]}, which is not there', f'unset {name}')
                )
        if not chosen:
            settings = f'the nodes take {ours}'
        elif all(Path(value) == ours for value in chosen.values()):
            settings = str(ours)
        else:
            settings = ', '.join(f'{name}={value}' for name, value in chosen.items())
            settings += ' (yours; docs/transport.md says what images need)'
    else:
        settings = 'its own settings (docs/transport.md is about Fast DDS)'
    domain = environment.get('ROS_DOMAIN_ID', '') or '0'
    if not domain.isdecimal() or int(domain) > MAX_DOMAIN_ID:
        problems.append(
            (f'ROS_DOMAIN_ID is {domain!r}', f'choose a number from 0 to {MAX_DOMAIN_ID}')
        )
    reach = environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '')
    if environment.get('ROS_LOCALHOST_ONLY') == '1' or reach in ('LOCALHOST', 'OFF'):
        domain += ', this machine only'
    summary = f'{middleware}, domain {domain}; {settings}'
    if not problems:
        return [Check('transport', Status.OK, summary)]
    return [Check('transport', Status.WARNING, f'{text}; {summary}', do) for text, do in problems]


def check_shared_memory(folder: Path = Path('/dev/shm')) -> list[Check]:
    """
    See whether there is room for the images that nodes in several processes exchange.

    :param folder: where shared memory is mounted.
    """
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return [
            Check(
                'shared memory',
                Status.WARNING,
                f'{folder}: {error.strerror or error}',
                'images between processes go through UDP, and may be lost (docs/transport.md)',
            )
        ]
    summary = f'{usage.free / 1e6:.0f} of {usage.total / 1e6:.0f} MB free in {folder}'
    if usage.free >= MIN_FREE_SHM_BYTES:
        return [Check('shared memory', Status.OK, summary)]
    return [
        Check(
            'shared memory',
            Status.WARNING,
            summary,
            'enough for one process with all nodes, not for one process each; in Docker:'
            ' --shm-size=256m or --ipc=host',
        )
    ]


def check_cuda() -> list[Check]:
    """Ask the NVIDIA driver for its devices and their memory."""
    outcome = run_isolated(probe_cuda, timeout_s=PROBE_TIMEOUT_S)
    found: dict[str, Any] = {}
    for message in outcome.messages:
        found.update(message)
    if found.get('absent'):
        return [
            Check(
                'cuda',
                Status.WARNING,
                found['absent'],
                'without an NVIDIA GPU and its driver the networks run on the CPU; in Docker:'
                ' --gpus all (on a Jetson: --runtime nvidia)',
            )
        ]
    devices = found.get('devices', [])
    checks = []
    for device in devices:
        free, total = device['free'], device['total']
        low = free < MIN_FREE_GPU_BYTES
        checks.append(
            Check(
                'cuda',
                Status.WARNING if low else Status.OK,
                f'device {device["ordinal"]}: {device["name"]}, compute capability'
                f' {device["capability"]}, {_gigabytes(free)} of {_gigabytes(total)} free; driver'
                f' for CUDA {found["driver"]}',
                'little memory is free: end other programs' if low else '',
            )
        )
    failure = found.get('failure') or outcome.failure
    if failure or not devices:
        checks.append(
            Check(
                'cuda',
                Status.ERROR,
                f'the NVIDIA driver does not work: {failure or "it gave no device"}',
                'see nvidia-smi (on a Jetson: tegrastats) and the kernel log; after an update of'
                ' the driver, restart the machine',
            )
        )
    return checks


_DRIVER_LIBRARY = 'libcuda.so.1'
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


def probe_cuda(library: str = _DRIVER_LIBRARY) -> Iterator[dict[str, Any]]:
    """
    Call the driver; yield its version, its devices, and how that failed.

    :param library: the driver's library.
    """
    try:
        cuda = ctypes.CDLL(library)
    except OSError as error:
        yield {'absent': f'no NVIDIA driver ({error})'}
        return

    def call(function: str, *arguments: Any) -> None:
        code = getattr(cuda, function)(*arguments)
        if code:
            text = ctypes.c_char_p()
            cuda.cuGetErrorName(code, ctypes.byref(text))
            raise RuntimeError(f'{function}: {(text.value or str(code).encode()).decode()}')

    def number(function: str, *arguments: Any) -> int:
        value = ctypes.c_int()
        call(function, ctypes.byref(value), *arguments)
        return value.value

    if cuda.cuInit(0) == _NO_DEVICE:
        yield {'absent': 'the NVIDIA driver sees no device'}
        return
    try:
        call('cuInit', 0)
        version = number('cuDriverGetVersion')
        yield {'driver': f'{version // 1000}.{version % 1000 // 10}'}
        devices = []
        for ordinal in range(number('cuDeviceGetCount')):
            device = number('cuDeviceGet', ordinal)
            name = ctypes.create_string_buffer(256)
            call('cuDeviceGetName', name, len(name), device)
            capability = [
                number('cuDeviceGetAttribute', attribute, device) for attribute in (_MAJOR, _MINOR)
            ]
            # only within a context does the driver tell how much is free
            context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
            call('cuDevicePrimaryCtxRetain', ctypes.byref(context), device)
            call('cuCtxPushCurrent_v2', context)
            call('cuMemGetInfo_v2', ctypes.byref(free), ctypes.byref(total))
            devices.append(
                {
                    'ordinal': ordinal,
                    'name': name.value.decode(errors='replace'),
                    'capability': '.'.join(map(str, capability)),
                    'free': free.value,
                    'total': total.value,
                }
            )
            yield {'devices': devices}
    except (RuntimeError, AttributeError) as error:
        yield {'failure': str(error)}


# tensorrt_runtime.MODULES, which cannot be imported where numpy is missing
_TENSORRT_MODULES = ('tensorrt', 'tensorrt_lean', 'tensorrt_lean_bindings')


def check_tensorrt() -> list[Check]:
    """Import TensorRT; tell its version, and whether it can build engines."""
    if not any(_is_there(module) for module in _TENSORRT_MODULES):
        return [
            Check(
                'tensorrt',
                Status.WARNING,
                'not installed',
                'the primary backend where there is an NVIDIA GPU: on a Jetson sudo apt install'
                ' tensorrt python3-libnvinfer, elsewhere pip install tensorrt',
            )
        ]
    outcome = run_isolated(probe_tensorrt, timeout_s=PROBE_TIMEOUT_S)
    if outcome.failure or not outcome.messages:
        return [
            Check(
                'tensorrt',
                Status.ERROR,
                outcome.failure,
                'its Python module must match the installed libraries and this Python',
            )
        ]
    found = outcome.messages[-1]
    kind = 'builds and runs engines' if found['builds'] else 'lean runtime: runs engines only'
    return [Check('tensorrt', Status.OK, f'{found["version"]} ({found["module"]}), {kind}')]


def probe_tensorrt() -> Iterator[dict[str, Any]]:
    """Import TensorRT and yield what it is."""
    from aitable_ros.inference.tensorrt_runtime import load_tensorrt

    trt = load_tensorrt()
    yield {
        'module': trt.__name__,
        'version': str(trt.__version__),
        'builds': hasattr(trt, 'Builder'),
    }


def check_pycuda() -> list[Check]:
    """Import PyCUDA, through which TensorRT engines get their memory."""
    if not _is_there('pycuda'):
        return [
            Check(
                'pycuda',
                Status.WARNING,
                'not installed',
                'TensorRT engines need it: pip install pycuda (compiles; nvcc must be in PATH)',
            )
        ]
    outcome = run_isolated(probe_imports, ['pycuda', 'pycuda.driver'], timeout_s=PROBE_TIMEOUT_S)
    check = _runtime_check(
        'pycuda',
        outcome,
        'pycuda.driver',
        _version_of('pycuda'),
        'it has to be compiled for the installed CUDA: pip install --force-reinstall'
        ' --no-binary pycuda pycuda',
    )
    if _DRIVER_LIBRARY in check.summary:  # PyCUDA is as it should be, the machine has no GPU
        advice = 'it works where the NVIDIA driver is installed'
        check = replace(check, status=Status.WARNING, advice=advice)
    return [check]


def check_onnxruntime() -> list[Check]:
    """Import ONNX Runtime; tell its version and execution providers."""
    if not _is_there('onnxruntime'):
        return [
            Check(
                'onnxruntime',
                Status.WARNING,
                'not installed',
                'a fallback: pip install onnxruntime',
            )
        ]
    outcome = run_isolated(probe_onnxruntime, timeout_s=PROBE_TIMEOUT_S)
    if outcome.failure or not outcome.messages:
        return [
            Check(
                'onnxruntime',
                Status.ERROR,
                f'cannot be imported: {outcome.failure}',
                'pip install --force-reinstall onnxruntime',
            )
        ]
    found = outcome.messages[-1]
    providers = ', '.join(name.removesuffix('ExecutionProvider') for name in found['providers'])
    return [Check('onnxruntime', Status.OK, f'{found["version"]}, providers: {providers}')]


def probe_onnxruntime() -> Iterator[dict[str, Any]]:
    """Import ONNX Runtime and yield its version and execution providers."""
    onnxruntime = importlib.import_module('onnxruntime')
    yield {
        'version': onnxruntime.__version__,
        'providers': onnxruntime.get_available_providers(),
    }


def check_litert() -> list[Check]:
    """Import LiteRT, which runs the networks on the CPU."""
    runtimes = {'ai_edge_litert': 'ai-edge-litert', 'tflite_runtime': 'tflite-runtime'}
    for module, distribution in runtimes.items():
        if _is_there(module):
            interpreter = f'{module}.interpreter'
            return [
                _runtime_check(
                    'litert',
                    run_isolated(probe_imports, [interpreter], timeout_s=PROBE_TIMEOUT_S),
                    interpreter,
                    f'{module} {_version_of(distribution)}'.strip(),
                    f'pip install --force-reinstall {distribution}',
                )
            ]
    return [
        Check('litert', Status.WARNING, 'not installed', 'a fallback: pip install ai-edge-litert')
    ]


def _runtime_check(name: str, outcome: Outcome, module: str, version: str, advice: str) -> Check:
    """Judge by what :func:`probe_imports` gave."""
    found: dict[str, str] = next((m for m in outcome.messages if m['module'] == module), {})
    if 'version' in found:
        return Check(name, Status.OK, version or 'installed')
    reason = found.get('failure') or outcome.failure
    return Check(name, Status.ERROR, f'{module} cannot be imported: {reason}', advice)


def check_optional(name: str, module: str, purpose: str) -> list[Check]:
    """
    Look for a large package that little needs, without importing it.

    :param name: of the check, and of the distribution's usual name.
    :param module: the package as it is imported.
    :param purpose: what needs it.
    """
    if _is_there(module):
        return [Check(name, Status.OK, f'{_version_of(module) or "installed"} (not imported)')]
    return [Check(name, Status.WARNING, 'not installed (optional)', f'only {purpose} needs it')]


def check_models(engines_dir: Path | None = None, models_file: Path | None = None) -> list[Check]:
    """
    Load every network of the catalog as a node would, and run it once.

    :param engines_dir: the folder of model files; None for the one that is used by default.
    :param models_file: the catalog; None for config/models.yaml.
    """
    from aitable_ros.model_zoo.catalog import CatalogError, load_catalog

    try:
        catalog = load_catalog(models_file)
    except CatalogError as error:
        return [Check('models', Status.ERROR, str(error), 'correct this file')]
    folder = paths.engines_dir(engines_dir)
    file = str(models_file) if models_file else None
    checks = []
    waiting = list(catalog)
    while waiting:
        outcome = run_isolated(
            probe_models, waiting, file, str(folder), 'auto', timeout_s=PROBE_TIMEOUT_S
        )
        found = {m['model']: m for m in outcome.messages if 'ok' in m}
        for name in [name for name in waiting if name in found]:
            checks.append(_judge_model(name, catalog[name].required, found[name]))
        waiting = [name for name in waiting if name not in found]
        if waiting:  # the first of them took the process down
            name = waiting.pop(0)
            checks.append(
                Check(
                    f'model {name}',
                    Status.ERROR,
                    f'loading and running it {outcome.failure or "ended early"}:'
                    f' {_crashing_backends(name, catalog[name].chain, file, folder)}',
                    'name a backend that works in the parameter `backend`, and repair the other',
                )
            )
    return checks


def _crashing_backends(name: str, chain: Sequence[str], file: str | None, folder: Path) -> str:
    """Try each backend alone; return what came of it."""
    results = []
    for backend in chain:
        outcome = run_isolated(
            probe_models, [name], file, str(folder), backend, timeout_s=PROBE_TIMEOUT_S
        )
        found = [m for m in outcome.messages if 'ok' in m]
        if not found:
            results.append(f'{backend} {outcome.failure or "ended early"}')
        else:
            results.append(f'{backend} works' if found[0]['ok'] else f'{backend} does not load')
    return ', '.join(results)


def _judge_model(name: str, required: bool, found: Mapping[str, Any]) -> Check:
    skipped = '; '.join(found.get('skipped', ()))
    if found['ok']:
        summary = f'runs on {found["backend"]} ({found["path"]})'
        if not skipped:
            return Check(f'model {name}', Status.OK, summary)
        return Check(f'model {name}', Status.WARNING, summary, f'not on a better one: {skipped}')
    status = Status.ERROR if required else Status.WARNING
    consequence = 'its nodes cannot work' if required else 'optional: the nodes work without it'
    return Check(
        f'model {name}', status, f'has no working backend; {consequence}', found['reason']
    )


def probe_models(
    names: Sequence[str], models_file: str | None, engines_dir: str, backend: str
) -> Iterator[dict[str, Any]]:
    """
    Load networks and run each once; yield which backend runs it, or why none does.

    :param names: of the catalog.
    :param models_file: the catalog; None for config/models.yaml.
    :param engines_dir: the folder of model files.
    :param backend: ``auto`` or the name of one.
    """
    import numpy as np

    from aitable_ros.inference.engine import DYNAMIC, InferenceError
    from aitable_ros.inference.selection import load_engine
    from aitable_ros.model_zoo.catalog import load_catalog

    catalog = load_catalog(Path(models_file) if models_file else None)
    for name in names:
        try:
            selection = load_engine(catalog[name], backend, engines_dir=Path(engines_dir))
        except InferenceError as error:
            yield {'model': name, 'ok': False, 'reason': str(error)}
            continue
        with selection.engine as engine:
            shapes = {
                tensor.name: tuple(1 if size == DYNAMIC else size for size in tensor.shape)
                for tensor in engine.inputs
            }
            inputs = {t.name: np.zeros(shapes[t.name], t.dtype) for t in engine.inputs}
            try:
                outputs = engine.infer(inputs)
            except InferenceError as error:
                yield {'model': name, 'ok': False, 'reason': str(error)}
                continue
            wrong = [key for key, value in outputs.items() if not np.isfinite(value).all()]
        if wrong:
            reason = f'{selection.explain()}; on a black image it gives NaN: {", ".join(wrong)}'
            yield {'model': name, 'ok': False, 'reason': reason}
        else:
            yield {
                'model': name,
                'ok': True,
                'backend': selection.backend,
                'path': str(selection.path),
                'skipped': [str(skipped) for skipped in selection.skipped],
            }


def check_folder(name: str, folder: Path, variable: str) -> list[Check]:
    """
    Try to write to a folder, and see how much room it has.

    :param name: of the check.
    :param folder: it need not exist yet; nothing remains of the trial.
    :param variable: the environment variable that names another one.
    """
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    other = f'choose another folder: {variable}=...'
    summary = str(folder) if existing == folder else f'{folder} (not made yet)'
    if not existing.is_dir():
        return [Check(name, Status.ERROR, f'{existing} is not a folder', other)]
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b'\0')
            file.flush()
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return [
            Check(
                name,
                Status.WARNING,
                f'{summary} cannot be written to: {error.strerror or error}; what is in it can'
                ' be used, nothing can be fetched or built',
                other,
            )
        ]
    if free < MIN_FREE_DISK_BYTES:
        return [
            Check(name, Status.WARNING, f'{summary}: only {_gigabytes(free)} free', f'or {other}')
        ]
    return [Check(name, Status.OK, f'{summary}, writable, {_gigabytes(free)} free')]


# From linux/videodev2.h: VIDIOC_QUERYCAP = _IOR('V', 0, struct v4l2_capability), and its flags.
_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct('16s32s32sIII3I')
_CAN_CAPTURE = 0x00000001 | 0x00001000  # single- and multi-planar
_HAS_DEVICE_CAPS = 0x80000000


def check_cameras(folder: Path = Path('/dev')) -> list[Check]:
    """
    Look for cameras (V4L2), and whether this user may open them.

    :param folder: of the device files.
    """
    devices = sorted(
        (path for path in folder.glob('video*') if path.name[5:].isdecimal()),
        key=lambda path: int(path.name[5:]),
    )
    cameras, problems = [], []
    for path in devices:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except PermissionError:
            problems.append(
                (f'{path}: no permission', 'sudo usermod -aG video $USER, then log in anew')
            )
            continue
        except OSError as error:
            problems.append(
                (f'{path}: {error.strerror or error}', 'unplug the camera and plug it in')
            )
            continue
        try:
            answer = fcntl.ioctl(descriptor, _QUERYCAP, bytes(_CAPABILITY.size))
        except OSError:
            continue  # no V4L2 device
        finally:
            os.close(descriptor)
        _, card, _, _, capabilities, device_capabilities, *_ = _CAPABILITY.unpack(answer)
        if capabilities & _HAS_DEVICE_CAPS:
            capabilities = device_capabilities
        if capabilities & _CAN_CAPTURE:  # else metadata, or an encoder
            cameras.append(f'{path} ({card.split(bytes(1))[0].decode(errors="replace")})')
    checks = [Check('cameras', Status.WARNING, text, advice) for text, advice in problems]
    if cameras:
        checks.insert(0, Check('cameras', Status.OK, ', '.join(cameras)))
    elif not problems:
        checks.append(
            Check(
                'cameras',
                Status.WARNING,
                f'none ({folder}/video*)',
                'images can come from a topic, a file or the built-in sample; in Docker:'
                ' --device /dev/video0',
            )
        )
    return checks


if __name__ == '__main__':
    sys.exit(main())
