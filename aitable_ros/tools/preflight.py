# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Look over this machine before the flight: what runs here, on what, and what stands in the way.

Whatever is native code (ROS, TensorRT, CUDA, the runtimes and every network on them) is loaded in
processes of their own: one that crashes is a finding, not the end of the tool.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from aitable_ros import paths
from aitable_ros.tools.preflight_check import Check, Status
from aitable_ros.tools.preflight_machine import (
    check_cameras,
    check_folder,
    check_machine,
    check_shared_memory,
)
from aitable_ros.tools.preflight_models import check_models
from aitable_ros.tools.preflight_python import check_optional, check_packages, check_python
from aitable_ros.tools.preflight_report import as_document, print_table
from aitable_ros.tools.preflight_ros import check_ros
from aitable_ros.tools.preflight_runtimes import (
    check_cuda,
    check_litert,
    check_onnxruntime,
    check_pycuda,
    check_tensorrt,
)

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


if __name__ == '__main__':
    sys.exit(main())
