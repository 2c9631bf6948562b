# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitable_ros.visualization.overlay.drawing import Rect
from aitable_ros.visualization.overlay.face_card import place_cards
from aitable_ros.visualization.overlay.face_marks import AXIS_COLOURS
from aitable_ros.visualization.overlay.face_overlay import (
    LEVEL_COLOURS,
    ZONE_COLOURS,
    FaceOverlay,
    eye_regions,
)
from aitable_ros.visualization.overlay.scene import draw_scene

SHAPE = (
    np.loadtxt(
        Path(__file__).parents[2] / 'perception' / 'emotion' / 'data' / 'neutral_face.csv',
        delimiter=',',
    )
    / 1000.0
)
SIZES = [(240, 320), (480, 640), (640, 480), (720, 1280), (1080, 1920)]
OPEN, CLOSED, EMOTION = (94, 234, 212), (255, 99, 118), (186, 163, 255)


def picture(height=480, width=640, seed=0) -> np.ndarray:
    """A dim picture, so that everything drawn is brighter."""
    return np.random.default_rng(seed).integers(0, 60, (height, width, 3), dtype=np.uint8)


def face(centre_px=(320.0, 200.0), eye_span_px=90.0, **values) -> FaceOverlay:
    landmarks = SHAPE * (eye_span_px, -eye_span_px, -eye_span_px) + (*centre_px, 0.0)
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    given_values = {
        'face_id': 'f1',
        'landmarks_px': landmarks.astype(np.float32),
        'expression': 'happy',
        'confidence': 0.52,
        'valence': 0.5,
        'arousal': 0.3,
        'left_ear': 0.31,
        'right_ear': 0.29,
        'eyes_closed': False,
        'perclos': 0.1,
        'level': 'alert',
        **values,
    }
    return FaceOverlay(xywh_px=np.r_[low, high - low], **given_values)


def coloured(image, colour, tolerance=12) -> np.ndarray:
    """(N, 2) x, y of the pixels of a colour."""
    near = np.abs(image.astype(int) - colour).max(axis=2) <= tolerance
    return np.argwhere(near)[:, ::-1]


def inside(rect: Rect, image) -> np.ndarray:
    return image[rect.top : rect.bottom, rect.left : rect.right]


def cards_of(height, width, faces) -> list[Rect | None]:
    """Where the cards are."""
    return [placed and placed[1] for placed in place_cards(height, width, faces)]


@pytest.mark.parametrize(('height', 'width'), SIZES)
def test_draws_onto_a_copy(height, width):
    image = picture(height, width)
    before = image.copy()
    drawn = draw_scene(image, [face((width / 2, height / 3), height / 6)])
    np.testing.assert_array_equal(image, before)
    assert (drawn.shape, drawn.dtype) == (image.shape, np.uint8)
    assert (drawn != image).any()
    assert not np.shares_memory(drawn, image)


def test_nothing_to_draw_gives_the_image_itself():
    image = picture()
    np.testing.assert_array_equal(draw_scene(image, []), image)


def test_an_image_that_cannot_be_written_to_is_no_hindrance():
    image = picture()[:, ::-1]
    image.flags.writeable = False
    assert draw_scene(image, [face()]).flags.writeable


placements = st.lists(
    st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2), st.floats(0.02, 0.7)), max_size=5
)


@given(size=st.sampled_from(SIZES), placed=placements, landmarks=st.booleans())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_cards_stay_inside_and_off_all_eyes(size, placed, landmarks):
    height, width = size
    faces = [
        face(
            (x * width, y * height),
            s * height,
            **({} if landmarks else {'landmarks_px': None}),
        )
        for x, y, s in placed
    ]
    cards = cards_of(height, width, faces)
    eyes = [region for one in faces for region in eye_regions(one)]
    rects = [r for r in cards if r is not None]
    for i, rect in enumerate(rects):
        assert rect.inside(width, height)
        assert all(rect.overlap(region) == 0 for region in eyes)
        assert all(rect.overlap(other) == 0 for other in rects[:i])
    for one, card in zip(faces, cards):
        for other in faces:
            if card is not None and other is not one:
                x, y, w, h = other.xywh_px
                box = Rect(math.ceil(x), math.ceil(y), math.floor(x + w), math.floor(y + h))
                assert card.overlap(box) == 0


