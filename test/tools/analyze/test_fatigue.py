# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math

import cv2
import pytest
import skimage.data
from PIL import Image

from aitable_ros.simulation import AstronautSequence
from aitable_ros.tools.analyze import command as analyze
from aitable_ros.tools.analyze import run

FATIGUE_KEYS = [
    'visibility',
    'eye_state',
    'left_openness',
    'right_openness',
    'eyes_closed',
    'closure_duration',
    'perclos',
    'perclos_valid',
    'blink_count',
    'mar',
    'yawning',
    'head_yaw',
    'head_pitch',
    'head_roll',
    'level',
]
FPS = 15.0
FIRST_S, LAST_S = 7.9, 15.2
"""Of the sample: a blink while the open eyes are still learned, one after that, and the closure
of 2 s."""


@pytest.fixture(scope='module')
def sequence():
    return AstronautSequence(fps=FPS)


@pytest.fixture(scope='module')
def closing_eyes(tmp_path_factory, sequence):
    """A video of the sample around its long closure."""
    path = tmp_path_factory.mktemp('video') / 'nap.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), FPS, (640, 480))
    for i in range(round(FIRST_S * FPS), round(LAST_S * FPS)):
        writer.write(cv2.cvtColor(sequence.frame(i), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.fixture(scope='module')
def analysis(closing_eyes, engines_dir, tmp_path_factory):
    """Folder with everything the tool writes for the video; its lines; its summary; its report."""
    folder = tmp_path_factory.mktemp('analysis')
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.Run, 'info', lambda _self, line: said.append(line))
        status = analyze.main(
            [
                *(str(closing_eyes), '--no-landmarks', '--engines-dir', str(engines_dir)),
                *('--jsonl', str(folder / 'out.jsonl'), '--report', str(folder / 'report')),
                *('--overlay', str(folder / 'drawn'), '--pictures', '--privacy', 'mesh'),
            ]
        )
    assert status == 0
    lines = [json.loads(line) for line in (folder / 'out.jsonl').read_text().splitlines()]
    (told,) = (line for line in said if 'mean valence' in line)
    return folder, lines, told, json.loads((folder / 'report' / 'nap.json').read_text())


@pytest.mark.models
def test_every_face_of_a_video_has_exactly_these_keys_after_the_others(analysis):
    _, lines, *_ = analysis
    for line in lines:
        (face,) = line['faces']
        assert list(face)[-3:] == ['ear_model', 'attention', 'fatigue']
        assert face['attention']['zone_s'] is not None
        assert list(face['fatigue']) == FATIGUE_KEYS


@pytest.mark.models
def test_pictures_say_nothing_about_fatigue(tmp_path, engines_dir, capsys):
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / 'p.png')
    assert analyze.main([str(tmp_path / 'p.png'), '--engines-dir', str(engines_dir)]) == 0
    captured = capsys.readouterr()
    assert 'fatigue' not in json.loads(captured.out)['faces'][0]
    assert 'PERCLOS' not in captured.err


@pytest.mark.models
def test_the_long_closure_is_seen_when_it_happens(analysis, sequence):
    _, lines, *_ = analysis
    (closure,) = (c for c in sequence.closures if c.duration_s == pytest.approx(2.0))
    first_s = round(FIRST_S * FPS) / FPS
    fatigue = [line['faces'][0]['fatigue'] for line in lines]
    times_s = [first_s + line['stamp'] for line in lines]
    settled = [
        (time_s, reading)
        for time_s, reading in zip(times_s, fatigue)
        if min(abs(time_s - closure.start_s), abs(time_s - closure.end_s)) > 2.0 / FPS
        and time_s > 10.6  # the blinks are over
    ]
    assert len(settled) > 0.8 * (LAST_S - 10.6) * FPS
    for time_s, reading in settled:
        closed = closure.start_s < time_s < closure.end_s
        assert reading['visibility'] == 'measured'
        assert reading['eye_state'] == ('closed' if closed else 'open')
        assert reading['eyes_closed'] is closed
        for side in ('left', 'right'):
            openness = reading[f'{side}_openness']
            assert openness < 0.25 if closed else openness > 0.5
    longest_s = max(reading['closure_duration'] or 0.0 for reading in fatigue)
    assert longest_s == pytest.approx(closure.duration_s, abs=1.5 / FPS)
    assert fatigue[-1]['closure_duration'] == 0.0
    assert {reading['level'] for reading in fatigue} >= {'unknown', 'microsleep'}
    assert not any(reading['yawning'] for reading in fatigue)


@pytest.mark.models
def test_what_is_not_valid_yet_is_null(analysis):
    _, lines, *_ = analysis
    for line in lines:
        reading = line['faces'][0]['fatigue']
        assert reading['perclos_valid'] is False, 'the video is shorter than 10 s'
        assert reading['perclos'] is None


@pytest.mark.models
def test_the_summary_names_the_closure(analysis):
    _, lines, told, _ = analysis
    level = lines[-1]['faces'][0]['fatigue']['level']
    assert told.endswith(
        '; 1 blink, 1 long closure, of them 1 microsleep, 0 yawns, 0 nods, PERCLOS not valid,'
        f' level {level}' + ('' if level == 'microsleep' else ' (highest microsleep)')
    )


@pytest.mark.models
def test_the_report_shows_the_closure(analysis, sequence):
    folder, lines, _, content = analysis
    written = {path.name for path in (folder / 'report').iterdir()}
    assert written == {'nap.html', 'nap.json'}
    assert content['images'] == len(lines)
    assert content['end_s'] == pytest.approx(lines[-1]['stamp'], abs=1e-5)
    (shown,) = (one for one in content['events'] if one['kind'] == 'microsleep')
    assert shown['duration_s'] == pytest.approx(2.0, abs=1.5 / FPS)
    (closure,) = (c for c in sequence.closures if c.duration_s == pytest.approx(2.0))
    start_s = closure.start_s - round(FIRST_S * FPS) / FPS
    assert shown['start_s'] == pytest.approx(start_s, abs=1.5 / FPS)
    closed_s = sum(one.get('eyes_closed_s', 0.0) for one in content['bins'])
    assert closed_s == pytest.approx(2.0, abs=0.6)
    page = (folder / 'report' / 'nap.html').read_text()
    assert 'Microsleeps: 1' in page
    assert page.count('data:image/jpeg') == 1


@pytest.mark.models
def test_the_overlay_shows_the_closure(analysis, monkeypatch, closing_eyes, engines_dir, tmp_path):
    folder, lines, *_ = analysis
    assert len(list((folder / 'drawn').iterdir())) == len(lines)
    drawn = []
    draw = run.draw_scene
    monkeypatch.setattr(run, 'draw_scene', lambda *a: (drawn.append(a[1]), draw(*a))[1])
    arguments = ['--stride', '3', '--overlay', str(tmp_path / 'd')]
    assert analyze.main([str(closing_eyes), *arguments, '--engines-dir', str(engines_dir)]) == 0
    faces = [face for faces in drawn for face in faces]
    assert {face.eyes_closed for face in faces} >= {True, False}
    assert {face.level for face in faces} == {'', 'microsleep'}
    assert all(math.isnan(face.perclos) for face in faces)
