# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""uPlot, which draws the page's curves: out of its npm package, checked, in the cache."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from hashlib import sha256
from pathlib import Path

from aitable_ros import paths

PACKAGE = 'uplot@1.6.32'
PACKAGE_SHA256 = '4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d'
FILES = {
    'uPlot.esm.js': '5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba',
    'uPlot.min.css': 'df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04',
    'LICENSE': '8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd',
}
"""What is taken out of the package, with SHA-256."""

HOW_TO_GET = 'ros2 run aitable_ros fetch_charts'


class ChartsError(RuntimeError):
    """uPlot cannot be brought; the message says what to do."""


def charts_dir() -> Path:
    """Return the folder that holds uPlot; it need not exist."""
    return paths.cache_dir() / 'web' / PACKAGE


def read_charts(folder: Path | None = None) -> dict[str, bytes]:
    """Return uPlot's files by name; empty unless all are there and whole."""
    folder = folder or charts_dir()
    try:
        found = {name: (folder / name).read_bytes() for name in FILES}
    except OSError:
        return {}
    whole = all(sha256(content).hexdigest() == FILES[name] for name, content in found.items())
    return found if whole else {}


def fetch_charts(given: Path | None = None) -> Path:
    """
    Bring uPlot into the cache, where it is not there.

    :param given: its package, brought by hand; None: npm downloads it.
    :returns: the folder of its files.
    :raises ChartsError: when it cannot be had, or is not exactly the package expected.
    """
    folder = charts_dir()
    if given is None and read_charts(folder):
        return folder
    try:
        with tempfile.TemporaryDirectory() as temporary:
            _unpack(given or _download(Path(temporary)), folder)
    except OSError as error:
        raise ChartsError(f'{PACKAGE} cannot be stored: {error}') from error
    return folder


def fetch_charts_if_possible() -> str:
    """Bring uPlot where it is not there; return why it could not be, empty: it is there."""
    try:
        fetch_charts()
    except ChartsError as error:
        return str(error)
    return ''


def _download(folder: Path) -> Path:
    by_hand = f'elsewhere: `npm pack {PACKAGE}`, and here: {HOW_TO_GET} --from FILE'
    npm = shutil.which('npm')
    if npm is None:
        raise ChartsError(f'npm, which downloads {PACKAGE}, is not installed; {by_hand}')
    command = [npm, 'pack', '--silent', '--pack-destination', str(folder), PACKAGE]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    packages = list(folder.glob('*.tgz'))
    if result.returncode or len(packages) != 1:
        why = (result.stderr.strip().splitlines() or ['npm failed'])[-1]
        raise ChartsError(f'{PACKAGE} cannot be downloaded: {why}; {by_hand}')
    return packages[0]


def _unpack(package: Path, folder: Path) -> None:
    if sha256(package.read_bytes()).hexdigest() != PACKAGE_SHA256:
        raise ChartsError(f'{package} is not {PACKAGE}, or is damaged (its sha256 differs)')
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(package) as archive:
        for name in FILES:
            inner = f'package/{name}' if name == 'LICENSE' else f'package/dist/{name}'
            member = archive.extractfile(inner)
            assert member is not None
            temporary = folder / f'.{name}.tmp'
            temporary.write_bytes(member.read())
            temporary.replace(folder / name)
