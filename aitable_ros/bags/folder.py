# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of a bag: which files it has, as ``metadata.yaml`` says."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

import yaml
import zstandard

from aitable_ros.bags.errors import BagError

METADATA = 'metadata.yaml'
INFORMATION = 'rosbag2_bagfile_information'
COMPRESSED_SUFFIX = '.zstd'

ZSTD = bytes.fromhex('28b52ffd')
"""How a compressed file or message begins; the others do not."""


@dataclass(frozen=True)
class FolderContents:
    """
    What a folder says of itself.

    :param files: in the order in which they are listed.
    :param counts: how many messages it announces, by topic and type.
    """

    files: tuple[Path, ...]
    counts: Counter[tuple[str, str]]


def read_folder(folder: Path) -> FolderContents:
    """
    Read what is in a folder.

    Of QoS, types and times, the files themselves know better.

    :raises BagError: when there is no metadata, or a file is missing.
    :raises Exception: of any kind, when the metadata is damaged.
    """
    try:
        text = (folder / METADATA).read_text(encoding='utf-8')
    except FileNotFoundError:
        raise BagError(
            f'{folder}: no {METADATA} in this folder: it is no bag, or its recording '
            'was not ended (ros2 bag reindex repairs that)'
        ) from None
    information = yaml.safe_load(text)[INFORMATION]
    # older ones list them with the folder's name
    names = dict.fromkeys(PurePath(name).name for name in information['relative_file_paths'])
    files = tuple(folder / name for name in names)
    missing = ', '.join(file.name for file in files if not file.is_file())
    if missing:
        raise BagError(f'{folder}: missing in this folder: {missing}')
    mode = str(information.get('compression_mode') or 'none').lower()
    method = information.get('compression_format')
    if mode != 'none' and method != 'zstd':
        raise BagError(f'{folder}: compressed by {method}, which is not known here')
    counts: Counter[tuple[str, str]] = Counter()
    for topic in information['topics_with_message_count']:
        what = topic['topic_metadata']
        counts[str(what['name']), str(what['type'])] += int(topic['message_count'])
    return FolderContents(files, counts)


@contextmanager
def decompressed(file: Path) -> Iterator[Path]:
    """Give a compressed file as a temporary one without compression, another as it is."""
    with file.open('rb') as source:
        is_compressed = source.read(len(ZSTD)) == ZSTD
    if not is_compressed:
        yield file
        return
    with TemporaryDirectory() as folder:
        path = Path(folder, file.name.removesuffix(COMPRESSED_SUFFIX))
        with file.open('rb') as source, path.open('wb') as target:
            reader = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
            shutil.copyfileobj(reader, target)
        yield path
