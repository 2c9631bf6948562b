# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The posture node: people of known posture in, Posture messages out, through real DDS."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from euler_angles import from_yaw_pitch_roll

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_fixtures import image_message, until
from sensor_msgs.msg import CameraInfo, Image
from sitting_person import SittingPerson, depth_image, film_body

from aitable_msgs.msg import Face, FaceArray, Posture
from aitable_ros.nodes import posture_node
from aitable_ros.nodes.posture_node import PostureNode
from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.maths import rotation
from aitable_ros.perception.posture.body_keypoints import BodyKeypoint as K
from aitable_ros.perception.posture.body_source import BodySource
from aitable_ros.perception.posture.frames import CameraPlacement

WIDTH, HEIGHT = 640, 480
INTRINSICS = CameraIntrinsics(WIDTH, HEIGHT, (600.0, 0, 320.0, 0, 600.0, 240.0, 0, 0, 1))
PIXELS = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
UPRIGHT = SittingPerson(forward_head_rad=0.3, hips_m=(-0.9, 0.0, -0.5))
TILTED = replace(UPRIGHT, shoulder_tilt_rad=0.22)


class Actor:
    """Stands in for the network: finds whoever is on stage."""

    def __init__(self):
        self.person = UPRIGHT
        self.placement = CameraPlacement()
        self.world = True

    def process(self, image, stamp_s):
        assert image.shape == (HEIGHT, WIDTH, 3)
        if self.person is None:
            return None
        return film_body(self.person, INTRINSICS, self.placement, world=self.world)

    def reset(self):
        pass


class ActorSource(BodySource):
    backend = 'actor'


@pytest.fixture
def actor(monkeypatch):
    actor = Actor()
    monkeypatch.setattr(posture_node, 'load_body_source', lambda *_, **__: ActorSource(actor, ()))
    return actor


@pytest.fixture
def camera(graph, actor):
    return Camera(graph)


class Camera:
    """Publishes images and waits for what the node makes of each."""

    def __init__(self, graph):
        self.graph = graph
        self.node = None

    def start(self, **parameters):
        self.node = self.graph.make(PostureNode, **parameters)
        assert until(lambda: self.node.is_active, 30)
        self.images = self.graph.peer.create_publisher(Image, 'image_raw', 10)
        self.answers = self.graph.collect(Posture, 'posture', 1000)
        assert until(lambda: self.images.get_subscription_count() > 0)
        assert until(lambda: self.node._publisher.get_subscription_count() > 0)
        return self

    def film(self, start_s, duration_s, rate_hz=10.0):
        """Film; every image is answered before the next one."""
        for i in range(round(duration_s * rate_hz)):
            count = len(self.answers)
            self.images.publish(image_message(PIXELS, start_s + i / rate_hz))
            assert until(lambda count=count: len(self.answers) > count)
        return self.answers[-1]

    def publish(self, message_type, topic, message, qos=10):
        publisher = self.graph.peer.create_publisher(message_type, topic, qos)
        assert until(lambda: publisher.get_subscription_count() > 0)
        publisher.publish(message)
        return publisher


def camera_info(width=WIDTH, height=HEIGHT):
    k = [600.0, 0.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0]
    return CameraInfo(width=width, height=height, k=k, distortion_model='plumb_bob', d=[0.0] * 5)


def faces_message(stamp_s, person, face_id='f7'):
    """The face of a person, and somebody else's."""
    body = film_body(person, INTRINSICS, CameraPlacement())
    x, y = (float(v) for v in body.xy_px[K.NOSE])
    message = FaceArray(image_width=WIDTH, image_height=HEIGHT)
    message.header = image_message(PIXELS[:2, :2], stamp_s).header
    for identity, offset in ((face_id, 0.0), ('other', 250.0)):
        message.faces.append(
            Face(
                header=message.header,
                face_id=identity,
                image_width=WIDTH,
                image_height=HEIGHT,
                x=x - 40 + offset,
                y=y - 50,
                width=80.0,
                height=90.0,
            )
        )
    return message


def test_header_keypoints_and_angles(camera, actor):
    actor.person = replace(UPRIGHT, trunk_pitch_rad=0.25, torso_yaw_rad=0.2)
    message = camera.start().film(100.0, 0.1)
    assert message.header.frame_id == 'camera'
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (100, 0)
    assert (message.image_width, message.image_height) == (WIDTH, HEIGHT)
    assert message.backend == 'actor'
    assert message.person_id == ''
    assert len(message.keypoints) == 66
    assert message.basis == Posture.BASIS_WORLD
    assert message.trunk_pitch == pytest.approx(0.25, abs=0.02)
    assert message.torso_yaw == pytest.approx(0.2, abs=0.02)
    assert not message.camera_calibrated
    assert math.isnan(message.eye_desk_distance)


