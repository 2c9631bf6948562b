# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
What peers.py runs in each peer's own environment, which has NumPy, OpenCV and the peer.

A peer is a function that returns two others: one for a picture, one for the next image of a video
(its stamp in seconds comes along). Both take (H, W, 3) uint8 RGB and return a dict for each face:
``box`` (x, y, width, height in pixels), ``points`` ((N, 2) in pixels), and, where the peer tells,
``eyes`` (higher: more closed) and ``expression``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Found = list[dict[str, Any]]
Picture = Callable[[Image], Found]
Video = Callable[[Image, float], Found]
RATE_HZ = 30.0
EYES = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380))
"""Points of MediaPipe's mesh for the eye aspect ratio (Soukupova & Cech 2016), each eye."""
HRI_MESH_SHARE = 0.02
"""Of the image, from which on hri_face_detect (43bf920) runs FaceMesh."""
SAME = {
    **{'angry': 'anger', 'sadness': 'sad', 'happiness': 'happy', 'fearful': 'fear'},
    **{'disgusted': 'disgust', 'surprised': 'surprise'},
}


def aspect_ratio(points: npt.NDArray[np.float64]) -> float:
    """Return the mean eye aspect ratio of a mesh."""

    def of_eye(rows: tuple[int, ...]) -> float:
        a, b, c, d, e, f = (points[row] for row in rows)
        height = np.linalg.norm(b - f) + np.linalg.norm(c - e)
        return float(height / 2.0 / max(np.linalg.norm(a - d), 1e-6))

    return sum(map(of_eye, EYES)) / 2.0


def face_of(points: npt.NDArray[np.float64], **more: Any) -> dict[str, Any]:
    low, high = points.min(0), points.max(0)
    return {'box': [*low.tolist(), *(high - low).tolist()], 'points': points.tolist(), **more}


def aitable(_: str) -> tuple[Picture, Video]:
    """Run ours, as the nodes do: the default reading of expressions and up to four faces."""
    from aitable_ros.model_zoo.loading import loader
    from aitable_ros.perception.emotion.expression import EXPRESSIONS
    from aitable_ros.perception.emotion.observer import EmotionObserver
    from aitable_ros.perception.faces.observer import FaceObserver, SeenFaces
    from aitable_ros.perception.fatigue.eye_openness import eye_aspect_ratios
    from aitable_ros.perception.fatigue.observer import FatigueObserver

    class Say:
        def info(self, line: str) -> None:
            print(line, file=sys.stderr)

        warning = info

    cv2.setNumThreads(1)
    values = {'backend': 'auto', 'engines_dir': '', 'models_file': '', 'threads': 1}
    load = loader(values, Say())
    faces, emotion, fatigue = (
        FaceObserver.load(load),
        EmotionObserver.load(load),
        FatigueObserver(),
    )

    def told(seen: SeenFaces, readings: Any) -> Found:
        read = {id(one.face): one.estimate for one in readings}
        found = []
        for face in seen.faces:
            if face.landmarks_px is None:
                continue
            points = np.asarray(face.landmarks_px, float)[:, :2]
            estimate = read.get(id(face))
            says = None
            if estimate is not None and np.isfinite(estimate.probabilities).any():
                says = EXPRESSIONS[int(np.nanargmax(estimate.probabilities))]
            ratio = eye_aspect_ratios(face.landmarks_px)
            found.append(face_of(points, eyes=-(ratio.left + ratio.right) / 2, expression=says))
        return found

    def picture(image: Image) -> Found:
        seen = faces.observe_still(image)
        return told(seen, emotion.observe_still(seen, image))

    def video(image: Image, stamp_s: float) -> Found:
        seen = faces.observe(image, stamp_s)
        if seen is None:
            return []
        fatigue.observe(seen)
        return told(seen, emotion.observe(seen, lambda: image))

    return picture, video


