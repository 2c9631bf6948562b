// Copyright 2026 The aitable authors. SPDX-License-Identifier: Apache-2.0
// The alerts that are on, and the last events, newest first.

import { alertLevels, eventKinds, postures, text } from './text.js';
import { element } from './dom.js';

const SHAPES = ['', '●', '▲', '■'];
const POSTURE_CHANGED = 8;

/** Show the alerts, most urgent first. */
export function showAlerts(alerts) {
  document.getElementById('alerts-part').hidden = !alerts.length;
  document.getElementById('alerts').replaceChildren(...alerts.map(alert => element('li',
    { className: `alert${alert.level}` },
    `${SHAPES[alert.level]} ${alertLevels[alert.level]}: ${who(alert)}${alert.reason}` +
      (alert.acknowledged ? ` (${text.acknowledged})` : ''))));
}

/** Show what has happened. */
export function showEvents(events) {
  document.getElementById('events-part').hidden = !events.length;
  document.getElementById('events').replaceChildren(...events.toReversed().map(event => {
    const at = new Date(1000 * event.start).toLocaleTimeString();
    const lasted = event.duration === null ? '' : `, ${event.truncated ? text.atLeast : ''}` +
      `${event.duration.toFixed(1)} s`;
    const what = event.kind === POSTURE_CHANGED ? `: ${postures[event.value]}` : '';
    return element('li', {}, `${at} ${who(event)}${eventKinds[event.kind]}${what}${lasted}`);
  }));
}

function who({ person_id: id }) {
  return id ? `${id}: ` : '';
}
