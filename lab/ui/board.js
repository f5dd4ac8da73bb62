// Two tables: the storages and the attacks. Built once; while a run goes on only what changed is touched, so
// that focus and the reader's place stay.
import { byId, h, sign } from './dom.js';
import { defaultAnswer, FACTS, KINDS, place, tally } from './verdict.js';

/** The storages to choose from; each row later carries its line of the summary. */
export function buildStorages(catalogue) {
  const facts = FACTS.map(([title, key], at) => ({ title, key, class: at > 0 ? 'more' : 'holds' }));
  byId('storages').replaceChildren(
    h(
      'table',
      { class: 'storages idle' },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          h('th', { scope: 'col' }, 'Storage'),
          h('th', { scope: 'col', class: 'result' }, 'Attacks stopped'),
          h('th', { scope: 'col', class: 'result' }, 'The sign-in'),
          ...facts.map((fact) => h('th', { scope: 'col', class: fact.class }, fact.title)),
        ),
      ),
      h('tbody', {}, ...catalogue.storages.map((storage) => storageRow(storage, facts))),
    ),
  );
}

const storageRow = (storage, facts) =>
  h(
    'tr',
    { 'data-storage': storage.name },
    h(
      'th',
      { scope: 'row' },
      h(
        'label',
        {},
        h('input', { type: 'checkbox', name: 'storage', value: storage.name, checked: true }),
        h('b', {}, storage.name),
        storage.default && h('span', { class: 'tag' }, 'default'),
        storage.danger && h('span', { class: 'tag danger' }, 'needs a danger_ setting'),
      ),
    ),
    h('td', { class: 'result stops' }),
    h('td', { class: 'result lasts' }),
    ...facts.map(({ key, class: name }) => h('td', { class: name }, storage[key])),
  );

/** What happened to each storage, in a line each. */
export function updateStorages(catalogue, verdictOf, idle) {
  const table = byId('storages').firstElementChild;
  table.classList.toggle('idle', idle);
  for (const row of table.tBodies[0].rows) {
    const { stopped, measured, unproven, survives, lost } = tally(catalogue.attacks, (attack) => verdictOf(attack, row.dataset.storage));
    const doubt = unproven > 0 ? `, ${unproven} unproven` : '';
    const bar = h('progress', { max: Math.max(measured, 1), value: stopped, 'aria-hidden': 'true' });
    const stops = measured + unproven > 0 ? [h('strong', {}, `${stopped} of ${measured}`), ` measured${doubt}`, bar] : ['not measured yet'];
    row.querySelector('.stops').replaceChildren(...stops);
    const lasts = [survives.length > 0 && `survives ${survives.join(', ')}`, lost.length > 0 && `lost on ${lost.join(', ')}`];
    row.querySelector('.lasts').textContent = lasts.filter(Boolean).join('; ') || 'not measured yet';
  }
}

export function buildLegend() {
  const legend = byId('legend');
  const item = (shape, tone, word, means) => h('li', {}, h('span', { 'data-tone': tone }, sign(shape)), h('span', {}, h('b', {}, word), ` ${means}`));
  legend.open = matchMedia('(min-width: 44rem)').matches;
  legend.querySelector('ul').replaceChildren(
    ...Object.values(KINDS).map(({ word, shape, usual, means }) => item(shape, usual, word, means)),
    item('dot', 'plain', 'A dot in a ring', 'neither good nor bad: a fact to know'),
  );
}

export class Board {
  #cells = new Map();
  #answers = new Map();
  #rows = [];
  #table;

  /** @param open is called with an attack and a storage when the reader asks for the evidence of that cell. */
  constructor(catalogue, storages, open) {
    this.storages = storages;
    const columns = storages.length;
    this.#table = h(
      'table',
      { class: 'board', onkeydown: (event) => this.#move(event), onfocusin: (event) => this.#rove(event.target) },
      h(
        'caption',
        { class: 'quiet' },
        h('span', { class: 'when-run' }, 'Each cell opens its evidence. Arrow keys move between cells, Enter opens, Escape closes.'),
        h('span', { class: 'when-idle' }, 'Nothing has run yet. This is what the lab will try.'),
      ),
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          h('th', { scope: 'col' }, 'Attack, and what the literature claims'),
          h('th', { scope: 'col', class: 'plan' }, 'What the lab does'),
          h('th', { scope: 'col', class: 'plan twin' }, 'What is weakened in the twin'),
          ...storages.map((storage) =>
            h('th', { scope: 'col', ...column(storage) }, storage.name, storage.default && h('small', {}, 'default')),
          ),
        ),
      ),
      ...catalogue.groups.map((group) => this.#group(catalogue, group, columns, open)),
    );
    byId('board').replaceChildren(this.#table);
    this.#rove(this.#rows[0][0]);
    this.#buildPicker();
  }

