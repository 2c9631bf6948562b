# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Build aitable_ros: an ament_python package, built by colcon."""

from __future__ import annotations

import runpy
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = 'aitable_ros'
ROOT = Path(__file__).resolve().parent
REGISTRY = runpy.run_path(str(ROOT / PACKAGE / 'nodes' / 'registry.py'))


def files(pattern: str) -> list[str]:
    """Return the files that match, relative to this file's folder, as setuptools wants them."""
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern) if path.is_file())


setup(
    name=PACKAGE,
    version='0.1.0',
    # The interface package and colcon's build, install and log folders lie beside the Python
    # package: name what belongs to it.
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={
        PACKAGE: [
            *('py.typed', 'perception/faces/*.npz', 'perception/emotion/*.json', 'web/page/*'),
        ]
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        (f'share/{PACKAGE}/launch', files('launch/*.launch.*')),
        (f'share/{PACKAGE}/config', files('config/*.*')),
        (f'share/{PACKAGE}/config/sros2', files('config/sros2/*')),
        (f'share/{PACKAGE}/config/systemd', files('config/systemd/*')),
        (f'share/{PACKAGE}/engines', files('engines/README.md')),
    ],
    python_requires='>=3.10',
    install_requires=['setuptools'],  # package.xml has the dependencies
    zip_safe=False,
    author='The aitable authors',
    maintainer='The aitable authors',
    description=(
        "ROS 2 nodes for a smart table's camera: face, emotion and fatigue of the person at it"
    ),
    license='Apache-2.0',
    extras_require={
        'fleet': ['dask', 'distributed', 'pyarrow'],
        'test': ['pytest', 'pytest-timeout', 'hypothesis'],
    },
    entry_points={
        'console_scripts': [
            *(f'{node.name} = {node.module}:main' for node in REGISTRY['NODES'].values()),
            'component_container = aitable_ros.nodes.component_container:main',
            'component_container_mt = aitable_ros.nodes.component_container:main_mt',
            'analyze = aitable_ros.tools.analyze.command:main',
            'benchmark = aitable_ros.tools.benchmark.command:main',
            'bridge_results = aitable_ros.tools.bridge_results:main',
            'build_engines = aitable_ros.tools.build_engines.command:main',
            'demo = aitable_ros.tools.demo:main',
            'fatigue_report = aitable_ros.tools.fatigue_report.command:main',
            'fetch_charts = aitable_ros.tools.fetch_charts:main',
            'fetch_models = aitable_ros.tools.fetch_models:main',
            'preflight = aitable_ros.tools.preflight.command:main',
            'process_bag = aitable_ros.tools.process_bag.command:main',
            'process_bags = aitable_ros.tools.process_bags.command:main',
            'replay = aitable_ros.tools.replay.command:main',
            'report = aitable_ros.tools.report.command:main',
            'sample_bag = aitable_ros.tools.sample_bag:main',
            'wait_until_active = aitable_ros.tools.wait_until_active:main',
        ],
        'rclpy_components': [f'{name} = {path}' for name, path in REGISTRY['PLUGINS'].items()],
    },
)
