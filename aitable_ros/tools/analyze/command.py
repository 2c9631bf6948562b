# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Faces, eyes and expressions of pictures and videos, as JSON lines; needs no ROS."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from aitable_ros import paths
from aitable_ros.inference.engine import InferenceError
from aitable_ros.inference.selection import AUTO, BACKENDS, Selection, load_engine
from aitable_ros.model_zoo.catalog import CatalogError, load_catalog
from aitable_ros.model_zoo.store import fetch_if_possible
from aitable_ros.perception.emotion.expression import (
    EXPRESSIONS,
    UNKNOWN,
    UNKNOWN_NAME,
    EmotionEstimate,
)
from aitable_ros.perception.emotion.expression_geometry import BACKEND, GeometryExpression
from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.mesh import FaceMesh
from aitable_ros.perception.faces.pipeline import FacePipeline, PipelineSettings, TrackedFace
from aitable_ros.perception.fatigue.eye_contours import EyeContours
from aitable_ros.perception.fatigue.eye_openness import EyeAspectRatios, eye_aspect_ratios
from aitable_ros.perception.posture.body_source import (
    BLAZEPOSE,
    NETWORKS,
    BodyEstimator,
    load_body_source,
)
from aitable_ros.sources.capture import Capture, open_video_capture
from aitable_ros.sources.frame_source import SourceError
from aitable_ros.sources.picture_source import PICTURE_SUFFIXES, list_pictures, read_picture
from aitable_ros.sources.video_source import VideoSource
from aitable_ros.tools.analyze.fatigue import FatigueReading, PersonFatigue, fatigue_settings
from aitable_ros.tools.analyze.posture import PersonPosture, PostureReading
from aitable_ros.visualization.overlay.overlay import FaceOverlay, draw_overlay, plan_layout
from aitable_ros.visualization.overlay.posture_overlay import draw_posture
from aitable_ros.visualization.plots import EmotionTrack, draw_emotion, require_matplotlib

MODELS = ('face_detection', 'face_mesh', 'iris_landmark')

_CUT_SHORT = 0.95
"""A video that gives fewer of its announced frames than this is damaged; some containers only
estimate the number."""

