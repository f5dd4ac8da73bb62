// What the results of a run are worth. Facts in, a value out; the other files only draw it.
//
// A wrong "good" is the one mistake this page must not make, so every doubt ends in another tone: an attack is stopped
// only when its twin fell in the same run, whatever the lab reports, and an outcome unknown here counts as not measured.

const ENDED = ['done', 'failed'];

/** No more results will come. */
export const hasEnded = (state) => ENDED.includes(state);

/** The kinds of cell. `shape` names a sign in index.html; `usual` is the tone in the legend. */
export const KINDS = {
  stopped: { word: 'Stopped', shape: 'check', usual: 'good', means: 'the attack got nothing here, and its twin fell' },
  succeeded: { word: 'Succeeded', shape: 'cross', usual: 'bad', means: 'the attack got what it wanted' },
  survives: { word: 'Survives', shape: 'check', usual: 'good', means: 'you are still signed in' },
  lost: { word: 'Lost', shape: 'cross', usual: 'bad', means: 'you are signed out' },
  unproven: { word: 'Unproven', shape: 'question', usual: 'open', means: 'nothing got through, but the twin did not fall either' },
  not_applicable: { word: 'Not applicable', shape: 'dash', usual: 'none', means: 'there is nothing to attack in this storage' },
  not_measured: { word: 'Not measured', shape: 'gap', usual: 'none', means: 'this browser or this run could not tell' },
  pending: { word: 'Not yet', shape: 'ring', usual: 'none', means: 'still to come' },
};

/** What the catalogue says of a storage: a title and the key. */
export const FACTS = [
  ['Browser holds', 'browser_holds'],
  ['Server holds', 'server_holds'],
  ['Each request costs', 'each_request'],
  ['Ended early by', 'ended_by'],
];

const verdict = (kind, tone) => ({ kind, tone, word: KINDS[kind].word, shape: tone === 'plain' ? 'dot' : KINDS[kind].shape });

/**
 * One cell of the table.
 * @param attack of the catalogue; its `good` says which outcome is good for the user
 * @param {{sessile?: object, twin?: object}} results of the two targets
 * @param {string} state of the run
 */
export function judge({ good }, { sessile, twin } = {}, state) {
  const more = !hasEnded(state);
  const silence = verdict(more ? 'pending' : 'not_measured', 'none');
  if (!sessile) return silence;
  const { outcome } = sessile;
  switch (outcome) {
    case 'stopped':
      if (!twin && more) return silence;
      if (!fell(twin)) return verdict('unproven', 'open');
      break;
    case 'succeeded':
    case 'survives':
    case 'lost':
      break;
    case 'not_applicable':
      return verdict('not_applicable', 'none');
    default:
      return twin ? verdict('not_measured', 'none') : silence;
  }
  if (good === 'either') return verdict(outcome, 'plain');
  return verdict(outcome, outcome === good ? 'good' : 'bad');
}

export const fell = (twin) => twin?.outcome === 'succeeded';

/** What the twin did, as label and answer. */
export function twinAnswer({ good }, twin, state) {
  const lasting = good === 'survives' || ['survives', 'lost'].includes(twin?.outcome);
  const asked = lasting ? 'The weakened twin' : 'The weakened twin fell';
  if (!twin) return [asked, hasEnded(state) ? 'not measured' : 'not yet'];
  const answers = { succeeded: 'yes', stopped: 'no', survives: 'survives', lost: 'lost', not_applicable: 'not applicable' };
  return [asked, answers[twin.outcome] ?? 'not measured'];
}

/** Does Sessile's default stop it? Empty while nothing is known. */
export function defaultAnswer({ kind }) {
  switch (kind) {
    case 'stopped':
      return 'Sessile’s default stops it';
    case 'succeeded':
      return 'Sessile’s default does not stop it';
    case 'survives':
      return 'Survives with Sessile’s default';
    case 'lost':
      return 'Lost with Sessile’s default';
    case 'unproven':
      return 'Unproven for Sessile’s default';
    case 'not_applicable':
      return 'Not applicable to Sessile’s default';
    case 'not_measured':
      return 'Not measured for Sessile’s default';
    default:
      return '';
  }
}

/** Results by attack and storage. A later result of the same place replaces an earlier one. */
export function indexed(results = []) {
  const index = new Map();
  for (const result of results) {
    const key = place(result.attack, result.storage);
    index.set(key, { ...index.get(key), [result.target]: result });
  }
  return index;
}

/** Name and version, without the zeros that browsers put in place of what they do not tell. */
export const browserOf = ({ browser }) => `${browser.name} ${browser.version.replace(/(\.0)+$/, '')}`;

export const place = (attack, storage) => `${attack} ${storage}`;

/** The storages to show: those that were chosen, else those with results once the run is over, else all. */
export function storagesOf(catalogue, run, chosen) {
  const all = catalogue.storages;
  if (chosen) return all.filter(({ name }) => chosen.includes(name));
  const seen = new Set(run?.results.map(({ storage }) => storage));
  return run && hasEnded(run.state) && seen.size > 0 ? all.filter(({ name }) => seen.has(name)) : all;
}

/** One storage's line of the summary. `verdictOf` takes an attack. */
export function tally(attacks, verdictOf) {
  const sum = { stopped: 0, measured: 0, unproven: 0, survives: [], lost: [] };
  for (const attack of attacks) {
    const { kind } = verdictOf(attack);
    if (kind === 'stopped') sum.stopped += 1;
    if (kind === 'stopped' || kind === 'succeeded') sum.measured += 1;
    if (kind === 'unproven') sum.unproven += 1;
    if (kind === 'survives' || kind === 'lost') sum[kind].push(attack.id.replace(/^survives-/, '').replace(/-remembered$/, ' (remembered)').replaceAll('-', ' '));
  }
  return sum;
}

/** The table as Markdown, for an issue or a document. */
export function markdown(catalogue, storages, run, verdictOf) {
  const row = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const lines = [
    `Sessile lab, ${browserOf(run)}, ${run.started_at.slice(0, 10)}`,
    '',
    row(['Attack', ...storages.map(({ name, default: isDefault }) => (isDefault ? `${name} (default)` : name))]),
    row(['---', ...storages.map(() => '---')]),
  ];
  for (const attack of catalogue.attacks) {
    lines.push(row([attack.title, ...storages.map((storage) => verdictOf(attack, storage).word.toLowerCase())]));
  }
  return `${lines.join('\n')}\n`;
}
