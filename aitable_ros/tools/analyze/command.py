# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The command ``analyze``: pictures, videos, cameras and bags without ROS."""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import AUTO, BACKENDS
from aitable_ros.model_zoo.catalog import CatalogError
from aitable_ros.perception.emotion.readings import READINGS
from aitable_ros.perception.faces.observer import DETECTORS
from aitable_ros.perception.posture.body_source import BLAZEPOSE, NETWORKS
from aitable_ros.tools.analyze.run import Run
from aitable_ros.tools.support.interrupts import settle_interrupt
from aitable_ros.visualization.overlay.privacy_modes import BLUR, MESH, NONE


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0; 1 when a file could not be read in full, nothing can be written or no network
        can be loaded; 2 when there is nothing to analyze, or an output would overwrite an
        input or another output.
    """
    options = _parser().parse_args(argv)
    logging.basicConfig(format='analyze: %(message)s', level=logging.WARNING)
    run = Run(options)
    try:
        return run.run()
    except (CatalogError, InferenceError, ImportError) as error:
        run.info(f'error: {error}')
    except BrokenPipeError:
        pass  # whoever read our output has gone
    except OSError as error:
        run.info(f'error: {error}')
    except KeyboardInterrupt:
        settle_interrupt()
        run.info('interrupted; the lines written so far are whole')
    try:
        sys.stdout.flush()
    except OSError:
        # Python would try, and complain, again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='analyze',
        description=(
            'See in pictures, videos, cameras and recorded bags what the nodes see, without ROS:'
            ' faces with boxes, landmarks, eye aspect ratios and expressions, and of what moves'
            " the signs of fatigue. Left and right are the subject's own. Pictures are turned"
            ' upright as their EXIF orientation says, and coordinates are those of the upright'
            ' picture [pixels], angles are in radians, durations in seconds. What is not measured'
            ' is null in JSON and empty in CSV.'
        ),
        epilog=(
            'Pictures are independent of each other; the faces of a video, a camera or a bag are'
            ' tracked and keep their ids. A file that cannot be read is reported and left out.'
            ' Exit status: 0; 1 when a file could not be read or a network not be loaded; 2 when'
            ' there is nothing to analyze, or an output would overwrite an input or another'
            ' output. At the end standard error gets a line per face of a stream and per folder of'
            ' pictures: the share of each expression, mean valence and arousal; for streams also'
            ' blinks, long closures (0.5 s and more), microsleeps (1 s and more), yawns, nods,'
            ' PERCLOS of the last minute and the level of fatigue.'
        ),
    )
    parser.add_argument(
        'paths',
        metavar='INPUT',
        nargs='*',
        help='pictures, videos, folders (of which the pictures are taken, sorted by name), bags'
        " (folders of ros2 bag, .mcap or .db3 files), cameras (0, /dev/video0) and 'sample'",
    )
    outputs = parser.add_argument_group('outputs')
    outputs.add_argument(
        '--jsonl',
        metavar='OUT',
        help='file for one JSON object per image; - is standard output, which is the default'
        ' without other outputs',
    )
    outputs.add_argument(
        '--csv',
        metavar='OUT',
        help='file for a table with a row per face and image, columns as the fields of the'
        ' messages; - is standard output',
    )
    outputs.add_argument(
        '--overlay', metavar='DIR', type=Path, help='folder for annotated pictures'
    )
    outputs.add_argument(
        '--privacy',
        choices=(NONE, BLUR, MESH),
        default=NONE,
        help='what annotated pictures show: all (none, the default), no faces (blur), or landmarks'
        ' and readings on plain ground (mesh); for no pictures at all leave --overlay out',
    )
    outputs.add_argument(
        '--report',
        metavar='DIR',
        type=Path,
        help='folder for an HTML page of each stream (presence, levels, PERCLOS, blinks, zones,'
        ' expressions, posture, events over time), and the same as JSON',
    )
    outputs.add_argument(
        '--pictures',
        action='store_true',
        help='put a picture a minute into the reports, drawn as --privacy says',
    )
    outputs.add_argument(
        '--no-landmarks',
        action='store_true',
        help='write null for the landmarks, which are most of the JSON',
    )
    what = parser.add_argument_group('what is looked at')
    what.add_argument(
        '--max-faces',
        metavar='N',
        type=_positive,
        default=16,
        help='faces per frame (default: 16)',
    )
    what.add_argument(
        '--detector',
        choices=tuple(DETECTORS),
        default=AUTO,
        help='what looks for faces that face_detection is too coarse for; auto (default): in'
        ' pictures the best one there is, else the one that is needed',
    )
    what.add_argument(
        '--stride',
        metavar='N',
        type=_positive,
        default=1,
        help='of streams, analyze every Nth image (default: 1)',
    )
    what.add_argument(
        '--seconds',
        metavar='S',
        type=_seconds,
        default=math.inf,
        help='of streams, analyze so many seconds (default: all; a camera until Ctrl-C)',
    )
    what.add_argument(
        '--image-topic',
        metavar='TOPIC',
        default='',
        help='the images of bags (default: the only such topic, else /image_raw)',
    )
    what.add_argument(
        '--every-image',
        action='store_true',
        help='of streams, run the networks of emotion and posture on every image (default: at the'
        " nodes' rates, 5 and 10 Hz)",
    )
    what.add_argument(
        '--no-refine-eyes',
        dest='refine_eyes',
        action='store_false',
        help='measure 468 landmarks with FaceMesh, which hardly sees lids close, not 478 with the'
        ' attention mesh',
    )
    what.add_argument(
        '--posture',
        action='store_true',
        help='find the body of the person, too: keypoints and angles, for streams also posture and'
        ' its duration; see docs/posture.md',
    )
    networks = parser.add_argument_group('networks')
    networks.add_argument(
        '--backend',
        choices=(AUTO, *BACKENDS),
        default=AUTO,
        help='what runs the networks of faces, eyes and body (default: the first that works)',
    )
    networks.add_argument(
        '--emotion-backend',
        choices=(AUTO, *BACKENDS),
        default=AUTO,
        help='what runs the network of expressions (default: the first that works)',
    )
    networks.add_argument(
        '--emotion-reading',
        choices=(AUTO, *READINGS),
        default=AUTO,
        help='what reads expressions (default: the first of emonet, emotieff, emotieff_mbf,'
        ' expression and geometry that loads; see docs/emotion.md)',
    )
    networks.add_argument(
        '--posture-network',
        choices=NETWORKS,
        default=BLAZEPOSE,
        help='what finds the body: BlazePose (33 keypoints, three dimensions; the default), or a'
        ' YOLO-pose file of your own (17 keypoints, two dimensions)',
    )
    networks.add_argument(
        '--posture-model',
        metavar='FILE',
        default='',
        help='with yolo: the .engine or .onnx file (default: yolo_pose.engine or yolo_pose.onnx in'
        ' the engines folder)',
    )
    networks.add_argument(
        '--posture-backend',
        choices=(AUTO, *BACKENDS),
        help='what runs the network of the body (default: as --backend)',
    )
    networks.add_argument(
        '--engines-dir', metavar='DIR', type=Path, help='folder of the model files'
    )
    networks.add_argument(
        '--threads',
        metavar='N',
        type=_positive,
        default=1,
        help='threads per network (default: 1)',
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'expected 1 or more, got {text}')
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0.0:
        raise argparse.ArgumentTypeError(f'{text} is no length of time')
    return value
