# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The packages as ROS tools see them, and the rules of the source tree."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import setuptools
import yaml
from catkin_pkg.changelog import get_changelog_from_path
from catkin_pkg.package import Package, parse_package
from catkin_pkg.package_version import get_forthcoming_label

import aitable_ros

ROOT = Path(__file__).resolve().parent.parent
PACKAGE_DIR = ROOT / 'aitable_ros'
MESSAGES_DIR = ROOT / 'aitable_msgs'
SOURCES = sorted(PACKAGE_DIR.rglob('*.py'))
MESSAGES = sorted(MESSAGES_DIR.glob('msg/*.msg')) + sorted(MESSAGES_DIR.glob('srv/*.srv'))

# Every ROS package that a module of aitable_ros can import, by its Python name; other imports are
# the standard library's, ours, or pip's.
ROS_MODULES = {
    'aitable_msgs',
    'ament_index_python',
    'builtin_interfaces',
    'composition_interfaces',
    'cv_bridge',
    'diagnostic_msgs',
    'diagnostic_updater',
    'geometry_msgs',
    'image_transport_py',
    'launch',
    'launch_ros',
    'lifecycle_msgs',
    'message_filters',
    'rcl_interfaces',
    'rclpy',
    'rosbag2_py',
    'rosgraph_msgs',
    'rosidl_runtime_py',
    'sensor_msgs',
    'std_msgs',
    'std_srvs',
    'tf2_msgs',
    'tf2_ros',
    'visualization_msgs',
}
# Only these may import a ROS package when they are imported themselves.
ROS_LAYERS = ('nodes', 'ros_support', 'launching')
# What each layer may import of the others: imports point downward.
LAYERS_BELOW: dict[str, set[str]] = {
    'inference': set(),
    'perception': {'inference'},
    'simulation': {'perception'},
    'visualization': {'perception'},
    'sources': {'simulation', 'perception'},
    'bags': {'simulation', 'perception'},
    'model_zoo': {'inference', 'sources'},
    'ros_support': {'inference', 'perception', 'visualization'},
    'web': set(),
    'launching': {'inference', 'perception', 'visualization', 'bags', 'ros_support', 'nodes'},
    'nodes': {
        *('inference', 'perception', 'visualization', 'sources', 'model_zoo', 'ros_support'),
        'web',
    },
    'tools': {
        *('inference', 'perception', 'simulation', 'visualization', 'sources', 'bags'),
        *('model_zoo', 'ros_support', 'nodes', 'web'),
    },
}


@pytest.fixture(scope='module')
def package() -> Package:
    return parse_package(str(ROOT))


@pytest.fixture(scope='module')
def messages_package() -> Package:
    return parse_package(str(MESSAGES_DIR))


@pytest.fixture(scope='module')
def setup_arguments() -> dict[str, Any]:
    """What setup.py gives to setuptools.setup."""
    given: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, 'setup', lambda **arguments: given.update(arguments))
        runpy.run_path(str(ROOT / 'setup.py'))
    return given


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(tree: ast.AST, *, lazy: bool) -> Iterator[str]:
    """
    Yield the dotted names that a module imports.

    :param lazy: also inside functions; else only what importing the module executes.
    """
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f'{node.module}.{alias.name}' for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            raise AssertionError(f'relative import of {node.module}')
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        is_type_only = isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test)
        if lazy or not (is_function or is_type_only):
            pending.extend(ast.iter_child_nodes(node))


class TestManifests:
    def test_format_3_and_valid(self, package: Package, messages_package: Package) -> None:
        for manifest in (package, messages_package):
            warnings: list[str] = []
            manifest.validate(warnings=warnings)
            assert warnings == []
            assert manifest.package_format == 3
            assert [str(licence) for licence in manifest.licenses] == ['Apache-2.0']

    def test_names_and_build_types(self, package: Package, messages_package: Package) -> None:
        assert (package.name, package.get_build_type()) == ('aitable_ros', 'ament_python')
        assert messages_package.name == 'aitable_msgs'
        assert messages_package.get_build_type() == 'ament_cmake'
        groups = [group.name for group in messages_package.member_of_groups]
        assert groups == ['rosidl_interface_packages']

    def test_licence_file_lies_in_the_package(self, package: Package) -> None:
        assert [licence.file for licence in package.licenses] == ['LICENSE']
        assert 'Apache License' in (ROOT / 'LICENSE').read_text(encoding='utf-8')

    def test_every_imported_ros_package_is_declared(self, package: Package) -> None:
        declared = {dependency.name for dependency in package.exec_depends}
        imported = {
            name.split('.')[0]
            for path in [*SOURCES, *ROOT.glob('launch/*.py')]
            for name in imports(ast.parse(path.read_text(encoding='utf-8')), lazy=True)
        }
        assert (imported & ROS_MODULES) - declared == set()

    def test_every_message_dependency_is_declared(self, messages_package: Package) -> None:
        text = '\n'.join(path.read_text(encoding='utf-8') for path in MESSAGES)
        used = set(re.findall(r'^([a-z][a-z0-9_]*)/[A-Z]', text, re.MULTILINE))
        assert used == {
            dependency.name
            for dependency in messages_package.exec_depends
            if dependency.name.endswith(('_msgs', '_interfaces'))
        }


