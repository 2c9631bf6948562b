# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""An environment for MediaPipe, which is made on first use because MediaPipe demands NumPy 1."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

# The package, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

MEDIAPIPE = 'mediapipe==0.10.21'
PYTHONS = ((3, 9), (3, 12))
"""First and last Python that this version of MediaPipe has wheels for."""


def mediapipe_python(given: Path | None) -> Path:
    """
    Return a Python that can import mediapipe, making a virtual environment if needed.

    :param given: the interpreter that the user named, if any.
    :raises SystemExit: with a message when there is no suitable Python or pip fails.
    """
    if given is not None:
        return given
    from aitable_ros.paths import cache_dir

    folder = cache_dir() / MEDIAPIPE.replace('==', '-')
    python = folder / ('Scripts/python.exe' if sys.platform == 'win32' else 'bin/python')
    ready = folder / 'ready'
    if not ready.is_file():
        print(f'Making an environment with {MEDIAPIPE} in {folder} ...', file=sys.stderr)
        base = _base_python()
        shutil.rmtree(folder, ignore_errors=True)
        for command in (
            [base, '-m', 'venv', str(folder)],
            [str(python), '-m', 'pip', 'install', '--quiet', MEDIAPIPE],
        ):
            if subprocess.run(command, check=False).returncode != 0:
                raise SystemExit(f'failed: {" ".join(command)}; or use --mediapipe-python PATH')
        ready.touch()
    return python


def _base_python() -> str:
    first, last = PYTHONS
    if first <= sys.version_info[:2] <= last:
        return sys.executable
    for minor in range(last[1], first[1] - 1, -1):
        found = shutil.which(f'python3.{minor}')
        if found is not None:
            return found
    raise SystemExit(
        f'{MEDIAPIPE} needs Python 3.{first[1]} to 3.{last[1]} and none was found; '
        'install one, or use --mediapipe-python PATH'
    )
