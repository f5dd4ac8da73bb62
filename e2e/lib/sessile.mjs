// The binary under test: one running server, and the command line beside it.
import { existsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child, eventually, run, sleep } from './process.mjs';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** SESSILE_BIN, or the newer of the debug and the release build. */
export function binary(profiles = ['debug', 'release']) {
  if (process.env.SESSILE_BIN) return process.env.SESSILE_BIN;
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target');
  const built = profiles
    .map((profile) => join(target, profile, 'sessile'))
    .filter((path) => existsSync(path))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  return built[0];
}

export function requireBinary() {
  const path = binary();
  if (!path) throw new Error('There is no sessile binary to test. Build it with `cargo build -p sessile-server`, or name one in SESSILE_BIN.');
  return path;
}

export class Sessile {
  /** Output of every server process this instance has had. */
  #past = '';
  #child;
  /** Everything that commands printed, logs and results. */
  cliOutput = '';

  /**
   * @param {{bin?: string, data: string, listen: number, ops: number, publicUrl: string, upstream?: string, config?: string, env?: object}} options
   */
  constructor(options) {
    this.options = options;
    this.bin = options.bin ?? requireBinary();
    this.opsUrl = `http://127.0.0.1:${options.ops}`;
  }

  get pid() {
    return this.#child.pid;
  }

  get output() {
    return this.#past + (this.#child?.output ?? '');
  }

  async start({ ready = true } = {}) {
    const { data, listen, ops, publicUrl, upstream, config, env } = this.options;
    if (this.#child) this.#past += this.#child.output;
    const args = ['serve', '--data', data, '--listen', `127.0.0.1:${listen}`, '--ops-listen', `127.0.0.1:${ops}`, '--public-url', publicUrl];
    if (config) args.push('--config', config);
    if (upstream) args.push('--upstream', upstream);
    this.#child = new Child(this.bin, args, { env, input: '' });
    if (ready) await this.#child.until(() => this.isReady(), 20_000);
  }

  async isReady() {
    try {
      return (await fetch(`${this.opsUrl}/readyz`)).status === 200;
    } catch {
      return false;
    }
  }

  exited() {
    return this.#child.exited();
  }

  stop() {
    return this.#child?.stop();
  }

  async killHard() {
    this.#child.kill('SIGKILL');
    return this.#child.exited();
  }

  // ---- command line

  #cliOptions({ input } = {}) {
    return { env: this.options.env, input: input ?? '' };
  }

  #cliArgs(args) {
    const where = ['--data', this.options.data];
    if (this.options.config) where.push('--config', this.options.config);
    return [...args, ...where];
  }

  /** Runs `sessile ARGS` on the same data; fails unless it succeeds. */
  async cli(args, options) {
    const result = await this.tryCli(args, options);
    if (result.code !== 0) throw new Error(`sessile ${args.join(' ')} ended with ${result.code ?? result.error}:\n${result.output}`);
    return result.stdout;
  }

  /** As `cli`, and gives status and all output instead of failing. */
  async tryCli(args, options) {
    const result = await run(this.bin, this.#cliArgs(args), this.#cliOptions(options));
    this.cliOutput += result.output;
    return result;
  }

  async cliJson(args) {
    return parseRows(await this.cli([...args, '--json']));
  }

  addUser(name, password) {
    return this.cli(['user', 'add', name, '--password-stdin'], { input: `${password}\n` });
  }

  sessions(subject) {
    return this.cliJson(['session', 'list', ...(subject ? ['--subject', subject] : [])]);
  }

  revoke(...scope) {
    return this.cli(['session', 'revoke', ...scope]);
  }

  /** Every audit event, oldest first. */
  auditEvents() {
    return this.cliJson(['audit', 'export']);
  }

  /** Events of that name, about that session when one is named. */
  async eventsNamed(name, sessionId) {
    return (await this.auditEvents()).filter(({ event, session }) => event === name && (!sessionId || session === sessionId));
  }

  /** Waits until so many events of that name were written; they reach the store a moment after the answer. */
  async awaitEvents(name, count, sessionId) {
    await eventually(async () => (await this.eventsNamed(name, sessionId)).length >= count, { what: `${count} events ${name}`, every: 100 });
    return this.eventsNamed(name, sessionId);
  }

  /** That no such event was written, now and a moment later. */
  async assertNoEvent(name, sessionId) {
    await sleep(500);
    const seen = await this.eventsNamed(name, sessionId);
    if (seen.length > 0) throw new Error(`There should be no event ${name}: ${JSON.stringify(seen)}`);
  }

  // ---- operations listener

  async metrics() {
    const response = await fetch(`${this.opsUrl}/metrics`);
    if (response.status !== 200) throw new Error(`/metrics answered ${response.status}`);
    return response.text();
  }

  /** Sum of a metric over its labels. A name the page does not have is an error, so no test passes by a misspelling. */
  async metric(name) {
    return metricValue(await this.metrics(), name);
  }
}

export function metricValue(page, name) {
  const rows = page.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  if (rows.length === 0) throw new Error(`There is no metric ${name}`);
  return rows.reduce((sum, row) => sum + Number(row.slice(row.lastIndexOf('}') + 1).trim().split(/\s+/).at(row.includes('}') ? 0 : 1)), 0);
}

// One JSON array, or one object a line.
function parseRows(text) {
  const trimmed = text.trim();
  if (trimmed === '') return [];
  if (trimmed.startsWith('[')) return JSON.parse(trimmed);
  return trimmed.split('\n').map((line) => JSON.parse(line));
}
