# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The page of all tables in a real Chromium: who needs a look is first, and nobody is pictured."""

from __future__ import annotations

import gc
import time

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')
pytest.importorskip('aiohttp', reason='aiohttp is not installed')
pytest.importorskip('selenium', reason='selenium is not installed')

from browser import Browser
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_fixtures import until
from web_peers import web_monitor

from aitable_msgs.msg import Alert, Fatigue
from aitable_ros.ros_support.display import fleet_input

LATCHED = QoSProfile(depth=32, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def browser(tmp_path):
    gc.collect()
    browser = Browser(tmp_path)
    yield browser
    assert browser.complaints() == []
    browser.close()


class Tables:
    """Plays tables: levels by name, as their nodes would publish them."""

    def __init__(self, graph, *names):
        self._make = lambda kind, topic, qos=20: graph.run(
            lambda: graph.peer.create_publisher(kind, topic, qos)
        )
        self.diagnostics = self._make(DiagnosticArray, '/diagnostics', 50)
        self.fatigue = {name: self._make(Fatigue, f'/{name}/fatigue') for name in names}
        self.alerts = {name: self._make(Alert, f'/{name}/alerts', LATCHED) for name in names}

    def say(self, name, level, node_level=b'\x00', message='in order'):
        reading = Fatigue(face_id='f1_1', level=level, level_reason='why', perclos=0.25)
        reading.perclos_valid = True
        self.fatigue[name].publish(reading)
        self.report(name, node_level, message)

    def report(self, name, node_level=b'\x00', message='in order'):
        status = DiagnosticStatus(
            name=f'{name}/fatigue', hardware_id='aitable', level=node_level, message=message
        )
        status.values = [KeyValue(key='face_mesh backend', value='litert')]
        self.diagnostics.publish(DiagnosticArray(status=[status]))


def names_in_order(browser):
    return browser.run('return [...document.querySelectorAll("#tables h2")].map(x => x.innerText)')


def test_all_tables_are_there_and_the_urgent_ones_first(graph, tmp_path, browser, monkeypatch):
    monkeypatch.setattr(fleet_input, 'PERIOD_S', 0.2)
    node = web_monitor(graph, tmp_path, page='fleet')
    tables = Tables(graph, 'table_1', 'table_2', 'table_10')
    browser.driver.get(node.url)
    assert browser.says('#status', 'connected')
    assert browser.says('#summary', 'No table is heard')
    tables.alerts['table_10'].publish(
        Alert(person_id='f1_1', cause=Alert.TIRED, level=Alert.WARNING, reason='level severe')
    )

    def say():
        tables.say('table_1', Fatigue.LEVEL_ALERT)
        tables.say('table_2', Fatigue.LEVEL_SEVERE, b'\x02', 'no images <b>at all</b>')
        tables.report('table_10')
        time.sleep(0.05)
        return names_in_order(browser)

    assert until(lambda: say() == ['table_10', 'table_2', 'table_1']), names_in_order(browser)
    say()
    assert browser.says('#table-table_1', '● alert')
    assert browser.says('#table-table_1', 'f1_1: alert, why, PERCLOS 25 %')
    assert browser.says('#table-table_1', 'all 1 nodes in order')
    assert browser.says('#table-table_2', '■ fatigue: error; no images <b>at all</b>')
    assert browser.says('#table-table_10', 'warning: f1_1: level severe')
    assert browser.says('#table-table_10', 'nobody there')
    assert browser.says('#summary', '3 tables')
    assert browser.says('#summary', '1 alert')
    assert browser.run('return document.querySelectorAll("canvas, img").length') == 0
    # images and faces are not even subscribed to
    topics = {s.topic_name for s in node.subscriptions}
    assert not [one for one in topics if one.endswith(('faces', 'image_raw', 'compressed'))]

    # whoever is not heard of any more is said to be silent, and comes first
    until_s = time.monotonic() + fleet_input.SILENT_S + 1.0
    while time.monotonic() < until_s:
        tables.say('table_1', Fatigue.LEVEL_ALERT)
        tables.report('table_10')
        time.sleep(0.2)
    assert browser.says('#table-table_2', 'silent for')
    assert names_in_order(browser)[0] == 'table_2'
    assert browser.says('#summary', '1 silent')