class TestVersions:
    def test_equal_everywhere(
        self, package: Package, messages_package: Package, setup_arguments: dict[str, Any]
    ) -> None:
        versions = {package.version, messages_package.version, setup_arguments['version']}
        assert versions == {aitable_ros.__version__}

    def test_changelog_goes_up_to_the_version_or_beyond(self, package: Package) -> None:
        path = ROOT / 'CHANGELOG.rst'
        text = path.read_text(encoding='utf-8')
        assert text.splitlines()[1] == f'Changelog for package {package.name}'
        changelog = get_changelog_from_path(str(path), package.name)
        released = [version for version, _, _ in changelog.foreach_version()]
        if get_forthcoming_label(text) is None:
            assert released[0] == package.version
        else:
            assert re.search(r'^Forthcoming\n-+\n\* ', text, re.MULTILINE)


class TestSetup:
    def test_only_our_packages_are_installed(self, setup_arguments: dict[str, Any]) -> None:
        expected = {
            '.'.join(path.parent.relative_to(ROOT).parts)
            for path in PACKAGE_DIR.rglob('__init__.py')
        }
        assert set(setup_arguments['packages']) == expected

    def test_every_folder_of_modules_is_a_package(self) -> None:
        folders = {path.parent for path in SOURCES}
        assert [folder for folder in folders if not (folder / '__init__.py').is_file()] == []

    def test_installed_files(self, setup_arguments: dict[str, Any]) -> None:
        installed = {
            f'{folder}/{Path(file).name}': ROOT / file
            for folder, files in setup_arguments['data_files']
            for file in files
        }
        assert all(path.is_file() for path in installed.values())
        share = 'share/aitable_ros'
        assert 'share/ament_index/resource_index/packages/aitable_ros' in installed
        expected = {f'{share}/package.xml', f'{share}/engines/README.md'}
        for folder in ('launch', 'config'):
            files = [path for path in (ROOT / folder).iterdir() if path.is_file()]
            assert files
            expected |= {f'{share}/{folder}/{path.name}' for path in files}
        assert expected <= set(installed)

    def test_the_files_of_the_page_are_installed(self, setup_arguments: dict[str, Any]) -> None:
        patterns = setup_arguments['package_data']['aitable_ros']
        covered = {path for pattern in patterns for path in PACKAGE_DIR.glob(pattern)}
        assert {path for path in PACKAGE_DIR.rglob('*') if path.suffix in ('.html', '.js', '.css')}
        others = {path for path in PACKAGE_DIR.rglob('*.*') if path.suffix not in ('.py', '.pyc')}
        assert {path for path in others if path.is_file()} <= covered

    def test_every_executable_has_its_function(self, setup_arguments: dict[str, Any]) -> None:
        scripts = setup_arguments['entry_points']['console_scripts']
        assert scripts
        for script in scripts:
            module, function = re.fullmatch(r'\w+ = ([\w.]+):(\w+)', script).groups()
            path = ROOT / (module.replace('.', '/') + '.py')
            tree = ast.parse(path.read_text(encoding='utf-8'))
            functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
            assert function in functions, script

    def test_every_node_and_tool_is_an_executable(self, setup_arguments: dict[str, Any]) -> None:
        scripts = setup_arguments['entry_points']['console_scripts']
        targets = {script.partition(' = ')[2].partition(':')[0] for script in scripts}
        modules = {
            '.'.join(path.relative_to(ROOT).with_suffix('').parts)
            for folder in ('nodes', 'tools')
            for path in (PACKAGE_DIR / folder).rglob('*.py')
            if 'def main(' in path.read_text(encoding='utf-8')
        }
        assert modules == targets


class TestMessages:
    def test_each_is_generated_and_documents_itself_and_its_fields(self) -> None:
        cmake = (MESSAGES_DIR / 'CMakeLists.txt').read_text(encoding='utf-8')
        for path in MESSAGES:
            assert f'{path.parent.name}/{path.name}' in cmake
            lines = path.read_text(encoding='utf-8').splitlines()
            assert lines[0].startswith('# '), path.name
            fields = [line for line in lines if re.match(r'[A-Za-z]', line)]
            documented = [line for line in fields if '#' in line]
            # A pair such as left_ and right_ may share one comment; constants name themselves.
            needed = len([line for line in fields if '=' not in line]) / 2
            assert fields, path.name
            assert len(documented) >= needed, path.name


