# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Node that serves the table's own page: what the other nodes see, in a browser."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.time import Time

from aitable_msgs.msg import FaceArray
from aitable_ros.nodes.web_monitor_parameters import FLEET, PARAMETERS
from aitable_ros.perception.attention.zones import Zone
from aitable_ros.perception.fatigue.level import FatigueLevel
from aitable_ros.perception.maths.rate_limit import RateLimit
from aitable_ros.perception.posture.states import Posture
from aitable_ros.ros_support.display.fleet_input import FleetInput
from aitable_ros.ros_support.display.happened_input import HappenedInput
from aitable_ros.ros_support.display.page_control import PageControl
from aitable_ros.ros_support.display.scene_input import Scene, SceneInput, draw
from aitable_ros.ros_support.frames.frame_hub import stamp_to_ns
from aitable_ros.ros_support.frames.image_conversion import jpeg_of
from aitable_ros.ros_support.messages.results import faces_taken
from aitable_ros.ros_support.messages.scalars import scalars_of, to_json
from aitable_ros.ros_support.node.managed_node import ManagedNode
from aitable_ros.ros_support.parameters.table import ParameterSpec
from aitable_ros.ros_support.process.executor import spin
from aitable_ros.visualization.overlay.privacy import LastPlaces
from aitable_ros.visualization.overlay.privacy_modes import NO_IMAGE, SHOWS_IMAGE
from aitable_ros.web.access import (
    Access,
    default_token_file,
    is_loopback,
    link,
    load_token,
    print_link,
)
from aitable_ros.web.charts import HOW_TO_GET, read_charts
from aitable_ros.web.history import COLUMNS, History

if TYPE_CHECKING:
    from aitable_ros.web.server import WebServer, WebSettings

DEMAND_POLL_S = 0.2
TERMINAL = Path('/dev/tty')
"""Not the standard output: that of a launched process goes into launch's log, too."""

ABOUT = ('header', 'face_id', 'person_id', 'image_width', 'image_height')
WORDS = {'level': FatigueLevel, 'state': Posture, 'zone': Zone}
SETTINGS = ('privacy', 'draw_mesh', 'draw_axes', 'draw_posture')
FLEET_INDEX = 'fleet.html'


class _Loaded(NamedTuple):
    """What a configuration is made of."""

    settings: WebSettings
    access: Access
    token_file: Path
    control: bool
    history_s: float
    has_charts: bool
    fleet: bool


