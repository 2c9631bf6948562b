# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""More faces than an image has time for: who is measured, who waits, who is who; no networks."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scripted_faces import FRAME_S, IMAGE, Person, World, ids

from aitable_ros.perception.faces.pipeline import FacePipeline
from aitable_ros.perception.faces.pipeline_settings import PipelineSettings
from aitable_ros.perception.faces.tracker import FaceTracker, TrackerSettings

COST_S = 0.0019


class BusyWorld(World):
    """Takes 1.9 ms for each face."""

    now_s = 0.0

    def run(self, image, rois):
        self.now_s += COST_S * len(rois)
        return super().run(image, rois)


def eight():
    return BusyWorld([Person(45 + 78 * i, 200 + 40 * (i % 2), size=60.0) for i in range(8)])


def pipeline(world, budget_ms=8.0, memory_s=3.0, **settings):
    settings = {'max_faces': 16, 'sure_presence': 0.0, **settings}
    tracker = FaceTracker(TrackerSettings(memory_s=memory_s))
    faces = FacePipeline(world, world, tracker, PipelineSettings(budget_ms=budget_ms, **settings))
    faces.turns.clock = lambda: world.now_s
    return faces


def watch(world, faces, images, start=0, move=lambda i: None):
    """Everybody's id by where they are, image by image: (measured, waiting)."""
    seen = []
    for i in range(start, start + images):
        move(i)
        measured = faces.process(IMAGE, i * FRAME_S)
        seen.append((measured, list(faces.waiting)))
    return seen


def owners(people, faces):
    """Whose face each id lies on."""
    owner = {}
    for face in faces:
        x, y = face.xywh_px[:2] + face.xywh_px[2:] / 2
        owner[face.face_id] = min(
            range(len(people)), key=lambda k: math.dist((x, y), (people[k].x, people[k].y))
        )
    return owner


def test_all_are_there_in_every_image_and_each_is_measured_or_waits():
    world = eight()
    faces = pipeline(world)
    watch(world, faces, 10)  # new ones come two an image
    for measured, waiting in watch(world, faces, 60, start=10):
        assert len(measured) == 4
        assert sorted(ids(measured) + ids(waiting)) == [f'f{k}' for k in range(1, 9)]
        assert ids(measured) == sorted(ids(measured))  # as first seen
        for face in waiting:
            assert face.landmarks_px is None
            assert math.isnan(face.presence)
            assert face.tracked_s > 0
    assert max(world.mesh_runs) <= 8


def test_without_a_budget_all_are_measured_at_once():
    world = eight()
    faces = pipeline(world, budget_ms=0.0)
    ((measured, waiting),) = watch(world, faces, 1)
    assert (len(measured), waiting) == (8, [])


def test_who_waits_is_where_it_is_expected():
    world = eight()
    faces = pipeline(world)

    def move(_):
        for person in world.people:
            person.y += 2.0

    watch(world, faces, 60, move=move)
    for i in range(60, 90):
        ((_, waiting),) = watch(world, faces, 1, start=i, move=move)
        for face in waiting:
            who = world.people[owners(world.people, [face])[face.face_id]]
            middle = face.xywh_px[:2] + face.xywh_px[2:] / 2
            assert math.dist(middle, (who.x, who.y)) < 3
            nose = face.keypoints_px[:4].mean(axis=0)
            assert math.dist(nose, (who.x, who.y)) < 30


def test_each_is_measured_evenly_and_keeps_its_id():
    world = eight()
    faces = pipeline(world)
    first = owners(world.people, watch(world, faces, 10)[-1][0] + faces.waiting)
    assert sorted(first.values()) == list(range(8))
    counts = Counter()
    for measured, waiting in watch(world, faces, 120, start=10):
        counts.update(ids(measured))
        assert owners(world.people, [*measured, *waiting]) == first
    assert min(counts.values()) >= 30
    assert max(counts.values()) <= 120


def test_who_leaves_while_waiting_is_noticed_at_the_next_turn():
    world = eight()
    faces = pipeline(world)
    watch(world, faces, 20)
    gone = faces.waiting[0].face_id
    del world.people[owners(world.people, faces.waiting)[gone]]
    seen = watch(world, faces, 20, start=20)
    assert gone not in ids(seen[-1][0] + seen[-1][1])
    assert len(seen[-1][0]) + len(seen[-1][1]) == 7


@pytest.mark.parametrize('memory_s', [3.0, 0.0])
def test_a_newcomer_is_nobody_who_waits(memory_s):
    world = eight()
    faces = pipeline(world, memory_s=memory_s)
    watch(world, faces, 20)
    world.people.append(Person(320, 330, size=60.0))
    seen = watch(world, faces, 30, start=20)
    assert set(ids(seen[-1][0] + seen[-1][1])) == {f'f{k}' for k in range(1, 10)}


def test_two_people_who_cross_five_times_while_others_wait_keep_their_ids():
    world = eight()
    world.people = world.people[2:]
    left, right = Person(100, 380, size=70.0), Person(540, 400, size=70.0)
    world.people += [left, right]
    faces = pipeline(world, budget_ms=6.0)

    def move(i):
        swing = math.cos(2 * math.pi * i * FRAME_S / 4)
        left.x, right.x = 320 - 220 * swing, 320 + 220 * swing
        world.people = [p for p in world.people if p is not right]
        if abs(left.x - right.x) > 50:  # else one hides the other
            world.people.append(right)

    owner = {}
    for i in range(300):
        move(i)
        measured = faces.process(IMAGE, i * FRAME_S)
        if abs(left.x - right.x) < 150:
            continue
        for face in measured:
            x = float(face.xywh_px[0] + face.xywh_px[2] / 2)
            if float(face.xywh_px[1]) < 300:
                continue
            who = 'left' if abs(x - left.x) < abs(x - right.x) else 'right'
            assert owner.setdefault(face.face_id, who) == who, i
    assert sorted(owner.values()) == ['left', 'right']


def test_a_still_picture_knows_no_turns():
    world = eight()
    faces = pipeline(world)
    watch(world, faces, 20)
    assert len(faces.process_still(np.zeros((480, 640, 3), np.uint8))) == 8


def test_who_is_nearer_takes_the_place_of_the_farthest_where_there_is_none_left():
    world = World([Person(100, 100, size=40.0), Person(500, 100, size=60.0)])
    faces = FacePipeline(world, world, settings=PipelineSettings(max_faces=2, sure_presence=0.0))
    far = ids(faces.process(IMAGE, 0.0))
    world.people.append(Person(300, 300, size=55.0, score=0.99))  # hardly nearer: stays out
    for i in range(1, 20):
        assert ids(faces.process(IMAGE, i * FRAME_S)) == far
    world.people[2].size = 200.0
    for i in range(20, 40):
        seen = faces.process(IMAGE, i * FRAME_S)
    assert sorted(float(face.xywh_px[2]) for face in seen) == pytest.approx([60, 200])


def test_one_who_is_far_does_not_keep_the_only_place_from_who_sits_down():
    world = World([Person(100, 100, size=40.0)])
    faces = FacePipeline(world, world, settings=PipelineSettings(max_faces=1, sure_presence=0.0))
    faces.process(IMAGE, 0.0)
    world.people.append(Person(320, 260, size=150.0))
    seen = [faces.process(IMAGE, i * FRAME_S) for i in range(1, 40)]
    assert float(seen[-1][0].xywh_px[2]) == pytest.approx(150)
    assert len({face.face_id for (face,) in seen}) == 2
