# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The fatigue node keeps a state per person and measures head poses with the camera's own lens."""

from __future__ import annotations

import array
import math
import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_fixtures import until
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from aitable_msgs.msg import Face, FaceArray, Fatigue
from aitable_ros.nodes.fatigue_node import FatigueNode
from aitable_ros.perception.head.canonical_face import RIGID_POINTS_M
from aitable_ros.ros_support.messages.camera_calibration import LOOK_S

FOCAL_PX = 700.0
DISTANCE_M = 0.8


def camera_info(width=640, height=480, focal_px=FOCAL_PX):
    k = [focal_px, 0.0, width / 2, 0.0, focal_px, height / 2, 0.0, 0.0, 1.0]
    return CameraInfo(width=width, height=height, k=k, distortion_model='plumb_bob', d=[0.0] * 5)


def faces_message(stamp_s, people, *, ear=0.3):
    """Faces that look into a camera of FOCAL_PX from DISTANCE_M, with eyes that far open."""
    seconds, nanoseconds = divmod(round(stamp_s * 1e9), 1_000_000_000)
    header = Header(frame_id='camera')
    header.stamp.sec, header.stamp.nanosec = seconds, nanoseconds
    message = FaceArray(header=header, image_width=640, image_height=480)
    for face_id, offset_m in people.items():
        landmarks = canonical_landmarks(offset_m, ear)
        values = array.array('f')
        values.frombytes(landmarks.astype(np.float32).tobytes())
        left_eye, right_eye = landmarks[[362, 263], :2].mean(0), landmarks[[33, 133], :2].mean(0)
        keypoints = np.concatenate([right_eye, left_eye, np.zeros(8)]).astype(np.float32)
        message.faces.append(
            Face(
                header=header,
                face_id=face_id,
                image_width=640,
                image_height=480,
                width=150.0,
                height=150.0,
                presence=0.99,
                landmarks=values,
                keypoints=keypoints,
            )
        )
    return message


def canonical_landmarks(offset_m, ear):
    """Project the canonical face, which knows the rigid points, and open its eyes."""
    landmarks = np.zeros((468, 3))
    for index, (forward, left, up) in RIGID_POINTS_M.items():
        depth = DISTANCE_M - forward
        landmarks[index, 0] = 320 + FOCAL_PX * (left + offset_m) / depth
        landmarks[index, 1] = 240 - FOCAL_PX * up / depth
    for corners, lids in (((33, 133), (160, 158, 153, 144)), ((362, 263), (385, 387, 373, 380))):
        a, b = landmarks[list(corners)]
        half = ear * np.linalg.norm(b - a) / 2
        for lid, share, side in zip(lids, (1 / 3, 2 / 3, 2 / 3, 1 / 3), (-1, -1, 1, 1)):
            landmarks[lid] = a + share * (b - a) + np.array([0, side * half, 0])
    landmarks[[78, 308]] = landmarks[33] + np.array([[0, 80, 0], [60, 80, 0]])
    landmarks[[13, 14]] = landmarks[[78, 308]].mean(0)
    return landmarks


@pytest.fixture
def node(graph):
    # of the 468 landmarks here lids are as far closed as those of the refined ones
    node = graph.make(FatigueNode, unrefined_closed_ratio=0.28)
    assert until(lambda: node.is_active, 30)
    return node


@pytest.fixture
def publish(graph, node):
    publisher = graph.peer.create_publisher(FaceArray, 'faces', 100)
    answers = graph.collect(Fatigue, 'fatigue', 1000)
    assert until(lambda: publisher.get_subscription_count() > 0)

    def publish(stamps_s, people, ear_at=lambda stamp_s: 0.3):
        for stamp_s in stamps_s:
            count = len(answers)
            publisher.publish(faces_message(stamp_s, people, ear=ear_at(stamp_s)))
            assert until(lambda count=count: len(answers) == count + len(people))
        return answers

    return publish


