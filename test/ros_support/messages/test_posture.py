# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the posture node is made of: depth messages, static transforms, calibration, rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from euler_angles import from_yaw_pitch_roll

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, Image
from sitting_person import SittingPerson, film_body
from std_msgs.msg import Header

from aitable_msgs.msg import Posture
from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.images.decoding import ImageConversionError
from aitable_ros.perception.maths import rotation
from aitable_ros.perception.maths.rate_limit import RateLimit
from aitable_ros.perception.posture.angles import Basis, HeadSource
from aitable_ros.perception.posture.body_keypoints import BodyKeypoint
from aitable_ros.perception.posture.distance import DistanceSource
from aitable_ros.perception.posture.frames import CameraPlacement, PlacementSource
from aitable_ros.perception.posture.measure import PostureMeter
from aitable_ros.perception.posture.monitor import PostureMonitor
from aitable_ros.perception.posture.observer import PostureReading
from aitable_ros.perception.posture.states import Calibration
from aitable_ros.perception.posture.states import Posture as Verdict
from aitable_ros.ros_support.messages.camera_calibration import CameraCalibration
from aitable_ros.ros_support.messages.depth import depth_from_message
from aitable_ros.ros_support.messages.posture import keypoints_of, posture_to_message
from aitable_ros.ros_support.messages.static_transforms import StaticTransforms

INTRINSICS = CameraIntrinsics(640, 480, (600.0, 0, 320.0, 0, 600.0, 240.0, 0, 0, 1))


class Log:
    def __init__(self):
        self.warnings = []

    def warning(self, text):
        self.warnings.append(text)


class Listener:
    """Stands in for a node that only listens."""

    def __init__(self):
        self.log = Log()

    def get_logger(self):
        return self.log


def depth_message(values, encoding, *, big=False, padding=0):
    values = np.asarray(values)
    rows = values.astype(values.dtype.newbyteorder('>' if big else '<'))
    data = np.zeros((values.shape[0], values.shape[1] * values.itemsize + padding), np.uint8)
    data[:, : data.shape[1] - padding] = np.frombuffer(rows.tobytes(), np.uint8).reshape(
        values.shape[0], -1
    )
    message = Image(height=values.shape[0], width=values.shape[1], encoding=encoding)
    message.step, message.is_bigendian = data.shape[1], int(big)
    message.data = data.tobytes()
    return message


class TestDepthMessages:
    @pytest.mark.parametrize('big', [False, True])
    @pytest.mark.parametrize('padding', [0, 6])
    def test_millimetres_and_metres(self, big, padding):
        meters = np.linspace(0.3, 3.0, 35).reshape(5, 7)
        millis = depth_from_message(
            depth_message((meters * 1000).astype(np.uint16), '16UC1', big=big, padding=padding)
        )
        assert millis.values * millis.unit_m == pytest.approx(meters, abs=0.001)
        floats = depth_from_message(
            depth_message(meters.astype(np.float32), '32FC1', big=big, padding=padding)
        )
        assert floats.values * floats.unit_m == pytest.approx(meters, rel=1e-6)

    @pytest.mark.parametrize(
        'fault', ['rgb8', 'short', 'step', 'empty', 'huge'], ids=lambda fault: fault
    )
    def test_what_is_no_depth_image_is_refused(self, fault):
        message = depth_message(np.ones((4, 6), np.uint16), '16UC1')
        if fault == 'rgb8':
            message.encoding = 'rgb8'
        elif fault == 'short':
            message.data = message.data[:-1]
        elif fault == 'step':
            message.step = 4
        elif fault == 'empty':
            message.width = 0
        else:
            message.width, message.height = 2**31, 2**31
        with pytest.raises(ImageConversionError, match='depth image'):
            depth_from_message(message)


def link(parent, child, translation, yaw_pitch_roll=(0.0, 0.0, 0.0)):
    message = TransformStamped(header=Header(frame_id=parent), child_frame_id=child)
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = map(float, translation)
    q.x, q.y, q.z, q.w = from_yaw_pitch_roll(*yaw_pitch_roll)
    return message


class Transforms:
    def __init__(self, *transforms):
        self.transforms = transforms


class TestStaticTransforms:
    def test_a_chain_over_a_common_ancestor(self):
        known = StaticTransforms(Listener())
        known.take(Transforms(link('room', 'desk', (1.0, 0.0, 0.7), (math.pi / 2, 0, 0))))
        known.take(Transforms(link('/room', '/stand', (1.0, 0.5, 1.1))))
        known.take(Transforms(link('stand', 'camera', (0.0, 0.0, 0.1), (0, 0.3, 0))))
        translation, turn = known.lookup('desk', 'camera')
        assert translation == pytest.approx((0.5, 0.0, 0.5))
        assert rotation.to_yaw_pitch_roll(turn) == pytest.approx((-math.pi / 2, 0.3, 0.0))
        back_translation, back = known.lookup('camera', 'desk')
        assert rotation.rotate(back, translation) == pytest.approx(
            tuple(-x for x in back_translation)
        )

    def test_a_frame_in_itself(self):
        translation, turn = StaticTransforms(Listener()).lookup('a', 'a')
        assert translation == (0.0, 0.0, 0.0)
        assert turn == rotation.IDENTITY

    def test_what_is_not_connected_is_unknown(self):
        known = StaticTransforms(Listener())
        known.take(Transforms(link('a', 'b', (1, 0, 0)), link('c', 'd', (1, 0, 0))))
        assert known.lookup('a', 'd') is None

    def test_loops_and_nonsense_do_no_harm(self):
        known = StaticTransforms(Listener())
        zero = link('a', 'b', (1, 0, 0))
        zero.transform.rotation.w = 0.0
        far = link('a', 'b', (math.nan, 0, 0))
        known.take(Transforms(zero, far))
        assert known.lookup('a', 'b') is None
        known.take(Transforms(link('a', 'b', (1, 0, 0)), link('b', 'a', (1, 0, 0))))
        assert known.lookup('c', 'a') is None


