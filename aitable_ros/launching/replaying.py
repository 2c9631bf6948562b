# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The actions of replay.launch.py: a bag in, results out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from launch import Action
from launch.actions import ExecuteProcess, LogInfo, RegisterEventHandler, Shutdown, TimerAction
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch_ros.substitutions import ExecutableInPackage

from aitable_ros.launching.actions import Setup, apt_name, is_installed
from aitable_ros.nodes.registry import PACKAGE, PERCEIVING

if TYPE_CHECKING:
    from aitable_ros.bags import BagReader

CLOCK_HZ = '100'
"""How often the bag's time is published; nodes see time in steps of its inverse."""

RESUME = {
    'replay': ('/replay/set_paused', 'std_srvs/srv/SetBool', '{data: false}'),
    'rosbag2': ('/rosbag2_player/resume', 'rosbag2_interfaces/srv/Resume', '{}'),
}
"""How the players are told to begin: service, type and request."""

ABOUT_NODES = ('/rosout', '/parameter_events')
"""Topics on which recorded nodes told about themselves: not played."""

HUMANS = '/humans/'


def start_replay(setup: Setup) -> list[Action]:
    """
    Make the actions of replay.launch.py.

    The player is started with the nodes, but paused until all are active: on a loaded machine it
    takes seconds until each of them has found it, and what is published before is lost.
    """
    if setup.values['offline'] == 'true':
        return _process(setup)
    nodes = setup.enabled()
    if not nodes:
        raise ValueError('there is nothing to replay to: every node is switched off')
    choice = Choice.read(setup)
    setup = replace(setup, values={**setup.values, **choice.values})
    player, recorder, rviz = _player(setup, choice), _recorder(setup), setup.start_rviz()
    waiting = _tool('wait_until_active', *map(setup.full_name, nodes), setup=setup)
    resume = _command('ros2', 'service', 'call', *RESUME[setup.values['player']], setup=setup)
    return [
        LogInfo(msg=choice.summary),
        *recorder,
        player,
        *setup.start(nodes),
        *rviz,
        waiting,
        RegisterEventHandler(OnProcessExit(target_action=waiting, on_exit=[resume])),
        RegisterEventHandler(
            OnProcessExit(
                target_action=player, on_exit=lambda event, _: _after(event, setup.values)
            )
        ),
    ]


@dataclass(frozen=True)
class Choice:
    """
    What is played.

    :param images: topic of the images, as recorded.
    :param transport: 'raw' or 'compressed'.
    """

    images: str
    transport: str
    topics: tuple[str, ...]
    left_out: tuple[str, ...]

    @classmethod
    def read(cls, setup: Setup) -> Choice:
        """Look into the bag; ValueError: it cannot be read, or the images are not in it."""
        try:
            from aitable_ros.bags import BagError, BagReader
        except ImportError as error:
            raise ValueError(f'bag: {error}: pip install rosbags mcap') from None
        try:
            with BagReader(setup.values['bag']) as bag:
                images, transport = _images(bag, setup.values)
                ours = set(setup.result_topics())
                left_out = {
                    topic.name
                    for topic in bag.topics
                    if topic.name in (*ABOUT_NODES, *ours)
                    or (topic.name.startswith(HUMANS) and setup.values['hri'] == 'true')
                } - {'/tf'}
                topics = tuple(t.name for t in bag.topics if t.name not in left_out)
                return cls(images, transport, topics, tuple(sorted(left_out)))
        except BagError as error:
            raise ValueError(f'bag: {error}') from None

    @property
    def values(self) -> dict[str, str]:
        """The arguments that follow from the bag."""
        suffix = '/compressed' if self.transport == 'compressed' else ''
        return {
            'image_topic': self.images.removesuffix(suffix),
            'image_transport': self.transport,
        }

    @property
    def summary(self) -> str:
        """What is played, in words."""
        text = f'replaying {", ".join(self.topics)}; images: {self.images} ({self.transport})'
        if self.left_out:
            text += f'; left out, since nodes here publish them: {", ".join(self.left_out)}'
        return text


