// Copyright 2026 The aitable authors. SPDX-License-Identifier: Apache-2.0
// One card a person. A reading more is a row more in FIELDS, and its name in text.js.

import { expressions, eyes, levels, postures, text, unseen, zones } from './text.js';
import { element, replaceText } from './dom.js';

const LEFT_SHOWN_S = 30;
const SHAPES = ['○', '●', '▲', '◆', '■', '✖'];

const number = (value, digits = 2) => value === null || value === undefined
  ? text.notMeasured : value.toFixed(digits);
const percent = value => `${Math.round(100 * value)} %`;
const degrees = radians => Math.round(radians * 180 / Math.PI);
const named = (words, index) => words[index] ?? String(index);

// name, and what it says of a person: text; undefined: such readings do not come
const FIELDS = [
  ['expression', ({ emotion }) => emotion && (expressions[emotion.label] ?? emotion.label) +
    (['uncertain', 'unknown'].includes(emotion.label) || emotion.confidence === null
      ? '' : ` (${percent(emotion.confidence)})`)],
  ['eyes', ({ fatigue }) => fatigue && [
    named(eyes, fatigue.eye_state),
    fatigue.visibility && named(unseen, fatigue.visibility),
    fatigue.closure_duration_s >= 0.1 && text.closedFor(fatigue.closure_duration_s.toFixed(1)),
  ].filter(Boolean).join(': ')],
  ['looks', ({ attention }) => attention && text.looksFor(named(zones, attention.zone),
    Math.round(attention.zone_s ?? 0), attention.zone_reason)],
  ['ear', ({ fatigue }) => fatigue &&
    `${number(fatigue.left_ear)}, ${number(fatigue.right_ear)}`],
  ['perclos', ({ fatigue }) => fatigue && (fatigue.perclos_valid
    ? `${percent(fatigue.perclos)} ${text.ofSeconds(Math.round(fatigue.perclos_observed_s))}`
    : text.perclosUnready(Math.round(fatigue.perclos_observed_s ?? 0)))],
  ['blinks', ({ fatigue }) => fatigue && `${fatigue.blink_count}` +
    (fatigue.blink_rate === null ? '' : `, ${text.perMinute(Math.round(fatigue.blink_rate))}`)],
  ['closures', ({ fatigue }) => fatigue && `${fatigue.long_closure_count}`],
  ['yawns', ({ fatigue }) => fatigue && `${fatigue.yawn_count}`],
  ['head', ({ fatigue }) => fatigue && (fatigue.head_pose_valid
    ? text.head(...['yaw', 'pitch', 'roll'].map(name => degrees(fatigue[`head_${name}`])))
    : text.notMeasured)],
  ['posture', ({ posture }) => posture &&
    [named(postures, posture.state), posture.state_reason].filter(Boolean).join(': ')],
  ['distance', ({ posture }) => posture && (posture.camera_distance === null
    ? text.notMeasured : `${Math.round(100 * posture.camera_distance)} cm`)],
  ['still', ({ posture }) => posture && [
    posture.too_close_warning && text.tooClose(Math.round(posture.too_close_s)),
    posture.still_warning && text.tooStill(Math.round(posture.still_s / 60)),
  ].filter(Boolean).join(', ')],
];

const cards = new Map();

/** Show who is there, and for a while who has just left. */
export function showPeople(people, stamp) {
  for (const person of people) {
    if (!cards.has(person.id)) cards.set(person.id, newCard(person.id));
    cards.get(person.id).update(person, stamp);
  }
  for (const [id, card] of cards) {
    const gone = stamp - card.seen;
    if (gone < 0 || gone > LEFT_SHOWN_S) {
      card.root.remove();
      cards.delete(id);
    } else if (!people.some(person => person.id === id)) {
      card.leave(Math.round(gone));
    }
  }
  document.getElementById('nobody').hidden = people.length > 0;
}

function newCard(id) {
  const badge = element('span', { className: 'badge' });
  const reason = element('p', { className: 'soft' });
  const point = plane();
  const rows = FIELDS.map(([name]) => {
    const value = element('dd', { id: `${id}-${name}` });
    return { value, label: element('dt', {}, text.fields[name]) };
  });
  const root = element('article', { className: 'person', id: `person-${id}` },
    element('header', {}, element('h3', {}, id), badge),
    element('div', { className: 'verdict' }, reason, point.root),
    element('dl', {}, ...rows.flatMap(({ label, value }) => [label, value])));
  document.getElementById('people').append(root);
  return {
    root,
    seen: 0,
    update(person, stamp) {
      this.seen = stamp;
      root.classList.remove('left');
      const level = person.fatigue?.level ?? 0;
      badge.className = `badge level${level}`;
      replaceText(badge, `${SHAPES[level] ?? ''} ${named(levels, level)}`);
      replaceText(reason, person.fatigue?.level_reason ?? text.noReading);
      point.move(person.emotion?.valence, person.emotion?.arousal);
      FIELDS.forEach(([, say], i) => {
        const words = say(person);
        replaceText(rows[i].value, words ?? '');
        rows[i].label.hidden = rows[i].value.hidden = !words;
      });
    },
    leave(seconds) {
      root.classList.add('left');
      badge.className = 'badge';
      replaceText(badge, text.left(seconds));
    },
  };
}

function plane() {
  const svg = (tag, attributes, ...children) => {
    const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const point = svg('circle', { class: 'point', r: 5 });
  const root = svg('svg', { class: 'plane', viewBox: '-52 -52 104 104', role: 'img' },
    svg('circle', { r: 50 }), svg('path', { d: 'M-50 0H50M0 -50V50' }),
    svg('text', { x: 6, y: 12 }, text.valence), svg('text', { x: 3, y: -40 }, text.arousal), point);
  return {
    root,
    move(valence, arousal) {
      const known = typeof valence === 'number' && typeof arousal === 'number';
      root.toggleAttribute('hidden', !known);
      if (!known) return;
      point.setAttribute('cx', 44 * valence);
      point.setAttribute('cy', -44 * arousal);
      root.setAttribute('aria-label',
        `${text.plane}: ${valence.toFixed(2)}, ${arousal.toFixed(2)}`);
    },
  };
}