def test_what_is_drawn_leaves_the_eyes_free():
    one = face(centre_px=(320, 220), eye_span_px=250.0, landmarks_px=None)
    image = picture()
    drawn = draw_scene(image, [one])
    assert cards_of(480, 640, [one])[0] is not None
    (eyes,) = eye_regions(one)
    within = Rect(eyes.left + 8, eyes.top + 20, eyes.right - 8, eyes.bottom)
    np.testing.assert_array_equal(inside(within, drawn), inside(within, image))


def test_a_single_face_has_a_full_card_beside_it():
    one = face()
    (card,) = cards_of(480, 640, [one])
    x, y, w, h = one.xywh_px
    assert card.overlap(Rect(int(x), int(y), int(x + w), int(y + h))) == 0
    header_only = face(
        valence=math.nan, left_ear=math.nan, right_ear=math.nan, perclos=math.nan, level=''
    )
    (small,) = cards_of(480, 640, [header_only])
    assert card.bottom - card.top > 2.5 * (small.bottom - small.top)


@pytest.mark.parametrize(
    ('closed', 'colour'), [(False, OPEN), (True, CLOSED), (None, (203, 213, 225))]
)
def test_eye_contours_show_whether_the_eyes_are_closed(closed, colour):
    one = face(centre_px=(900, 500), eye_span_px=300.0, eyes_closed=closed, level='')
    drawn = draw_scene(picture(1080, 1920), [one], mesh=False)
    for region in eye_regions(one):
        assert len(coloured(inside(region, drawn), colour)) > 10
        for other in {OPEN, CLOSED} - {colour}:
            assert len(coloured(inside(region, drawn), other)) == 0


@pytest.mark.parametrize('level', LEVEL_COLOURS)
def test_the_box_has_the_colour_of_the_level(level):
    one = face(level=level, landmarks_px=None)
    drawn = draw_scene(picture(), [one])
    x, y = one.xywh_px[:2].round().astype(int)
    corner = drawn[y - 3 : y + 4, x - 3 : x + 12]
    assert len(coloured(corner, LEVEL_COLOURS[level])) > 5


def test_the_circumplex_shows_valence_to_the_right_and_arousal_upwards():
    def dot(valence, arousal):
        one = face(valence=valence, arousal=arousal)
        (card,) = cards_of(480, 640, [one])
        return coloured(inside(card, draw_scene(picture(), [one])), EMOTION).mean(axis=0)

    middle = dot(0.0, 0.0)
    assert dot(0.9, 0.0)[0] > middle[0] + 5 > dot(-0.9, 0.0)[0] + 10
    assert dot(0.0, 0.9)[1] < middle[1] - 5 < dot(0.0, -0.9)[1] - 10
    np.testing.assert_allclose(dot(1.0, 1.0), dot(0.8, 0.8), atol=1.0)


def test_the_mesh_can_be_left_out():
    one = face(eyes_closed=None, level='')
    image = picture()
    with_mesh, without = (draw_scene(image, [one], mesh=mesh) for mesh in (True, False))
    nose = one.landmarks_px[4, :2].round().astype(int)
    around = (slice(nose[1] - 10, nose[1] + 10), slice(nose[0] - 10, nose[0] + 10))
    np.testing.assert_array_equal(without[around], image[around])
    assert (with_mesh[around] != image[around]).any()


def axes_of(one) -> np.ndarray:
    """Axes as of a head that looks at the camera, a little to the left."""
    tip = one.landmarks_px[4, :2]
    return tip + np.array([(0.0, 0.0), (15.0, 6.0), (50.0, 4.0), (-3.0, -50.0)])


def test_the_axes_of_the_head_are_red_green_and_blue():
    plain = face(eye_span_px=150.0, level='', eyes_closed=None)
    axes = axes_of(plain)
    one = face(eye_span_px=150.0, level='', eyes_closed=None, head_axes_px=axes)
    drawn = draw_scene(picture(), [one], mesh=False)
    for end, colour in zip(axes[1:], AXIS_COLOURS):
        found = coloured(drawn, colour)
        assert len(found) > 15
        assert np.hypot(*(found - end).T).min() < 3.0
    np.testing.assert_array_equal(
        draw_scene(picture(), [one], mesh=False, axes=False),
        draw_scene(picture(), [plain], mesh=False),
    )


