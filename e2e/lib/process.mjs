// Child processes that never outlive the tests: each is stopped by its own id, on every way out.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const running = new Set();

process.on('exit', () => {
  for (const child of running) killGroup(child);
});
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]]) {
  process.once(signal, () => process.exit(code));
}

// Each child leads a group of its own, so that what a script started goes with the script.
function killGroup(child) {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

export class Child {
  /** Everything the process wrote, both streams in the order of arrival. */
  output = '';
  exit;
  #process;
  #exited;

  constructor(command, args = [], { env = {}, cwd, input } = {}) {
    this.name = `${command.split('/').at(-1)} ${args[0] ?? ''}`.trim();
    this.#process = spawn(command, args, {
      cwd,
      env: { ...baseEnvironment(), ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    if (this.#process.pid) running.add(this.#process);
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => (this.output += text));
    }
    this.stdout = '';
    this.#process.stdout.on('data', (text) => (this.stdout += text));
    this.#process.stdin.on('error', () => {});
    if (input !== undefined) this.#process.stdin.end(input);
    this.#exited = new Promise((resolve) => {
      const finish = (exit) => {
        running.delete(this.#process);
        this.exit ??= exit;
        resolve(this.exit);
      };
      this.#process.once('error', (error) => finish({ code: undefined, signal: undefined, error }));
      this.#process.once('close', (code, signal) => finish({ code, signal }));
    });
  }

  get pid() {
    return this.#process.pid;
  }

  get stdin() {
    return this.#process.stdin;
  }

  onStdout(listener) {
    this.#process.stdout.on('data', listener);
  }

  exited() {
    return this.#exited;
  }

  kill(signal = 'SIGKILL') {
    return this.#process.kill(signal);
  }

  /** Waits until `condition` holds; fails at once when the process ends, and after `ms` in any case. */
  async until(condition, ms = 15_000, what = 'becoming ready') {
    for (const end = Date.now() + ms; ; ) {
      if (await condition(this)) return;
      if (this.exit) throw new Error(`${this.name} ended while ${what} (${JSON.stringify(this.exit)}):\n${this.tail()}`);
      if (Date.now() > end) throw new Error(`${this.name} was not done ${what} after ${ms} ms:\n${this.tail()}`);
      await sleep(25);
    }
  }

  /** SIGTERM, and SIGKILL when that is not answered in time. */
  async stop(ms = 10_000) {
    if (this.exit) return this.exit;
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => killGroup(this.#process), ms);
    const exit = await this.#exited;
    clearTimeout(timer);
    return exit;
  }

  tail(characters = 4000) {
    return this.output.slice(-characters);
  }
}

/** Runs a command to its end. Resolves whatever its status; the caller looks at `code`. */
export async function run(command, args, { ms = 60_000, ...options } = {}) {
  const child = new Child(command, args, { input: '', ...options });
  const timer = setTimeout(() => child.kill(), ms);
  const exit = await child.exited();
  clearTimeout(timer);
  return { code: exit.code, stdout: child.stdout, output: child.output, error: exit.error };
}

/** As `run`, but anything except success is an error that shows what was said. */
export async function runOk(command, args, options) {
  const result = await run(command, args, options);
  if (result.code !== 0) {
    throw new Error(`${command} ${args.join(' ')} ended with ${result.code ?? result.error}:\n${result.output}`);
  }
  return result;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `condition` gives something truthy, and returns it. */
export async function eventually(condition, { ms = 5000, every = 25, what = 'the condition' } = {}) {
  for (const end = Date.now() + ms; ; ) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what} did not come true within ${ms} ms`);
    await sleep(every);
  }
}

// A SESSILE_ variable of the caller's shell must not change what is tested.
function baseEnvironment() {
  const kept = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (!name.startsWith('SESSILE_') && !name.startsWith('NODE_TEST_')) kept[name] = value;
  }
  return kept;
}

export async function listen(server, port = 0) {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}
