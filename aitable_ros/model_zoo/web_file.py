# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Weights that their authors publish on the web, into the cache."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from aitable_ros.model_zoo.files import ModelFilesError, megabytes, write_atomically
from aitable_ros.regular_files import file_sha256

TIMEOUT_S = 30.0
MAX_BYTES = 200_000_000
"""Far above the size of the weights; what is larger is something else."""

_CHUNK_BYTES = 1 << 20
_PROGRESS_PERIOD_S = 2.0


def download_file(
    source: str,
    cache: Path,
    progress: Callable[[str], None],
    *,
    sha256: str = '',
    by_hand: str = '',
) -> Path:
    """
    Download a file, or find it in the cache.

    :param source: its URL; the last part is its name.
    :param cache: folder in which it is kept.
    :param progress: takes one line for each step.
    :param sha256: of the file, in hex; empty: none was published, and the caller checks it.
    :param by_hand: what a user can do where this fails.
    :returns: the file.
    :raises ModelFilesError: when it cannot be downloaded or stored, or is another file; nothing
        is left behind.
    """
    name = source.rpartition('/')[2]
    path = cache / name
    if path.is_file() and (not sha256 or file_sha256(path) == sha256):
        progress(f'{name}: {path} is there from an earlier download')
        return path
    progress(f'downloading {source}')
    try:
        with urllib.request.urlopen(source, timeout=TIMEOUT_S) as response:
            content = _read(response, name, progress)
    except (OSError, urllib.error.URLError, http.client.HTTPException) as error:
        raise ModelFilesError(f'{source} cannot be downloaded: {error}. {by_hand}') from error
    actual = hashlib.sha256(content).hexdigest()
    if sha256 and actual != sha256:
        raise ModelFilesError(
            f'{source} is another file than expected: sha256 {actual} instead of {sha256}'
        )
    try:
        cache.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise ModelFilesError(f'{path} cannot be written: {error.strerror or error}') from error
    return path


def _read(response: http.client.HTTPResponse, name: str, progress: Callable[[str], None]) -> bytes:
    announced = int(response.headers.get('Content-Length') or 0)
    if announced > MAX_BYTES:
        raise ModelFilesError(f'{name}: {megabytes(announced)} is too large for weights')
    content = bytearray()
    said_s = time.monotonic()
    while chunk := response.read(_CHUNK_BYTES):
        content += chunk
        if len(content) > MAX_BYTES:
            raise ModelFilesError(f'{name}: more than {megabytes(MAX_BYTES)} came')
        if time.monotonic() - said_s > _PROGRESS_PERIOD_S:
            said_s = time.monotonic()
            progress(f'{name}: {megabytes(len(content))} of {megabytes(announced)}')
    if announced and len(content) != announced:
        raise OSError(f'{len(content)} of {announced} bytes came')
    return bytes(content)
