# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Reports: seconds are those that were read, and what needs a look is said."""

from __future__ import annotations

import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest

from aitable_ros.perception.events import EventKind
from aitable_ros.tools.report.command import main, report_digest
from aitable_ros.tools.report.digest import COLUMNS, Digest, minutes, summed
from aitable_ros.tools.report.pictures import add_picture

START_S = 1_700_000_040.0
"""The begin of a minute."""


def filmed(name='table_a/monday', seconds=150, *, there=True, seeing=0, step_s=0.5) -> Digest:
    """Somebody who gets tired after a minute, and blinks every 4 s."""
    digest = Digest(name, name.partition('/')[0])
    for i in range(round(seconds / step_s) + 1):
        at_s = START_S + i * step_s
        digest.add_seen(at_s, seeing, 'face_detection: litert', ['f1_1'] if there else [])
        if not there:
            continue
        tired = at_s >= START_S + 60.0
        fatigue = {
            'level': 3 if tired else 1,
            'visibility': 0,
            'eyes_closed': False,
            'blinks_valid': True,
            'perclos': 0.2 if tired else math.nan,
        }
        posture = {'person_id': '', 'state': 1, 'camera_distance': 0.6}
        emotion = SimpleNamespace(
            label='neutral', valence=0.5, arousal=math.nan, reading='expression', backend='litert'
        )
        digest.add_image(
            'x', at_s, (), {'f1_1': emotion}, {'f1_1': fatigue}, posture, {'f1_1': {'zone': 2}}
        )
        if i % 8 == 0:
            digest.add_event(EventKind.BLINK, 'f1_1', at_s, 0.2, 0.9)
    return digest


def test_a_minute_has_what_was_read_in_it():
    rows = minutes(filmed().content())
    assert set(rows[0]) == set(COLUMNS)
    person = [row for row in rows if row['person']]
    camera = [row for row in rows if not row['person']]
    assert [row['minute'] for row in person] == [f'2023-11-14T22:{m}Z' for m in (14, 15, 16)]
    assert [row['present_s'] for row in person] == [60.0, 60.0, 30.0]
    assert [row['level_severe_s'] for row in person] == [0.0, 60.0, 30.0]
    assert [row['perclos'] for row in person] == [None, pytest.approx(0.2), pytest.approx(0.2)]
    assert person[0]['blinks_per_min'] == pytest.approx(15.0)
    assert person[0]['arousal'] is None  # never measured, not 0
    assert person[1]['posture_upright_s'] == 60.0  # of the only one who is there
    assert [row['recorded_s'] for row in camera] == [60.0, 60.0, 30.0]
    assert sum(row['nobody_s'] for row in camera) == 0.0


def test_a_gap_is_not_filled():
    digest = filmed(seconds=10)
    digest.add_seen(START_S + 3610.0, 0, 'face_detection: litert', [])
    total = summed(digest.content()['bins'])
    assert total['present_s'] == pytest.approx(11.0)  # one more at most
    digest.add_seen(START_S, 0, 'face_detection: litert', ['f1_1'])  # late: counted only
    assert digest.content()['images'] == 23
    assert summed(digest.content()['bins']) == total


def test_the_page_of_a_recording_says_it_and_needs_no_network(tmp_path):
    digest = filmed('<b>monday</b>')
    digest.add_event(EventKind.YAWN, 'f1_1', START_S + 30.0, 4.5, 1.0)
    add_picture(digest, START_S, np.zeros((48, 64, 3), np.uint8))
    report_digest(digest, tmp_path / 'page.html', ['3 of 301 images were refused'])
    text = (tmp_path / 'page.html').read_text()
    for words in (
        *('&lt;b&gt;monday', 'Yawns: 1', 'highest 20.0%', 'down at the table <b>100%', '15/min'),
        *('It is not complete', '3 of 301 images were refused', 'data:image/jpeg;base64,'),
    ):
        assert words in text
    assert '<b>monday' not in text
    assert '<script' not in text
    assert re.findall(r'(?:src|href)="(?!data:)([^"]*)"', text) == []
    assert json.loads((tmp_path / 'page.json').read_text())['problems']


def test_the_page_of_all_tables_says_what_needs_a_look(tmp_path, capsys):
    kept = []
    for name, options in (
        ('table_a/monday', {}),
        ('table_b/monday', {'there': False}),
        ('table_c/monday', {'seeing': 1}),
    ):
        path = tmp_path / f'{name}.json'
        path.parent.mkdir()
        path.write_text(json.dumps({**filmed(name, **options).content(), 'problems': []}))
        kept.append({'name': name, 'status': 'done', 'reason': '', 'problems': []})
    kept.append({'name': 'table_d/x', 'status': 'failed', 'reason': 'damaged <i>', 'problems': []})
    (tmp_path / 'summary.json').write_text(json.dumps({'recordings': kept}))
    assert main([str(tmp_path)]) == 0
    text = (tmp_path / 'index.html').read_text()
    look = text[text.index('Needs a look') : text.index('Tables and days')]
    assert '<b>table_d/x</b> failed: damaged &lt;i&gt;' in look
    assert re.search(r'<b>table_b</b>, [\d-]+: nobody was seen in 2 min', look)
    assert re.search(r'<b>table_c</b>, [\d-]+: the image was too dark for 100%', look)
    assert 'table_a' not in look
    assert 'emotion by expression: litert</td><td>all tables but table_b' in text
    for name in ('table_a', 'table_b', 'table_c'):
        assert f'href="{name}/monday.html"' in text
        assert (tmp_path / name / 'monday.html').is_file()
    assert main([str(tmp_path / 'table_a')]) == 1
    assert 'no results of process_bags' in capsys.readouterr().err


def test_of_a_bag_its_results_are_told(tmp_path, engines_dir, capsys):
    pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')
    from aitable_ros.bags import BagTarget, SampleBag, make_sample_bag
    from aitable_ros.tools.process_bag.command import main as process_bag

    bag, results = tmp_path / 'sample.mcap', tmp_path / 'results.mcap'
    make_sample_bag(BagTarget(bag, 'mcap'), SampleBag(seconds=3.0, fps=10, size_px=(320, 240)))
    assert main([str(bag)]) == 1
    assert 'no results in it: run process_bag' in capsys.readouterr().err
    nodes = ('--nodes', 'face_detection', 'fatigue', 'attention')
    assert process_bag([str(bag), str(results), '--quiet', *nodes]) == 0
    for privacy, pictures in (('no_image', 0), ('mesh', 1)):
        assert main([str(results), '--privacy', privacy]) == 0
        text = (tmp_path / 'results.html').read_text()
        assert text.count('data:image/jpeg') == pictures
    content = json.loads((tmp_path / 'results.json').read_text())
    assert content['images'] == 30
    assert summed(content['bins'])['present_s'] == pytest.approx(2.9)
    assert 'came' in [one['kind'] for one in content['events']]
