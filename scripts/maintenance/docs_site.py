# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Hook of mkdocs (mkdocs.yml): pages of what lies outside docs/.

README.md becomes the first page, docs/README.md the list of all, and each layer of aitable_ros a
page of its docstrings. A file outside docs/ that a page links to, such as a message, becomes a
page with its text; so every link of the sources leads somewhere on the site, too.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    'README.md': 'index.md',
    'docs/README.md': 'pages.md',
    'CONTRIBUTING.md': 'contributing.md',
    'SECURITY.md': 'security.md',
    'QUALITY_DECLARATION.md': 'quality.md',
}
"""Pages that have a place of their own, by their path in the repository."""
LAYERS = (
    *('inference', 'perception', 'simulation', 'visualization', 'model_zoo', 'sources', 'bags'),
    *('web', 'ros_support', 'nodes'),
)
"""The packages of aitable_ros that have a page of docstrings."""
LANGUAGES = {'.msg': 'python', '.xml': 'xml', '.py': 'python', '.yaml': 'yaml', '.sh': 'bash'}
LINK = re.compile(r'(?<=\]\()(?P<path>[^):#\s]+)(?P<anchor>#[\w-]*)?(?=\))')


def on_config(config: Any) -> Any:
    """Fill the API's part of the navigation."""
    (api,) = (part for part in config.nav if 'API' in part)
    api['API'] = [{layer: f'api/{layer}.md'} for layer in LAYERS]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    made = {page: (ROOT / source).read_text() for source, page in PAGES.items()}
    made |= {f'api/{layer}.md': api_page(layer) for layer in LAYERS}
    for source in sorted({*ROOT.glob('docs/*.md'), *(ROOT / name for name in PAGES)}):
        for match in LINK.finditer(source.read_text()):
            target = (source.parent / match['path']).resolve()
            page = page_of(target)
            if page.startswith('files/'):
                made[page] = text_page(target)
    if (index := files.get_file_from_path('README.md')) is not None:
        files.remove(index)
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let the links of a page lead to where their targets are on the site."""
    sources = {made: source for source, made in PAGES.items()}
    place = page.file.src_uri
    if place.startswith(('files/', 'api/')):
        return markdown
    source = ROOT / sources.get(place, f'docs/{place}')
    folder = PurePosixPath(place).parent

    def moved(match: re.Match[str]) -> str:
        target = page_of((source.parent / match['path']).resolve())
        return os.path.relpath(target, folder) + (match['anchor'] or '')

    return LINK.sub(moved, markdown)


def page_of(path: Path) -> str:
    """Return where a file of the repository is on the site."""
    name = path.relative_to(ROOT).as_posix()
    if name in PAGES:
        return PAGES[name]
    if name.startswith('docs/'):
        return name.removeprefix('docs/')
    return f'files/{name}.md'


def text_page(path: Path) -> str:
    """Return a page with the text of a file, or the names of what a folder holds."""
    title = f'# {path.name}\n\n`{path.relative_to(ROOT)}`\n\n'
    if path.is_dir():
        return title + ''.join(f'* `{name}`\n' for name in sorted(p.name for p in path.iterdir()))
    return f'{title}````{LANGUAGES.get(path.suffix, "text")}\n{path.read_text()}````\n'


def api_page(layer: str) -> str:
    """Return the page of a layer: the docstrings of all its modules."""
    folder = ROOT / 'aitable_ros' / layer
    modules = [
        '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        for path in sorted(folder.rglob('*.py'))
        if path.stem != '__init__'
    ]
    options = '    options:\n      show_submodules: false\n'
    return f'# aitable_ros.{layer}\n\n' + ''.join(f'::: {name}\n{options}\n' for name in modules)
