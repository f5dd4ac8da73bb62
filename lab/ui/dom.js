// Elements, built without ever parsing a string as HTML: evidence may quote what an attack injected.

const SVG = 'http://www.w3.org/2000/svg';

export const byId = (id) => document.getElementById(id);

/** An element. Attributes that are false or undefined are left out, `on…` functions listen, empty children are skipped. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child instanceof Node || (child && child !== true) || child === 0));
  return element;
}

/** A sign from the sprite in index.html. It says nothing to a screen reader; the word beside it does. */
export function sign(shape) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'sign');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#shape-${shape}`);
  svg.append(use);
  return svg;
}

/** Speaks to screen readers. Sparingly: what changes twice a second is not said. */
export function say(text) {
  const live = byId('live');
  if (live.textContent !== text) live.textContent = text;
}
