# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the page of a recording, or of all recordings of many tables."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aitable_ros.tools.report.digest import Digest
from aitable_ros.tools.report.fleet_page import Entry, entry_of, fleet_page
from aitable_ros.tools.report.recording_page import recording_page
from aitable_ros.tools.support.interrupts import settle_interrupt
from aitable_ros.visualization.overlay.privacy_modes import NO_IMAGE, PRIVACY

SUMMARY = 'summary.json'
INDEX = 'index.html'


class ReportError(RuntimeError):
    """There is nothing to report of; the message is one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0; 1 when something cannot be read or written.
    """
    options = _parser().parse_args(argv)
    try:
        if options.source.is_dir() and not (options.source / 'metadata.yaml').is_file():
            written = report_fleet(options.source, options.out or options.source / INDEX)
        else:
            written = _report_one(options.source, options.out, options.privacy)
    except ImportError as error:
        return _fail(f'{error}: source a ROS 2 installation first')
    except (ReportError, OSError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        settle_interrupt()
        return _fail('interrupted')
    print(written)
    return 0


def report_fleet(folder: Path, out: Path) -> Path:
    """
    Write a page of each recording in a folder of ``process_bags``, and one of all.

    :param out: the page of all.
    :returns: ``out``.
    :raises ReportError: when there are no results.
    :raises OSError: when a page cannot be written.
    """
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding='utf-8'))
        outcomes = list(summary['recordings'])
    except (OSError, ValueError, KeyError) as error:
        raise ReportError(f'{folder}: no results of process_bags: {error}') from error
    entries: list[Entry] = []
    for one in outcomes:
        record = folder / f'{one["name"]}.json'
        content = _read(record) if one['status'] != 'failed' else None
        if content is None:
            continue
        own = record.with_suffix('.html')
        write_page(own, recording_page(content))
        link = Path(os.path.relpath(own, out.parent)).as_posix()
        entry = entry_of(content, link)
        if entry is not None:
            entries.append(entry)
    write_page(out, fleet_page('All tables', entries, outcomes))
    return out


def report_digest(digest: Digest, out: Path, problems: Sequence[str] = ()) -> None:
    """
    Write the page of one recording, and the same as JSON beside it.

    :param out: the page.
    :param problems: what the recording lacks.
    :raises OSError: when one cannot be written.
    """
    content = {**digest.content(), 'problems': list(problems)}
    write_page(out, recording_page(content, digest.pictures))
    write_page(out.with_suffix('.json'), json.dumps(content, allow_nan=False))


def write_page(path: Path, text: str) -> None:
    """
    Write a file that takes its place when it is whole.

    :raises OSError: when it cannot be written.
    """
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        temporary.write_text(text, encoding='utf-8')
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _report_one(source: Path, out: Path | None, privacy: str) -> Path:
    out = out or source.with_suffix('.html')
    if source.suffix == '.json':
        content = _read(source)
        if content is None:
            raise ReportError(f'{source} is no record of process_bags or report')
        write_page(out, recording_page(content))
        return out
    from aitable_ros.bags import BagError
    from aitable_ros.tools.report.collect import digest_of_bag

    try:
        digest = digest_of_bag(source, source.stem, privacy)
    except BagError as error:
        raise ReportError(str(error)) from error
    report_digest(digest, out)
    return out


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    there = isinstance(content, dict) and {'recording', 'bins', 'events'} <= set(content)
    return content if there else None


def _fail(text: str) -> int:
    print(f'report: error: {text}', file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='report',
        description=(
            'Write an HTML page of a recording: who was there, levels, blinks, PERCLOS, where they'
            ' looked, expressions, posture, events; and the same as JSON. Of a folder of'
            ' process_bags a page of all tables and days, and one of each recording. The pages are'
            ' single files that need no network.'
        ),
        epilog='Exit status: 0; 1 when something cannot be read or written.',
    )
    parser.add_argument(
        'source',
        metavar='IN',
        type=Path,
        help='folder of process_bags, a record (.json) out of it, or a bag with results: recorded'
        ' live, or written by process_bag',
    )
    parser.add_argument(
        '--out',
        '-o',
        metavar='FILE',
        type=Path,
        help='the page (default: IN with .html, of a folder its index.html)',
    )
    parser.add_argument(
        '--privacy',
        choices=PRIVACY,
        default=NO_IMAGE,
        help='of a bag with images, what a picture a minute shows: nothing (no_image, the'
        ' default: there are none), landmarks on plain ground (mesh), no faces (blur), or all'
        ' (none)',
    )
    return parser
