# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Writing bags, such that the same messages make the same bytes.

Nothing of the clock, the machine or the bag's name gets into the file of messages. Of a folder
only ``metadata.yaml`` names it, as it has to.
"""

from __future__ import annotations

import fcntl
import glob
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import yaml
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from aitable_ros.bags.definitions import TypeDefinition
from aitable_ros.bags.errors import BagError, one_line
from aitable_ros.bags.folder import INFORMATION, METADATA
from aitable_ros.bags.reading import FILE_SUFFIXES

STORAGES = tuple(FILE_SUFFIXES.values())

_SUFFIXES = {storage: suffix for suffix, storage in FILE_SUFFIXES.items()}
_PLUGINS = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
# Of the versions that the writer knows the one that Humble reads, too: later ones write the QoS
# in another way.
_VERSION: Literal[8] = 8
_INFINITE = QosTime(9223372036, 854775807)  # RMW_DURATION_INFINITE


@dataclass(frozen=True)
class BagTarget:
    """
    Where and how a bag is to be written.

    :param path: a .mcap or .db3 file, or a folder.
    :param storage: ``mcap`` or ``sqlite3``.
    :param compress: mcap only: compress the chunks (zstd).
    """

    path: Path
    storage: str
    compress: bool = False

    def __post_init__(self) -> None:
        if self.storage not in STORAGES:
            raise BagError(f'unknown storage {self.storage!r}: use {" or ".join(STORAGES)}')
        if self.compress and self.storage != 'mcap':
            raise BagError('only mcap files are compressed here: choose mcap')

    @classmethod
    def choose(
        cls, path: str | Path, storage: str | None, default: str, compress: bool = False
    ) -> BagTarget:
        """
        Choose the storage: as asked for, else by the file's suffix, else the default.

        :raises BagError: when the suffix says one thing and the option another.
        """
        path = Path(path)
        by_suffix = FILE_SUFFIXES.get(path.suffix)
        if storage and by_suffix and storage != by_suffix:
            raise BagError(f'{path}: a {path.suffix} file holds {by_suffix}, not {storage}')
        return cls(path, storage or by_suffix or default, compress)

    @property
    def is_file(self) -> bool:
        """Whether the bag is one file instead of a folder."""
        return self.path.suffix in FILE_SUFFIXES

    def check_free(self, *, force: bool = False) -> None:
        """
        Make sure that a bag may be written here.

        :param force: a bag that is there may be replaced; anything else may not.
        :raises BagError: when it may not.
        """
        path = self.path
        if not path.exists() and not path.is_symlink():
            parent = path.parent
            if not parent.is_dir():
                raise BagError(f'{path}: there is no folder {parent}')
            if not os.access(parent, os.W_OK):
                raise BagError(f'{path}: {parent} cannot be written')
            return
        if self.is_file != path.is_file() or not self._holds_a_bag():
            raise BagError(f'{path} exists and is no bag of this kind: not overwriting it')
        if not force:
            raise BagError(f'{path} exists: give --force to replace it')

    def _holds_a_bag(self) -> bool:
        """Whether there is nothing but a bag at the path, such that replacing loses no more."""
        if self.path.is_symlink():
            return False
        if self.is_file:
            return True
        names = [child.name for child in self.path.iterdir()]
        endings = (*FILE_SUFFIXES, *(f'{suffix}.zstd' for suffix in FILE_SUFFIXES))
        return METADATA in names and all(
            name == METADATA or name.endswith(endings) for name in names
        )


class BagWriter:
    """
    Writes a bag, which appears under its name when it is whole.

    Use it as a context manager: leaving it by an exception leaves nothing behind.

    :param target: where and how.
    :param force: replace the bag that is there.
    :param custom_data: what else to say of the bag, in its metadata.
    :raises BagError: on entering and leaving, when nothing can be written there.
    """

    def __init__(
        self,
        target: BagTarget,
        *,
        force: bool = False,
        custom_data: Mapping[str, str] | None = None,
    ) -> None:
        self.target = target
        self.count = 0
        self._force = force
        self._custom_data = dict(custom_data or {})
        self._folder: Path | None = None
        self._way: TemporaryDirectory[str] | None = None
        self._writer: Writer | None = None
        self._hold = ExitStack()

    def add_topic(self, name: str, definition: TypeDefinition, qos: Sequence[Any] = ()) -> Any:
        """
        Announce a topic.

        :param name: its name.
        :param definition: of its type.
        :param qos: profiles that its publishers offer, see :func:`offered_qos`.
        :returns: what :meth:`write` wants.
        :raises BagError: when the same topic was announced before.
        """
        assert self._writer is not None
        try:
            return self._writer.add_connection(
                name,
                definition.type_name,
                msgdef=definition.text,
                rihs01=definition.type_hash,
                offered_qos_profiles=list(qos),
            )
        except Exception as error:
            raise BagError(f'{self.target.path}: topic {name}: {one_line(error)}') from error

    def write(self, topic: Any, log_time_ns: int, data: bytes) -> None:
        """
        Write a message.

        :param topic: from :meth:`add_topic`.
        :param log_time_ns: log time [ns].
        :param data: the serialised message (CDR).
        :raises BagError: when it cannot be written.
        """
        assert self._writer is not None
        try:
            self._writer.write(topic, log_time_ns, data)
        except Exception as error:
            raise BagError(f'{self.target.path}: {one_line(error)}') from error
        self.count += 1

    def __enter__(self) -> BagWriter:
        self.target.check_free(force=self._force)
        path = self.target.path
        try:
            # beside the target, so that moving it there is one step
            way = self._make_folder()
            if self.target.storage == 'sqlite3':
                # the writer makes a URI of the path without quoting it
                self._way = TemporaryDirectory()
                folder, way = way, Path(self._way.name, 'way')
                way.symlink_to(folder.absolute())
            self._writer = Writer(
                # always the same name: it gets into the file
                way / 'bag',
                version=_VERSION,
                storage_plugin=_PLUGINS[self.target.storage],
            )
            if self.target.compress:
                self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            for key, value in sorted(self._custom_data.items()):
                self._writer.set_custom_data(key, value)
            self._writer.open()
        except BaseException as error:
            self.discard()
            if not isinstance(error, Exception):
                raise  # interrupted
            raise BagError(f'{path} cannot be written: {one_line(error)}') from error
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        writer, self._writer = self._writer, None
        assert writer is not None
        try:
            if error is not None:
                with suppress(sqlite3.Error):  # on a full disk this fails, too
                    writer.abort()
                return
            writer.close()
            self._put_in_place()
        except (OSError, sqlite3.Error) as problem:
            raise BagError(f'{self.target.path}: {one_line(problem)}') from problem
        finally:
            self.discard()

    def _make_folder(self) -> Path:
        """Make the folder to work in, held as long as this process lives; remove dead ones."""
        path = self.target.path
        for left in path.parent.glob(f'.{glob.escape(path.stem)}.{"[0-9a-f]" * 8}'):
            with suppress(OSError), _held(left):
                shutil.rmtree(left)
        self._folder = path.with_name(f'.{path.stem}.{secrets.token_hex(4)}')
        self._folder.mkdir(mode=0o700)
        self._hold.enter_context(_held(self._folder))
        return self._folder

    def _put_in_place(self) -> None:
        assert self._folder is not None
        made, path, suffix = self._folder / 'bag', self.target.path, _SUFFIXES[self.target.storage]
        storage = made / f'bag{suffix}'
        if self.target.is_file:
            storage.replace(path)
            return
        name = f'{path.name}_0{suffix}'  # as ros2 bag record names it
        storage.rename(made / name)
        metadata = made / METADATA
        content = yaml.safe_load(metadata.read_text(encoding='utf-8'))
        information = content[INFORMATION]
        information['relative_file_paths'] = [name]
        information['files'][0]['path'] = name
        metadata.write_text(yaml.safe_dump(content, sort_keys=False), encoding='utf-8')
        if path.exists():
            path.rename(self._folder / 'replaced')
        made.rename(path)

    def discard(self) -> None:
        """Remove what is half done, if anything is."""
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if self._way is not None:
            self._way.cleanup()
        self._hold.close()


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder; BlockingIOError: another process, alive, does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def offered_qos(
    *, reliable: bool = True, depth: int = 10, transient_local: bool = False
) -> tuple[Qos, ...]:
    """
    Describe what a publisher offers, for :meth:`BagWriter.add_topic`.

    :param reliable: reliable instead of best effort.
    :param depth: how many messages it keeps.
    :param transient_local: late subscribers get what it keeps.
    """
    reliability = QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT
    durability = QosDurability.TRANSIENT_LOCAL if transient_local else QosDurability.VOLATILE
    lasting = (_INFINITE, _INFINITE, QosLiveliness.AUTOMATIC, _INFINITE)
    return (Qos(QosHistory.KEEP_LAST, depth, reliability, durability, *lasting, False),)
