# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Files that several processes may fetch at once, and that an interruption must not spoil."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from aitable_ros.regular_files import open_regular

Report = Callable[[str], None]
"""Takes one line about the progress."""


class ModelFilesError(RuntimeError):
    """Model files could not be fetched, converted or stored; the message says what to do."""


def print_report(line: str) -> None:
    """Print a line of progress to standard error."""
    print(line, file=sys.stderr, flush=True)


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


def store_model(
    folder: Path, name: str, files: Mapping[str, bytes | None], facts: Mapping[str, Any]
) -> None:
    """
    Write a model's files and their record, ``<name>.json``; hold the folder meanwhile.

    The record is removed before the files change and written after, so that files with a
    matching record are whole, at any time and for other processes too.

    :param files: contents by name; None: there is none, one that is there is removed.
    :param facts: what the record holds besides size and SHA-256 of each file.
    :raises OSError: when one cannot be written.
    """
    record = folder / f'{name}.json'
    record.unlink(missing_ok=True)
    entries = {}
    for file_name, content in files.items():
        path = folder / file_name
        if content is None:
            path.unlink(missing_ok=True)
            continue
        if read_if_there(path) != content:
            write_atomically(path, content)
        entries[file_name] = {'size': len(content), 'sha256': sha256(content).hexdigest()}
    text = json.dumps({**facts, 'files': entries}, indent=2) + '\n'
    write_atomically(record, text.encode())


def read_if_there(path: Path) -> bytes:
    """Return what a file holds, nothing where it cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read()
    except OSError:
        return b''


def source_version(*modules: str) -> str:
    """
    Return a name for code of this package that changes with its source.

    No one has to remember to count it up, and nothing is imported for it.

    :param modules: paths within this package, without ``.py``.
    """
    digest = sha256()
    for module in modules:
        digest.update((Path(__file__).parent / f'{module}.py').read_bytes())
    return digest.hexdigest()[:16]


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
    waiting = f'waiting for another process that is filling {folder}'
    with held(folder / '.lock', report, waiting):
        for leftover in folder.glob('.*.tmp'):
            if leftover.is_file():
                leftover.unlink()
        yield


@contextlib.contextmanager
def held(path: Path, report: Report, waiting: str) -> Iterator[None]:
    """
    Hold a lock file, made with its folder if needed, against other processes.

    :param report: is told ``waiting`` when another process has to be waited for.
    :raises OSError: when it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # a pipe in its place would wait for a reader
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o666), 'ab') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(waiting)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
