// Copyright 2026 The aitable authors. SPDX-License-Identifier: Apache-2.0
// The one WebSocket of a page, the token that it may need, and the words of its HTML.

import { text } from './text.js';
import { replaceText } from './dom.js';

const RETRY_MS = [300, 1000, 2000, 5000];
const TOKEN = 'aitable-token';
const byId = id => document.getElementById(id);

let socket = null;
let tries = 0;
let everOpen = false;

/**
 * Connect, again and again, and hand what comes to those who take it.
 * @param {Object} take functions by kind of message
 * @param {Object} more takePicture(ArrayBuffer) and opened()
 */
export function connect(take, { takePicture = () => {}, opened = () => {} } = {}) {
  for (const node of document.querySelectorAll('[data-text]')) {
    node.textContent = text[node.dataset.text];
  }
  byId('door').addEventListener('submit', event => {
    event.preventDefault();
    localStorage.setItem(TOKEN, byId('token').value.trim());
    location.reload();
  });
  window.addEventListener('hashchange', () => location.reload());
  replaceText(byId('status'), text.connecting);
  open();

  function open() {
    const token = storedToken();
    const address = new URL('socket', location.href);
    address.protocol = address.protocol.replace('http', 'ws');
    socket = new WebSocket(address, ['aitable', ...(token ? [`aitable.token.${token}`] : [])]);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) return takePicture(data);
      for (const [kind, value] of Object.entries(JSON.parse(data))) take[kind]?.(value);
    };
    socket.onopen = () => {
      tries = 0;
      everOpen = true;
      byId('door').hidden = true;
      opened();
      replaceText(byId('status'), text.connected);
    };
    socket.onclose = () => {
      replaceText(byId('status'), text.lost);
      byId('door').hidden = everOpen;
      setTimeout(open, RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
    };
  }
}

export const isOpen = () => socket?.readyState === WebSocket.OPEN;

export function ask(wish) {
  if (isOpen()) socket.send(JSON.stringify(wish));
}

function storedToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given) {
    localStorage.setItem(TOKEN, given);
    history.replaceState(null, '', location.pathname);
  }
  return localStorage.getItem(TOKEN);
}
