# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The table of launch arguments; needs no launch."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitable_ros.inference.selection import BACKENDS
from aitable_ros.launching.arguments import LAUNCH_FILES, checked
from aitable_ros.paths import share_dir
from aitable_ros.perception.emotion.readings import READINGS


def defaults(file, **changes):
    given = {argument.name: argument.default_value or '' for argument in LAUNCH_FILES[file]}
    return {**given, **changes}


def test_every_launch_file_has_its_arguments_and_the_other_way_round():
    assert {path.name for path in (share_dir() / 'launch').glob('*.launch.*')} == set(LAUNCH_FILES)


def test_every_argument_is_there_once_is_described_and_takes_its_default_and_its_choices():
    for arguments in LAUNCH_FILES.values():
        names = [argument.name for argument in arguments]
        assert len(names) == len(set(names))
        for argument in arguments:
            assert len(argument.description) > 10, argument.name
            assert not argument.description.endswith('.'), argument.name
            for value in (argument.default, *argument.choices):
                assert value is None or argument.problem_with(value) is None, argument.name
            if argument.in_share:
                assert Path(argument.default_value).is_absolute(), argument.name


def test_every_backend_can_be_chosen_and_emotion_can_do_without():
    choices = {argument.name: argument.choices for argument in LAUNCH_FILES['aitable.launch.py']}
    for name in ('backend', 'face_detection_backend', 'emotion_backend', 'posture_backend'):
        assert set(choices[name]) == {'', 'auto', *BACKENDS}
    assert set(choices['emotion_reading']) == {'', 'auto', *READINGS}


def test_only_a_bag_to_replay_has_to_be_given():
    required = [
        (file, argument.name)
        for file, arguments in LAUNCH_FILES.items()
        for argument in arguments
        if argument.default is None
    ]
    assert required == [('replay.launch.py', 'bag')]


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('composed', 'yes'),
        ('backend', 'geometry'),
        ('log_level', 'loud'),
        ('use_sim_time', '1'),
        ('image_topic', 'camera images'),
        ('image_topic', '/'),
        ('image_topic', '/camera//image'),
        ('camera_info_topic', '3d/camera_info'),
        ('namespace', 'table-1'),
        ('namespace', 'täble'),
        ('container', '/table/'),
        ('container_threads', '4'),
    ],
)
def test_wrong_values_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f'^{name}: {value!r} is no'):
        checked('aitable.launch.py', defaults('aitable.launch.py', **{name: value}))


def test_all_that_is_wrong_is_said_at_once():
    wrong = defaults('aitable.launch.py', namespace='a b', emotion='maybe')
    with pytest.raises(ValueError, match='emotion: .*; namespace: '):
        checked('aitable.launch.py', wrong)


@pytest.mark.parametrize('value', ['/', 'table', '/hall/table_1'])
def test_namespaces_are_taken_and_blanks_at_their_ends_dropped(value):
    given = defaults('aitable.launch.py', namespace=f' {value} ')
    assert checked('aitable.launch.py', given)['namespace'] == value


@pytest.mark.parametrize('value', ['', 'none'])
def test_there_need_be_no_parameter_file(value):
    given = defaults('aitable.launch.py', params_file=value)
    assert checked('aitable.launch.py', given)['params_file'] == ''


def test_nodes_in_a_container_cannot_be_separate():
    given = defaults('aitable.launch.py', container='/table', composed='false')
    with pytest.raises(ValueError, match='^container: '):
        checked('aitable.launch.py', given)


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        *(('rate', value) for value in ('0', '-1', 'nan', 'inf', 'fast')),
        *(('linger', value) for value in ('-0.1', '')),
    ],
)
def test_numbers_are_checked(name, value):
    with pytest.raises(ValueError, match=f'^{name}: '):
        checked('replay.launch.py', defaults('replay.launch.py', bag='b', **{name: value}))


def test_every_default_is_among_the_choices():
    for argument in (a for arguments in LAUNCH_FILES.values() for a in arguments):
        assert argument.default is None or argument.problem_with(argument.default) is None


def test_a_source_without_topics_needs_the_nodes_in_its_process():
    for file, source, composed, refused in (
        ('aitable.launch.py', 'sample', 'false', True),
        ('aitable.launch.py', 'sample', 'true', False),
        ('aitable.launch.py', 'none', 'false', False),
    ):
        given = defaults(file, source=source, composed=composed, publish_images='false')
        if refused:
            with pytest.raises(ValueError, match='^publish_images: '):
                checked(file, given)
        else:
            assert checked(file, given)['publish_images'] == 'false'


def test_the_page_is_started_by_web_and_not_by_default():
    for file in ('aitable.launch.py', 'aitable_visualization.launch.py', 'replay.launch.py'):
        values = {argument.name: argument.default for argument in LAUNCH_FILES[file]}
        assert values['web'] == 'false'
        assert values['web_privacy'] == ''
        assert 'web_monitor' not in values
