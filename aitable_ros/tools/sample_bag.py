# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Writes a bag of the built-in sample, for trying process_bag and replay; needs no ROS."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0; 1 when the bag cannot be written.
    """
    arguments = _parser().parse_args(argv)
    try:
        from aitable_ros.bags import BagError, BagTarget, SampleBag, make_sample_bag
    except ImportError as error:
        return _fail(f'{error}: pip install rosbags mcap')
    try:
        target = BagTarget.choose(arguments.out, arguments.storage, 'mcap', arguments.compress)
        content = SampleBag(
            seconds=arguments.seconds,
            fps=arguments.fps,
            size_px=(arguments.width, arguments.height),
            raw=arguments.images != 'compressed',
            compressed=arguments.images != 'raw',
            camera_info=not arguments.no_camera_info,
            topic=arguments.topic,
            frame_id=arguments.frame_id,
        )
        images = make_sample_bag(target, content, force=arguments.force)
    except BagError as error:
        return _fail(str(error))
    print(f'{target.path}: {images} images, {images / content.fps:.1f} s, {target.storage}')
    return 0


def _fail(text: str) -> int:
    print(f'sample_bag: error: {text}', file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='sample_bag',
        description='Write a bag of the built-in sample: a face that moves and blinks, and the'
        " camera's calibration.",
    )
    parser.add_argument(
        'out',
        metavar='OUT',
        type=Path,
        help='bag to write: a file that ends in .mcap or .db3, or a folder',
    )
    parser.add_argument(
        '--images',
        choices=('raw', 'compressed', 'both'),
        default='compressed',
        help='which images (default: %(default)s)',
    )
    parser.add_argument(
        '--storage', choices=('mcap', 'sqlite3'), help='how to write a folder (default: mcap)'
    )
    parser.add_argument('--compress', action='store_true', help='compress the mcap file (zstd)')
    for name, kind, default, text in (
        ('seconds', float, 10.0, 'length [s]'),
        ('fps', float, 15.0, 'images per second'),
        ('width', int, 640, 'width of the images [pixels]'),
        ('height', int, 480, 'height of the images [pixels]'),
        ('topic', str, '/image_raw', 'topic of the raw images; the others follow from it'),
        ('frame-id', str, 'camera_optical_frame', 'frame_id of the camera'),
    ):
        parser.add_argument(
            f'--{name}', type=kind, default=default, help=f'{text} (default: %(default)s)'
        )
    parser.add_argument(
        '--no-camera-info', action='store_true', help="leave the camera's calibration out"
    )
    parser.add_argument('--force', action='store_true', help='replace the bag that is there')
    return parser


if __name__ == '__main__':
    sys.exit(main())
