# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which recordings there are, what becomes of each, and whether that is there already."""

from __future__ import annotations

import glob
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from aitable_ros import __version__
from aitable_ros.bags import BagTarget
from aitable_ros.bags.folder import METADATA
from aitable_ros.bags.reading import FILE_SUFFIXES
from aitable_ros.tools.process_bag.recordings import is_video
from aitable_ros.tools.process_bag.run import Request

RECORD_SUFFIX = '.json'
_OF_PLACES = ('source', 'target', 'csv', 'force', 'name')
"""Fields of a Request that say where, not what."""


@dataclass(frozen=True)
class Job:
    """
    One recording, and where its results go.

    :param request: what ``process_bag`` is asked for.
    :param name: what it is called: its place among the results, without suffix.
    :param table: whose it is: the folder that it was in.
    :param settings: digest of everything that the results depend on but the recording.
    :param parts: results of its pieces, which are joined; empty: it is done in one.
    :param whole: name of the recording that it is a piece of; empty: it is none.
    """

    request: Request
    name: str
    table: str
    settings: str
    parts: tuple[Path, ...] = ()
    whole: str = ''

    @property
    def record(self) -> Path:
        """The file that says what the results were made of, and what they are in short."""
        return self.request.target.path.with_suffix(RECORD_SUFFIX)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The other files of results."""
        table = self.request.csv
        return (self.request.target.path, *((table,) if table else ()))

    @property
    def bytes(self) -> int:
        """Size of the recording; 0: it is not there."""
        return sum(size for size, _ in stats_of(self.request.source).values())


@dataclass(frozen=True)
class Outcome:
    """
    What became of a job.

    :param name: its name.
    :param status: ``done``, ``unchanged`` (it was done before) or ``failed``.
    :param reason: why it failed.
    :param problems: what its results lack, in lines.
    :param bag_s: how long the recording is [s].
    :param wall_s: how long it took, with loading the networks [s].
    :param cpu_s: processor time that it took [s].
    :param memory_mb: what the worker held afterwards (resident) [MB].
    :param images: how many there were.
    """

    name: str
    status: str
    reason: str = ''
    problems: tuple[str, ...] = ()
    bag_s: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    memory_mb: float = 0.0
    images: int = 0


@dataclass
class Found:
    """Recordings, and what was named and is none."""

    recordings: dict[str, tuple[Path, str]] = field(default_factory=dict)
    """Path and table by name."""
    missing: list[str] = field(default_factory=list)


def find_recordings(names: Iterable[str], lists: Iterable[Path] = ()) -> Found:
    """
    Find bags and videos.

    :param names: recordings, folders of them (looked through to the bottom), glob patterns.
    :param lists: files with such names, one a line; # begins a comment.
    :raises OSError: when a list cannot be read.
    """
    wanted = list(names)
    for file in lists:
        lines = file.read_text(encoding='utf-8').splitlines()
        wanted += [line.strip() for line in lines if line.strip() and line.strip()[0] != '#']
    found = Found()
    there: dict[Path, tuple[Path, ...]] = {}
    for name in wanted:
        path = Path(name)
        places = [path] if path.exists() else sorted(map(Path, _glob(name)))
        pairs = [(one, place) for place in places for one in _recordings_in(place)]
        if not pairs:
            found.missing.append(name)
        for one, place in pairs:
            # what is named itself is called by its own name, what is in a folder by its way there
            way = one.relative_to(place) if one != place else Path(one.name)
            there.setdefault(Path(os.path.realpath(one)), (one, way, place))
    for one, way, place in there.values():
        stem = way.with_suffix('') if one.is_file() else way
        folder = one.parent if way.parent == Path() else place / way.parent
        found.recordings.setdefault(_free(stem, one, found.recordings), (one, _name_of(folder)))
    return found


def _glob(pattern: str) -> list[str]:
    return glob.glob(pattern, recursive=True)  # noqa: PTH207 (it may be absolute)


def _name_of(folder: Path) -> str:
    return Path(os.path.realpath(folder)).name


def _free(stem: Path, path: Path, taken: Iterable[str]) -> str:
    """Give a name that is not taken: with the folder before it, then with a number behind it."""
    name = stem.as_posix()
    if name in taken:
        name = f'{_name_of(path.parent)}/{name}'
    counts = Counter(one.partition('~')[0] for one in taken)
    return f'{name}~{counts[name] + 1}' if name in taken else name


def _recordings_in(place: Path) -> Iterator[Path]:
    if place.is_file():
        if place.suffix in FILE_SUFFIXES or is_video(place):
            yield place
    elif (place / METADATA).is_file():
        yield place
    elif place.is_dir():
        for child in sorted(place.iterdir()):
            if not child.name.startswith('.'):
                yield from _recordings_in(child)


def make_job(
    template: Request, name: str, source: Path, table: str, folder: Path, cut_s: float = 0.0
) -> Job:
    """
    Say what becomes of a recording.

    :param template: what all have in common.
    :param folder: for all results.
    :param cut_s: length of the pieces that it may be cut into [s]; 0: it is not.
    """
    target = folder / f'{name}.mcap'
    request = replace(
        template,
        source=source,
        target=BagTarget(target, 'mcap', template.target.compress),
        csv=None if template.csv is None else folder / f'{name}.csv',
        name=str(source),  # also where it is sent along
        force=True,
    )
    return Job(request, name, table, settings_of(request, cut_s))


def settings_of(request: Request, cut_s: float = 0.0) -> str:
    """Return a digest of version, options and parameter files: all but the recording."""
    chosen: dict[str, Any] = {
        one.name: getattr(request, one.name)
        for one in fields(request)
        if one.name not in _OF_PLACES
    }
    given = request.arguments
    files = [Path(given[i + 1]) for i, one in enumerate(given) if one == '--params-file']
    chosen['files'] = [sha256(file.read_bytes()).hexdigest() for file in files]
    # where they lie does not matter, what is in them does
    chosen['arguments'] = [one for one in given if Path(one) not in files]
    chosen['compress'], chosen['csv'] = request.target.compress, request.csv is not None
    chosen['version'], chosen['cut_s'] = __version__, cut_s
    return sha256(json.dumps(chosen, sort_keys=True, default=str).encode()).hexdigest()


def stats_of(source: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change [ns] of the files of a recording, by name."""
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    try:
        stats = {file.name: file.stat() for file in files if file.is_file()}
    except OSError:
        return {}
    return {name: (one.st_size, one.st_mtime_ns) for name, one in stats.items()}


