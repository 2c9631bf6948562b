# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Look over this machine before the flight: what runs the networks here, and what stands in the way.

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

from aitable_ros.tools.preflight.cameras import check_cameras
from aitable_ros.tools.preflight.check import Check, Status, as_document, print_table
from aitable_ros.tools.preflight.models import check_models
from aitable_ros.tools.preflight.ros import check_ros
from aitable_ros.tools.preflight.runtimes import RUNTIMES, check_cuda, check_runtime

Checker = Callable[[], Sequence[Check]]


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0 when all is fine, 1 with warnings, 2 with errors.
    """
    parser = argparse.ArgumentParser(
        prog='preflight',
        description=(
            'Look over this machine: ROS and its transport, the GPU, TensorRT and the other'
            ' runtimes, which of them would run each network, from which file, and why not a'
            ' better one; cameras. Changes nothing.'
        ),
        epilog='Exit status: 0 when all is fine, 1 with warnings, 2 with errors.',
    )
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    parser.add_argument('--engines-dir', metavar='DIR', type=Path, help='the engines folder')
    text = 'another catalog than config/models.yaml'
    parser.add_argument('--models-file', metavar='FILE', type=Path, help=text)
    arguments = parser.parse_args(argv)
    try:
        checks = run_checks(checkers(arguments.engines_dir, arguments.models_file))
    except KeyboardInterrupt:
        return 130
    if arguments.json:
        print(json.dumps(as_document(checks), indent=2))
    else:
        print_table(checks, sys.stdout)
    return int(max(check.status for check in checks))


def checkers(engines_dir: Path | None, models_file: Path | None) -> dict[str, Checker]:
    """
    Return all checks, by the name under which one that breaks is reported.

    :param engines_dir: the folder of model files; None for the one that is used by default.
    :param models_file: the catalog; None for config/models.yaml.
    """
    return {
        'ros': partial(check_ros, dict(os.environ)),
        'cuda': check_cuda,
        **{name: partial(check_runtime, name) for name in RUNTIMES},
        'models': partial(check_models, engines_dir, models_file),
        'cameras': check_cameras,
    }


def run_checks(checks: Mapping[str, Checker]) -> list[Check]:
    """
    Run checks, some at a time, and return their findings in order.

    :param checks: by name. One that raises is reported as an error under its name.
    """

    def guarded(name: str) -> Sequence[Check]:
        try:
            return checks[name]()
        except Exception as error:
            reason = ' '.join(f'{type(error).__name__}: {error}'.split())
            summary = f'could not be examined: {reason}'
            return [Check(name, Status.ERROR, summary, 'this is a fault of preflight')]

    # most of the time goes into processes of their own
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 4)) as pool:
        return [check for found in pool.map(guarded, checks) for check in found]
