// Copyright 2026 The aitable authors. SPDX-License-Identifier: Apache-2.0
// Readings of the last minutes: curves by uPlot where it is installed, else numbers; and as CSV.

import { text } from './text.js';
import { element } from './dom.js';

const DRAWN_EVERY_MS = 1000;
const DEGREES = 180 / Math.PI;
const CURVES = [
  { name: 'ear', series: ['left_ear', 'right_ear'], range: [0, 0.5] },
  { name: 'perclos', series: ['perclos'], range: [0, 1] },
  { name: 'feeling', series: ['valence', 'arousal'], range: [-1, 1] },
  {
    name: 'head',
    series: ['head_yaw', 'head_pitch'],
    factor: DEGREES,
    range: (_, least, most) => [Math.min(-30, least), Math.max(30, most)],
  },
];

const box = document.getElementById('curves');
const whose = document.getElementById('whose');
let columns = [];
let rows = [];
let length = 600;
let uPlot = null;
let plots = [];

/** Take the history that the table sends when a page connects. */
export function restart(history) {
  ({ columns, rows } = history);
  draw();
}

export function append(more) {
  if (rows.length && more.length && more[0][0] < rows[rows.length - 1][0] - 1) rows = [];
  rows.push(...more);
  const newest = rows.length ? rows[rows.length - 1][0] : 0;
  while (rows.length && rows[0][0] < newest - length) rows.shift();
}

/** Say how long the history is [s], and bring uPlot where the table has it. */
export async function prepare(settings) {
  length = settings.history;
  document.getElementById('curves-note').textContent = settings.charts ? '' : text.noCurves;
  if (!settings.charts || uPlot) return;
  const sheet = element('link', { rel: 'stylesheet', href: 'charts/uPlot.min.css' });
  document.head.append(sheet);
  uPlot = (await import('./charts/uPlot.esm.js')).default;
  draw();
}

export function download() {
  const quote = value => /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  const lines = [columns, ...rows].map(row => row.map(v => quote(String(v ?? ''))).join(','));
  const link = element('a', {
    href: URL.createObjectURL(new Blob([`${lines.join('\n')}\n`], { type: 'text/csv' })),
    download: 'aitable.csv',
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function of(id) {
  const mine = rows.filter(row => row[1] === id);
  return (name, factor = 1) => {
    const index = columns.indexOf(name);
    return mine.map(row => row[index] === null ? null : row[index] * factor);
  };
}

function chooseAmong(ids) {
  const offered = [...whose.options].map(option => option.value);
  if (offered.join() === ids.join()) return;
  const before = whose.value;
  whose.replaceChildren(...ids.map(id => element('option', { value: id }, id)));
  if (ids.includes(before)) whose.value = before;
}

function draw() {
  chooseAmong([...new Set(rows.map(row => row[1]))]);
  const column = of(whose.value);
  if (!rows.length) return;
  if (!uPlot) return drawNumbers(column);
  if (!plots.length) makePlots();
  for (const { plot, curve } of plots) {
    const stamps = column('stamp');
    plot.setData([stamps, ...curve.series.map(name => column(name, curve.factor))]);
    // without a pointer over it the legend tells the latest
    if (plot.cursor.left < 0) plot.setLegend({ idx: stamps.length - 1 });
  }
}

function makePlots() {
  const style = getComputedStyle(document.documentElement);
  const colour = name => style.getPropertyValue(`--${name}`).trim();
  const axis = { stroke: colour('soft'), grid: { stroke: colour('line'), width: 0.5 } };
  box.replaceChildren();
  plots = CURVES.map(curve => {
    const place = element('figure', {}, element('figcaption', {}, text.curveTitles[curve.name]));
    place.style.margin = '0';
    box.append(place);
    const strokes = [colour('first'), colour('second')];
    const series = curve.series.map((name, i) => ({
      label: text.series[name],
      stroke: strokes[i],
      width: 1.5,
      dash: i ? [6, 3] : undefined,
      points: { show: false },
      value: (_, v) => v === null || v === undefined ? '–' : v.toFixed(2),
    }));
    const options = {
      width: box.clientWidth,
      height: 130,
      scales: { y: { range: curve.range } },
      axes: [{ ...axis, size: 28, space: 90, values: (_, at) => at.map(time) }, { ...axis, size: 44 }],
      series: [{ label: text.time, value: (_, v) => time(v) }, ...series],
    };
    return { curve, plot: new uPlot(options, [[], ...series.map(() => [])], place) };
  });
}

const time = s => s ? new Date(s * 1000).toLocaleTimeString([], { hour12: false }) : '–';

function drawNumbers(column) {
  const head = ['', text.latest, text.least, text.mean, text.most];
  const cells = values => values.map(v => element('td', {}, v === undefined ? '–' : v.toFixed(2)));
  const body = CURVES.flatMap(({ series, factor }) => series.map(name => {
    const all = column(name, factor);
    const known = all.filter(v => v !== null);
    const mean = known.length ? known.reduce((a, b) => a + b) / known.length : undefined;
    const least = known.length ? Math.min(...known) : undefined;
    const most = known.length ? Math.max(...known) : undefined;
    return element('tr', {}, element('th', { scope: 'row' }, text.series[name]),
      ...cells([all.at(-1) ?? undefined, least, mean, most]));
  }));
  const top = element('tr', {}, ...head.map(words => element('th', { scope: 'col' }, words)));
  box.replaceChildren(element('table', {}, top, ...body));
}

function redraw() {
  plots.forEach(({ plot }) => plot.destroy());
  plots = [];
  draw();
}

setInterval(draw, DRAWN_EVERY_MS);
whose.addEventListener('change', draw);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
new ResizeObserver(() => plots.forEach(({ plot }) =>
  plot.setSize({ width: box.clientWidth, height: 130 }))).observe(box);
