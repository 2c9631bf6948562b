# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Reading files that a parameter may name: regular ones only, at once, of bounded size."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

MAX_TEXT_BYTES = 1 << 20
"""Largest catalog or record that is read."""

_KEPT = 64
_digests: dict[tuple[int, ...], str] = {}


def open_regular(path: Path) -> BinaryIO:
    """
    Open a file for reading; what would make one wait (a pipe, a device) is refused.

    :raises OSError: when it cannot be opened or is no regular file.
    """
    # looked at before: opening a pipe waits, and opening a device may do something
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # of a folder the system says so itself
        raise OSError(errno.EINVAL, 'is no regular file', str(path))
    return path.open('rb')


def read_text(path: Path) -> str:
    """
    Return what a small text file holds.

    :raises OSError: as :func:`open_regular`, and when it is larger than :data:`MAX_TEXT_BYTES`.
    :raises UnicodeDecodeError: when it is not UTF-8.
    """
    with open_regular(path) as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise OSError(errno.EFBIG, f'is larger than {MAX_TEXT_BYTES:,} bytes', str(path))
    return content.decode()


def read_json(path: Path) -> Any:
    """
    Return what a small JSON file holds.

    :raises OSError: as :func:`read_text`.
    :raises ValueError: when it is not JSON, or nested too deep.
    """
    try:
        return json.loads(read_text(path))
    except RecursionError as error:
        raise ValueError('is nested too deep') from error


def file_sha256(path: Path) -> str:
    """
    Return the SHA-256 of a file, in hex; of one that did not change, as it was computed before.

    :raises OSError: when it cannot be read or is no regular file.
    """
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        known = (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
        found = _digests.get(known)
        if found is None:
            digest = hashlib.sha256()
            while chunk := file.read(1 << 20):
                digest.update(chunk)
            found = digest.hexdigest()
            if len(_digests) >= _KEPT:  # nodes load in threads of their own: nobody relies on it
                _digests.clear()
            _digests[known] = found
        return found