  #group(catalogue, group, columns, open) {
    const attacks = catalogue.attacks.filter((attack) => attack.group === group.id);
    return h(
      'tbody',
      {},
      h('tr', { class: 'group' }, h('th', { scope: 'rowgroup', colspan: columns + 3 }, group.title, h('span', { class: 'quiet' }, group.about))),
      ...attacks.map((attack) => this.#row(attack, open)),
    );
  }

  #row(attack, open) {
    const answer = h('span', { class: 'answer' });
    this.#answers.set(attack.id, answer);
    const row = this.storages.map((storage) => {
      const cell = h('button', {
        type: 'button', class: 'cell', tabindex: '-1', 'aria-haspopup': 'dialog', onclick: () => open(attack, storage),
      });
      this.#cells.set(place(attack.id, storage.name), { cell, label: ` ${attack.title}, ${storage.name}` });
      return cell;
    });
    this.#rows.push(row);
    return h(
      'tr',
      {},
      h('th', { scope: 'row' }, h('b', {}, attack.title), h('span', { class: 'claim' }, attack.claim), answer),
      h('td', { class: 'plan' }, attack.how),
      h('td', { class: 'plan twin' }, attack.twin),
      ...row.map((cell, at) => h('td', column(this.storages[at]), cell)),
    );
  }

  /** Draws what changed. `now` is what the run is doing. */
  update(catalogue, verdictOf, now, idle) {
    this.#table.classList.toggle('idle', idle);
    const byDefault = this.storages.find((storage) => storage.default);
    for (const attack of catalogue.attacks) {
      for (const { name } of this.storages) {
        const { cell, label } = this.#cells.get(place(attack.id, name));
        cell.toggleAttribute('data-now', now?.attack === attack.id && now.storage === name);
        draw(cell, verdictOf(attack, name), label);
      }
      if (byDefault) answer(this.#answers.get(attack.id), verdictOf(attack, byDefault.name));
    }
  }

  cell(attack, storage) {
    return this.#cells.get(place(attack, storage)).cell;
  }

  /** On a narrow screen one storage is shown at a time. */
  #buildPicker() {
    const picker = byId('storage-shown');
    picker.replaceChildren(...this.storages.map(({ name, default: isDefault }) => h('option', { value: name }, isDefault ? `${name} (default)` : name)));
    const show = () => {
      for (const cell of this.#table.querySelectorAll('[data-column]')) {
        cell.classList.toggle('off', cell.dataset.column !== picker.value);
      }
      if (this.#table.querySelector('.cell[tabindex="0"]').closest('.off')) {
        this.#rove(this.#rows[0].find((cell) => !cell.closest('.off')));
      }
    };
    picker.onchange = show;
    show();
  }

  // One cell is in the tab order at a time: some hundred and sixty stops would be a wall.
  #rove(target) {
    if (!target?.matches('.cell')) return;
    this.#table.querySelector('.cell[tabindex="0"]')?.setAttribute('tabindex', '-1');
    target.setAttribute('tabindex', '0');
  }

  #move(event) {
    if (event.altKey || event.metaKey || event.shiftKey || !event.target.matches('.cell')) return;
    const rows = this.#rows.map((row) => row.filter((cell) => cell.offsetParent !== null));
    const y = rows.findIndex((row) => row.includes(event.target));
    const x = rows[y].indexOf(event.target);
    const [width, height] = [rows[y].length, rows.length];
    const steps = {
      ArrowUp: [x, y - 1],
      ArrowDown: [x, y + 1],
      ArrowLeft: [x - 1, y],
      ArrowRight: [x + 1, y],
      Home: event.ctrlKey ? [0, 0] : [0, y],
      End: event.ctrlKey ? [width - 1, height - 1] : [width - 1, y],
    };
    const step = steps[event.key];
    if (!step || (event.ctrlKey && !['Home', 'End'].includes(event.key))) return;
    event.preventDefault();
    rows[step[1]]?.[step[0]]?.focus();
  }
}

const column = (storage) => ({ 'data-column': storage.name, class: storage.default ? 'default' : undefined });

function draw(cell, { kind, tone, word, shape }, label) {
  if (cell.dataset.kind === kind && cell.dataset.tone === tone) return;
  Object.assign(cell.dataset, { kind, tone });
  cell.replaceChildren(sign(shape), h('span', { class: 'word' }, word), h('span', { class: 'sr' }, label));
}

function answer(line, verdict) {
  const text = defaultAnswer(verdict);
  if (line.textContent === text) return;
  line.dataset.tone = verdict.tone;
  line.replaceChildren(...(text ? [sign(verdict.shape), text] : []));
}
