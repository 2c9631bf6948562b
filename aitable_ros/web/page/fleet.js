// Copyright 2026 The aitable authors. SPDX-License-Identifier: Apache-2.0
// All tables: a card each, the ones that need a look first.

import { alertLevels, levels, nodeLevels, text } from './text.js';
import { element, replaceText } from './dom.js';
import { connect } from './connection.js';

const SHAPES = ['○', '●', '▲', '◆', '■', '✖'];
const NODE_SHAPES = ['●', '▲', '■', '○'];
const SILENT_S = 5;
const byId = id => document.getElementById(id);
const cards = new Map();

const percent = value => `${Math.round(100 * value)} %`;
const worstNode = table => Math.max(0, ...table.nodes.map(node => [0, 1, 3, 2][node.level]));
const isSilent = table => table.silent > SILENT_S;
const alertOf = table => Math.max(0, ...table.alerts.map(alert => alert.level));
const levelOf = table => Math.max(0, ...table.people.map(person => person.level));

// the most urgent first, then by name
const urgency = table => [isSilent(table) ? 1 : 0, alertOf(table), worstNode(table) > 1 ? 1 : 0,
  levelOf(table) > 1 ? levelOf(table) : 0];

function showFleet(tables) {
  const order = [...tables].sort((a, b) => {
    const [x, y] = [urgency(a), urgency(b)];
    const i = x.findIndex((value, k) => value !== y[k]);
    return i < 0 ? a.name.localeCompare(b.name, undefined, { numeric: true }) : y[i] - x[i];
  });
  const names = new Set(order.map(table => table.name));
  for (const [name, card] of cards) {
    if (!names.has(name)) {
      card.root.remove();
      cards.delete(name);
    }
  }
  order.forEach((table, i) => {
    if (!cards.has(table.name)) cards.set(table.name, newCard(table.name));
    const { root, update } = cards.get(table.name);
    update(table);
    if (byId('tables').children[i] !== root) {
      byId('tables').insertBefore(root, byId('tables').children[i] ?? null);
    }
  });
  replaceText(byId('summary'), order.length ? text.fleetSummary({
    tables: order.length,
    people: order.reduce((sum, table) => sum + table.people.length, 0),
    alerts: order.reduce((sum, table) => sum + table.alerts.length, 0),
    silent: order.filter(isSilent).length,
    troubled: order.filter(table => !isSilent(table) && worstNode(table) > 0).length,
  }) : text.noTables);
}

function newCard(name) {
  const badge = element('span', { className: 'badge' });
  const people = element('ul', { className: 'lines' });
  const alerts = element('ul', { className: 'alerts' });
  const summary = element('summary');
  const nodes = element('table');
  const details = element('details', {}, summary, nodes);
  const root = element('section', { className: 'table', id: `table-${name}` },
    element('header', {}, element('h2', {}, name), badge), alerts, people, details);
  return { root, update };

  function update(table) {
    const silent = isSilent(table);
    const level = levelOf(table);
    root.classList.toggle('silent', silent);
    badge.className = silent ? 'badge' : `badge level${level}`;
    replaceText(badge, silent ? text.silentFor(Math.round(table.silent))
      : table.people.length ? `${SHAPES[level]} ${levels[level]}` : text.nobodyThere);
    lines(alerts, silent ? [] : table.alerts.map(({ level, person_id: id, reason }) =>
      [`${alertLevels[level]}: ${id ? `${id}: ` : ''}${reason}`, `alert${level}`]));
    lines(people, table.people.map(person => [sayPerson(person), '']));
    const troubled = table.nodes.filter(node => node.level > 0);
    const worst = troubled.length ? [...troubled].sort((a, b) => b.level - a.level)[0] : null;
    replaceText(summary, !table.nodes.length ? text.noNodes : worst
      ? `${NODE_SHAPES[worst.level]} ${worst.name}: ${nodeLevels[worst.level]}; ${worst.message}`
      : `● ${text.allInOrder(table.nodes.length)}`);
    nodes.replaceChildren(...table.nodes.map(node => element('tr', {},
      element('th', { scope: 'row' }, `${NODE_SHAPES[node.level]} ${node.name}`),
      element('td', {}, [node.message, ...Object.entries(node.backends).map(
        ([network, backend]) => `${network}: ${backend}`)].filter(Boolean).join('; ')))));
  }
}

function lines(list, said) {
  const now = JSON.stringify(said);
  if (list.dataset.said === now) return;
  list.dataset.said = now;
  list.replaceChildren(...said.map(([words, className]) => element('li', { className }, words)));
}

function sayPerson(person) {
  return [
    `${person.id}: ${levels[person.level] ?? person.level}`,
    person.level_reason,
    person.perclos_valid ? `PERCLOS ${percent(person.perclos)}` : '',
    person.blinks_valid && person.blink_rate !== null
      ? `${text.fields.blinks} ${text.perMinute(Math.round(person.blink_rate))}` : '',
  ].filter(Boolean).join(', ');
}

connect({ fleet: showFleet });
