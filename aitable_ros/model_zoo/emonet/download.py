# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""EmoNet's published weights, from the authors' public repository."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from aitable_ros.model_zoo.files import ModelFilesError, megabytes, write_atomically

REPOSITORY = 'https://github.com/face-analysis/emonet'
URL = 'https://raw.githubusercontent.com/face-analysis/emonet/master/pretrained/{file}'
TIMEOUT_S = 30.0
MAX_BYTES = 200_000_000
"""Far above the size of the checkpoints; what is larger is something else."""

_CHUNK_BYTES = 1 << 20
_PROGRESS_PERIOD_S = 2.0


def download_weights(
    classes: int, cache: Path, progress: Callable[[str], None], url: str = URL
) -> Path:
    """
    Download a checkpoint, or find it in the cache.

    Its structure is for the caller to check: no checksum of the files was published.

    :param classes: 8 or 5.
    :param cache: folder in which it is kept.
    :param progress: takes one line for each step.
    :param url: where from, with ``{file}`` for the file's name.
    :returns: the file.
    :raises ModelFilesError: when it cannot be downloaded or stored; nothing is left behind.
    """
    name = f'emonet_{classes}.pth'
    path = cache / name
    if path.is_file():
        progress(f'{name}: {path} is there from an earlier download')
        return path
    source = url.format(file=name)
    progress(f'downloading {source}')
    try:
        with urllib.request.urlopen(source, timeout=TIMEOUT_S) as response:
            content = _read(response, name, progress)
    except (OSError, urllib.error.URLError, http.client.HTTPException) as error:
        reason = getattr(error, 'reason', None) or error
        raise ModelFilesError(
            f'{source} cannot be downloaded: {reason}. Bring the file yourself from {REPOSITORY}'
            f' (folder pretrained) and give it with --from {name}'
        ) from error
    try:
        cache.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise ModelFilesError(f'{path} cannot be written: {error.strerror or error}') from error
    return path


def _read(response: http.client.HTTPResponse, name: str, progress: Callable[[str], None]) -> bytes:
    announced = int(response.headers.get('Content-Length') or 0)
    if announced > MAX_BYTES:
        raise ModelFilesError(f'{name}: {megabytes(announced)} is too large for a checkpoint')
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
