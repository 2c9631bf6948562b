// Copyright 2026 The aitable authors. SPDX-License-Identifier: Apache-2.0
// What comes over the one WebSocket goes to the parts of the page.

import { nodeLevels, privacies, text } from './text.js';
import { element, replaceText } from './dom.js';
import { ask, connect, isOpen } from './connection.js';
import { append, download, prepare, restart } from './curves.js';
import { showPeople } from './cards.js';
import { showAlerts, showEvents } from './happened.js';

const SILENT_S = 3;
const SWITCHES = ['draw_mesh', 'draw_axes', 'draw_posture'];
const byId = id => document.getElementById(id);

const canvas = byId('picture');
let readAt = 0;
let shownAt = 0;
let settings = {};

// ----- the picture: while one is decoded only the newest waits

let decoding = false;
let newest = null;

async function showPicture(buffer) {
  newest = buffer;
  if (decoding) return;
  decoding = true;
  while (newest) {
    const data = newest;
    newest = null;
    const file = new Blob([new Uint8Array(data, 8)], { type: 'image/jpeg' });
    const bitmap = await createImageBitmap(file).catch(() => null);
    if (!bitmap) continue;
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
    }
    canvas.getContext('2d').drawImage(bitmap, 0, 0);
    bitmap.close();
    canvas.dataset.stamp = new DataView(data).getFloat64(0);
    shownAt = Date.now();
  }
  decoding = false;
}

// ----- the rest of what comes

const TAKE = {
  settings: showSettings,
  history: restart,
  rows: append,
  readings({ people, stamp }) {
    readAt = Date.now();
    showPeople(people, stamp);
  },
  status: showNode,
  alerts: showAlerts,
  events: showEvents,
  answer: words => replaceText(byId('answer'), words),
};

function showSettings(given) {
  settings = given;
  replaceText(byId('name'), settings.name === '/' ? '' : settings.name);
  canvas.setAttribute('aria-label', text.pictureOf(settings.privacy));
  byId('control-part').hidden = !settings.control;
  byId('acknowledge').hidden = !settings.control;
  if (settings.control) showControls();
  prepare(settings);
}

function showNode({ name, level, message, values }) {
  const id = `node-${name}`;
  let details = byId(id);
  if (!details) {
    details = element('details', { id }, element('summary'), element('table'));
    const after = [...byId('nodes').children].find(other => other.id > id);
    byId('nodes').insertBefore(details, after ?? null);
  }
  const [summary, table] = details.children;
  replaceText(summary, `${['●', '▲', '■', '○'][level]} ${name}: ${nodeLevels[level]}; ${message}`);
  if (!details.open && table.rows.length) return;
  table.replaceChildren(...values.map(([key, value]) => element('tr', {},
    element('th', { scope: 'row' }, key), element('td', {}, value))));
}

// ----- control, where the table allows it

function showControls() {
  const box = byId('control');
  if (!box.children.length) {
    const button = what => element('button',
      { id: what, onclick: () => ask({ do: what }) }, text[what]);
    const privacy = element('select',
      { id: 'privacy', onchange: () => ask({ do: 'set', name: 'privacy', value: privacy.value }) },
      ...Object.entries(privacies).map(([value, words]) => element('option', { value }, words)));
    const switches = SWITCHES.map(name => {
      const tick = element('input', { type: 'checkbox', id: name,
        onchange: () => ask({ do: 'set', name, value: tick.checked }) });
      return element('label', {}, tick, ` ${text[name]}`);
    });
    box.append(button('calibrate'), button('reload'),
      element('label', {}, `${text.privacy} `, privacy), ...switches);
  }
  byId('privacy').value = settings.privacy;
  for (const name of SWITCHES) byId(name).checked = settings[name];
}

function lookAtClock() {
  const silent = Math.round((Date.now() - readAt) / 1000);
  const fresh = readAt > 0 && silent < SILENT_S;
  if (readAt && isOpen()) {
    replaceText(byId('status'), fresh ? text.connected : text.silent(silent));
  }
  const missing = Date.now() - shownAt > SILENT_S * 1000;
  const words = privacies[settings.privacy] ?? '';
  canvas.hidden = missing;
  replaceText(byId('picture-note'), settings.privacy === 'no_image' ? text.noImage
    : missing && fresh ? text.noPicture : words);
}

byId('acknowledge').addEventListener('click', () => ask({ do: 'acknowledge' }));
byId('csv').addEventListener('click', download);
setInterval(lookAtClock, 500);
connect(TAKE, { takePicture: showPicture, opened: () => byId('nodes').replaceChildren() });