def _images(bag: BagReader, values: Mapping[str, str]) -> tuple[str, str]:
    """Choose the topic of the images, and tell how they are transported."""
    from aitable_ros.bags.topics import choose_images

    wanted, transport = values['image_topic'], values['image_transport']
    topic = None if wanted else choose_images(bag, '')
    if topic is not None and transport:
        wanted = topic.name.removesuffix('/compressed')
    if wanted:
        wanted = f'/{wanted.removeprefix("/")}'
        names = {'raw': wanted, 'compressed': f'{wanted}/compressed'}
        offered = [names[transport]] if transport else list(names.values())
        chosen = next((name for name in offered if bag.topic(name)), offered[0])
        topic = choose_images(bag, chosen)
    if topic is None:
        raise ValueError(f'bag: {bag.path}: there are no images in it')
    is_compressed = topic.type_name.endswith('/CompressedImage')
    if is_compressed and not topic.name.endswith('/compressed'):
        raise ValueError(
            f'bag: {topic.name} does not end in /compressed, under which compressed images are '
            'looked for'
        )
    return topic.name, 'compressed' if is_compressed else 'raw'


def _player(setup: Setup, choice: Choice) -> ExecuteProcess:
    values = setup.values
    clock = [] if values['use_sim_time'] == 'false' else ['--clock', CLOCK_HZ]
    loop = ['--loop'] if values['loop'] == 'true' else []
    topics = ['--topics', *choice.topics]
    common = [values['bag'], '--rate', values['rate'], *clock, *loop, *topics]
    if values['player'] == 'rosbag2':
        _need('ros2bag', 'player: use player:=replay, or install it')
        return _command('ros2', 'bag', 'play', *common, '--start-paused', setup=setup)
    return _tool('replay', *common, '--wait-for', choice.images, '--paused', setup=setup)


def _recorder(setup: Setup) -> list[Action]:
    if not setup.values['record']:
        return []
    _need('ros2bag', 'record: use offline:=true, which needs none, or install it')
    topics = setup.result_topics()
    return [_command('ros2', 'bag', 'record', '-o', setup.values['record'], *topics, setup=setup)]


def _process(setup: Setup) -> list[Action]:
    """Run process_bag instead of playing."""
    values = setup.values
    if not values['record']:
        raise ValueError('record: say which bag to write the results to')
    nodes = [name for name in PERCEIVING if values[name] == 'true']
    if not nodes:
        raise ValueError('there is nothing to run: every node is switched off')
    chosen: dict[str, dict[str, Any]] = {}
    for name in nodes:
        overrides = setup.overrides(name)
        chosen[name] = {key: overrides[key] for key in ('backend', 'reading') if key in overrides}
    images = Choice.read(setup).images
    file, cleaning = setup.write({name: one for name, one in chosen.items() if one})
    files = []
    for number, given in enumerate(setup.parameter_files()):
        # what substitutions made of it lives no longer than `given`
        copy = file.with_name(f'given_{number}.yaml')
        shutil.copyfile(given.evaluate(setup.context), copy)
        files.append(str(copy))
    camera_info = values['camera_info_topic']
    tool = _tool(
        'process_bag',
        values['bag'],
        values['record'],
        '--nodes',
        *nodes,
        *(part for path in (*files, str(file)) for part in ('--params-file', path)),
        '--image-topic',
        images,
        *(['--camera-info', camera_info] if camera_info else []),
        '--namespace',
        setup.namespace,
        setup=setup,
    )
    return [
        cleaning,
        tool,
        RegisterEventHandler(
            OnProcessExit(target_action=tool, on_exit=lambda event, _: _after(event, values))
        ),
    ]


def _after(event: ProcessExited, values: Mapping[str, str]) -> list[Action]:
    """End everything when the bag has ended, if that is wanted."""
    if event.returncode != 0:
        return [Shutdown(reason=f'{event.process_name} failed: see above')]
    if values['end_with_bag'] != 'true':
        return []
    over = Shutdown(reason='the bag has ended')
    if values['offline'] == 'true':
        return [over]
    return [TimerAction(period=float(values['linger']), actions=[over])]


def _tool(executable: str, *arguments: str, setup: Setup) -> ExecuteProcess:
    """Run one of our tools, which is no node of the system: no namespace, no remappings."""
    return _command(ExecutableInPackage(executable, PACKAGE), *arguments, setup=setup)


def _command(program: str | ExecutableInPackage, *arguments: str, setup: Setup) -> ExecuteProcess:
    return ExecuteProcess(
        cmd=[program, *arguments], output='screen', additional_env=setup.environment()
    )


def _need(package: str, hint: str) -> None:
    if not is_installed(package):
        argument, _, what_else = hint.partition(': ')
        raise ValueError(
            f'{argument}: {package} is not installed; {what_else} '
            f'(sudo apt install {apt_name(package)})'
        )
