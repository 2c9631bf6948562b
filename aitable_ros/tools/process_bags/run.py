# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""One run over many recordings: what is left of it is done, and all of it is told."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from aitable_ros.tools.process_bag.run import Request
from aitable_ros.tools.process_bags.dask_runner import DaskRunner, SchedulerLost
from aitable_ros.tools.process_bags.jobs import (
    Job,
    Outcome,
    done_before,
    find_recordings,
    make_job,
    outcome_lines,
    write_whole,
)
from aitable_ros.tools.process_bags.local_runner import LocalRunner, workers_here
from aitable_ros.tools.process_bags.pieces import FAILED, FOLDER, cut, joined_after
from aitable_ros.tools.process_bags.table import write_tables

SUMMARY = 'summary.json'
LOCK = '.process_bags.lock'
_BAR = '{l_bar}{bar}| {n_fmt}B/{total_fmt}B [{elapsed}, {remaining} left{postfix}]'


@dataclass(frozen=True)
class Options:
    """
    What is to be done.

    :param names: recordings, folders, patterns.
    :param lists: files with such names.
    :param folder: of the results.
    :param template: what ``process_bag`` is asked for, of all.
    :param workers: processes on this machine; None: as many as it has room for.
    :param scheduler: of Dask; empty: this machine, or ``cluster``.
    :param cluster: file that describes a cluster of Dask.
    :param send: send recordings along.
    :param cut_s: length of the pieces of long recordings [s]; 0: they are not cut.
    :param quiet: no progress bar, no summary.
    """

    names: tuple[str, ...]
    lists: tuple[Path, ...]
    folder: Path
    template: Request
    workers: int | None = None
    scheduler: str = ''
    cluster: Path | None = None
    send: bool = False
    cut_s: float = 0.0
    quiet: bool = False


def process_bags(options: Options) -> int:
    """
    Do what is left to be done, and write the table of all.

    :returns: the exit status.
    :raises DaskError: when the cluster cannot be used.
    :raises OSError: when a list cannot be read.
    """
    found = find_recordings(options.names, options.lists)
    cut_s = 0.0 if options.send else options.cut_s
    jobs = [
        make_job(options.template, name, path, table, options.folder, cut_s)
        for name, (path, table) in found.recordings.items()
    ]
    outcomes = {name: Outcome(name, 'failed', 'no bag and no video') for name in found.missing}
    if not jobs and not outcomes:
        print('process_bags: error: no recordings', file=sys.stderr)
        return 2
    begun_s = time.perf_counter()
    with _alone(options.folder):
        run = _Run(options, jobs, outcomes, cut_s)
        run.run()
        problem = _write_all(options.folder, jobs, outcomes)
    done = [one for one in outcomes.values() if one.status == 'done']
    if not options.quiet:
        _tell(outcomes, done, time.perf_counter() - begun_s)
    for one in outcomes.values():
        for what in (one.reason, *one.problems):
            if what:
                print(f'process_bags: {one.name}: {what}', file=sys.stderr)
    if problem:
        print(f'process_bags: {problem}', file=sys.stderr)
    bad = any(one.status == 'failed' or one.problems for one in outcomes.values())
    return 1 if bad or problem.startswith('error') else 0


