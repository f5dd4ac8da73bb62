// Serves the page with the lab's headers and an invented lab behind it (fixture.json), so that the page can be worked
// on and tested without gateways and browsers under attack.
//
//   node lab/ui/dev/serve.mjs [PORT]
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

export const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; " +
  "form-action 'self'; frame-ancestors 'none'";

const UI = new URL('../', import.meta.url);
const TYPES = { '.html': 'text/html; charset=utf-8', '.css': 'text/css; charset=utf-8', '.js': 'text/javascript; charset=utf-8' };
const STATIC = /^\/[a-z]+\.(html|css|js)$/;

export const fixture = JSON.parse(readFileSync(new URL('fixture.json', import.meta.url), 'utf8'));
const { catalogue, outcomes, letters, details, evidence } = fixture;

/** What the lab would report for one attack, storage and target. */
function result(attack, storage, target, at) {
  const column = catalogue.storages.findIndex(({ name }) => name === storage);
  const outcome = letters[outcomes[attack][target][column]];
  const steps = evidence.map((step) => ({ ...step, at: at + step.at }));
  return { storage, attack, target, outcome, detail: details[outcome], evidence: steps, ms: 248 };
}

function everything(storages) {
  const order = [];
  const attacks = [...catalogue.attacks].sort((a, b) => needsRestart(a.id) - needsRestart(b.id));
  for (const { id } of attacks) for (const storage of storages) for (const target of ['sessile', 'twin']) order.push([id, storage, target]);
  return order.map(([attack, storage, target], at) => result(attack, storage, target, at * 250));
}

const needsRestart = (attack) => attack.startsWith('survives-restart');

class Run {
  #results;
  #restarted = false;
  #failed = false;

  constructor(id, storages, origin) {
    this.id = id;
    this.why = null;
    this.start = `${origin}/fixture-tab?run=${id}`;
    this.#results = everything(storages);
    this.done = 0;
    this.opened = false;
  }

  /** Lets the run get on by so many results; it stops where the browser must be restarted. */
  advance(by = this.#results.length) {
    this.opened = true;
    const stop = this.#restarted ? this.#results.length : this.#results.findIndex(({ attack }) => needsRestart(attack));
    this.done = Math.min(this.done + by, stop);
  }

  restart() {
    this.#restarted = true;
    this.advance(1);
  }

  fail(why = null) {
    this.#failed = true;
    this.why = why;
  }

  finish() {
    this.#restarted = true;
    this.advance();
  }

  /** Replaces what one target reported, to show the page a case that the fixture does not hold. */
  change(attack, storage, target, outcome) {
    const at = this.#results.findIndex((each) => each.attack === attack && each.storage === storage && each.target === target);
    if (outcome === undefined) this.#results.splice(at, 1);
    else this.#results[at].outcome = outcome;
    this.done = Math.min(this.done, this.#results.length);
  }

  get #state() {
    if (this.#failed) return 'failed';
    if (!this.opened) return 'waiting';
    if (this.done === this.#results.length) return 'done';
    return !this.#restarted && needsRestart(this.#results[this.done].attack) ? 'needs_restart' : 'running';
  }

  toJSON() {
    const state = this.#state;
    const { storage, attack, target } = this.#results[this.done] ?? {};
    const now = ['running', 'failed'].includes(state) && attack ? { storage, attack, target } : null;
    return {
      id: this.id,
      state,
      why: this.why,
      start: this.start,
      browser: fixture.browser,
      started_at: '2026-01-02T03:04:05Z',
      progress: { done: this.done, total: this.#results.length, now },
      results: this.#results.slice(0, this.done),
    };
  }
}

/** An invented lab on a free port of the loopback. */
export class FakeLab {
  runs = new Map();
  /** While set, POST /lab/api/runs is refused with this sentence. */
  refusal;
  /** Every request as "METHOD path". */
  seen = [];
  #server;

  async listen(port = 0) {
    this.#server = http.createServer((request, response) => this.#answer(request, response));
    await new Promise((resolve, reject) => this.#server.once('error', reject).listen(port, '127.0.0.1', resolve));
    this.port = this.#server.address().port;
    this.origin = `http://localhost:${this.port}`;
    return this;
  }

  async close() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  begin(id, storages = catalogue.storages.map(({ name }) => name)) {
    const run = new Run(id, storages, this.origin);
    this.runs.set(id, run);
    return run;
  }

  async #answer(request, response) {
    const { pathname } = new URL(request.url, this.origin);
    this.seen.push(`${request.method} ${pathname}`);
    response.setHeader('content-security-policy', CSP);
    response.setHeader('x-content-type-options', 'nosniff');
    if (pathname.startsWith('/lab/api/')) return this.#api(request, response, pathname);
    if (pathname === '/fixture-tab') return send(response, 200, '<!doctype html><title>Fixture</title><p>Here the attacks would run.', TYPES['.html']);
    const file = pathname === '/' ? '/index.html' : pathname;
    if (!STATIC.test(file)) return send(response, 404, 'not found', 'text/plain');
    try {
      send(response, 200, readFileSync(fileURLToPath(new URL(`.${file}`, UI))), TYPES[extname(file)]);
    } catch {
      send(response, 404, 'not found', 'text/plain');
    }
  }

  async #api(request, response, pathname) {
    const json = (status, value, headers) => send(response, status, JSON.stringify(value), 'application/json', headers);
    if (pathname === '/lab/api/catalogue') return json(200, catalogue);
    if (pathname === '/lab/api/runs' && request.method === 'POST') {
      if (this.refusal) return json(409, { title: 'Refused', detail: this.refusal });
      const { storages } = JSON.parse(await bodyOf(request));
      const run = this.begin(`run-${this.runs.size + 1}`, storages);
      return json(200, { id: run.id, start: run.start });
    }
    const [, id, action] = /^\/lab\/api\/runs\/([^/]+)(?:\/(\w+))?$/.exec(pathname) ?? [];
    const run = this.runs.get(decodeURIComponent(id ?? ''));
    if (!run) return json(404, { title: 'There is no such run.' });
    if (action === 'restarted') {
      run.restart();
      return json(200, { start: `${run.start}&restarted` });
    }
    if (action === 'export') return json(200, { ...run.toJSON(), versions: {} }, { 'content-disposition': `attachment; filename="${run.id}.json"` });
    return json(200, run);
  }
}

function send(response, status, body, type, headers = {}) {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', ...headers });
  response.end(body);
}

async function bodyOf(request) {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  return body;
}

/** For the eye: one run in every state, and runs begun on the page get on by themselves. */
async function show(port) {
  const lab = await new FakeLab().listen(port);
  lab.begin('waiting');
  lab.begin('half').advance(150);
  lab.begin('restart').advance();
  const failed = lab.begin('failed');
  failed.advance(90);
  failed.fail('The tab was closed.');
  lab.begin('done').finish();
  const still = [...lab.runs.keys()];
  setInterval(() => {
    for (const run of lab.runs.values()) if (!still.includes(run.id)) run.advance(1);
  }, 60).unref();
  console.log(`An invented lab, to look at the page: ${lab.origin}/`);
  for (const id of still) console.log(`  ${lab.origin}/#run=${id}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await show(Number(process.argv[2] ?? 0));