def test_pose_and_distance_with_the_camera_s_calibration(graph, node, publish):
    (assumed,) = publish([1.0], {'f1': 0.0})
    assert assumed.head_pose_valid
    assert not assumed.head_pose_calibrated
    cameras = graph.peer.create_publisher(CameraInfo, 'camera_info', 10)
    assert until(lambda: cameras.get_subscription_count() > 0)
    cameras.publish(camera_info())
    assert until(lambda: dict(node.diagnostics())['head pose'] == 'camera_info')
    measured = publish([5.0], {'f1': 0.0})[-1]
    assert measured.head_pose_calibrated
    assert measured.head_position.z == pytest.approx(DISTANCE_M, rel=0.01)
    for angle in (measured.head_yaw, measured.head_pitch, measured.head_roll):
        assert abs(angle) < math.radians(1.5)
    # the face's x axis points against the camera's viewing direction
    q = measured.head_orientation
    x_axis_z = 2 * (q.x * q.z - q.w * q.y)
    assert x_axis_z == pytest.approx(-1.0, abs=0.01)


@pytest.mark.parametrize('first', ['the publisher', 'the node'])
def test_a_calibration_that_is_published_once_and_kept_is_received(graph, first):
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)

    def publish():
        cameras = graph.peer.create_publisher(CameraInfo, 'camera_info', latched)
        cameras.publish(camera_info())

    if first == 'the publisher':
        graph.run(publish)
    node = graph.make(FatigueNode, 'late', refine_eyes=False)
    assert until(lambda: node.is_active, 30)
    if first == 'the node':
        graph.run(publish)
    assert until(lambda: dict(node.diagnostics())['head pose'] == 'camera_info')


def test_a_camera_that_keeps_nothing_gets_no_warning_of_us(graph, node, capfd):
    cameras = graph.peer.create_publisher(CameraInfo, 'camera_info', 10)
    assert until(lambda: cameras.get_subscription_count() == 1)
    time.sleep(2 * LOOK_S)
    assert cameras.get_subscription_count() == 1
    assert 'incompatible' not in capfd.readouterr().err


def test_the_log_tells_of_what_goes_back_and_forth_once_in_a_while(graph, node, publish, capfd):
    cameras = graph.peer.create_publisher(CameraInfo, 'camera_info', 100)
    assert until(lambda: cameras.get_subscription_count() > 0)
    for index in range(40):
        cameras.publish(camera_info(640 + index % 2, focal_px=0.0))
        publish([100.0 + index % 2], {})
    publish([200.0], {'f1': 0.0})  # the last one: what was to be said has been
    logged = []
    assert until(lambda: logged.append(capfd.readouterr().err) or 'camera_info' in ''.join(logged))
    lines = ''.join(logged).splitlines()
    assert len([line for line in lines if 'camera_info' in line]) == 1
    assert len([line for line in lines if 'time went backwards' in line]) <= 1


@pytest.mark.parametrize('fault', ['uncalibrated', 'another shape'])
def test_a_calibration_that_does_not_fit_is_said_and_not_used(graph, node, publish, fault):
    cameras = graph.peer.create_publisher(CameraInfo, 'camera_info', 10)
    assert until(lambda: cameras.get_subscription_count() > 0)
    cameras.publish(
        camera_info(focal_px=0.0) if fault == 'uncalibrated' else camera_info(1000, 300)
    )
    assert until(lambda: node._camera.intrinsics or node._camera.problem)
    message = publish([1.0], {'f1': 0.0})[-1]
    assert message.head_pose_valid
    assert not message.head_pose_calibrated
    assert until(lambda: 'camera_info is not' in dict(node.diagnostics())['head pose'])


def test_wrong_thresholds_are_refused_together(graph):
    node = graph.make(FatigueNode, 'tired', blinks__reopen_openness=0.1)
    assert until(lambda: 'close_openness < reopen_openness' in node.health()[1], 30)
    assert 'blinks' in node.health()[1]


def test_head_poses_are_broadcast_as_tf(graph, node, publish):
    tf2_msgs = pytest.importorskip('tf2_msgs.msg', reason='PyPI lacks tf2_msgs: use a ROS machine')
    heard = graph.collect(tf2_msgs.TFMessage, '/tf')
    publish([1.0], {'f1': 0.0})
    assert until(lambda: heard)
    (transform,) = heard[0].transforms
    assert transform.header.frame_id == 'camera'
    assert transform.child_frame_id == 'face_f1'
    assert 0.2 < transform.transform.translation.z < 3.0


def change(node, **parameters):
    (result,) = {
        r.reason if not r.successful else ''
        for r in node.set_parameters(
            [Parameter(name.replace('__', '.'), value=v) for name, v in parameters.items()]
        )
    }
    return result


