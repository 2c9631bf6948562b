# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""When the pipeline detects, follows, loses, recovers and merges faces; no networks involved."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scripted_faces import FRAME_S, IMAGE, Person, World, ids

from aitable_ros.perception.faces.detector import FaceDetector
from aitable_ros.perception.faces.landmarks import keypoints_from_landmarks
from aitable_ros.perception.faces.mesh import FaceMesh
from aitable_ros.perception.faces.pipeline import FacePipeline
from aitable_ros.perception.faces.pipeline_settings import PipelineSettings


def pipeline(world, **settings):
    # here every face is the right way up, however sure
    settings = {'sure_presence': 0.0, **settings}
    return FacePipeline(world, world, settings=PipelineSettings(**settings))


def test_first_image_detects_then_landmarks_carry_on_alone():
    world = World([Person(200, 200)])
    faces = pipeline(world, max_faces=1, redetect_interval_s=10.0)
    for i in range(60):
        world.people[0].x += 3
        (face,) = faces.process(IMAGE, i * FRAME_S)
        assert face.face_id == 'f1'
        np.testing.assert_allclose(face.xywh_px, (world.people[0].x - 50, 150, 100, 100))
        assert face.tracked_s == pytest.approx(i * FRAME_S)
    assert world.detections == 1
    # one region per image; the first image has no landmarks to follow
    assert [runs for runs in world.mesh_runs if runs] == [1] * 60


@pytest.mark.parametrize('max_faces', [1, 2])
def test_the_detector_looks_again_after_the_interval(max_faces):
    # with room for further faces, and without it to see whether the landmarks are still right
    world = World([Person(200, 200)])
    faces = pipeline(world, max_faces=max_faces, redetect_interval_s=0.5)
    seen = []
    for i in range(46):
        before = world.detections
        faces.process(IMAGE, 100 + i * FRAME_S)
        if world.detections > before:
            seen.append(i)
    assert seen == [0, 15, 30, 45]


def test_a_second_person_is_found_within_the_interval_and_gets_the_next_id():
    world = World([Person(150, 200)])
    faces = pipeline(world, max_faces=2)
    for i in range(20):
        faces.process(IMAGE, i * FRAME_S)
    world.people.append(Person(450, 200, score=0.95))
    for i in range(20, 36):
        result = faces.process(IMAGE, i * FRAME_S)
    assert ids(result) == ['f1', 'f2']  # as first seen, not by score
    assert result[1].confidence == pytest.approx(0.95)
    world.people.append(Person(300, 400, score=0.99))
    for i in range(36, 60):
        result = faces.process(IMAGE, i * FRAME_S)
    assert ids(result) == ['f1', 'f2']  # no room for a third


def test_without_any_face_every_image_is_searched_and_now_and_then_turned():
    world = World()
    faces = pipeline(world, redetect_interval_s=0.5)
    for i in range(20):
        assert faces.process(IMAGE, i / 20) == []
    assert world.detections == 20 + 2


def test_a_lost_face_is_detected_again_in_the_same_image_and_keeps_its_id():
    world = World([Person(200, 200)])
    faces = pipeline(world, max_faces=1)
    faces.process(IMAGE, 0.0)
    world.people[0].x += 90  # farther than the region follows
    (face,) = faces.process(IMAGE, FRAME_S)
    assert face.face_id == 'f1'
    assert face.xywh_px[0] == pytest.approx(240)
    assert world.detections == 2


def test_after_a_loss_the_detector_stays_alert_for_one_interval():
    world = World([Person(150, 200), Person(450, 200)])
    faces = pipeline(world, max_faces=2, redetect_interval_s=0.5)
    faces.process(IMAGE, 0.0)
    hidden = world.people.pop(0)
    counts = []
    for i in range(1, 31):
        before = world.detections
        assert ids(faces.process(IMAGE, i * FRAME_S)) == ['f2']
        counts.append(world.detections - before)
    assert counts[:15] == [1] * 15
    assert sum(counts[16:]) <= 1
    world.people.append(hidden)
    for i in range(31, 47):
        result = faces.process(IMAGE, i * FRAME_S)
    assert ids(result) == ['f1', 'f2']


def test_landmarks_far_from_where_they_were_looked_for_are_measured_anew_where_detected():
    world = World([Person(200, 200)])
    faces = pipeline(world, max_faces=1)
    faces.process(IMAGE, 0.0)
    world.people[0].x += 20
    (face,) = faces.process(IMAGE, FRAME_S)
    assert (face.face_id, world.detections, sum(world.mesh_runs)) == ('f1', 2, 3)
    # ... and stay under observation for one interval
    for i in range(2, 15):
        faces.process(IMAGE, i * FRAME_S)
    assert world.detections == 15
    world.detections = 0
    for i in range(17, 29):
        faces.process(IMAGE, i * FRAME_S)
    assert world.detections == 0


