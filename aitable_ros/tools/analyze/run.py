# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""One run of ``analyze``: every image goes to the observers, and what they see is written."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from aitable_ros import paths
from aitable_ros.inference.selection import Load
from aitable_ros.model_zoo.loading import loader
from aitable_ros.perception.attention.observer import AttentionObserver
from aitable_ros.perception.emotion.observer import EmotionObserver, EmotionSettings
from aitable_ros.perception.faces.observer import FaceObserver, FaceSettings
from aitable_ros.perception.faces.pipeline_settings import PipelineSettings
from aitable_ros.perception.fatigue.observer import FatigueObserver
from aitable_ros.perception.images.stream_order import StreamOrder
from aitable_ros.perception.observers import Observation, Observers
from aitable_ros.perception.posture.body_source import load_body_source
from aitable_ros.perception.posture.observer import PostureObserver, PostureObserverSettings
from aitable_ros.sources import SourceError
from aitable_ros.tools.analyze.describe import describe
from aitable_ros.tools.analyze.inputs import Input, Shot, find_inputs
from aitable_ros.tools.analyze.summary import Summaries, free_path
from aitable_ros.tools.report.command import report_digest
from aitable_ros.tools.report.digest import Digest
from aitable_ros.tools.report.pictures import PICTURE_EVERY_S, add_picture
from aitable_ros.tools.support.tables import ReadingTable
from aitable_ros.visualization.overlay.privacy import LastPlaces, ground
from aitable_ros.visualization.overlay.scene import draw_scene, face_overlay, posture_overlay

_JPEG_QUALITY = 92