def mediapipe_tasks(model: str) -> tuple[Picture, Video]:
    """Run MediaPipe's Face Landmarker with blendshapes; no expressions, but a sign of the lids."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    def make(mode: Any) -> Any:
        return vision.FaceLandmarker.create_from_options(
            vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=model),
                running_mode=mode,
                num_faces=4,
                output_face_blendshapes=True,
            )
        )

    still, moving = make(vision.RunningMode.IMAGE), make(vision.RunningMode.VIDEO)

    def told(image: Image, result: Any) -> Found:
        size = np.array(image.shape[1::-1], float)
        found = []
        for marks, shapes in zip(result.face_landmarks, result.face_blendshapes):
            points = np.array([(mark.x, mark.y) for mark in marks]) * size
            blinks = [s.score for s in shapes if s.category_name.startswith('eyeBlink')]
            found.append(face_of(points, eyes=-aspect_ratio(points), blink=float(np.mean(blinks))))
        return found

    def wrapped(image: Image) -> Any:
        return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)

    return (
        lambda image: told(image, still.detect(wrapped(image))),
        lambda image, at_s: told(image, moving.detect_for_video(wrapped(image), int(at_s * 1e3))),
    )


def hri_face_detect(library: str) -> tuple[Picture, Video]:
    """
    Run the detector and the mesh of hri_face_detect, without its node.

    As there: libfacedetection on the image at half its size, faces above 0.75, then MediaPipe's
    refined FaceMesh on the whole image where a face takes up enough of it.
    """
    from mediapipe.python.solutions.face_mesh import FaceMesh

    detect = ctypes.CDLL(library).facedetect
    detect.restype = ctypes.c_void_p
    buffer = (ctypes.c_ubyte * 0x20000)()
    still = FaceMesh(static_image_mode=True, max_num_faces=4, refine_landmarks=True)
    moving = FaceMesh(static_image_mode=False, max_num_faces=4, refine_landmarks=True)

    def run(image: Image, mesh: Any) -> Found:
        small = np.ascontiguousarray(cv2.resize(image[..., ::-1], None, fx=0.5, fy=0.5))
        height, width = small.shape[:2]
        detect(buffer, small.ctypes.data_as(ctypes.c_void_p), width, height, small.strides[0])
        count = int(np.frombuffer(bytes(buffer), np.int32, 1)[0])
        rows = np.frombuffer(bytes(buffer), np.int16, 16 * count, 4).reshape(count, 16)
        rows = rows[rows[:, 0] > 75]
        found: Found = [
            {'box': [2.0 * float(v) for v in row[1:5]], 'points': (2.0 * row[5:15]).reshape(5, 2)}
            for row in rows
        ]
        area = image.shape[0] * image.shape[1]
        if any(one['box'][2] * one['box'][3] / area > HRI_MESH_SHARE for one in found):
            size = np.array(image.shape[1::-1], float)
            meshes = mesh.process(image).multi_face_landmarks or []
            for marks in meshes:
                points = np.array([(mark.x, mark.y) for mark in marks.landmark]) * size
                centre = points.mean(0)
                for one in found:
                    x, y, w, h = one['box']
                    if x < centre[0] < x + w and y < centre[1] < y + h:
                        one.update(points=points, eyes=-aspect_ratio(points))
        for one in found:
            one['points'] = np.asarray(one['points'], float).tolist()
        return found

    return (lambda image: run(image, still)), (lambda image, _: run(image, moving))


def fer(mode: str) -> tuple[Picture, Video]:
    """Run fer with the detector that is its default (a cascade), or with MTCNN."""
    from fer.fer import FER

    detector = FER(mtcnn=mode == 'mtcnn')

    def run(image: Image) -> Found:
        bgr = np.ascontiguousarray(image[..., ::-1])
        found = []
        for one in detector.detect_emotions(bgr):
            best = max(one['emotions'], key=one['emotions'].get)
            box = [float(v) for v in one['box']]
            found.append({'box': box, 'points': [], 'expression': SAME.get(best, best)})
        return found

    return run, lambda image, _: run(image)


def deepface(_: str) -> tuple[Picture, Video]:
    """Run deepface's default detector; its expressions where their weights can be had."""
    from deepface import DeepFace

    actions = ['emotion']

    def run(image: Image) -> Found:
        bgr = np.ascontiguousarray(image[..., ::-1])
        found = []
        if actions:
            try:
                found = DeepFace.analyze(
                    bgr, actions=actions, enforce_detection=False, silent=True
                )
            except Exception as error:
                print(f'no expressions: {" ".join(str(error).split())}', file=sys.stderr)
                actions.clear()
        if not actions:
            found = DeepFace.extract_faces(bgr, enforce_detection=False)
        told = []
        for one in found:
            place = one.get('region') or one['facial_area']
            if (one.get('face_confidence') or one.get('confidence') or 0) <= 0:
                continue  # it gives the whole image where it finds nobody
            eyes = [place[k] for k in ('left_eye', 'right_eye') if place.get(k) is not None]
            says = one.get('dominant_emotion')
            box = [float(place[k]) for k in 'xywh']
            points = [[float(v) for v in eye] for eye in eyes]
            told.append({'box': box, 'points': points, 'expression': SAME.get(says, says)})
        return told

    return run, lambda image, _: run(image)


WORKERS = {
    'aitable': aitable,
    'mediapipe': mediapipe_tasks,
    'hri_face_detect': hri_face_detect,
    'fer': fer,
    'fer, MTCNN': fer,
    'deepface': deepface,
}


def main() -> None:
    """
    Answer requests of peers.py, a line of JSON each, until its end.

    A list of pictures is answered with what is seen in each; ``{"video": FILE, "frames": N}`` with
    the CPU time of the next N images of a sequence, over all threads.
    """
    name, argument = sys.argv[1:3]
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what the libraries print is no answer
    begin = time.perf_counter()
    picture, video = WORKERS[name](argument)
    print(json.dumps({'load_s': time.perf_counter() - begin}), file=answers, flush=True)
    sequence: Any = None
    count = 0
    for line in sys.stdin:
        request = json.loads(line)
        if isinstance(request, list):
            found = []
            for path in request:
                image = np.asarray(cv2.imread(path), np.uint8)
                found.append(picture(np.ascontiguousarray(image[..., ::-1])))
            answer: Any = found
        else:
            if sequence is None:
                sequence = np.load(request['video'])
            frame = np.empty_like(sequence[0])
            cpu_s, seen = 0.0, 0
            for _ in range(request['frames']):
                turn, i = divmod(count, len(sequence))
                # to and fro, so that nothing jumps
                frame[:] = sequence[len(sequence) - 1 - i if turn % 2 else i]
                start = time.process_time()
                seen += bool(video(frame, count / RATE_HZ))
                cpu_s += time.process_time() - start
                count += 1
            answer = {'cpu_ms': 1e3 * cpu_s / request['frames'], 'seen': seen}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == '__main__':
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
        main()