class WebMonitorNode(ManagedNode):
    """
    Serves a page with pictures, readings and diagnostics; docs/web.md says to whom.

    Pictures are drawn and encoded while a page is open, and images are received only where
    ``privacy`` lets them be seen. Readings of the last minutes are kept in memory for its curves.
    """

    # what is missing is shown, and warned of by the nodes that need it
    NEEDS_INPUT: ClassVar[bool] = False

    RESULTS_WAIT_S: ClassVar[float] = 0.05
    """How long emotion and fatigue of the same image are waited for [s]."""

    PARAMETERS: ClassVar[tuple[ParameterSpec, ...]] = PARAMETERS

    def __init__(self, name: str = 'web_monitor', **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.found = SceneInput(self, self._take_faces)
        self.happened = HappenedInput(self, self._tell)
        self.fleet = FleetInput(self, self._tell)
        self.control = PageControl(self, SETTINGS)
        self._server: WebServer | None = None
        self._problem = ''
        self._places = LastPlaces()
        self._limit = RateLimit()
        self._history = History(self.params['history'], WORDS)
        self._statuses: dict[str, str] = {}
        self._settings = ''
        self._timer: Any = None
        self._diagnostics: Any = None

    @property
    def url(self) -> str:
        """Where the page is, without the token; empty: it is not served."""
        if self._server is None:
            return ''
        settings = self.loaded.settings
        return link(settings.host, self._server.port, '', tls=settings.tls is not None)

    @property
    def _has_charts(self) -> bool:
        return self.loaded is not None and self.loaded.has_charts

    def load(self, values: Mapping[str, Any]) -> _Loaded:
        """Read the token and the certificate; see that the server can be imported."""
        try:
            from aitable_ros.web.server import WebSettings
        except ImportError as error:
            raise RuntimeError(f'{error}: apt install python3-aiohttp') from error
        given = values['token_file']
        token_file = Path(given).expanduser() if given else default_token_file()
        hosts = (name.strip().lower() for name in values['allowed_hosts'].split(','))
        access = Access(
            load_token(token_file),
            values['host'],
            frozenset(filter(None, hosts)),
            values['token'] == 'always',
        )
        tls = _tls(values['tls_certificate'], values['tls_key'])
        fleet = values['page'] == FLEET
        settings = WebSettings(values['host'], values['port'], tls, values['max_clients'])
        if fleet:
            settings = replace(settings, index=FLEET_INDEX)
        return _Loaded(
            settings,
            access,
            token_file,
            values['control'] and not fleet,
            values['history'],
            bool(read_charts()),
            fleet,
        )

    def start(self) -> None:
        """Serve the page, and listen to what it shows."""
        self._serve()
        self._follow()
        self._diagnostics = self.create_subscription(
            DiagnosticArray, '/diagnostics', self._take_diagnostics, 50
        )
        self._timer = self.create_timer(DEMAND_POLL_S, self._follow_demand)

    def stop(self) -> None:
        """Close all pages and unsubscribe."""
        timer, self._timer = self._timer, None
        if timer is not None:
            self.destroy_timer(timer)
        diagnostics, self._diagnostics = self._diagnostics, None
        if diagnostics is not None:
            self.destroy_subscription(diagnostics)
        self.found.follow(False)
        self.happened.follow(False)
        self.fleet.follow(False)
        self.control.close()
        self._end_serving()
        self.frames.clear()

    def adapt(self) -> None:
        """Serve as the parameters say now; pages connect again by themselves."""
        self._end_serving()
        self._serve()
        self._follow()

    def reset(self) -> None:
        """Forget the readings that were kept."""
        self.found.clear()
        self.happened.clear()
        self.fleet.clear()
        self._places = LastPlaces()
        self._history.clear()

    def results(self, item: FaceArray) -> Iterable[Any]:
        """Show the readings of one image, and the image; nothing is published on a topic."""
        server = self._server
        if server is None:
            return ()
        scene = self.found.scene(item, self.values['max_age'], self.RESULTS_WAIT_S)
        stamp_s = stamp_to_ns(item.header.stamp) * 1e-9
        readings = self._readings(item, scene, stamp_s)
        rows = self._history.add(stamp_s, readings['people'])
        if rows:
            server.publish('rows', to_json({'rows': rows}))
        if server.clients:
            server.publish('readings', to_json({'readings': readings}))
            jpeg = self._picture(item, scene)
            if jpeg is not None:
                server.show(stamp_s, jpeg)
            self.output_rate.tick()
            age = self.get_clock().now() - Time.from_msg(item.header.stamp)
            self.meters.latency.add(age.nanoseconds * 1e-9)
        return ()

    @property
    def notice(self) -> str:
        """Say why there is no page."""
        return self._problem

    def diagnostics(self) -> Iterable[tuple[str, Any]]:
        """Add who looks at what."""
        server = self._server
        return (
            ('page', self.url or 'not served'),
            ('open pages', server.clients if server else 0),
            ('refused requests', server.refused if server else 0),
            ('privacy', self.params['privacy']),
            ('curves', 'uPlot' if self._has_charts else f'uPlot is not there: {HOW_TO_GET}'),
        )

    def _readings(self, item: FaceArray, scene: Scene, stamp_s: float) -> dict[str, Any]:
        posture = None if scene.posture is None else scalars_of(scene.posture, ABOUT)
        whose = '' if scene.posture is None else scene.posture.person_id
        people = []
        for face in faces_taken([*item.faces, *item.waiting]):
            name = face.face_id
            emotion, fatigue = scene.emotions.get(name), scene.fatigues.get(name)
            attention = scene.attentions.get(name)
            # with nobody else there it is theirs, also while their face is not told apart
            theirs = name == whose or (not whose and len(item.faces) + len(item.waiting) == 1)
            people.append(
                {
                    'id': name,
                    'face': scalars_of(face, ABOUT),
                    'emotion': emotion and scalars_of(emotion, ABOUT),
                    'fatigue': fatigue and scalars_of(fatigue, ABOUT),
                    'attention': attention and scalars_of(attention, ABOUT),
                    'posture': posture if theirs else None,
                }
            )
        return {'stamp': stamp_s, 'people': people, 'posture': posture}

    def _picture(self, item: FaceArray, scene: Scene) -> bytes | None:
        """Draw and encode; None where there is nothing to be seen."""
        privacy, image = self.values['privacy'], None
        if privacy == NO_IMAGE:
            return None
        if privacy in SHOWS_IMAGE:
            frame = self.frames.get(stamp_to_ns(item.header.stamp), item.header.frame_id)
            if frame is None:
                return None
            image = frame.rgb()
        picture = draw(item, image, scene, self._places, self.values)
        return jpeg_of(_narrowed(picture, self.values['max_width']), self.values['jpeg_quality'])

    def _follow(self) -> None:
        """Listen to what the page shows: to one table, or to all."""
        fleet = self.loaded.fleet
        self.fleet.follow(fleet)
        self.found.follow(not fleet)
        self.happened.follow(not fleet)

    @property
    def _shows_no_table(self) -> bool:
        loaded = self.loaded  # gone while a callback that was due comes late
        return loaded is None or loaded.fleet

    def _tell(self, kind: str, text: str) -> None:
        if self._server is not None:
            self._server.publish(kind, text)

    def _take_faces(self, message: FaceArray) -> None:
        stamp_s = stamp_to_ns(message.header.stamp) * 1e-9
        if self._limit.is_due(stamp_s):
            self._limit.take(stamp_s, self.params['max_rate'])
            self.offer(message)

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        if self._shows_no_table:
            return
        within = f'{self.get_namespace()}/'.lstrip('/')
        for status in message.status:
            if status.hardware_id != 'aitable' or not status.name.startswith(within):
                continue
            text = to_json({'status': _status(status)})
            self._statuses[status.name] = text
            if self._server is not None:
                self._server.publish(f'status {status.name}', text)

    def _follow_demand(self) -> None:
        if self._shows_no_table:
            return
        watched = self._server is not None and self._server.clients > 0
        if watched and self.params['privacy'] in SHOWS_IMAGE:
            self.subscribe_to_frames(self.frames.add)
        else:
            self.unsubscribe_from_frames()
            self.frames.clear()
        settings = self._settings_text()
        if settings != self._settings and self._server is not None:
            self._settings = settings
            self._server.publish('settings', settings)

    def _settings_text(self) -> str:
        shown = {name: self.params[name] for name in SETTINGS}
        return to_json(
            {
                'settings': {
                    **shown,
                    'name': self.get_namespace(),
                    'control': self.loaded.control,
                    'history': self.loaded.history_s,
                    'charts': self._has_charts,
                }
            }
        )

    def _greet(self) -> dict[str, str]:
        """Tell a new page what is known; in the server's thread."""
        if self.loaded.fleet:
            return self.fleet.greeting()
        history = {'columns': COLUMNS, 'rows': self._history.rows()}
        statuses = dict(self._statuses)
        return {
            'settings': self._settings_text(),
            'history': to_json({'history': history}),
            **self.happened.greeting(),
            **{f'status {name}': text for name, text in statuses.items()},
        }

    def _serve(self) -> None:
        from aitable_ros.web.server import WebServer

        settings, access = self.loaded.settings, self.loaded.access
        self._history.length_s = self.loaded.history_s
        try:
            self._server = WebServer(
                settings,
                access,
                greeting=self._greet,
                control=self.control.take if self.loaded.control else None,
                on_error=self.meters.note_error,
            )
        except OSError as error:
            self._problem = str(error)
            raise
        self._problem = ''
        self._say_where(settings, access)

    def _say_where(self, settings: WebSettings, access: Access) -> None:
        """Log where the page is; the token goes to the terminal and into no log."""
        assert self._server is not None
        needed = access.always or not is_loopback(settings.host)
        hint = f'; it asks for the token in {self.loaded.token_file}' if needed else ''
        self.get_logger().info(f'the page is at {self.url}{hint}')
        if not needed:
            return
        tls = settings.tls is not None
        try:
            with TERMINAL.open('w', encoding='utf-8') as terminal:
                print_link(link(settings.host, self._server.port, access.token, tls=tls), terminal)
        except OSError:  # there is none, as under systemd
            pass

    def _end_serving(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop()


def _tls(certificate: str, key: str) -> ssl.SSLContext | None:
    """
    Read the certificate.

    :raises RuntimeError: when it cannot be used.
    """
    if not certificate and not key:
        return None
    if not (certificate and key):
        raise RuntimeError('tls_certificate and tls_key go together')
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(Path(certificate).expanduser(), Path(key).expanduser())
    except OSError as error:  # ssl.SSLError is one
        raise RuntimeError(f'tls_certificate, tls_key: {error}') from error
    return context


def _narrowed(picture: npt.NDArray[np.uint8], widest: int) -> npt.NDArray[np.uint8]:
    height, width = picture.shape[:2]
    if width <= widest:
        return picture
    size = (widest, max(1, round(height * widest / width)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _status(status: DiagnosticStatus) -> dict[str, Any]:
    return {
        'name': status.name,
        'level': int.from_bytes(status.level, 'big'),
        'message': status.message,
        'values': [[pair.key, pair.value] for pair in status.values],
    }


def main(args: Sequence[str] | None = None) -> None:
    """Run the node by itself."""
    spin(lambda _: [WebMonitorNode()], args)


if __name__ == '__main__':
    main()
