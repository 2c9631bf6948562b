# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What of people is left in a picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from aitable_ros.perception.posture.body_keypoints import KEYPOINT_COUNT
from aitable_ros.visualization.overlay.drawing import CARD, Rect
from aitable_ros.visualization.overlay.face_overlay import FaceOverlay
from aitable_ros.visualization.overlay.posture_overlay import PostureOverlay
from aitable_ros.visualization.overlay.privacy import MEMORY_S, LastPlaces, ground

NOISE = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
SIZE = (320, 240)
PLACE = Rect(100, 60, 200, 180)


def face(x=100.0, y=60.0, width=80.0, height=100.0, face_id='f1'):
    return FaceOverlay(face_id, np.array((x, y, width, height)))


def body(x=60.0, y=60.0):
    """A body whose head is 20 pixels wide."""
    xy = np.full((KEYPOINT_COUNT, 2), np.nan)
    xy[0], xy[7], xy[8] = (x, y), (x + 10, y), (x - 10, y)
    return PostureOverlay(xy_px=xy, visibility=np.ones(KEYPOINT_COUNT))


def covers(rects, other):
    return any(rect.overlap(other) == other.overlap(other) for rect in rects)


class TestGround:
    def test_none_is_the_image_itself(self):
        assert ground(NOISE, SIZE, 'none', [PLACE]) is NOISE

    def test_blur_leaves_a_few_blocks_of_a_face_and_the_rest_as_it_is(self):
        before = NOISE.copy()
        seen = ground(NOISE, SIZE, 'blur', [PLACE])
        np.testing.assert_array_equal(NOISE, before)
        inside = seen[PLACE.top : PLACE.bottom, PLACE.left : PLACE.right]
        # nothing is left that is finer than a fifth of the face
        assert np.abs(np.diff(inside.astype(int), axis=1)).max() <= 3
        outside = np.ones(NOISE.shape[:2], bool)
        outside[PLACE.top : PLACE.bottom, PLACE.left : PLACE.right] = False
        np.testing.assert_array_equal(seen[outside], NOISE[outside])

    def test_blurred_faces_of_two_people_are_the_same_but_for_their_brightness(self):
        """Two faces that differ in all that is finer than the blocks cannot be told apart."""
        rng = np.random.default_rng(1)
        blocks = rng.integers(60, 190, (5, 5, 3), dtype=np.uint8)
        flat = cv2.resize(blocks, (100, 100), interpolation=cv2.INTER_NEAREST)
        fine = np.where(np.indices((100, 100)).sum(axis=0)[..., None] % 2, 40, -40)
        one, other = (np.uint8(flat + sign * fine) for sign in (1, -1))
        hidden = [ground(x, (100, 100), 'blur', [Rect(0, 0, 100, 100)]) for x in (one, other)]
        assert np.abs(hidden[0].astype(int) - hidden[1]).max() <= 1

    @pytest.mark.parametrize(
        'rect',
        [
            Rect(-50, -50, 10, 10),
            Rect(310, 230, 900, 900),
            Rect(400, 0, 500, 50),
            Rect(-900, -900, 900, 900),
            Rect(10, 10, 10, 10),
            Rect(5, 5, 6, 6),
        ],
    )
    def test_places_may_leave_the_image(self, rect):
        assert ground(NOISE, SIZE, 'blur', [rect]).shape == NOISE.shape

    def test_mesh_is_plain_ground_without_an_image(self):
        seen = ground(None, SIZE, 'mesh')
        assert seen.shape == NOISE.shape
        assert (seen == CARD).all()

    @pytest.mark.parametrize(
        ('image', 'size', 'privacy'),
        [
            (NOISE, SIZE, 'no_image'),
            (None, SIZE, 'none'),
            (None, SIZE, 'blur'),
            (None, (0, 0), 'mesh'),
            (None, (2**31, 1), 'mesh'),
        ],
    )
    def test_where_there_is_no_picture_it_says_so(self, image, size, privacy):
        with pytest.raises(ValueError, match='picture|pixels'):
            ground(image, size, privacy)


class TestLastPlaces:
    def test_faces_are_hidden_with_a_margin(self):
        (rect,) = LastPlaces().update(1.0, [face()])
        assert rect.overlap(Rect(100, 60, 180, 160)) == 80 * 100
        assert rect.left < 80
        assert rect.bottom > 190

    def test_a_face_that_is_not_found_any_more_stays_hidden_for_a_while(self):
        places = LastPlaces()
        places.update(1.0, [face()])
        assert len(places.update(1.0 + MEMORY_S - 0.1, [])) == 1
        assert places.update(1.1 + MEMORY_S, []) == []

    def test_one_that_moves_leaves_no_trail_where_it_is_found(self):
        places = LastPlaces()
        for n in range(100):
            rects = places.update(1.0 + n / 30, [face(x=100.0 + n)])
            assert len(rects) < 8
        assert covers(rects, Rect(199, 60, 279, 160))

    def test_other_faces_do_not_uncover_it(self):
        places = LastPlaces()
        places.update(1.0, [face(), face(x=220.0, face_id='f2')])
        rects = places.update(2.0, [face(x=220.0, face_id='f2')])
        assert covers(rects, Rect(100, 60, 180, 160))

    def test_the_head_of_a_body_is_hidden_whose_face_is_turned_away(self):
        rects = LastPlaces().update(1.0, [], body())
        assert covers(rects, Rect(45, 45, 75, 75))

    def test_a_body_without_a_head_has_none(self):
        nobody = PostureOverlay()
        assert LastPlaces().update(1.0, [], nobody) == []
        far = body(x=1e9)
        assert LastPlaces().update(1.0, [], far) == []

    def test_time_that_goes_back_begins_anew(self):
        places = LastPlaces()
        places.update(100.0, [face()])
        assert places.update(5.0, []) == []