class _Run:
    """The jobs that are left, and what becomes of them."""

    def __init__(
        self, options: Options, jobs: list[Job], outcomes: dict[str, Outcome], cut_s: float
    ) -> None:
        self._options, self._outcomes = options, outcomes
        self._waiting: deque[Job] = deque()
        self._joins: dict[str, Job] = {}
        """By name what joins the pieces."""
        self._left: Counter[str] = Counter()
        """How many pieces are not done."""
        self._late: set[str] = set()
        self._sizes: dict[str, int] = {}
        for job in jobs:
            before = done_before(job)
            if before is not None:
                outcomes[job.name] = before
                continue
            pieces = cut(job, cut_s, options.folder) if cut_s > 0.0 else []
            if pieces:
                parts = tuple(piece.request.target.path for piece in pieces)
                self._joins[job.name] = replace(job, parts=parts)
                self._left[job.name] = len(pieces)
                for part in parts:
                    part.with_suffix(FAILED).unlink(missing_ok=True)
            self._waiting += pieces or [job]
            self._sizes |= {one.name: job.bytes // len(pieces or [job]) for one in pieces or [job]}

    def run(self) -> None:
        """Do all of them."""
        if not self._waiting:
            return
        options = self._options
        total = sum(self._sizes.values())
        with ExitStack() as stack:
            runner: Any
            if options.scheduler or options.cluster is not None:
                runner = stack.enter_context(
                    DaskRunner(options.scheduler, options.cluster, send=options.send)
                )
                self._say(f'{runner.workers} threads of Dask; dashboard: {runner.dashboard}')
            else:
                runner = LocalRunner(options.workers or workers_here())
                self._say(f'{runner.workers} processes here')
            bar = stack.enter_context(
                tqdm(
                    total=total,
                    unit_scale=True,
                    bar_format=_BAR,
                    disable=True if options.quiet else None,
                )
            )
            try:
                self._follow(runner, bar)
            except SchedulerLost as lost:
                print(f'process_bags: {lost}; they are done here', file=sys.stderr)
                self._waiting = deque(lost.left)
                self._follow(LocalRunner(options.workers or workers_here()), bar)

    def _follow(self, runner: Any, bar: tqdm[Any]) -> None:
        self._queue_joins(runner.workers)
        begun_s, hours = time.perf_counter(), 0.0
        for job, outcome in runner.run(self._waiting):
            if job.whole:
                self._take_piece(job, outcome)
            elif outcome.status == 'waiting':
                self._late.add(job.name)
                self._end_waiting(job.name)
            elif job.name not in self._outcomes:
                self._outcomes[job.name] = outcome
                hours += outcome.bag_s / 3600
            if job.parts and job.name in self._outcomes:
                shutil.rmtree(job.parts[0].parent, ignore_errors=True)
            per_minute = 60 * hours / max(time.perf_counter() - begun_s, 1e-9)
            bar.update(self._sizes.pop(job.name, 0))
            bar.set_postfix_str(f'{hours:.2f} h of recording, {per_minute:.2f} h a minute')

    def _queue_joins(self, workers: int) -> None:
        """Put each joining among its pieces: it takes one after the other, as they come."""
        jobs = [job for job in self._waiting if not job.parts]
        self._waiting.clear()
        counts: Counter[str] = Counter()
        for job in jobs:
            self._waiting.append(job)
            counts[job.whole] += 1
            if job.whole and job.whole in self._joins:
                join = self._joins[job.whole]
                if counts[job.whole] == joined_after(self._left[job.whole], workers):
                    self._waiting.append(join)

    def _take_piece(self, job: Job, outcome: Outcome) -> None:
        """Without one piece the whole recording has failed."""
        name = job.whole
        self._left[name] -= 1
        if outcome.status == 'failed':
            reason = f'{job.name.removeprefix(name).strip()}: {outcome.reason}'
            self._outcomes[name] = Outcome(name, 'failed', reason)
            with suppress(OSError):
                job.request.target.path.with_suffix(FAILED).touch()
        self._end_waiting(name)

    def _end_waiting(self, name: str) -> None:
        """What waited in vain is done again when the last piece is there."""
        if name in self._late and not self._left[name] and name not in self._outcomes:
            self._late.discard(name)
            self._waiting.append(self._joins[name])

    def _say(self, text: str) -> None:
        if not self._options.quiet:
            print(f'process_bags: {text}', file=sys.stderr)


def _write_all(folder: Path, jobs: list[Job], outcomes: dict[str, Outcome]) -> str:
    """Write what is of all recordings together; return what went wrong, or is missing."""
    there = [job.record for job in jobs if outcomes[job.name].status != 'failed']
    try:
        kept = outcome_lines(outcomes.values())
        if there or folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / SUMMARY, json.dumps({'recordings': kept}, indent=1))
        with suppress(OSError):
            (folder / FOLDER).rmdir()
        return write_tables(folder, there) if there else ''
    except OSError as error:
        return f'error: {folder}: the table cannot be written: {error.strerror or error}'


def _tell(outcomes: dict[str, Outcome], done: list[Outcome], wall_s: float) -> None:
    counts = Counter(one.status for one in outcomes.values())
    lacking = sum(bool(one.problems) for one in outcomes.values())
    hours = sum(one.bag_s for one in done) / 3600
    cpu_h = sum(one.cpu_s for one in done) / 3600
    print(
        f'{len(outcomes)} recordings: {counts["done"]} done, {counts["unchanged"]} done before,'
        f' {counts["failed"]} failed; {lacking} lack something'
    )
    if done and cpu_h > 0.0:
        print(
            f'{hours:.2f} h of recording in {wall_s / 60:.1f} min: {hours / wall_s * 60:.2f} h a'
            f' minute, {hours / cpu_h:.1f} h a core-hour; largest worker'
            f' {max(one.memory_mb for one in done):.0f} MB'
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """
    Keep other runs out of a folder of results, and remove what dead ones left half done.

    :raises OSError: when another run is at it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:  # each recording will say why
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(f'{folder}: another process_bags is writing there') from None
        _clear(folder)
        yield
        _clear(folder)  # of workers that were killed
    finally:
        os.close(descriptor)


def _clear(folder: Path) -> None:
    for left in folder.rglob('.*.tmp'):
        with suppress(OSError):
            left.unlink()