def test_calibrates_on_request(camera, actor):
    camera.start(auto_calibrate=False)
    actor.person = TILTED
    assert camera.film(100.0, 2.0).calibration == Posture.CALIBRATION_NONE
    answer = camera.graph.trigger('/posture/calibrate')
    assert answer.success, answer.message
    assert camera.film(102.0, 1.0).calibration == Posture.CALIBRATION_RUNNING
    message = camera.film(103.0, 5.0)
    assert message.calibration == Posture.CALIBRATION_REQUESTED
    assert message.state == Posture.UPRIGHT


def test_a_node_that_is_not_at_work_cannot_be_calibrated(graph, actor):
    node = graph.make(PostureNode, autostart=False)
    answer = graph.trigger('/posture/calibrate')
    assert not answer.success
    assert 'not at work' in answer.message
    assert node.state == 'unconfigured'


def test_the_face_that_goes_with_the_body_gives_its_id(camera, actor):
    camera.start(max_rate=0.0)
    faces = camera.graph.peer.create_publisher(FaceArray, 'faces', 10)
    assert until(lambda: faces.get_subscription_count() > 0)
    faces.publish(faces_message(99.9, UPRIGHT))
    assert until(lambda: camera.node._images.heard)
    # while faces come, an image waits for its own
    camera.images.publish(image_message(PIXELS, 100.0))
    assert until(lambda: camera.node.frames.get(100_000_000_000) is not None)
    assert not camera.answers
    faces.publish(faces_message(100.0, UPRIGHT))
    assert until(lambda: camera.answers)
    assert camera.answers[-1].person_id == 'f7'
    assert dict(camera.node.diagnostics())['faces without their image'] == 1
    # and when they no longer do, one waits in vain, and the others do not
    camera.images.publish(image_message(PIXELS, 101.0))
    assert until(lambda: camera.node.frames.get(101_000_000_000) is not None)
    message = camera.film(101.1, 0.5)
    assert message.person_id == 'f7', 'the id stays while the face is hidden'
    actor.person = None
    message = camera.film(102.0, 3.0)
    assert (message.person_id, message.state) == ('', Posture.AWAY)
    assert dict(camera.node.diagnostics())['posture'].startswith('away')


def test_the_camera_s_place_by_parameters_gives_the_distance_to_the_desk(camera, actor):
    actor.placement = CameraPlacement.from_angles(0.3, 0.0, 0.45)
    camera.start(camera_height=0.45, camera_pitch=0.3, max_rate=0.0)
    camera.publish(CameraInfo, 'camera_info', camera_info())
    assert until(lambda: camera.node._camera.intrinsics is not None)
    message = camera.film(100.0, 0.2)
    points = UPRIGHT.points_m()
    eyes = (points[K.LEFT_EYE] + points[K.RIGHT_EYE]) / 2
    assert message.camera_calibrated
    assert message.camera_placement == Posture.PLACEMENT_PARAMETERS
    assert message.camera_distance == pytest.approx(np.linalg.norm(eyes), rel=0.01)
    assert message.eye_desk_distance == pytest.approx(0.45 + eyes[2], abs=0.01)
    assert message.trunk_pitch == pytest.approx(0.0, abs=0.02)


def test_the_camera_s_place_by_tf(camera, actor):
    tf2_msgs = pytest.importorskip('tf2_msgs.msg', reason='PyPI lacks tf2_msgs: use a ROS machine')
    actor.placement = CameraPlacement.from_angles(0.3, 0.0, 0.45)
    camera.start(desk_frame='desk', max_rate=0.0)
    camera.publish(CameraInfo, 'camera_info', camera_info())
    assert until(lambda: camera.node._camera.intrinsics is not None)
    assert camera.film(100.0, 0.1).camera_placement == Posture.PLACEMENT_NONE
    assert 'desk' in camera.node.notice
    body = from_yaw_pitch_roll(1.0, 0.3, 0.0)
    optical = rotation.product(body, (-0.5, 0.5, -0.5, 0.5))
    stamped = TransformStamped(child_frame_id='camera')
    stamped.header.frame_id = 'desk'
    t, q = stamped.transform.translation, stamped.transform.rotation
    t.x, t.y, t.z = 0.4, 0.1, 0.45
    q.x, q.y, q.z, q.w = optical
    camera.publish(
        tf2_msgs.TFMessage,
        '/tf_static',
        tf2_msgs.TFMessage(transforms=[stamped]),
        QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL),
    )
    assert until(lambda: camera.node._placement._transforms.lookup('desk', 'camera') is not None)
    message = camera.film(101.0, 0.1)
    assert message.camera_placement == Posture.PLACEMENT_TF
    assert message.trunk_pitch == pytest.approx(0.0, abs=0.02)
    assert camera.node.notice == ''


