// Starts runs, follows them, and hands what is known to the parts that draw it.
import { continueRun, exportPath, LabGone, LabRefused, readCatalogue, readRun, startRun } from './api.js';
import { Board, buildLegend, buildStorages, updateStorages } from './board.js';
import { setUpTheme, thisBrowser, wasRestarted } from './browser.js';
import { byId, say } from './dom.js';
import { openEvidence, refreshEvidence } from './evidence.js';
import * as status from './status.js';
import { browserOf, hasEnded, indexed, judge, markdown, place, storagesOf, tally } from './verdict.js';

const POLL_MS = 500;
// While nobody looks or nothing happens: an answer carries the whole run, and the attacks need the machine too.
const IDLE_POLL_MS = 2000;
const RETRY_MS = 3000;

let catalogue;
let board;
let run;
let index = indexed();
let chosen; // by this page, for the run it started
let start;
let opened; // the cell whose evidence is open
let following = 0;
let wake = () => {};

const verdictOf = (attack, storage) => judge(attack, index.get(place(attack.id, storage)), run?.state);
const titleOf = (id) => catalogue.attacks.find((attack) => attack.id === id)?.title ?? id;
const runInAddress = () => new URLSearchParams(location.hash.slice(1)).get('run');

// ---- Following a run

async function follow(id) {
  const mine = ++following;
  while (mine === following) {
    let pause;
    try {
      const seen = await readRun(id);
      if (mine !== following) return;
      show(seen);
      if (hasEnded(seen.state)) return;
      pause = seen.state === 'needs_restart' || document.hidden ? IDLE_POLL_MS : POLL_MS;
    } catch (error) {
      if (mine !== following) return;
      if (error instanceof LabRefused) return refused(error, id);
      if (!(error instanceof LabGone)) throw error;
      status.showGone(() => wake());
      pause = RETRY_MS;
    }
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, pause);
    });
  }
}

function refused(error, id) {
  if (error.status === 404) status.showUnknown(() => (location.hash = ''));
  else status.showRefused(error.message, () => follow(id));
}

function show(seen) {
  run = seen;
  index = indexed(run.results);
  draw();
  switch (run.state) {
    case 'waiting':
      return status.showWaiting(run.start ?? start);
    case 'running':
      return status.showRunning(run.progress, titleOf);
    case 'needs_restart':
      return status.showNeedsRestart(wasRestarted(run.id), location.href, proceed);
    case 'done':
      return status.showDone(summary());
    default:
      return status.showFailed(run, titleOf, attack);
  }
}

function summary() {
  const { name, default: isDefault } = board.storages.find((storage) => storage.default) ?? board.storages[0];
  const verdict = (attack) => verdictOf(attack, name);
  const { stopped, measured, unproven } = tally(catalogue.attacks, verdict);
  const through = catalogue.attacks.filter((attack) => verdict(attack).kind === 'succeeded').map(({ title }) => `“${title}”`);
  return [
    `${isDefault ? 'Sessile’s default' : name} stopped ${stopped} of the ${measured} attacks measured.`,
    through.length > 0 ? `Not stopped: ${through.join(', ')}.` : '',
    unproven > 0 ? `${unproven} more prove nothing, because the twin did not fall.` : '',
  ].join(' ').trim();
}

function draw() {
  const storages = storagesOf(catalogue, run, chosen);
  if (board?.storages.map(({ name }) => name).join() !== storages.map(({ name }) => name).join()) {
    board = new Board(catalogue, storages, open);
  }
  const idle = !run;
  board.update(catalogue, verdictOf, run?.state === 'running' ? run.progress.now : undefined, idle);
  updateStorages(catalogue, verdictOf, idle);
  for (const id of ['legend', 'tools', 'picker']) byId(id).hidden = idle;
  byId('attack').disabled = ['waiting', 'running'].includes(run?.state);
  document.title = run ? `${titleOfState()} · Sessile lab` : 'Sessile lab';
  if (run) {
    byId('export').href = exportPath(run.id);
    const day = new Date(run.started_at).toLocaleString([], { dateStyle: 'long', timeStyle: 'short' });
    byId('measured').textContent = `${browserOf(run)}, begun ${day}`;
  } else {
    byId('measured').textContent = '';
  }
  if (opened && byId('evidence').open) refreshEvidence(facts(opened));
}