def hash_of(source: Path) -> str:
    """
    Return the SHA-256 of the names and contents of a recording's files.

    :raises OSError: when one cannot be read.
    """
    total = sha256()
    for name in stats_of(source):
        content = sha256()
        with (source / name if source.is_dir() else source).open('rb') as file:
            while block := file.read(1 << 20):
                content.update(block)
        total.update(f'{name if source.is_dir() else ""} {content.hexdigest()}\n'.encode())
    return total.hexdigest()


def read_record(path: Path) -> dict[str, Any] | None:
    """Return a record; None: there is none, or it is not whole."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and 'made_of' in content else None


def made_of(job: Job, input_hash: str) -> dict[str, Any]:
    """Say what the results of a job are made of."""
    return {
        'input': input_hash,
        'files': {name: list(stat) for name, stat in stats_of(job.request.source).items()},
        'version': __version__,
        'settings': job.settings,
        'outputs': {path.name: path.stat().st_size for path in job.outputs},
    }


def done_before(job: Job, input_hash: str | None = None) -> Outcome | None:
    """
    Return what became of a job in an earlier run; None: it is to be done.

    :param input_hash: of the recording; None: it counts as the same where sizes and times of its
        files are.
    """
    record = read_record(job.record)
    if record is None:
        return None
    was = record['made_of']
    try:
        now = made_of(job, input_hash or was['input'])
    except OSError:
        return None
    same = ('settings', 'outputs', 'input' if input_hash else 'files')
    if any(was.get(key) != now[key] for key in same):
        return None
    if input_hash and was != now:  # only its times have changed
        write_whole(job.record, json.dumps({**record, 'made_of': now}))
    return Outcome(
        job.name,
        'unchanged',
        problems=tuple(record['problems']),
        bag_s=record['bag_s'],
        images=record['images'],
    )


def write_whole(path: Path, text: str | bytes) -> None:
    """
    Write a file that is there as a whole or not at all.

    :raises OSError: when it cannot be written.
    """
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        temporary.write_bytes(text if isinstance(text, bytes) else text.encode())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def outcome_lines(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Return what is kept of outcomes, for JSON."""
    kept = ('name', 'status', 'reason', 'problems')
    return [{key: asdict(one)[key] for key in kept} for one in outcomes]