def test_doubtful_landmarks_of_a_face_that_the_detector_does_not_see_get_a_second_look():
    world = World([Person(200, 200)])
    faces = pipeline(world, max_faces=1)
    faces.process(IMAGE, 0.0)
    world.detectable = False
    world.people[0].x += 20
    (face,) = faces.process(IMAGE, FRAME_S)
    assert (face.face_id, face.confidence) == ('f1', pytest.approx(0.8))
    assert sum(world.mesh_runs) == 3
    assert face.xywh_px[0] == pytest.approx(170)


def test_landmarks_that_never_settle_are_dropped():
    world = World([Person(200, 200)])
    faces = pipeline(world, max_faces=1)
    faces.process(IMAGE, 0.0)
    world.detectable = False
    world.drift_px = 20.0  # wherever it is looked for, the face seems to be beside
    assert faces.process(IMAGE, FRAME_S) == []


def test_landmarks_that_slipped_off_the_face_are_put_right_by_the_next_detection():
    world = World([Person(200, 200)])
    faces = pipeline(world, max_faces=1, redetect_interval_s=0.5)
    faces.process(IMAGE, 0.0)
    # The face jumps aside, and the landmark network goes on seeing one where it was.
    world.people[0].x = 160
    world.ghosts.append(Person(200, 200))
    for i in range(1, 5):
        (face,) = faces.process(IMAGE, i * 0.1)
        assert face.xywh_px[0] == pytest.approx(150)
    (face,) = faces.process(IMAGE, 0.5)
    assert face.xywh_px[0] == pytest.approx(110)
    assert face.face_id == 'f1'


def test_after_a_gap_in_the_stream_the_detector_looks():
    world = World([Person(200, 200)])
    faces = pipeline(world, max_faces=1, max_gap_s=0.12)
    for stamp_s, detections in ((0.0, 1), (0.1, 1), (0.2, 1), (0.35, 2), (0.45, 2)):
        faces.process(IMAGE, stamp_s)
        assert world.detections == detections, stamp_s


def test_low_presence_means_lost_and_who_is_followed_needs_less():
    world = World([Person(200, 200, presence=0.49)])
    faces = pipeline(world, min_presence=0.5, min_followed_presence=0.3)
    assert faces.process(IMAGE, 0.0) == []
    for i, (presence, found) in enumerate([(0.51, True), (0.31, True), (0.29, False)], 1):
        world.people[0].presence = presence
        assert bool(faces.process(IMAGE, i * FRAME_S)) is found


def test_what_is_detected_again_and_again_and_is_no_face_is_turned_only_now_and_then():
    world = World([Person(200, 200, presence=0.1)])
    faces = pipeline(world, sure_presence=1.0, redetect_interval_s=0.5)
    for i in range(20):
        assert faces.process(IMAGE, i / 20) == []
    # each image once; at 0.0 and 0.5 s three ways more, and around what those found
    assert 20 < sum(world.mesh_runs) <= 20 + 2 * (3 + 3)


@pytest.mark.models
@pytest.mark.parametrize('turns', [1, 2, 3])
def test_a_camera_on_its_side_or_upside_down(
    detection_engine, mesh_engine, place_astronaut, turns
):
    upright = place_astronaut(320, 240, 2.0)
    image = np.ascontiguousarray(np.rot90(upright, turns))
    faces = FacePipeline(FaceDetector(detection_engine), FaceMesh(mesh_engine))
    (expected,) = faces.process_still(upright)
    (still,) = faces.process_still(image)
    for i in range(60):
        (found,) = faces.process(image, i / 30) or [None]
        if found is not None:
            break
    for face in (still, found):
        up_px = face.landmarks_px[10, :2] - face.landmarks_px[152, :2]
        turn = math.degrees(math.atan2(-up_px[1], up_px[0])) - 90.0 * (1 + turns)
        assert abs((turn + 180.0) % 360.0 - 180.0) < 20.0
        assert face.xywh_px[2:].max() == pytest.approx(expected.xywh_px[2:].max(), rel=0.15)


def test_confidence_is_that_of_the_last_detection_presence_that_of_this_image():
    world = World([Person(200, 200, score=0.8, presence=0.9)])
    faces = pipeline(world, max_faces=2, redetect_interval_s=0.5)
    faces.process(IMAGE, 0.0)
    world.people[0].score, world.people[0].presence = 0.6, 0.7
    (face,) = faces.process(IMAGE, 0.1)
    assert (face.confidence, face.presence) == (pytest.approx(0.8), pytest.approx(0.7))
    (face,) = faces.process(IMAGE, 0.6)
    assert face.confidence == pytest.approx(0.6)
    assert world.detections == 2


def test_two_tracks_on_one_face_are_merged_and_the_older_survives():
    world = World([Person(200, 200)])
    faces = pipeline(world, max_faces=2, redetect_interval_s=0.1)
    faces.process(IMAGE, 0.0)
    world.people.append(Person(330, 200))
    for i in range(1, 60):
        result = faces.process(IMAGE, i * FRAME_S)
    assert ids(result) == ['f1', 'f2']
    world.people.pop()  # the second person leaves; its region is near enough to slide over
    world.people[0].x = 262.0
    result = faces.process(IMAGE, 60 * FRAME_S)
    assert ids(result) in (['f1'], ['f2'])
    assert len(result) == 1


