// The one place on the page that says how things stand and what to do next.
import { byId, h, say } from './dom.js';

let shown;

/** Replaces the panel when `key` is another than before; returns whether it did. Focus inside is not lost by polling. */
function panel(key, tone, title, ...children) {
  if (shown === key) return false;
  shown = key;
  const section = byId('status');
  const hadFocus = section.contains(document.activeElement);
  const heading = h('h2', { id: 'status-title', tabindex: '-1' }, title);
  section.dataset.tone = tone;
  section.replaceChildren(heading, ...children);
  section.hidden = false;
  if (hadFocus) heading.focus();
  say([`${title}.`, ...[...section.querySelectorAll('.say')].map((each) => each.textContent)].join(' '));
  return true;
}

const p = (...children) => h('p', { class: 'say' }, ...children);
const button = (label, onclick, kind) => h('p', { class: 'tools' }, h('button', { type: 'button', class: kind, onclick }, label));

export function hideStatus() {
  shown = undefined;
  byId('status').hidden = true;
}

export function focusStatus() {
  byId('status-title')?.focus();
}

export function showOpening() {
  panel('opening', 'busy', 'Preparing', p('The lab starts a gateway for each storage. This takes a few seconds.'));
}

/** @param start where the run begins, when this page knows it */
export function showWaiting(start) {
  panel(
    'waiting',
    'busy',
    'Waiting for the other tab',
    p('The run begins as soon as its tab opens.'),
    start && h('p', { class: 'tools' }, h('a', { class: 'button', href: start, target: '_blank', rel: 'noopener' }, 'Open the tab')),
  );
}

export function showRunning({ done, total, now }, titles) {
  panel(
    'running',
    'busy',
    'Attacking',
    h('progress', { id: 'progress', 'aria-labelledby': 'status-title', 'aria-describedby': 'progress-text' }),
    h('p', { id: 'progress-text' }),
    h('p', { class: 'quiet' }, 'Leave the other tab open and in front; it ends by itself.'),
  );
  const bar = byId('progress');
  bar.max = Math.max(total, 1);
  bar.value = done;
  byId('progress-text').replaceChildren(
    h('b', {}, `${done} of ${total}`),
    now ? ` · ${now.storage} · ${titles(now.attack)} · against ${now.target === 'twin' ? 'the twin' : 'Sessile'}` : '',
  );
  // Four times in a run is news; twice a second is noise.
  const quarter = Math.floor((4 * done) / bar.max);
  if (quarter > 0 && quarter < 4) say(`${25 * quarter} percent of the attacks are done.`);
}

/** @param restarted whether this browser was seen to lose its session since the run stopped here */
export function showNeedsRestart(restarted, address, proceed) {
  if (restarted) {
    panel('restarted', 'ask', 'The browser was restarted', p('Press Continue. The lab now looks at what survived.'), button('Continue', proceed, 'primary'));
    return;
  }
  panel(
    'needs_restart',
    'ask',
    'Restart the browser, then continue',
    p('Whether a sign-in outlives the browser can only be seen after a restart. Nothing is lost by it; the lab keeps the results.'),
    h(
      'ol',
      {},
      h('li', {}, 'Close this browser completely, every window of it.'),
      h('li', {}, 'Start it and open this address again: ', h('code', { class: 'address' }, address)),
      h('li', {}, 'Press Continue.'),
    ),
    button('Continue', proceed),
    h('p', { class: 'quiet' }, 'A browser that reopens its last windows keeps session cookies too. That is then the result.'),
  );
}

export function showDone(sentence) {
  panel('done', 'done', 'Done', p(sentence));
}

export function showFailed({ why, progress: { done, total, now } }, titles, again) {
  panel(
    'failed',
    'bad',
    'The run stopped before its end',
    p(
      now ? `It stopped at “${titles(now.attack)}” on ${now.storage}, after ${done} of ${total}.` : `It stopped after ${done} of ${total}.`,
      ' What was measured stands in the table.',
    ),
    p(why ? `The lab says: ${why}` : 'The terminal in which the lab runs says why.'),
    button('Attack again', again),
  );
}

export function showNothingChosen() {
  panel('nothing chosen', 'bad', 'No storage is chosen', p('Choose at least one, then press Attack.'));
}

export function showRefused(message, again) {
  panel(`refused ${message}`, 'bad', 'The lab refused', p(message), button('Try again', again));
}

export function showUnknown(startOver) {
  panel(
    'unknown',
    'bad',
    'The lab does not know this run',
    p('A lab forgets its runs when it stops. Start a new one.'),
    button('Start over', startOver),
  );
}

export function showGone(retry) {
  panel(
    'gone',
    'bad',
    'The lab does not answer',
    p('It was probably stopped. Start it again with “sessile lab” in a terminal. Results of an earlier lab are gone with it.'),
    button('Try again', retry),
  );
}
