# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What all pages of reports have in common: one file, no scripts, nothing from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Sequence

HINT = 'Hints for a table: no medical or ergonomic statement.'

_STYLE = """
:root { color-scheme: light dark; --ground: #f4f6f9; --card: #fff; --line: #d3dae3;
  --lane: #eef1f5; --ink: #17202c; --soft: #4c586a; --accent: #0b5cab; --warn: #8a3b00;
  --warnground: #fff1e0; }
@media (prefers-color-scheme: dark) { :root { --ground: #0f141f; --card: #1a2231; --line: #3a475c;
  --lane: #232d3f; --ink: #f1f5f9; --soft: #b3bfd0; --accent: #7cc0ff; --warn: #ffc78f;
  --warnground: #3b2a17; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 0 1rem 2rem; max-width: 76rem; background: var(--ground);
  color: var(--ink); font: 1rem/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 1.5rem; margin: 1rem 0 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 .5rem; } h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
p { margin: .25rem 0; } .soft, small { color: var(--soft); } a { color: var(--accent); }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1rem; margin: 1rem 0; }
.warn { background: var(--warnground); border-color: var(--warn); }
.warn h2 { color: var(--warn); }
.tiles { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr));
  margin: 1rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .6rem .8rem; }
.tile b { display: block; font-size: 1.35rem; line-height: 1.3; }
.tile span { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; }
svg.time { width: 100%; min-width: 44rem; height: auto; display: block; }
svg text { fill: var(--ink); font-size: 13px; } svg text.small { fill: var(--soft);
  font-size: 11px; }
svg .lane { fill: var(--lane); } svg .tick { stroke: var(--line); stroke-width: .6; }
svg .line { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 5 4; fill: none; }
svg .curve { stroke: var(--accent); stroke-width: 1.8; fill: none; }
svg.share { width: 100%; height: .9rem; display: block; border-radius: .3rem; }
.shares { display: grid; gap: .2rem 1.5rem; grid-template-columns: repeat(auto-fill,
  minmax(19rem, 1fr)); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem .9rem; margin: .3rem 0 0;
  padding: 0; font-size: .9rem; }
.legend i { display: inline-block; width: .75rem; height: .75rem; border-radius: .2rem;
  margin-right: .35rem; border: 1px solid var(--line); vertical-align: -.05rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .8rem
  .3rem 0; vertical-align: top; border-top: 1px solid var(--line); } thead th { border: 0;
  color: var(--soft); font-weight: 600; font-size: .9rem; }
.badge { display: inline-block; border-radius: 1rem; padding: 0 .6rem; margin: .1rem .3rem .1rem 0;
  font-size: .85rem; font-weight: 600; color: #000; background: #c3cad5; white-space: nowrap; }
.badge.bad { background: #f3a06b; } .day svg { width: 100%; height: 1.1rem;
  display: block; } .day svg .lane { fill: var(--line); }
.day { min-width: 13rem; } .film { display: flex; gap: .5rem; overflow-x: auto; }
.film figure { margin: 0; flex: none; } .film img { height: 6.5rem; border-radius: .3rem;
  display: block; } figcaption { font-size: .8rem; color: var(--soft); }
ul.plain { margin: .2rem 0; padding-left: 1.2rem; } summary { cursor: pointer; }
@media print { section, .tile { break-inside: avoid; } }
"""


def page(title: str, *parts: str) -> str:
    """
    Return a whole page.

    :param title: text.
    :param parts: HTML.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " style-src 'unsafe-inline'; img-src data:\">"
        f'<title>{safe(title)}</title><link rel="icon" href="data:,">'
        f'<style>{_STYLE}</style></head><body>\n'
        + '\n'.join(part for part in parts if part)
        + f'\n<footer><p class="soft">{HINT}</p></footer></body></html>\n'
    )


def safe(text: object) -> str:
    """Return a text as HTML: names of files and ids are texts, never markup."""
    return html.escape(str(text))


def section(title: str, *parts: str, kind: str = '') -> str:
    """Return a part of a page, with its title; empty: there is nothing in it."""
    inside = ''.join(parts)
    if not inside:
        return ''
    return f'<section class="{kind}"><h2>{safe(title)}</h2>{inside}</section>'


def tile(name: str, value: str, more: str = '') -> str:
    """Return one figure that one sees first."""
    return f'<div class="tile">{safe(name)}<b>{safe(value)}</b><span>{safe(more)}</span></div>'


def rows(head: tuple[str, ...], body: Sequence[tuple[str, ...]]) -> str:
    """Return a table; cells are HTML."""
    top = ''.join(f'<th scope="col">{safe(one)}</th>' for one in head)
    lines = ''.join('<tr>' + ''.join(f'<td>{one}</td>' for one in row) + '</tr>' for row in body)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead>{lines}</table></div>'


def badge(text: str, *, bad: bool = False, colour: str = '') -> str:
    """Return a word in a coloured box."""
    style = f' style="background:{colour}"' if colour else ''
    return f'<span class="badge{" bad" if bad else ""}"{style}>{safe(text)}</span>'


def lasting(seconds: float) -> str:
    """Say a length of time."""
    if seconds < 120:
        return f'{seconds:.0f} s'
    if seconds < 7200:
        return f'{seconds / 60:.0f} min'
    return f'{seconds / 3600:.1f} h'
