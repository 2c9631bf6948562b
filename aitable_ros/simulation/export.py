# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the sample sequence to a video file or a folder of pictures, for looking at."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2

from aitable_ros.simulation.astronaut_sequence import AstronautSequence

_VIDEO_CODECS = {'.mp4': 'mp4v', '.avi': 'MJPG'}


def export(sequence: AstronautSequence, out: Path) -> None:
    """
    Write all frames.

    :param sequence: what to write.
    :param out: a file that ends in .mp4 or .avi (lossy), or a folder, which gets one PNG per
        frame, named by its number. Parent folders are made.
    :raises OSError: when nothing can be written there.
    """
    codec = _VIDEO_CODECS.get(out.suffix.lower())
    if codec is None:
        out.mkdir(parents=True, exist_ok=True)
        for i in range(len(sequence)):
            picture = out / f'{i:06d}.png'
            if not cv2.imwrite(str(picture), sequence.frame(i)[..., ::-1]):
                raise OSError(f'{picture}: cannot be written')
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    size = (sequence.width, sequence.height)
    writer = cv2.VideoWriter(str(out), cv2.VideoWriter.fourcc(*codec), sequence.fps, size)
    try:
        if not writer.isOpened():
            raise OSError(f'{out}: cannot be written as {codec} video')
        for i in range(len(sequence)):
            writer.write(cv2.cvtColor(sequence.frame(i), cv2.COLOR_RGB2BGR))
    finally:
        writer.release()


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command.

    :param arguments: command line after the program's name; None: the process' own.
    :returns: exit status.
    """
    parser = argparse.ArgumentParser(
        prog='python3 -m aitable_ros.simulation.export', description=__doc__
    )
    parser.add_argument('out', type=Path, help='.mp4 or .avi file, or a folder for PNG pictures')
    parser.add_argument('--seconds', type=float, default=20.0, help='length (default %(default)s)')
    parser.add_argument('--fps', type=float, default=30.0, help='frame rate (default %(default)s)')
    given = parser.parse_args(arguments)
    try:
        sequence = AstronautSequence(fps=given.fps, duration_s=given.seconds)
        export(sequence, given.out)
    except (ImportError, OSError, ValueError) as error:
        parser.exit(1, f'{parser.prog}: {error}\n')
    print(f'{given.out}: {len(sequence)} frames, {sequence.duration_s:.1f} s')
    for closure in sequence.closures:
        print(f'eyes closed {closure.start_s:.3f} s to {closure.end_s:.3f} s')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