@pytest.mark.parametrize('bad', [np.nan, 1e30, -1e30])
def test_axes_that_cannot_be_drawn_are_left_out(bad):
    axes = axes_of(face())
    axes[2, 0] = bad
    np.testing.assert_array_equal(
        draw_scene(picture(), [face(head_axes_px=axes)]), draw_scene(picture(), [face()])
    )


@pytest.mark.parametrize(
    'changes',
    [
        {'landmarks_px': None},
        {'expression': ''},
        {'expression': 'unknown', 'confidence': math.nan},
        {'valence': math.nan, 'arousal': math.nan},
        {'left_ear': math.nan},
        {'perclos': math.nan},
        {'level': 'something else'},
        {'expression': 'zufrieden \u2603 \U0001f600', 'face_id': '\xfc'},
        {'landmarks_px': np.full((468, 3), np.nan, np.float32)},
        {'landmarks_px': np.full((468, 3), 1e30, np.float32)},
        {'perclos': 7.0, 'valence': -5.0, 'arousal': 9.0},
    ],
)
def test_what_was_not_measured_is_left_out(changes):
    drawn = draw_scene(picture(), [face(**changes)])
    assert drawn.shape == (480, 640, 3)


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (8, 8), (20, 300), (300, 20), (48, 64)])
def test_tiny_images_are_drawn_as_far_as_there_is_room(height, width):
    drawn = draw_scene(picture(height, width), [face((width / 2, height / 2), height / 3)])
    assert drawn.shape == (height, width, 3)


@pytest.mark.parametrize(
    'box', [(-400, -300, 100, 100), (5000, 5000, 90, 90), (600, 400, 300, 300), (10, 10, 0, 0)]
)
def test_faces_outside_the_image_do_no_harm(box):
    one = FaceOverlay('f1', np.array(box, float), expression='sad', confidence=0.3)
    assert draw_scene(picture(), [one]).shape == (480, 640, 3)


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((480, 640), np.uint8),
        np.zeros((480, 640, 4), np.uint8),
        np.zeros((480, 640, 3), np.float32),
        np.zeros((0, 640, 3), np.uint8),
    ],
)
def test_other_images_are_refused(image):
    with pytest.raises(ValueError, match=r'must be \(H, W, 3\) uint8'):
        draw_scene(image, [])


class TestGaze:
    def test_an_arrow_in_the_colour_of_the_zone(self):
        arrow = np.array(((320.0, 190.0), (400.0, 230.0)))
        looks = face(eye_span_px=160.0, zone='away', gaze_px=arrow)
        drawn = draw_scene(picture(), [looks], mesh=False)
        plain = draw_scene(picture(), [face(eye_span_px=160.0, zone='away')], mesh=False)
        changed = np.argwhere((drawn != plain).any(axis=2))[:, ::-1]
        low, high = changed.min(axis=0), changed.max(axis=0)
        assert np.allclose(low, (320, 190), atol=8)
        assert np.allclose(high, (400, 230), atol=12)
        assert len(coloured(drawn, ZONE_COLOURS['away'])) > len(
            coloured(plain, ZONE_COLOURS['away'])
        )

    def test_the_zone_stands_on_the_card(self):
        without, with_zone = face(), face(zone='desk')
        (small, _), (large, _) = (place_cards(480, 640, [one])[0] for one in (without, with_zone))
        assert large.height > small.height
        assert len(coloured(draw_scene(picture(), [with_zone]), ZONE_COLOURS['desk'])) > 0
        assert len(coloured(draw_scene(picture(), [without]), ZONE_COLOURS['desk'])) == 0

    @pytest.mark.parametrize('value', [math.nan, 1e12])
    def test_an_arrow_to_nowhere_is_left_out(self, value):
        arrow = np.array(((320.0, 190.0), (value, 230.0)))
        drawn = draw_scene(picture(), [face(gaze_px=arrow)])
        assert np.array_equal(drawn, draw_scene(picture(), [face()]))

    def test_a_look_at_the_camera_is_a_point(self):
        arrow = np.array(((320.0, 190.0), (320.5, 190.0)))
        assert draw_scene(picture(), [face(zone='front', gaze_px=arrow)]).shape == (480, 640, 3)