class Run:
    """
    One run of the tool: its options, and whether anything went wrong so far.

    :param options: of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._failed = False
        self._taken: set[Path] = set()
        self._places = LastPlaces()

    def info(self, line: str) -> None:
        """Print a line to standard error, above the progress bar."""
        tqdm.write(f'analyze: {line}', file=sys.stderr)

    warning = info  # what loads networks tells of both

    def run(self) -> int:
        """
        Analyze everything.

        :returns: the exit status.
        :raises InferenceError: when a network cannot be loaded.
        :raises OSError: when something cannot be written.
        """
        options = self._options
        inputs = list(
            find_inputs(options.paths, options.image_topic, say=self.info, fail=self._fail)
        )
        if not inputs:
            if not self._failed:
                self.info('nothing to analyze: name pictures, videos, folders, cameras or bags')
            return 1 if self._failed else 2
        lines, rows = self._outputs()
        for out in (lines, rows):
            if out not in (None, '-') and any(_is_same(Path(out), item.path) for item in inputs):
                self.info(f'error: {out} would overwrite an input')
                return 2
        if lines and rows and os.path.realpath(lines) == os.path.realpath(rows):
            self.info(f'error: --jsonl and --csv would both be written to {rows}')
            return 2
        self._taken = {item.path.resolve() for item in inputs if item.path}
        for folder in (options.overlay, options.report):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            observers = stack.enter_context(contextlib.closing(load_observers(options, self)))
            for selection in observers.selections:
                self.info(selection.explain())
            emotion = observers.emotion
            if emotion.skipped:
                why = '; '.join(map(str, emotion.skipped))
                self.info(f'emotion is read by {emotion.reading}; skipped: {why}')
            why = observers.faces.why_unrefined
            if options.refine_eyes and why:
                self.info(f'lids are measured by FaceMesh alone: {why}')
            summaries = Summaries()
            json_lines = _open(lines, stack)
            table = None if rows is None else ReadingTable(_open(rows, stack) or sys.stdout)
            total = sum(-(-item.announced // self._stride(item)) for item in inputs)
            bar = stack.enter_context(
                tqdm(total=total, unit='frame', desc='analyze', file=sys.stderr, disable=None)
            )
            for item in inputs:
                observers.reset()
                self._places = LastPlaces()
                digest = Digest(item.stem) if options.report and item.is_stream else None
                problems: list[str] = []
                try:
                    for shot in self._shots(item):
                        observation = _observe(observers, item, shot)
                        if observation is None:
                            continue
                        if json_lines is not None:
                            line = self._describe(item, shot, observation, observers)
                            # ASCII: any terminal can show it, and file names need not be UTF-8.
                            text = json.dumps(line, allow_nan=False, separators=(',', ':'))
                            json_lines.write(text + '\n')
                            json_lines.flush()
                        if table is not None:
                            _add_rows(table, item, shot, observation)
                        if options.overlay is not None:
                            self._draw(item, shot, observation)
                        if digest is not None:
                            self._digest(digest, item, shot, observation, observers)
                        summaries.add(item, shot.stamp_s, observation)
                        bar.update()
                    self._tell_order(item, observers.faces.stream)
                except SourceError as error:
                    self._fail(str(error))
                    problems.append(str(error))
                except KeyboardInterrupt:
                    if not item.live:
                        raise
                if digest is not None:
                    page = free_path(options.report, item.stem, '.html', self._taken)
                    report_digest(digest, page, problems)
        for text in summaries.lines():
            self.info(text)
        return 1 if self._failed else 0

    def _tell_order(self, item: Input, stream: StreamOrder) -> None:
        """Say which images of a stream did not count."""
        if stream.late:
            self.info(
                f'{item.name}: the stamps of {stream.late} images do not follow those before'
            )
        if stream.foreign:
            self.info(f'{item.name}: {stream.foreign} images of another camera were left out')
        stream.late = stream.foreign = 0

    def _outputs(self) -> tuple[str | None, str | None]:
        """Return where lines and rows go; standard output is the default for lines."""
        options = self._options
        asked = (options.jsonl, options.csv, options.overlay, options.report)
        return ('-' if asked == (None,) * 4 else options.jsonl), options.csv

    def _fail(self, line: str) -> None:
        self._failed = True
        self.info(line)

    def _stride(self, item: Input) -> int:
        return int(self._options.stride) if item.is_stream else 1

    def _shots(self, item: Input) -> Iterator[Shot]:
        stride, first_s = self._stride(item), None
        for shot in item.shots():
            first_s = shot.stamp_s if first_s is None else first_s
            if item.is_stream and shot.stamp_s - first_s >= self._options.seconds:
                return
            if not (shot.frame or 0) % stride:
                yield shot

    def _describe(
        self, item: Input, shot: Shot, observation: Observation, observers: Observers
    ) -> dict[str, Any]:
        line = {
            'image': item.name,
            'stamp': round(shot.stamp_s, 6),
            **describe(
                observation,
                is_stream=item.is_stream,
                landmarks=not self._options.no_landmarks,
            ),
        }
        if shot.frame is not None:
            line['frame'] = shot.frame
        return line

    def _digest(
        self,
        digest: Digest,
        item: Input,
        shot: Shot,
        observation: Observation,
        observers: Observers,
    ) -> None:
        seen = observation.seen
        people = [face.face_id for face in seen.faces]
        digest.add_seen(shot.stamp_s, seen.seeing, seen.backend, people)
        _add_rows(digest, item, shot, observation)
        for one in (*observers.fatigue.events, *observers.attention.events):
            digest.add_event(one.kind, one.person, one.start_s, one.duration_s, one.value)
        taken_s = digest.pictures[-1][0] if digest.pictures else -math.inf
        if self._options.pictures and shot.stamp_s >= taken_s + PICTURE_EVERY_S:
            add_picture(digest, shot.stamp_s, self._annotated(item, shot, observation))

    def _annotated(
        self, item: Input, shot: Shot, observation: Observation
    ) -> npt.NDArray[np.uint8]:
        return annotated(
            shot.image,
            observation,
            is_stream=item.is_stream,
            privacy=self._options.privacy,
            # pictures are independent of each other
            places=self._places if item.is_stream else LastPlaces(),
        )

    def _draw(self, item: Input, shot: Shot, observation: Observation) -> None:
        stem = item.stem + ('' if shot.frame is None else f'_{shot.frame:06d}')
        drawn = self._annotated(item, shot, observation)
        picture = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        if not done:
            raise OSError(f'{item.name}: the annotated picture cannot be encoded as JPEG')
        free_path(self._options.overlay, stem, '.jpg', self._taken).write_bytes(data.tobytes())


def load_observers(options: argparse.Namespace, logger: Any) -> Observers:
    """
    Load what was asked for.

    :param options: of the command line.
    :param logger: told about downloads.
    :raises InferenceError: when a network cannot be loaded; none stays open.
    """

    def load(backend: str) -> Load:
        parameters = {
            'backend': backend,
            'engines_dir': options.engines_dir or '',
            'models_file': '',
            'threads': options.threads,
        }
        return loader(parameters, logger)

    with contextlib.ExitStack() as stack:

        def kept(observer: Any) -> Any:
            stack.callback(observer.close)
            return observer

        pipeline = PipelineSettings(max_faces=options.max_faces)
        faces = kept(
            FaceObserver.load(
                load(options.backend),
                FaceSettings(pipeline=pipeline),
                refine_eyes=options.refine_eyes,
                detector=options.detector,
                backend=options.backend,
            )
        )
        defaults = EmotionSettings()
        emotion = kept(
            EmotionObserver.load(
                load(options.emotion_backend),
                backend=options.emotion_backend,
                reading=options.emotion_reading,
                settings=EmotionSettings(
                    max_rate_hz=0.0 if options.every_image else defaults.max_rate_hz
                ),
            )
        )
        posture = None
        if options.posture:
            backend = options.posture_backend or options.backend
            source = load_body_source(
                load(backend),
                options.posture_network,
                model=options.posture_model,
                backend=backend,
                engines_dir=paths.engines_dir(options.engines_dir),
                threads=options.threads,
            )
            stack.callback(source.close)
            rate_hz = 0.0 if options.every_image else PostureObserverSettings().max_rate_hz
            posture = PostureObserver(source, PostureObserverSettings(max_rate_hz=rate_hz))
        stack.pop_all()
    return Observers(faces, FatigueObserver(), AttentionObserver(), emotion, posture)


def annotated(
    image: npt.NDArray[np.uint8],
    observation: Observation,
    *,
    is_stream: bool,
    privacy: str,
    places: LastPlaces,
) -> npt.NDArray[np.uint8]:
    """
    Draw an observation as the overlay node does.

    :param image: (H, W, 3) uint8 RGB; left as it is.
    :param is_stream: False: a picture, of which there is nothing over time.
    :param privacy: how much of people is shown.
    :param places: of the faces in the images before.
    """
    overlays = []
    for reading, attention in zip(observation.fatigue, observation.attention):
        looks, gaze = attention.fields(), attention.gaze
        emotion, pose = observation.emotion_of(reading.face.face_id), reading.pose
        overlays.append(
            face_overlay(
                reading.face,
                emotion and emotion.estimate,
                SimpleNamespace(**reading.fields()),
                (pose.position_m, pose.orientation_xyzw) if pose else None,
                SimpleNamespace(**looks) if is_stream else None,
                gaze.direction if looks['gaze_valid'] else None,
            )
        )
    posture = observation.posture
    body = None
    if posture is not None:
        body = posture_overlay(SimpleNamespace(**posture.fields()), posture.body)
        if not is_stream:
            body = replace(body, posture='', note='')
    hidden = places.update(observation.seen.stamp_s, overlays, body)
    height, width = image.shape[:2]
    return draw_scene(ground(image, (width, height), privacy, hidden), overlays, body)


def _observe(observers: Observers, item: Input, shot: Shot) -> Observation | None:
    if item.is_stream:
        return observers.observe(shot.image, shot.stamp_s, shot.intrinsics, shot.frame_id)
    return observers.observe_still(shot.image)


def _add_rows(
    table: ReadingTable | Digest, item: Input, shot: Shot, observation: Observation
) -> None:
    posture = observation.posture
    table.add_image(
        item.name,
        shot.stamp_s,
        observation.seen.faces,
        {one.face.face_id: one.estimate for one in observation.emotion},
        {one.face.face_id: one.fields() for one in observation.fatigue},
        None if posture is None else posture.fields(),
        {one.face.face_id: one.fields() for one in observation.attention},
    )


def _is_same(a: Path, b: Path | None) -> bool:
    try:
        return b is not None and a.samefile(b)
    except OSError:
        return False


def _open(out: str | None, stack: contextlib.ExitStack) -> TextIO | None:
    if out is None:
        return None
    if out == '-':
        stack.callback(sys.stdout.flush)  # at exit nobody would hear that it failed
        return sys.stdout
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    return stack.enter_context(path.open('w', encoding='utf-8', newline=''))