class TestCameraCalibration:
    def info(self, **fields):
        k = [600.0, 0.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0]
        return CameraInfo(**{'width': 640, 'height': 480, 'k': k, **fields})

    def test_what_it_says(self):
        node = Listener()
        known = CameraCalibration(node)
        assert known.description == 'assumed field of view'
        known.take(self.info())
        assert known.intrinsics is not None
        assert known.description == 'camera_info'
        known.take(self.info(k=[0.0] * 9))
        assert known.intrinsics is None
        assert 'not calibrated' in known.description
        known.take(self.info(k=[-1.0] * 9))
        known.take(self.info(k=[-1.0] * 9))
        assert len(node.log.warnings) == 2  # each fault once


class TestRateLimit:
    @pytest.mark.parametrize(('fps', 'expected'), [(30, 10.0), (25, 10.0), (12, 10.0), (5, 5.0)])
    def test_the_rate_holds_on_average(self, fps, expected):
        limit, taken = RateLimit(), 0
        for i in range(fps * 20):
            stamp_s = 100.0 + i / fps
            if limit.is_due(stamp_s):
                limit.take(stamp_s, 10.0)
                taken += 1
        assert taken / 20.0 == pytest.approx(expected, rel=0.02)

    def test_no_burst_after_a_pause(self):
        limit = RateLimit()
        limit.take(100.0, 10.0)
        limit.take(110.0, 10.0)
        assert not limit.is_due(110.05)
        assert limit.is_due(110.1)

    def test_zero_is_all(self):
        limit = RateLimit()
        for stamp_s in (1.0, 1.001, 1.002):
            assert limit.is_due(stamp_s)
            limit.take(stamp_s, 0.0)


class TestMessage:
    def test_every_field(self):
        person = SittingPerson(torso_yaw_rad=0.1, trunk_pitch_rad=0.1, forward_head_rad=0.3)
        placement = CameraPlacement.from_angles(0.1, 0.0, 0.4)
        body = film_body(person, INTRINSICS, placement)
        meter, monitor = PostureMeter(), PostureMonitor()
        for i in range(60):
            sample = meter.measure(body, (640, 480), intrinsics=INTRINSICS, placement=placement)
            state = monitor.update(100.0 + i / 10, sample)
        header = Header(frame_id='camera')
        message = posture_to_message(
            PostureReading(state, body, 'f3', (640, 480), 'pose: x'), header
        )
        assert message.header is header or message.header == header
        assert (message.person_id, message.backend) == ('f3', 'pose: x')
        assert message.state == Posture.UPRIGHT
        assert message.state_reason
        assert message.calibration == Posture.CALIBRATION_AUTOMATIC
        assert message.basis == Posture.BASIS_WORLD
        assert message.hips_seen
        assert message.head_source == Posture.HEAD_KEYPOINTS
        assert message.camera_calibrated
        assert message.camera_placement == Posture.PLACEMENT_PARAMETERS
        assert message.torso_yaw == pytest.approx(0.1, abs=0.01)
        assert message.trunk_pitch == pytest.approx(0.1, abs=0.01)
        assert message.forward_head == pytest.approx(0.3, abs=0.01)
        assert message.distance_source == Posture.DISTANCE_EYES
        assert message.eye_desk_distance == pytest.approx(state.eye_desk_m, abs=1e-5)
        assert message.moved_up == pytest.approx(0.0, abs=0.01)
        assert len(message.keypoints), len(message.world) == (66, 99)
        nose = message.keypoints[2 * Posture.NOSE : 2 * Posture.NOSE + 2]
        assert list(nose) == pytest.approx(body.xy_px[BodyKeypoint.NOSE].tolist())
        again = keypoints_of(message)
        assert np.array_equal(again.xy_px, body.xy_px, equal_nan=True)
        assert np.array_equal(again.world_m, body.world_m)

    def test_nobody_is_nan_and_not_zero(self):
        state = PostureMonitor().update(1.0, PostureMeter().measure(None, (640, 480)))
        message = posture_to_message(PostureReading(state, None, '', (640, 480), ''), Header())
        assert keypoints_of(message) is None
        for name in (
            *('shoulder_tilt', 'torso_yaw', 'trunk_pitch', 'trunk_roll', 'forward_head'),
            *('neck_flexion', 'head_yaw', 'head_pitch', 'head_roll', 'neck_ratio', 'slouch'),
            *('camera_distance', 'eye_desk_distance', 'moved_forward', 'moved_left', 'moved_up'),
            *('good_share', 'too_close_s', 'still_s'),
        ):
            assert math.isnan(getattr(message, name)), name

    @pytest.mark.parametrize(
        ('prefix', 'enumeration'),
        [
            ('', Verdict),
            ('CALIBRATION_', Calibration),
            ('BASIS_', Basis),
            ('HEAD_', HeadSource),
            ('DISTANCE_', DistanceSource),
            ('PLACEMENT_', PlacementSource),
            ('', BodyKeypoint),
        ],
    )
    def test_constants_are_those_of_the_analysis(self, prefix, enumeration):
        for one in enumeration:
            assert getattr(Posture, prefix + one.name) == one.value
