# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""``analyze --posture``: body, angles, and for videos the posture."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import skimage.data

from aitable_ros.perception.posture.states import Posture
from aitable_ros.tools.analyze import command as analyze
from aitable_ros.tools.analyze import run
from aitable_ros.tools.analyze.summary import _Postures


@pytest.mark.models
def test_the_tool_writes_and_draws_it(engines_dir, tmp_path, monkeypatch):
    shown = []
    draw = run.draw_scene
    monkeypatch.setattr(run, 'draw_scene', lambda *a: (shown.append(a[2:]), draw(*a))[1])
    picture = tmp_path / 'a.png'
    cv2.imwrite(str(picture), cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR))
    out, drawn = tmp_path / 'out.jsonl', tmp_path / 'drawn'
    arguments = [picture, '--posture', '--jsonl', out, '--overlay', drawn, '--no-landmarks']
    status = analyze.main([*map(str, arguments), '--engines-dir', str(engines_dir)])
    assert status == 0
    ((body, *_),) = shown
    assert (body.posture, body.note) == ('', ''), 'nothing over time'
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


def test_time_that_goes_back_is_no_length_of_time():
    postures = _Postures()
    for stamp_s in (0.0, 0.5, 0.0, 0.5):  # the same file twice
        postures.add(stamp_s, Posture.UPRIGHT)
    assert str(postures) == 'upright 1.0 s'
