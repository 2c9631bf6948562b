# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Files that several processes may fetch at once, and that an interruption must not spoil."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

Report = Callable[[str], None]
"""Takes one line about the progress."""

_LOCK_NAME = '.lock'


class ModelFilesError(RuntimeError):
    """Model files could not be fetched, converted or stored; the message says what to do."""


def print_report(line: str) -> None:
    """Print a line of progress to standard error."""
    print(line, file=sys.stderr, flush=True)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def megabytes(size: int) -> str:
    """Format a number of bytes as ``35.6 MB``."""
    return f'{size / 1e6:.1f} MB'


def write_atomically(path: Path, content: bytes) -> None:
    """
    Write a file so that at any time it is there in full, old or new, even after a power cut.

    Hold its folder with :func:`locked` meanwhile.

    :raises OSError: when it cannot be written; the file is then as it was.
    """
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """
    Write files of one folder like :func:`write_atomically`, all of them or none.

    While they are put in place only the first is there, old or new: an old file never lies
    beside a new one.

    :param contents: by file.
    :raises OSError: when one cannot be written, as on a full disk; all are then as they were.
    """
    written: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
            written[path] = temporary
            with temporary.open('wb') as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path in [*contents][1:]:
            path.unlink(missing_ok=True)
        for path, temporary in written.items():
            temporary.replace(path)
    except BaseException:
        for temporary in written.values():
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise
    for folder in {path.parent for path in contents}:
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries (a rename) outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(folder: Path, report: Report) -> Iterator[None]:
    """
    Make the folder if needed, and hold it against other processes that do the same.

    What interrupted processes left in it (``.*.tmp`` files) is removed.

    :param report: told when another process has to be waited for.
    :raises OSError: when the folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_NAME).open('ab') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f'waiting for another process that is filling {folder}')
            fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in folder.glob('.*.tmp'):
            if leftover.is_file():
                leftover.unlink()
        yield