class TestImportLayers:
    def test_ros_only_in_nodes_and_ros_support(self) -> None:
        offenders = {}
        for path in SOURCES:
            layer = path.relative_to(PACKAGE_DIR).parts[0]
            if layer in ROS_LAYERS:
                continue
            # A tool, and the look-up of installed files, may reach for ROS once they are running.
            lazy_allowed = layer in ('tools', 'paths.py')
            found = imports(ast.parse(path.read_text(encoding='utf-8')), lazy=not lazy_allowed)
            if ros := {name for name in found if name.split('.')[0] in ROS_MODULES}:
                offenders[name_of(path)] = ros
        assert offenders == {}

    def test_imports_point_downward(self) -> None:
        layers = {path.parent.name for path in PACKAGE_DIR.glob('*/__init__.py')}
        assert layers == set(LAYERS_BELOW)
        both = {(a, b) for a in layers for b in LAYERS_BELOW[a] if a in LAYERS_BELOW[b]}
        assert both == set()
        upward = {}
        for path in SOURCES:
            layer = path.relative_to(PACKAGE_DIR).parts[0]
            if layer not in layers:
                continue
            names = imports(ast.parse(path.read_text(encoding='utf-8')), lazy=True)
            used = {name.split('.')[1] for name in names if name.startswith('aitable_ros.')}
            if above := (used & layers) - LAYERS_BELOW[layer] - {layer}:
                upward[name_of(path)] = above
        assert upward == {}

    def test_no_module_imports_itself_by_way_of_others(self) -> None:
        """Imports inside functions and for types count, too."""
        modules = {
            '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__'): path
            for path in SOURCES
        }
        graph = {
            name: {
                target if target in modules else target.rpartition('.')[0]
                for target in imports(ast.parse(path.read_text(encoding='utf-8')), lazy=True)
            }
            & set(modules)
            for name, path in modules.items()
        }
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            pytest.fail(' -> '.join(error.args[1]))

    def test_inference_needs_numpy_only(self) -> None:
        """Importing inference/ brings in neither ROS nor any runtime nor OpenCV."""
        modules = [
            '.'.join(path.relative_to(ROOT).with_suffix('').parts)
            for path in SOURCES
            if 'inference' in path.parts and path.stem != '__init__'
        ]
        heavy = [
            'rclpy',
            'cv2',
            'scipy',
            'onnx',
            'onnxruntime',
            'ai_edge_litert',
            'tensorrt',
            'pycuda',
            'torch',
        ]
        code = (
            'import importlib, sys\n'
            f'for name in {modules!r}: importlib.import_module(name)\n'
            f'print([name for name in {heavy!r} if name in sys.modules])'
        )
        result = subprocess.run(
            [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert result.stdout.strip() == '[]'


class TestRepository:
    def test_every_source_file_has_its_header(self) -> None:
        header = re.compile(
            r'(#!.*\n)?# Copyright \d{4} The aitable authors\n'
            r'# SPDX-License-Identifier: Apache-2\.0\n'
        )
        files = [*SOURCES, *ROOT.glob('launch/*.py')]
        files += [p for d in ('scripts', 'test') for p in (ROOT / d).rglob('*.[ps][yh]')]
        offenders = [name_of(p) for p in files if not header.match(p.read_text(encoding='utf-8'))]
        assert offenders == []

    def test_workflows_parse_and_may_only_read(self) -> None:
        for path in ROOT.glob('.github/workflows/*.yml'):
            workflow = yaml.safe_load(path.read_text(encoding='utf-8'))
            assert workflow['permissions'] == {'contents': 'read'}, path.name
            for job in workflow['jobs'].values():
                assert 'permissions' not in job
                assert 'timeout-minutes' in job
                assert all(('uses' in step) != ('run' in step) for step in job['steps'])

    def test_colcon_finds_both_packages(self) -> None:
        defaults = yaml.safe_load((ROOT / 'colcon_defaults.yaml').read_text(encoding='utf-8'))
        for verb in ('build', 'test', 'list'):
            assert defaults[verb]['base-paths'] == ['.', 'aitable_msgs']

    def test_no_absolute_paths_of_a_developer(self) -> None:
        """No home, work or temporary folder of the machine that something was written on."""
        pattern = re.compile(r"""(?<![\w.$}])/(?:home|root|Users|work|tmp)/[\w.-]+""")
        files = [
            *SOURCES,
            *(
                p
                for d in ('scripts', 'config', 'launch', 'docs', 'requirements')
                for p in (ROOT / d).rglob('*')
                if p.suffix in ('.py', '.sh', '.yaml', '.yml', '.xml', '.md', '.in', '.lock')
            ),
        ]
        found = {
            name_of(path): matches
            for path in files
            if (matches := pattern.findall(path.read_text(encoding='utf-8')))
        }
        assert found == {}