def test_a_registered_depth_image_gives_the_distance(camera, actor):
    actor.world = False
    camera.start(use_depth=True, max_rate=0.0)
    meters = depth_image(UPRIGHT, INTRINSICS, CameraPlacement())
    message = Image(height=HEIGHT, width=WIDTH, encoding='16UC1', step=2 * WIDTH)
    message.data = (meters * 1000).astype('<u2').tobytes()
    message.header.stamp.sec, message.header.stamp.nanosec = 100, 20_000_000
    camera.publish(Image, 'depth/image_raw', message)
    assert until(lambda: camera.node._depth._messages)
    answer = camera.film(100.0, 0.1)
    points = UPRIGHT.points_m()
    true_m = np.linalg.norm((points[K.LEFT_EYE] + points[K.RIGHT_EYE]) / 2)
    assert answer.distance_source == Posture.DISTANCE_DEPTH
    assert answer.basis == Posture.BASIS_DEPTH
    # the lens is assumed here: the depth along the axis is right, the ray is not quite
    assert answer.camera_distance == pytest.approx(true_m, rel=0.02)
    # too old for the next image
    answer = camera.film(101.0, 0.1)
    assert answer.distance_source == Posture.DISTANCE_EYES
    assert answer.basis == Posture.BASIS_IMAGE
    assert 'no depth image' in camera.node.notice


def test_reset_forgets_and_reload_does_not(camera):
    camera.start()
    camera.film(100.0, 5.0)
    answer = camera.graph.trigger('/posture/reload')
    assert answer.success, answer.message
    assert camera.film(105.0, 0.1).calibration == Posture.CALIBRATION_AUTOMATIC
    assert camera.graph.trigger('/posture/reset').success
    assert camera.film(106.0, 0.1).calibration == Posture.CALIBRATION_RUNNING


def test_thresholds_change_while_it_works_and_contradictions_are_refused(camera, actor):
    from rclpy.parameter import Parameter

    camera.start()
    camera.film(100.0, 5.0)
    wrong = [Parameter('measure.leave_visibility', value=0.9)]
    (result,) = camera.graph.run(lambda: camera.node.set_parameters(wrong))
    assert not result.successful
    assert 'leave_visibility' in result.reason
    low = [Parameter('rules.shoulder_tilt_rad', value=0.05)]
    (result,) = camera.graph.run(lambda: camera.node.set_parameters(low))
    assert result.successful, result.reason
    actor.person = replace(UPRIGHT, shoulder_tilt_rad=0.1)
    assert camera.film(105.0, 4.0).state == Posture.TILTED
    assert camera.answers[-1].calibration == Posture.CALIBRATION_AUTOMATIC


def test_without_a_network_it_says_why_and_the_others_go_on(graph, tmp_path):
    node = graph.make(PostureNode, network='yolo', engines_dir=str(tmp_path))
    assert until(lambda: 'yolo_pose' in node.health()[1], 30)
    assert not node.is_required
    assert until(lambda: node.state == 'unconfigured')


@pytest.mark.models
def test_blazepose_sees_the_person_of_the_sample_picture(graph):
    data = pytest.importorskip('skimage.data', reason='scikit-image brings the picture')
    node = graph.make(PostureNode)
    assert until(lambda: node.is_active, 60), node.health()
    images = graph.peer.create_publisher(Image, 'image_raw', 10)
    answers = graph.collect(Posture, 'posture')
    assert until(lambda: images.get_subscription_count() > 0)
    assert until(lambda: node._publisher.get_subscription_count() > 0)
    images.publish(image_message(data.astronaut(), 100.0))
    assert until(lambda: answers, 20)
    message = answers[0]
    assert 'pose_landmark' in message.backend
    assert message.basis == Posture.BASIS_WORLD
    left = message.keypoints[2 * Posture.LEFT_SHOULDER]
    right = message.keypoints[2 * Posture.RIGHT_SHOULDER]
    assert left > right + 100, 'the left shoulder is on the right of the image'
    assert 0.4 < message.camera_distance < 1.0
    assert abs(message.shoulder_tilt) < math.radians(10.0)
    assert not message.hips_seen
    assert math.isnan(message.trunk_pitch)
