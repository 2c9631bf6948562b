# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What a worker does with one recording, in whatever process or thread."""

from __future__ import annotations

import gc
import json
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from aitable_ros import __version__
from aitable_ros.bags import BagTarget
from aitable_ros.bags.errors import one_line
from aitable_ros.inference.free_memory import return_free_memory
from aitable_ros.tools.process_bag.run import Summary, process_bag
from aitable_ros.tools.process_bags.jobs import (
    Job,
    Outcome,
    done_before,
    hash_of,
    made_of,
    write_whole,
)
from aitable_ros.tools.process_bags.pieces import NODE, JoinedRecording, PieceMissing
from aitable_ros.tools.report.digest import Digest

Files = dict[str, bytes]
"""Contents by name, sent along."""


def version() -> str:
    """Return what results depend on."""
    return __version__


def process(job: Job) -> Outcome:
    """
    Do a job, unless it is done.

    The record of what was done comes last: without it the job counts as not done.

    :returns: what became of it; nothing is raised but what ends the process.
    """
    outcome = _attempt(job)
    _give_back()
    return replace(outcome, memory_mb=resident_mb())


def _attempt(job: Job) -> Outcome:
    begun_s, cpu_s = time.perf_counter(), time.process_time()
    try:
        # pieces are thrown away: for them the same times are the same recording
        source_hash = '' if job.whole else hash_of(job.request.source)
        before = done_before(job, source_hash)
        if before is not None:
            return before
        job.record.unlink(missing_ok=True)
        job.record.parent.mkdir(parents=True, exist_ok=True)
        digest = Digest(job.name, job.table)
        summary = _process(job, digest)
        return _finish(job, source_hash, summary, digest, begun_s, cpu_s)
    except PieceMissing as error:
        return Outcome(job.name, 'waiting', str(error))
    except Exception as error:  # whatever a damaged recording or a full disk makes others raise
        reason = reason_of(error).removeprefix(f'{job.request.source}: ')
        return Outcome(job.name, 'failed', reason)


def _process(job: Job, digest: Digest) -> Summary:
    import rclpy.logging

    # what each node says when it starts, of a thousand recordings, hides what is wrong
    rclpy.logging.set_logger_level('', rclpy.logging.LoggingSeverity.WARN)
    request = job.request
    if not job.parts:
        return process_bag(request, digest=digest)
    recording = JoinedRecording(request.source, job.parts, request.image_topic)
    with recording:
        faces = recording.faces.name
    request = replace(request, without=(NODE,), merge=True, keep=() if request.merge else (faces,))
    return process_bag(request, digest=digest, recording=recording)


def _finish(
    job: Job, source_hash: str, summary: Summary, digest: Digest, begun_s: float, cpu_s: float
) -> Outcome:
    """Write the record."""
    problems = [loss.removeprefix(f'{job.request.source}: ') for loss in summary.losses]
    if summary.malformed:
        problems.append(f'{summary.malformed} of {summary.images} images were refused')
    if summary.unreadable:
        problems.append(f'{summary.unreadable} messages could not be read')
    record = {
        'made_of': made_of(job, source_hash),
        'problems': problems,
        'skipped': summary.skipped,
        'bag_s': summary.bag_s,
        **digest.content(),
    }
    write_whole(job.record, json.dumps(record, allow_nan=False))
    return Outcome(
        job.name,
        'done',
        problems=tuple(problems),
        bag_s=summary.bag_s,
        wall_s=time.perf_counter() - begun_s,
        cpu_s=time.process_time() - cpu_s,
        images=summary.images,
    )


def process_sent(job: Job, content: Files) -> tuple[Outcome, Files]:
    """
    Do a job whose recording was sent along, where there is no shared folder.

    :param content: files of the recording; of a folder, with its name before theirs.
    :returns: what became of it, and the files of its results, by suffix.
    """
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary, 'results')
            source = Path(temporary, 'recording', job.request.source.name)
            for name, data in content.items():
                file = Path(temporary, 'recording', name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            request = job.request
            target = BagTarget(folder / 'result.mcap', 'mcap', request.target.compress)
            table = None if request.csv is None else folder / 'result.csv'
            there = replace(job, request=replace(request, source=source, target=target, csv=table))
            outcome = process(there)
            if outcome.status == 'failed':
                reason = outcome.reason.replace(f'{source}', f'{request.source}')
                return replace(outcome, reason=reason), {}
            return outcome, {one.suffix: one.read_bytes() for one in folder.iterdir()}
    except Exception as error:
        return Outcome(job.name, 'failed', reason_of(error)), {}


def take_back(job: Job, results: Files) -> None:
    """
    Put the results of :func:`process_sent` where they belong, the record last.

    :raises OSError: when they cannot be written.
    """
    job.record.parent.mkdir(parents=True, exist_ok=True)
    for path in job.outputs:
        write_whole(path, results[path.suffix])
    record = json.loads(results[job.record.suffix])
    record['made_of'] = made_of(job, record['made_of']['input'])
    write_whole(job.record, json.dumps(record))


def files_of(source: Path) -> Files:
    """
    Return the files of a recording, to be sent along.

    :raises OSError: when they cannot be read.
    """
    if source.is_file():
        return {source.name: source.read_bytes()}
    files = (file for file in source.iterdir() if file.is_file())
    return {f'{source.name}/{file.name}': file.read_bytes() for file in files}


def reason_of(error: BaseException) -> str:
    """Say in a line what went wrong."""
    text = one_line(error)
    if type(error).__name__ in ('BagError', 'PipelineError'):
        return text
    return f'{type(error).__name__}: {text}'


def _give_back() -> None:
    """Give memory back: networks are loaded for each recording, and leave the heap in pieces."""
    gc.collect()
    return_free_memory()


def resident_mb() -> float:
    """Return how much memory this process holds now [MB]."""
    try:
        pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[1])
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / 1e6