def test_of_merged_tracks_the_one_that_was_heading_there_survives():
    # f1 stands still, f2 walks in front of it: f1's landmarks slide onto f2's face.
    world = World([Person(300, 200)])
    faces = pipeline(world, max_faces=2, redetect_interval_s=0.0)
    faces.process(IMAGE, 0.0)
    walker = Person(600, 200)
    world.people.append(walker)
    for i in range(1, 100):
        walker.x = 600 - 4 * i
        if abs(walker.x - 300) < 50:
            world.people = [walker]
        else:
            world.people = [Person(300, 200), walker]
        result = faces.process(IMAGE, i * FRAME_S)
        nearest = min(result, key=lambda f: abs(f.xywh_px[0] + 50 - walker.x))
        assert nearest.face_id == 'f2', i
    assert ids(result) == ['f1', 'f2']
    assert result[0].xywh_px[0] == pytest.approx(250)


def test_faces_close_together_but_apart_are_not_merged():
    world = World([Person(250, 200), Person(340, 200)])  # overlapping boxes, IoU 0.05
    faces = pipeline(world, max_faces=4, redetect_interval_s=0.0)
    for i in range(30):
        assert ids(faces.process(IMAGE, i * FRAME_S)) == ['f1', 'f2']


def test_small_detections_and_more_than_max_faces_are_ignored():
    people = [
        Person(100, 100, size=20, score=0.99),
        Person(200, 300, score=0.6),
        Person(500, 300, score=0.9),
        Person(350, 100, score=0.7),
    ]
    world = World(people)
    result = pipeline(world, max_faces=2, min_face_px=24.0).process(IMAGE, 0.0)
    assert [face.confidence for face in result] == pytest.approx([0.9, 0.7])


def test_a_face_that_shrinks_below_the_minimum_or_leaves_the_image_is_dropped():
    world = World([Person(320, 240, size=60)])
    faces = pipeline(world, min_face_px=50.0)
    assert len(faces.process(IMAGE, 0.0)) == 1
    world.people[0].size = 45.0
    assert faces.process(IMAGE, 0.1) == []
    world.people[0].size, world.people[0].x = 100.0, -20.0
    assert faces.process(IMAGE, 0.2) == []


def test_time_going_backwards_begins_anew_with_new_ids():
    world = World([Person(200, 200)])
    faces = pipeline(world, max_faces=1)
    faces.process(IMAGE, 50.0)
    faces.process(IMAGE, 50.1)
    (face,) = faces.process(IMAGE, 3.0)
    assert (face.face_id, face.tracked_s) == ('f2', 0.0)
    assert world.detections == 2


def test_another_image_size_begins_anew():
    world = World([Person(200, 200)])
    faces = pipeline(world)
    faces.process(IMAGE, 0.0)
    (face,) = faces.process(np.zeros((240, 320, 3), dtype=np.uint8), FRAME_S)
    assert face.face_id == 'f2'


def test_reset_forgets_faces_but_never_gives_an_id_twice():
    world = World([Person(200, 200)])
    faces = pipeline(world)
    assert ids(faces.process(IMAGE, 0.0)) == ['f1']
    faces.reset()
    assert ids(faces.process(IMAGE, 0.1)) == ['f2']


def test_still_pictures_are_independent_and_leave_the_stream_alone():
    world = World([Person(200, 200)])
    faces = pipeline(world, max_faces=2)
    faces.process(IMAGE, 0.0)
    for _ in range(3):
        world.people = [Person(400, 300, score=0.7), Person(100, 100, score=0.9)]
        detections = world.detections
        stills = faces.process_still(IMAGE)
        assert world.detections == detections + 1
        assert ids(stills) == ['f1', 'f2']  # best first
        assert stills[0].confidence == pytest.approx(0.9)
        assert stills[0].tracked_s == 0.0
        # the detector's keypoints, not those of the landmarks
        np.testing.assert_allclose(stills[0].keypoints_px, world.people[1].detected_keypoints_px())
    world.people = [Person(202, 200)]
    (face,) = faces.process(IMAGE, FRAME_S)
    assert (face.face_id, face.tracked_s) == ('f1', pytest.approx(FRAME_S))
    np.testing.assert_allclose(
        face.keypoints_px, keypoints_from_landmarks(world.people[0].landmarks_px())
    )
    world.people[0].presence = 0.2
    assert faces.process_still(IMAGE) == []


def test_what_is_not_an_image_or_a_time_is_refused_and_the_stream_goes_on():
    world = World([Person(200, 200)])
    faces = pipeline(world)
    faces.process(IMAGE, 0.0)
    with pytest.raises(ValueError, match='expected an image'):
        faces.process(IMAGE[..., 0], 0.1)
    with pytest.raises(ValueError, match='stamp_s'):
        faces.process(IMAGE, math.nan)
    assert ids(faces.process(IMAGE, 0.1)) == ['f1']
