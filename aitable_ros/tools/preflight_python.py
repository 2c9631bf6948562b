# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Whether this Python, and the packages in it, are what aitable needs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence

from aitable_ros.tools.installed import is_there, version_of
from aitable_ros.tools.isolation import run_isolated
from aitable_ros.tools.preflight_check import PROBE_TIMEOUT_S, Check, Status

PYTHONS = ((3, 10), (3, 13))
"""First and last version of Python that aitable is tested with."""

_PACKAGES = {'numpy': 'numpy', 'cv2': 'opencv-python-headless', 'yaml': 'pyyaml'}
"""What every part of aitable needs: module, and package that brings it."""

_TOOL_PACKAGES = {
    'onnx': ('onnx', 'fetch_models converts to ONNX'),
    'tflite': ('tflite', 'fetch_models converts to ONNX'),
    'skimage': ('scikit-image', 'the built-in sample'),
    'tqdm': ('tqdm', 'analyze'),
    'matplotlib': ('matplotlib', 'analyze --plot'),
    'rosbags': ('rosbags', 'process_bag, replay, sample_bag'),
}


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> list[Check]:
    """
    Compare the version of Python with those that aitable is tested with.

    :param version: major, minor and micro number.
    """
    first, last = PYTHONS
    summary = f'{_dotted(version)} ({sys.executable})'
    if version[:2] < first:
        status, advice = Status.ERROR, f'Python {_dotted(first)} or later is needed'
    elif version[:2] > last:
        status, advice = Status.WARNING, f'tested with {_dotted(first)} to {_dotted(last)}'
    else:
        status, advice = Status.OK, ''
    return [Check('python', status, summary, advice)]


def _dotted(version: tuple[int, ...]) -> str:
    return '.'.join(map(str, version))


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
    missing = [module for module in _TOOL_PACKAGES if not is_there(module)]
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


def check_optional(name: str, module: str, purpose: str) -> list[Check]:
    """
    Look for a large package that little needs, without importing it.

    :param name: of the check, and of the distribution's usual name.
    :param module: the package as it is imported.
    :param purpose: what needs it.
    """
    if is_there(module):
        return [Check(name, Status.OK, f'{version_of(module) or "installed"} (not imported)')]
    return [Check(name, Status.WARNING, 'not installed (optional)', f'only {purpose} needs it')]