function titleOfState() {
  const { done, total } = run.progress;
  const words = { waiting: 'Waiting', needs_restart: 'Restart the browser', done: 'Done', failed: 'Stopped' };
  return words[run.state] ?? `${Math.floor((100 * done) / Math.max(total, 1))} %`;
}

// ---- Evidence

function open(attack, storage) {
  opened = { attack, storage };
  openEvidence(facts(opened), board.cell(attack.id, storage.name));
}

const facts = ({ attack, storage }) => ({
  attack,
  storage,
  results: index.get(place(attack.id, storage.name)) ?? {},
  verdict: verdictOf(attack, storage.name),
  state: run?.state,
  browser: run && browserOf(run),
});

// ---- What the reader can do

const boxes = () => [...document.querySelectorAll('input[name="storage"]')];
const picked = () => boxes().filter((box) => box.checked).map((box) => box.value);

function nameTheChoice() {
  const [some, all] = [picked().length, boxes().length];
  byId('attack').textContent = some === all ? `Attack all ${all} storages` : `Attack ${some} storage${some === 1 ? '' : 's'}`;
  byId('choose-all').textContent = some === all ? 'Choose none' : 'Choose all';
}

async function attack() {
  const storages = picked();
  if (storages.length === 0) {
    status.showNothingChosen();
    status.focusStatus();
    return;
  }
  // Opened before the lab has answered, while the click still counts as one.
  const tab = window.open('', '_blank');
  if (tab) {
    tab.opener = null;
    tab.document.title = 'Sessile lab';
    tab.document.body.textContent = 'The lab prepares the attacks.';
  }
  following += 1;
  status.showOpening();
  status.focusStatus();
  byId('attack').disabled = true;
  try {
    const begun = await startRun(storages);
    [chosen, start] = [storages, begun.start];
    if (!tab) return location.assign(begun.start);
    tab.location.replace(begun.start);
    history.replaceState(null, '', `#run=${encodeURIComponent(begun.id)}`);
    await follow(begun.id);
  } catch (error) {
    tab?.close();
    byId('attack').disabled = false;
    if (error instanceof LabRefused) status.showRefused(error.message, attack);
    else if (error instanceof LabGone) status.showGone(attack);
    else throw error;
  }
}

async function proceed() {
  try {
    const { start: next } = await continueRun(run.id);
    location.assign(next);
  } catch (error) {
    if (error instanceof LabRefused) status.showRefused(error.message, () => follow(run.id));
    else if (error instanceof LabGone) status.showGone(() => follow(run.id));
    else throw error;
  }
}

async function copy() {
  const text = markdown(catalogue, board.storages, run, (attack, { name }) => verdictOf(attack, name));
  const fallback = byId('copy-fallback');
  try {
    await navigator.clipboard.writeText(text);
    fallback.hidden = true;
    byId('copy').textContent = 'Copied';
    setTimeout(() => (byId('copy').textContent = 'Copy as Markdown table'), 2000);
    say('The table is in the clipboard.');
  } catch {
    const area = fallback.querySelector('textarea');
    area.value = text;
    fallback.hidden = false;
    area.focus();
    area.select();
  }
}

// ---- Start

async function load() {
  try {
    catalogue ??= await readCatalogue();
  } catch (error) {
    if (error instanceof LabRefused) return status.showRefused(error.message, load);
    return status.showGone(load);
  }
  status.hideStatus();
  if (boxes().length === 0) {
    buildStorages(catalogue);
    buildLegend();
    nameTheChoice();
  }
  byId('results').hidden = false;
  restore();
}

function restore() {
  const id = runInAddress();
  following += 1;
  [run, index, chosen, start] = [undefined, indexed(), undefined, undefined];
  status.hideStatus();
  draw();
  if (id) follow(id);
}

setUpTheme();
byId('browser').textContent = thisBrowser();
byId('start').addEventListener('submit', (event) => {
  event.preventDefault();
  attack();
});
byId('start').addEventListener('change', nameTheChoice);
byId('choose-all').addEventListener('click', () => {
  const all = picked().length < boxes().length;
  for (const box of boxes()) box.checked = all;
  nameTheChoice();
});
byId('copy').addEventListener('click', copy);
window.addEventListener('hashchange', restore);
// A tab in the background polls rarely; who comes back to it wants to see how things stand.
document.addEventListener('visibilitychange', () => !document.hidden && wake());
load();
