# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""``analyze --posture``: body, angles, and for videos the posture."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data

from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.posture.frames import CameraPlacement
from synthetic_body import SittingPerson, film_body
from aitable_ros.tools.analyze import command as analyze
from aitable_ros.tools.analyze.posture import PersonPosture

INTRINSICS = CameraIntrinsics(640, 480, (600.0, 0, 320.0, 0, 600.0, 240.0, 0, 0, 1))
IMAGE = np.zeros((480, 640, 3), np.uint8)
UPRIGHT = SittingPerson(forward_head_rad=0.3, hips_m=(-0.9, 0.0, -0.5))


class Actor:
    """Stands in for the network."""

    def __init__(self):
        self.person = UPRIGHT
        self.resets = 0

    def process(self, image, stamp_s):
        return self.process_still(image)

    def process_still(self, image):
        if self.person is None:
            return None
        return film_body(self.person, INTRINSICS, CameraPlacement())

    def reset(self):
        self.resets += 1


def test_a_video_has_postures_and_a_summary():
    actor = Actor()
    person = PersonPosture(actor, is_video=True)
    assert actor.resets == 1
    for i in range(60):
        reading = person.update(i / 10, IMAGE, ())
    assert reading.describe()['state'] == 'upright'
    actor.person = replace(UPRIGHT, shoulder_tilt_rad=0.25)
    for i in range(60, 120):
        reading = person.update(i / 10, IMAGE, ())
    described = reading.describe()
    assert described['state'] == 'tilted'
    assert described['shoulder_tilt'] == pytest.approx(0.25, abs=0.01)
    assert described['good_s'] > 1.0
    assert described['poor_s'] > 1.0
    assert reading.overlay().posture == 'tilted'
    assert 'upright' in person.summary()
    assert 'tilted' in person.summary()
    json.dumps(described, allow_nan=False)


def test_a_picture_has_angles_but_no_posture():
    reading = PersonPosture(Actor(), is_video=False).update(0.0, IMAGE, ())
    described = reading.describe()
    assert 'state' not in described
    assert len(described['keypoints']) == len(described['visibility']) == 33
    assert described['keypoints'][13] == [None, None]
    assert described['forward_head'] == pytest.approx(0.3, abs=0.01)


def test_nobody_is_null():
    actor = Actor()
    actor.person = None
    described = PersonPosture(actor, is_video=False).update(0.0, IMAGE, ()).describe()
    assert described['keypoints'] is None
    assert described['shoulder_tilt'] is None
    assert described['basis'] == 'none'


@pytest.mark.models
def test_the_tool_writes_and_draws_it(engines_dir, tmp_path):
    picture = tmp_path / 'a.png'
    cv2.imwrite(str(picture), cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR))
    out, drawn = tmp_path / 'out.jsonl', tmp_path / 'drawn'
    arguments = [picture, '--posture', '--jsonl', out, '--overlay', drawn, '--no-landmarks']
    status = analyze.main([*map(str, arguments), '--engines-dir', str(engines_dir)])
    assert status == 0
    (line,) = map(json.loads, out.read_text().splitlines())
    assert line['posture']['person_id'] == line['faces'][0]['id']
    assert line['posture']['basis'] == 'world'
    assert line['posture']['head_source'] == 'face'
    left, right = line['posture']['keypoints'][11], line['posture']['keypoints'][12]
    assert left[0] > right[0] + 100
    assert (drawn / 'a.jpg').stat().st_size > 10_000


@pytest.mark.models
def test_a_yolo_file_is_the_body_s_network_and_its_backend_its_own(
    engines_dir, yolo_file, tmp_path, capsys
):
    picture, out = tmp_path / 'a.png', tmp_path / 'out.jsonl'
    cv2.imwrite(str(picture), np.zeros((128, 128, 3), np.uint8))
    arguments = [picture, '--posture', '--posture-network', 'yolo', '--jsonl', out]
    arguments += ['--backend', 'litert', '--engines-dir', engines_dir]
    arguments += ['--posture-model', yolo_file]
    assert analyze.main(list(map(str, arguments))) == 1
    assert 'yolo11n-pose cannot run on litert' in capsys.readouterr().err
    assert analyze.main([*map(str, arguments), '--posture-backend', 'onnxruntime']) == 0
    assert f'yolo11n-pose runs on onnxruntime ({yolo_file})' in capsys.readouterr().err
    (line,) = map(json.loads, out.read_text().splitlines())
    assert line['posture']['keypoints'][0] == [64.0, 64.0]
