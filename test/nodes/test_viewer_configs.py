# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The files for RViz and Foxglove show what the nodes publish, under the names they give it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from aitable_msgs.msg import Attention, Emotion, Fatigue, Posture
from aitable_ros.nodes.attention_node import AttentionNode
from aitable_ros.nodes.emotion_node import EmotionNode
from aitable_ros.nodes.face_detection_node import FaceDetectionNode
from aitable_ros.nodes.fatigue_node import FatigueNode
from aitable_ros.nodes.image_source_node import ImageSourceNode
from aitable_ros.nodes.overlay_node import OverlayNode
from aitable_ros.nodes.posture_node import PostureNode

CONFIG = Path(__file__).parents[2] / 'config'
RVIZ = yaml.safe_load((CONFIG / 'aitable.rviz').read_text())
FOXGLOVE = json.loads((CONFIG / 'aitable_foxglove.json').read_text())


SHOWN_BY = {'rviz_default_plugins/Image': Image, 'rviz_default_plugins/MarkerArray': MarkerArray}


@pytest.fixture(scope='module')
def published():
    """Topic -> message type of everything that the nodes publish."""
    from ros_fixtures import RosGraph

    graph = RosGraph()
    try:
        nodes = [
            graph.make(node, autostart=False)
            for node in (
                ImageSourceNode,
                FaceDetectionNode,
                EmotionNode,
                FatigueNode,
                PostureNode,
                AttentionNode,
                OverlayNode,
            )
        ]
        graph.run(nodes[0].trigger_configure)
        graph.run(nodes[0].trigger_activate)
        topics = {p.topic_name: p.msg_type for node in nodes for p in node.publishers}
        yield topics
    finally:
        graph.close()


def displays():
    return {d['Name']: d for d in RVIZ['Visualization Manager']['Displays']}


def test_rviz_shows_overlay_camera_markers_and_frames(published):
    shown = {}
    for display in displays().values():
        if display['Class'] in SHOWN_BY:
            topic = display['Topic']['Value']
            shown[display['Name']] = topic
            # relative, for rviz2 in a namespace
            assert published[f'/{topic}'] is SHOWN_BY[display['Class']]
    assert shown == {'Faces': 'markers', 'Overlay': 'overlay', 'Camera': 'image_raw'}
    assert 'rviz_default_plugins/TF' in {d['Class'] for d in displays().values()}
    assert all(display['Enabled'] and display['Value'] for display in displays().values())


def test_rviz_hears_publishers_of_any_reliability():
    for display in displays().values():
        if topic := display.get('Topic'):
            assert topic['Reliability Policy'] == 'Best Effort'
            assert topic['Durability Policy'] == 'Volatile'


def test_the_fixed_frame_is_that_of_the_images(graph):
    node = graph.make(ImageSourceNode, autostart=False)
    frame_id = node.params['frame_id']
    assert RVIZ['Visualization Manager']['Global Options']['Fixed Frame'] == frame_id
    assert FOXGLOVE['configById']['3D!heads']['followTf'] == frame_id


def test_rviz_looks_from_the_camera_at_upright_heads():
    """
    As OrbitViewController does: up is z of the fixed frame, which is ahead for a camera.

    A head half a metre ahead is in the picture, upright, and not mirrored.
    """
    view = RVIZ['Visualization Manager']['Views']['Current']
    focus = np.array([view['Focal Point'][axis] for axis in 'XYZ'])
    yaw, pitch = view['Yaw'], view['Pitch']
    assert -math.pi / 2 < pitch < math.pi / 2
    back = np.array(
        (math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), math.sin(pitch))
    )
    check_view(back * view['Distance'] + focus, -back, np.array((0.0, 0.0, 1.0)), focus)


def test_foxglove_looks_from_the_camera_at_upright_heads():
    """The same for three.js's spherical coordinates, turned so that their pole is z."""
    camera = FOXGLOVE['configById']['3D!heads']['cameraState']
    phi, theta = math.radians(camera['phi']), -math.radians(camera['thetaOffset'])
    back = np.array(
        (math.sin(phi) * math.sin(theta), -math.sin(phi) * math.cos(theta), math.cos(phi))
    )
    focus = np.array(camera['targetOffset'])
    check_view(back * camera['distance'] + focus, -back, np.array((0.0, 0.0, 1.0)), focus)
    assert camera['near'] < 0.1


def check_view(eye, ahead, pole, focus):
    right = np.cross(ahead, pole)
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    # in an optical frame x is to the right, y down, z ahead
    assert right @ (1.0, 0.0, 0.0) > 0.95
    assert up @ (0.0, -1.0, 0.0) > 0.8
    assert ahead @ (0.0, 0.0, 1.0) > 0.8
    head = np.array((0.0, 0.0, 0.6))
    assert np.linalg.norm(np.cross(head - eye, ahead)) < 0.2
    assert 0.5 < np.linalg.norm(eye - focus) < 3.0


def test_foxglove_has_all_panels_and_shows_each():
    panels = FOXGLOVE['configById']
    assert sorted(leaves(FOXGLOVE['layout'])) == sorted(panels)


def leaves(tree):
    if isinstance(tree, str):
        return [tree]
    assert tree['direction'] in ('row', 'column')
    assert 0 < tree['splitPercentage'] < 100
    return leaves(tree['first']) + leaves(tree['second'])


def message_paths():
    for name, panel in FOXGLOVE['configById'].items():
        for path in panel.get('paths', ()):
            yield name, path['value']
        if 'topicPath' in panel:
            yield name, panel['topicPath']


PATH = re.compile(r'(?P<topic>/\w+)(\.(?P<field>\w+))?')


def test_foxglove_plots_fields_that_there_are(published):
    seen = set()
    for name, path in message_paths():
        if re.fullmatch(r'[\d.]+', path):  # a line at a height
            assert name.startswith('Plot!')
            continue
        match = PATH.fullmatch(path)
        assert match, path
        fields = published[match['topic']].get_fields_and_field_types()
        assert match['field'] is None or match['field'] in fields, path
        if name.startswith('Plot!'):
            assert fields[match['field']] == 'float', path
        seen.add((match['topic'], match['field']))
    wanted = {
        ('/fatigue', name)
        for name in (
            'perclos',
            'left_ear',
            'right_ear',
            'left_openness',
            'right_openness',
            'level',
        )
    }
    wanted |= {('/emotion', 'valence'), ('/emotion', 'arousal'), ('/fatigue', None)}
    wanted |= {('/posture', 'state'), ('/posture', 'trunk_pitch')}
    wanted |= {('/attention', 'zone'), ('/attention', 'gaze_yaw'), ('/attention', 'gaze_pitch')}
    wanted |= {('/alerts', None), ('/events', None)}
    assert wanted <= seen


def test_foxglove_shows_topics_that_there_are(published):
    panels = FOXGLOVE['configById']
    assert published[panels['Image!overlay']['imageMode']['imageTopic']] is Image
    assert {published[t] for t in panels['3D!heads']['topics']} == {MarkerArray}
    assert panels['DiagnosticSummary!nodes']['topicToRender'] in published


@pytest.mark.parametrize('message_type', [Attention, Emotion, Fatigue, Posture])
def test_what_one_plots_is_at_top_level(message_type):
    """rqt_plot takes /topic/field: every number of a result is one, but for the head pose."""
    nested = {
        name: kind
        for name, kind in message_type.get_fields_and_field_types().items()
        if '/' in kind or 'sequence' in kind
    }
    lists = {'keypoints', 'visibility', 'world'}
    assert set(nested) <= {'header', 'head_position', 'head_orientation', 'gaze_direction', *lists}