_JPEG_QUALITY = 92


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line tool.

    :param argv: arguments; None for those of the process.
    :returns: 0; 1 when a file could not be read in full, nothing can be written or no network
        can be loaded; 2 when there is nothing to analyze.
    """
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format='analyze: %(message)s', level=logging.WARNING)
    run = _Run(arguments)
    try:
        return run.run()
    except (CatalogError, ImportError, InferenceError) as error:
        run.say(f'error: {error}')
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again when flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        run.say(f'error: {error}')
    except KeyboardInterrupt:
        run.say('interrupted; the lines written so far are whole')
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='analyze',
        description=(
            'Find faces in pictures and videos and write, one JSON object per frame, their'
            ' boxes, landmarks, eye aspect ratios and expressions, and of videos the signs of'
            " fatigue. Left and right are the subject's own. Pictures are turned upright as their"
            ' EXIF orientation says, and coordinates are those of the upright picture [pixels],'
            ' angles are in radians, durations in seconds. NaN is written as null.'
        ),
        epilog=(
            'Pictures are independent of each other; the faces of a video are tracked and keep'
            ' their ids. A file that cannot be read is reported and left out. Exit status: 0;'
            ' 1 when a file could not be read or a network not be loaded; 2 when there is'
            ' nothing to analyze. At the end standard error gets a line per face of a video and'
            ' per folder of pictures: the share of each expression, mean valence and arousal;'
            ' for videos also blinks, long closures (0.5 s and more), microsleeps (1 s and more),'
            ' yawns, nods, PERCLOS of the last minute and the level of fatigue.'
        ),
    )
    parser.add_argument(
        'paths',
        metavar='PATH',
        nargs='*',
        help='pictures, videos, and folders, of which the pictures are taken, sorted by name',
    )
    parser.add_argument(
        '--jsonl',
        metavar='OUT',
        help='file for the JSON lines; - is standard output, which is the default without'
        ' --overlay or --plot',
    )
    parser.add_argument(
        '--overlay', metavar='DIR', type=Path, help='folder for annotated pictures'
    )
    parser.add_argument(
        '--plot',
        metavar='DIR',
        type=Path,
        help='folder for plots of expression, valence and arousal: a PNG per face of each video'
        ' (over time) and one per folder of pictures; for videos also openness of the eyes,'
        ' PERCLOS, level and events of each face over time (<video>_<id>_fatigue.png)',
    )
    parser.add_argument(
        '--max-faces', metavar='N', type=_positive, default=5, help='faces per frame (default: 5)'
    )
    parser.add_argument(
        '--stride',
        metavar='N',
        type=_positive,
        default=1,
        help='of videos, analyze every Nth frame (default: 1)',
    )
    parser.add_argument(
        '--no-landmarks',
        action='store_true',
        help='write null for the landmarks, which are most of the output',
    )
    parser.add_argument(
        '--no-refine-eyes',
        dest='refine_eyes',
        action='store_false',
        help='take the eye aspect ratios from the landmarks (FaceMesh hardly sees lids close)'
        ' instead of from the eyelid network (iris_landmark)',
    )
    parser.add_argument(
        '--posture',
        action='store_true',
        help='find the body of the person, too: keypoints and angles, for videos also posture and'
        ' its duration; see docs/posture.md',
    )
    parser.add_argument(
        '--posture-network',
        choices=NETWORKS,
        default=BLAZEPOSE,
        help='what finds the body: BlazePose (33 keypoints, three dimensions; the default), or a'
        ' YOLO-pose file of your own (17 keypoints, two dimensions)',
    )
    parser.add_argument(
        '--posture-model',
        metavar='FILE',
        default='',
        help='with yolo: the .engine or .onnx file (default: yolo_pose.engine or yolo_pose.onnx in'
        ' the engines folder)',
    )
    parser.add_argument(
        '--posture-backend',
        choices=(AUTO, *BACKENDS),
        help='what runs the network of the body (default: as --backend)',
    )
    parser.add_argument(
        '--backend',
        choices=(AUTO, *BACKENDS),
        default=AUTO,
        help='what runs the networks (default: the first that works)',
    )
    parser.add_argument(
        '--engines-dir', metavar='DIR', type=Path, help='folder of the model files'
    )
    parser.add_argument(
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


@dataclass(frozen=True)
class _Input:
    """
    One file.

    :param path: where it is.
    :param name: as the user wrote it; of a picture in a folder, the folder as written and the
        file's name.
    :param is_video: whether it is to be read as a video.
    """

    path: Path
    name: str
    is_video: bool


class _Run:
    """One run of the tool: its options, and whether anything went wrong so far."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._options = arguments
        self._failed = False
        self._emotion = GeometryExpression()
        self._eyes: EyeContours | None = None
        self._bodies: BodyEstimator | None = None
        self._postures: dict[str, PersonPosture] = {}
        self._posture: PostureReading | None = None
        self._overlay_names: set[str] = set()
        self._histories: dict[tuple[str, str], _History] = {}
        self._people: dict[tuple[str, str], PersonFatigue] = {}
        self._fatigue_settings = fatigue_settings(refine_eyes=arguments.refine_eyes)

    def say(self, line: str) -> None:
        """Print a line to standard error, above the progress bar."""
        tqdm.write(f'analyze: {line}', file=sys.stderr)

    def run(self) -> int:
        """Analyze everything; returns the exit status."""
        options = self._options
        inputs = list(self._inputs())
        if not inputs:
            if not self._failed:
                self.say('nothing to analyze: name pictures, videos or folders')
            return 1 if self._failed else 2
        asked = (options.jsonl, options.overlay, options.plot)
        out = '-' if asked == (None, None, None) else options.jsonl
        if out not in (None, '-') and any(_is_same(Path(out), item.path) for item in inputs):
            self.say(f'error: --jsonl {out} would overwrite an input')
            return 2
        if options.overlay is not None:
            options.overlay.mkdir(parents=True, exist_ok=True)
        if options.plot is not None:
            require_matplotlib()
            options.plot.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            pipeline = self._load(stack)
            sink = _open_output(out, stack)
            total = sum(_frames_announced(item, options.stride) for item in inputs)
            bar = stack.enter_context(
                tqdm(total=total, unit='frame', desc='analyze', file=sys.stderr, disable=None)
            )
            for item in inputs:
                try:
                    for line, image, faces in self._analyze(item, pipeline):
                        self._write(sink, line)
                        self._draw(item, line, image, faces)
                        self._remember(item, line)
                        bar.update()
                except SourceError as error:
                    self._fail(str(error))
        self._conclude(inputs)
        return 1 if self._failed else 0

    def _fail(self, line: str) -> None:
        self._failed = True
        self.say(line)

    def _inputs(self) -> Iterator[_Input]:
        for name in self._options.paths:
            path = Path(name)
            try:
                if path.is_dir():
                    for picture in list_pictures(path):
                        yield _Input(picture, str(Path(name) / picture.name), False)
                elif not path.exists():
                    self._fail(f'{name} does not exist')
                else:
                    yield _Input(path, name, path.suffix.lower() not in PICTURE_SUFFIXES)
            except SourceError as error:
                self.say(str(error))

    def _load(self, stack: contextlib.ExitStack) -> FacePipeline:
        options = self._options
        folder = paths.engines_dir(options.engines_dir)
        catalog = load_catalog()

        def load(names: Sequence[str], backend: str = options.backend) -> list[Selection]:
            if failed := fetch_if_possible(names, folder, progress=self.say):
                self.say(failed)
            selections = []
            for name in names:
                selection = load_engine(
                    catalog[name], backend, engines_dir=folder, threads=options.threads
                )
                stack.enter_context(selection.engine)
                self.say(selection.explain())
                selections.append(selection)
            return selections

        detector, mesh, *eyes = load(MODELS if options.refine_eyes else MODELS[:2])
        if eyes:
            self._eyes = EyeContours(eyes[0].engine)
        if options.posture:
            backend = options.posture_backend or options.backend
            body = load_body_source(
                lambda names: load(names, backend),
                options.posture_network,
                model=options.posture_model,
                backend=backend,
                engines_dir=folder,
                threads=options.threads,
            )
            stack.callback(body.close)
            if options.posture_network != BLAZEPOSE:
                self.say(body.selections[0].explain())
            self._bodies = body.estimator
        return FacePipeline(
            FaceDetector(detector.engine, max_faces=options.max_faces),
            FaceMesh(mesh.engine),
            settings=PipelineSettings(max_faces=options.max_faces),
        )

    def _analyze(
        self, item: _Input, pipeline: FacePipeline
    ) -> Iterator[tuple[dict[str, Any], npt.NDArray[np.uint8], list[FaceOverlay]]]:
        """Give each frame's JSON object, the image and what to draw onto it."""
        if not item.is_video:
            _check_whole(item.path)
            image = read_picture(item.path)
            yield self._describe(item, 0.0, image, pipeline.process_still(image))
            return
        pipeline.reset()
        counted = _CountedVideo()
        with VideoSource(item.path, loop=False, capture_factory=counted.open) as source:
            read = 0
            while (frame := source.read()) is not None:
                read += 1
                if frame.index % self._options.stride:
                    continue
                faces = pipeline.process(frame.image, frame.time_s)
                line, image, overlays = self._describe(item, frame.time_s, frame.image, faces)
                line['frame'] = frame.index
                yield line, image, overlays
        if read < _CUT_SHORT * counted.announced:
            self._fail(f'{item.name} is damaged: {read} of {counted.announced} frames decoded')

    def _describe(
        self,
        item: _Input,
        stamp_s: float,
        image: npt.NDArray[np.uint8],
        faces: Sequence[TrackedFace],
    ) -> tuple[dict[str, Any], npt.NDArray[np.uint8], list[FaceOverlay]]:
        described, overlays = [], []
        size_px = (image.shape[1], image.shape[0])
        for face, ears in zip(faces, self._measure_eyes(image, faces)):
            left_ear, right_ear = ears.left, ears.right
            fatigue: FatigueReading | None = None
            if item.is_video:
                person = self._person(item, face.face_id)
                fatigue = person.update(stamp_s, face, ears, size_px)
            emotion = EmotionEstimate.unknown(BACKEND)
            if face.landmarks_px is not None:
                emotion = self._emotion.estimate(face.landmarks_px)
            landmarks = None if self._options.no_landmarks else face.landmarks_px
            described.append(
                {
                    'id': face.face_id,
                    'box': _numbers(face.xywh_px, 3),
                    'confidence': _number(face.confidence, 4),
                    'presence': _number(face.presence, 4),
                    'landmarks': None if landmarks is None else _numbers(landmarks, 3),
                    'left_ear': _number(left_ear, 5),
                    'right_ear': _number(right_ear, 5),
                    'emotion': {
                        'expression': emotion.label,
                        'confidence': _number(emotion.confidence, 5),
                        'probabilities': _numbers(emotion.probabilities, 6),
                        'valence': _number(emotion.valence, 5),
                        'arousal': _number(emotion.arousal, 5),
                        'backend': emotion.backend,
                    },
                    'ear_model': 'face_mesh' if self._eyes is None else 'iris_landmark',
                }
            )
            if fatigue is not None:
                described[-1]['fatigue'] = {
                    name: _number(value, 5) if isinstance(value, float) else value
                    for name, value in fatigue.describe().items()
                }
            overlays.append(
                FaceOverlay(
                    face_id=face.face_id,
                    xywh_px=face.xywh_px,
                    landmarks_px=face.landmarks_px,
                    expression=emotion.label,
                    confidence=emotion.confidence,
                    valence=emotion.valence,
                    arousal=emotion.arousal,
                    left_ear=left_ear,
                    right_ear=right_ear,
                    eyes_closed=fatigue.eyes_closed if fatigue else None,
                    perclos=fatigue.state.perclos.p80 if fatigue else math.nan,
                    level=fatigue.level if fatigue else '',
                )
            )
        line = {'image': item.name, 'stamp': round(stamp_s, 6), 'faces': described}
        if self._bodies is not None:
            self._posture = self._sitter(item, self._bodies).update(stamp_s, image, faces)
            line['posture'] = self._posture.describe()
        return line, image, overlays

    def _sitter(self, item: _Input, bodies: BodyEstimator) -> PersonPosture:
        """Return what is kept of the posture of the person in a video; of a picture, nothing."""
        if not item.is_video:
            return PersonPosture(bodies, is_video=False)
        person = self._postures.get(item.name)
        if person is None:
            person = self._postures[item.name] = PersonPosture(bodies, is_video=True)
        return person

    def _person(self, item: _Input, face_id: str) -> PersonFatigue:
        """Return what is kept of the fatigue of this face of a video."""
        key = (item.name, face_id)
        person = self._people.get(key)
        if person is None:
            person = self._people[key] = PersonFatigue(
                self._fatigue_settings, keep_timeline=self._options.plot is not None
            )
        return person

    def _measure_eyes(
        self, image: npt.NDArray[np.uint8], faces: Sequence[TrackedFace]
    ) -> list[EyeAspectRatios]:
        """Give the EARs of each face; NaN where it has no landmarks."""
        ears = [EyeAspectRatios(math.nan, math.nan)] * len(faces)
        meshes = [(i, f.landmarks_px) for i, f in enumerate(faces) if f.landmarks_px is not None]
        landmarks = [points for _, points in meshes]
        measured = (
            [eye_aspect_ratios(points) for points in landmarks]
            if self._eyes is None
            else self._eyes.run(image, landmarks)
        )
        for (i, _), pair in zip(meshes, measured):
            ears[i] = pair
        return ears

    def _write(self, sink: TextIO | None, line: dict[str, Any]) -> None:
        if sink is not None:
            # ASCII: any terminal can show it, and file names need not be valid UTF-8.
            sink.write(json.dumps(line, allow_nan=False, separators=(',', ':')) + '\n')
            sink.flush()

    def _draw(
        self,
        item: _Input,
        line: dict[str, Any],
        image: npt.NDArray[np.uint8],
        faces: Sequence[FaceOverlay],
    ) -> None:
        folder = self._options.overlay
        if folder is None:
            return
        stem = item.path.stem + (f'_{line["frame"]:06d}' if item.is_video else '')
        name, number = stem, 2
        while name in self._overlay_names:
            name, number = f'{stem}_{number}', number + 1
        self._overlay_names.add(name)
        if self._posture is not None:
            layout = plan_layout(image.shape[0], image.shape[1], faces)
            cards = tuple(card for card in layout.cards if card is not None)
            image = draw_posture(
                image, self._posture.overlay(), avoid=(*layout.eyes, *cards), head=not faces
            )
        picture = cv2.cvtColor(draw_overlay(image, faces), cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        if not done:
            raise OSError(f'{item.name}: the annotated picture cannot be encoded as JPEG')
        (folder / f'{name}.jpg').write_bytes(data.tobytes())

    def _remember(self, item: _Input, line: dict[str, Any]) -> None:
        """Keep the expressions: of each face of a video, of all pictures of a folder together."""
        for face in line['faces']:
            if item.is_video:
                key = (item.name, face['id'])
                title, stem = f'{item.name}   face {face["id"]}', f'{item.path.stem}_{face["id"]}'
            else:
                key = (str(Path(item.name).parent), '')
                stem = item.path.resolve().parent.name or 'pictures'
                title = f'pictures in {stem}'
            history = self._histories.get(key)
            if history is None:
                history = _History(title, stem, EmotionTrack(is_time=item.is_video))
                self._histories[key] = history
            position = line['stamp'] if item.is_video else len(history.track) + 1
            history.track.add(position, _estimate(face['emotion']))

    def _conclude(self, inputs: Sequence[_Input]) -> None:
        """Print the summaries and write the plots."""
        folder = self._options.plot
        taken = {item.path.resolve() for item in inputs}
        for key, history in self._histories.items():
            person = self._people.get(key)
            self.say(_summary(history) + (f'; {person.summary()}' if person else ''))
            if folder is None:
                continue
            figure = draw_emotion(history.track, history.title)
            figure.savefig(_free_path(folder, history.stem, taken))
            if person is not None:
                path = _free_path(folder, f'{history.stem}_fatigue', taken)
                person.write_plot(path, history.title)
        for name, sitter in self._postures.items():
            self.say(f'{name}: {sitter.summary()}')


@dataclass(frozen=True)
class _History:
    """
    The expressions of one face of a video, or of the faces of pictures.

    :param title: what it is of, for the reader.
    :param stem: name of the plot's file, without suffix.
    :param track: the estimates.
    """

    title: str
    stem: str
    track: EmotionTrack


def _estimate(emotion: dict[str, Any]) -> EmotionEstimate:
    """Return an estimate as it was before it was written to JSON."""
    name = emotion['expression']
    confidence, valence, arousal = (
        math.nan if emotion[key] is None else emotion[key]
        for key in ('confidence', 'valence', 'arousal')
    )
    return EmotionEstimate(
        expression=UNKNOWN if name == UNKNOWN_NAME else EXPRESSIONS.index(name),
        confidence=confidence,
        probabilities=np.array(emotion['probabilities'], dtype=np.float64),
        valence=valence,
        arousal=arousal,
        backend=emotion['backend'],
    )


def _free_path(folder: Path, stem: str, taken: set[Path]) -> Path:
    """Name a PNG file that is not taken yet, and take it."""
    path, number = folder / f'{stem}.png', 2
    while path.resolve() in taken:
        path, number = folder / f'{stem}_{number}.png', number + 1
    taken.add(path.resolve())
    return path


def _summary(history: _History) -> str:
    track = history.track
    count = len(track)
    unit = ('frame' if track.is_time else 'face') + ('' if count == 1 else 's')
    shares = ', '.join(f'{name} {100 * share:.0f} %' for name, share in track.shares().items())
    means = ['-' if math.isnan(mean) else f'{mean:+.2f}' for mean in track.means()]
    title = ' '.join(history.title.split('   '))
    return f'{title}: {count} {unit}: {shares}; mean valence {means[0]}, arousal {means[1]}'


class _CountedVideo:
    """Opens a video and remembers how many frames it announces; 0: it does not say."""

    def __init__(self) -> None:
        self.announced = 0

    def open(self, path: str) -> Capture:
        """Open the file for :class:`VideoSource`."""
        capture = open_video_capture(path)
        self.announced = _frame_count(capture)
        return capture


def _frame_count(capture: Capture) -> int:
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(count) if math.isfinite(count) and 0 < count < 1e9 else 0


def _frames_announced(item: _Input, stride: int) -> int:
    if not item.is_video:
        return 1
    capture = open_video_capture(str(item.path))
    try:
        return -(-_frame_count(capture) // stride)
    finally:
        capture.release()


def _check_whole(path: Path) -> None:
    """
    Refuse JPEG and PNG files that were cut off: OpenCV gives them with the rest grey.

    :raises SourceError: when the file ends before its picture does, or cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f'{path} cannot be read: {error.strerror or error}') from error
    # In JPEG data no other FF D9 (end of image) follows the last FF DA (start of scan).
    cut_jpeg = data.startswith(b'\xff\xd8') and data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda')
    cut_png = data.startswith(b'\x89PNG\r\n\x1a\n') and b'IEND' not in data[-4096:]
    if cut_jpeg or cut_png:
        raise SourceError(f'{path} is damaged: the file ends before the picture does')


def _is_same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False


def _open_output(out: str | None, stack: contextlib.ExitStack) -> TextIO | None:
    if out is None:
        return None
    if out == '-':
        return sys.stdout
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    return stack.enter_context(path.open('w', encoding='utf-8'))


def _number(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _numbers(values: npt.NDArray, digits: int) -> list[Any]:
    """Nested lists of rounded numbers; what is not finite becomes None."""
    rounded = np.round(np.asarray(values, dtype=np.float64), digits)
    if np.isfinite(rounded).all():
        numbers: list[Any] = rounded.tolist()
        return numbers
    return [
        _numbers(row, digits) if isinstance(row, np.ndarray) else _number(row, digits)
        for row in rounded
    ]
