// The panel that shows what one cell rests on.
import { byId, h, sign } from './dom.js';
import { FACTS, twinAnswer } from './verdict.js';

// Data no longer than this stands in the line; longer data is folded.
const SHORT = 60;

/**
 * Opens the panel. Escape, the button and a click beside it close it, and focus goes back to `from`.
 */
export function openEvidence(facts, from) {
  const panel = byId('evidence');
  const title = h('h2', { id: 'evidence-title', tabindex: '-1', autofocus: true }, facts.attack.title);
  const close = h('button', { type: 'button', class: 'quiet-button', onclick: () => panel.close() }, 'Close');
  const body = h('div', { class: 'evidence-body' });
  panel.replaceChildren(h('div', { class: 'evidence-inner' }, h('header', {}, h('div', {}, title, subtitle(facts)), close), body));
  panel.onclick = ({ target }) => {
    if (target === panel) panel.close();
  };
  panel.onclose = () => from.focus();
  fill(body, facts);
  panel.showModal();
  title.focus();
}

/** Draws the body again when results arrive while the panel is open. */
export function refreshEvidence(facts) {
  const body = byId('evidence').querySelector('.evidence-body');
  if (body && body.dataset.state !== stateOf(facts)) fill(body, facts);
}

const stateOf = ({ verdict, results }) => JSON.stringify([verdict.kind, results.sessile?.outcome, results.twin?.outcome]);

const subtitle = ({ storage, browser }) =>
  h('p', { class: 'quiet' }, 'Storage ', h('code', {}, storage.name), storage.default && ' (default)', browser && `, in ${browser}`);

function fill(body, facts) {
  const { attack, storage, results, verdict, state } = facts;
  const [asked, answered] = twinAnswer(attack, results.twin, state);
  body.dataset.state = stateOf(facts);
  body.replaceChildren(
    h(
      'div',
      { class: 'verdict', 'data-tone': verdict.tone },
      h('p', { class: 'verdict-word' }, sign(verdict.shape), verdict.word),
      h('p', {}, results.sessile?.detail ?? (verdict.kind === 'pending' ? 'This attack has not run yet.' : 'This run has no result here.')),
      verdict.kind === 'unproven' && h('p', { class: 'why' }, 'Nothing got through here. But the twin, which should have fallen, did not, so this proves nothing.'),
    ),
    h(
      'div',
      { class: 'verdict twin' },
      h('p', { class: 'verdict-word' }, `${asked}: `, h('b', {}, answered)),
      results.twin && h('p', {}, results.twin.detail),
      h('p', {}, h('span', { class: 'quiet' }, 'What was weakened: '), attack.twin),
    ),
    ...part('What the literature claims', h('p', {}, attack.claim)),
    ...part('How the attack works', h('p', {}, attack.how)),
    ...part('Steps against Sessile', ...steps(results.sessile)),
    ...part('Steps against the twin', ...steps(results.twin)),
    ...part('This storage', h('dl', {}, ...FACTS.flatMap(([term, key]) => [h('dt', {}, term), h('dd', {}, storage[key])]))),
  );
}

const part = (title, ...children) => (children.length > 0 ? [h('h3', {}, title), ...children] : []);

function steps(result) {
  if (!result || result.evidence.length === 0) return [];
  const first = result.evidence[0].at;
  return [
    h('p', { class: 'quiet' }, `${time(result.ms)} in all, ${time(first)} after the run began.`),
    h(
      'ol',
      { class: 'steps' },
      ...result.evidence.map(({ at, what, data }) => h('li', {}, h('span', { class: 'at' }, `+${time(at - first)}`), h('div', {}, what, ...shown(data)))),
    ),
  ];
}

function shown(data) {
  if (data === undefined || data === null) return [];
  const text = typeof data === 'string' ? data : JSON.stringify(data);
  if (text.length <= SHORT) return [' ', h('code', {}, text)];
  return [h('details', {}, h('summary', {}, 'Data'), h('pre', {}, typeof data === 'string' ? data : JSON.stringify(data, null, 1)))];
}

const time = (ms) => (ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`);
