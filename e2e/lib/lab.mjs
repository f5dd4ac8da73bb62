// `sessile lab` as somebody runs it, and its API as its page uses it.
import { writeFileSync } from 'node:fs';
import { freePorts } from './network.mjs';
import { Child, eventually } from './process.mjs';
import { requireBinary } from './sessile.mjs';

export class Lab {
  #child;

  static async start() {
    const lab = new Lab();
    const [port] = await freePorts(1);
    lab.url = `http://localhost:${port}`;
    lab.#child = new Child(requireBinary(), ['lab', '--listen', `127.0.0.1:${port}`], { input: '' });
    await lab.#child.until(() => lab.#child.output.includes('Open http'), 60_000, 'starting its gateways');
    return lab;
  }

  get output() {
    return this.#child.output;
  }

  stop() {
    return this.#child.stop();
  }

  async #ask(path, options) {
    const response = await fetch(`${this.url}${path}`, options);
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    return response.json();
  }

  catalogue() {
    return this.#ask('/lab/api/catalogue');
  }

  /** Begins a run: its id, and the address a tab must be brought to. */
  begin(storages) {
    return this.#ask('/lab/api/runs', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ storages }) });
  }

  run(id) {
    return this.#ask(`/lab/api/runs/${id}`);
  }

  /** Goes on after the browser was closed: the address its new tab must be brought to. */
  restarted(id) {
    return this.#ask(`/lab/api/runs/${id}/restarted`, { method: 'POST' });
  }

  /**
   * One run in one browser, restarts included.
   * @param {(address: string) => Promise<{close: () => Promise<unknown>}>} open opens that browser, with its profile, at an address
   */
  async attack(storages, open, { ms }) {
    const { id, start } = await this.begin(storages);
    const settled = (run) => run.state === 'done' || run.state === 'failed';
    const end = Date.now() + ms;
    let browser = await open(start);
    try {
      for (;;) {
        const run = await eventually(
          async () => {
            const now = await this.run(id);
            return (settled(now) || now.state === 'needs_restart') && now;
          },
          { ms: Math.max(0, end - Date.now()), every: 500, what: `the end of run ${id}` },
        );
        if (settled(run)) return run;
        await browser.close();
        const next = await this.restarted(id);
        browser = await open(next.start);
        await eventually(async () => (await this.run(id)).state !== 'needs_restart', { ms: 30_000, every: 200, what: 'the run going on' });
      }
    } finally {
      await browser.close();
    }
  }

  /** Writes a run down for `ci/measured.mjs`. */
  async save(run, file) {
    writeFileSync(file, JSON.stringify({ run, catalogue: await this.catalogue() }));
  }
}
