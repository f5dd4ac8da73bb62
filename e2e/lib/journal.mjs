// What the driver of the crash test knows for certain, kept outside the process that is killed.
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';

/** An append-only file of JSON lines, each on disk before the next step is taken. */
export class Journal {
  #file;
  #ledger = new Ledger();

  constructor(path) {
    this.path = path;
    this.#file = openSync(path, 'a', 0o600);
  }

  write(entry) {
    writeSync(this.#file, `${JSON.stringify(entry)}\n`);
    fsyncSync(this.#file);
    this.#ledger.enter(entry);
  }

  /** What must hold of each session after everything written so far. */
  get sessions() {
    return [...this.#ledger.sessions.values()];
  }

  fateOf(id) {
    return this.#ledger.sessions.get(id)?.fate;
  }

  read() {
    return readFileSync(this.path, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }

  close() {
    closeSync(this.#file);
  }
}

/**
 * What must hold of every session, from the journal alone.
 *
 * Entries: {op: 'signed-in', session, subject, tokens}, {op: 'answered', session, tokens} for any accepted request,
 * {op: 'ending', id, sessions} before and {op: 'ended', id} after an acknowledged end of sessions,
 * {op: 'seen', session, alive} for what a probe found of a session whose fate was open.
 *
 * `fate` is 'live', 'dead', or 'open' when an end was asked for and never acknowledged. Dead is final.
 */
class Ledger {
  sessions = new Map();
  #endings = new Map();

  enter(entry) {
    switch (entry.op) {
      case 'signed-in':
        this.sessions.set(entry.session, { id: entry.session, subject: entry.subject, fate: entry.fate ?? 'live', tokens: {}, generations: new Map() });
        this.#learn(entry);
        break;
      case 'answered':
        this.#learn(entry);
        break;
      case 'ending':
        this.#endings.set(entry.id, entry.sessions);
        for (const id of entry.sessions) if (this.sessions.get(id).fate === 'live') this.sessions.get(id).fate = 'open';
        break;
      case 'ended':
        for (const id of this.#endings.get(entry.id)) this.sessions.get(id).fate = 'dead';
        break;
      case 'seen': {
        const session = this.sessions.get(entry.session);
        if (session.fate === 'open') session.fate = entry.alive ? 'live' : 'dead';
        break;
      }
      default:
        throw new Error(`The journal has an entry of unknown kind: ${entry.op}`);
    }
  }

  #learn({ session, tokens }) {
    const known = this.sessions.get(session);
    known.tokens = tokens;
    known.generations.set(Number(tokens.session.split('.')[1]), tokens.session);
  }
}

/** The same from entries read back, for looking at a journal after the fact. */
export function fold(entries) {
  const ledger = new Ledger();
  for (const entry of entries) ledger.enter(entry);
  return ledger.sessions;
}

/**
 * Holds what a probe saw against what must hold.
 * @param {{id: string, fate: string, generations: Map<number, string>}} expected
 * @param {{accepted: Record<string, boolean>, generation?: number, broken?: string}} seen
 *   `accepted` says for each way of presenting the session's tokens whether it got through.
 * @returns {string | undefined} the violation
 */
export function judge(expected, seen) {
  if (seen.broken) return `${expected.id}: ${seen.broken}`;
  const through = Object.keys(seen.accepted).filter((how) => seen.accepted[how]);
  if (expected.fate === 'dead' && through.length > 0) {
    return `${expected.id}: its end was acknowledged, and it is let through by ${through.join(', ')}`;
  }
  if (expected.fate === 'live') {
    const highest = Math.max(...expected.generations.keys());
    if (!seen.accepted.both) return `${expected.id}: nothing ended it, and it is refused; last known generation ${highest}, accepted ${JSON.stringify(seen.accepted)}`;
    if (seen.generation < highest) return `${expected.id}: rotation ${highest} was acknowledged, and the session is back at ${seen.generation}`;
  }
  if (expected.fate === 'open' && through.length > 0 && !seen.accepted.both) {
    return `${expected.id}: half ended, let through by ${through.join(', ')} only`;
  }
  return undefined;
}
