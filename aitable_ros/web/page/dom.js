// Copyright 2026 The aitable authors. SPDX-License-Identifier: Apache-2.0

/** Make an element; texts are texts, never markup. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Change a text only where it is another, so that screen readers and selections are left alone. */
export function replaceText(node, words) {
  if (node.textContent !== words) node.textContent = words;
}