def test_windows_survive_a_reload_where_their_settings_did_not_change(graph, node, publish):
    before = publish(np.arange(10.0, 14.0, 1 / 20), {'f1': -0.15, 'f2': 0.15})[-1]
    assert before.perclos_observed_s > 1.5
    change(node, publish_tf=False, level__severe_perclos=0.2)
    assert graph.trigger('fatigue/reload').success
    after = publish([14.0], {'f1': -0.15})[-1]
    assert after.perclos_observed_s > before.perclos_observed_s
    assert after.calibration == before.calibration
    # a window of another length begins anew
    change(node, perclos__window_s=120.0)
    assert publish([14.05], {'f1': -0.15})[-1].perclos_observed_s > before.perclos_observed_s
    assert graph.trigger('fatigue/reload').success
    assert publish([14.1], {'f1': -0.15})[-1].perclos_observed_s == 0.0


def test_thresholds_change_while_the_windows_stay(graph, node, publish):
    publish(np.arange(10.0, 14.0, 1 / 20), {'f1': 0.0})
    closed = publish(np.arange(14.0, 14.6, 1 / 20), {'f1': 0.0}, lambda _: 0.05)[-1]
    assert closed.eyes_closed
    assert closed.level not in (Fatigue.LEVEL_MICROSLEEP, Fatigue.LEVEL_ASLEEP)
    assert not change(node, level__microsleep_s=0.3)
    sooner = publish([14.65], {'f1': 0.0}, lambda _: 0.05)[-1]
    assert sooner.level == Fatigue.LEVEL_MICROSLEEP
    assert sooner.perclos_observed_s > closed.perclos_observed_s


@pytest.mark.parametrize(
    ('parameters', 'reason'),
    [
        ({'blinks__close_openness': 0.9}, 'close_openness < reopen_openness'),
        ({'level__mild_perclos': 0.5}, 'mild_perclos <= severe_perclos'),
        ({'level__microsleep_s': -1.0}, 'range'),
        ({'perclos__window_s': math.inf}, 'perclos.window_s'),
        ({'baseline__percentile': 10.0}, 'percentile'),
    ],
)
def test_thresholds_that_cannot_be_are_refused_when_they_are_set(node, parameters, reason):
    assert reason in change(node, **parameters)


def test_two_thresholds_that_go_together_are_set_together(node):
    both = [
        Parameter('level.mild_perclos', value=0.3),
        Parameter('level.severe_perclos', value=0.4),
    ]
    assert node.set_parameters_atomically(both).successful
    assert node.params['level.mild_perclos'] == 0.3


def test_reset_clears_the_windows(graph, node, publish):
    publish(np.arange(10.0, 14.0, 1 / 20), {'f1': 0.0})
    assert graph.trigger('fatigue/reset').success
    answer = publish([14.0], {'f1': 0.0})[-1]
    assert answer.perclos_observed_s == 0.0
    assert answer.calibration == Fatigue.CALIBRATING


def test_lids_that_hardly_close_are_a_warning(node, publish):
    assert node.health()[0] == 0
    publish([1.0], {'f1': 0.0})  # 468 landmarks
    level, message = node.health()
    assert level == 1
    assert "lids are FaceMesh's, which hardly close" in message


def test_parameters_of_the_network_that_it_had_get_one_line(graph, capfd):
    node = graph.make(FatigueNode, 'old', refine_eyes=False, backend='onnxruntime', threads=2)
    assert until(lambda: node.is_active, 30)
    said = [line for line in capfd.readouterr().err.splitlines() if 'no parameters' in line]
    assert len(said) == 1
    assert 'refine_eyes, backend, threads: no parameters of this node any more' in said[0]
    assert 'face_detection' in said[0]


def test_images_of_wrong_stamps_are_answered_and_change_nothing(graph, node, publish):
    people = {'f1': 0.0, 'f2': 0.3}
    before = publish([10.0 + i / 15 for i in range(60)], people)[-2]
    after = publish([-10.0, 0.0, 3610.0, 13.9, 14.0], people)[-10:]
    assert [answer.face_id for answer in after] == ['f1', 'f2'] * 5
    assert after[0].header.stamp.sec == -10
    observed_s = [answer.perclos_observed_s for answer in after if answer.face_id == 'f1']
    assert observed_s[:4] == [before.perclos_observed_s] * 4
    assert observed_s[4] > before.perclos_observed_s
    assert node.meters.failures == 0
    assert dict(node.diagnostics())['late images'] == 4
