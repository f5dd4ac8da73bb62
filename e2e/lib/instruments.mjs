// Real servers and a proxy that does wrong, from the binary `sessile-instruments`: one process for each.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Child } from './process.mjs';
import { ROOT } from './sessile.mjs';

/** A busy machine is no fault of a server. */
const PATIENCE = 120_000;

/** SESSILE_INSTRUMENTS_BIN, or the newer of the debug and the release build. */
export function instrumentsBinary(profiles = ['debug', 'release']) {
  if (process.env.SESSILE_INSTRUMENTS_BIN) return process.env.SESSILE_INSTRUMENTS_BIN;
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target');
  const built = profiles
    .map((profile) => join(target, profile, 'sessile-instruments'))
    .filter((path) => existsSync(path))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  if (built.length === 0) throw new Error('There is no sessile-instruments binary. Build it with `cargo build -p sessile-instruments`, or name one in SESSILE_INSTRUMENTS_BIN.');
  return built[0];
}

/** One process of instruments. Its orders are answered in their turn. */
class Instrument {
  #child;
  #answered = 0;
  #last = Promise.resolve();

  /** What its first line said. */
  ready;

  async start(args) {
    this.#child = new Child(instrumentsBinary(), args);
    this.ready = await this.#nextLine('starting');
    return this;
  }

  /** Sends one order and gives its answer. An answer that is an error is thrown. */
  order(order) {
    const answer = this.#last.then(async () => {
      this.#child.stdin.write(`${JSON.stringify(order)}\n`);
      return this.#nextLine(JSON.stringify(order));
    });
    this.#last = answer.catch(() => {});
    return answer;
  }

  /** Ends it, and everything it started. */
  async close() {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill(), PATIENCE);
    await this.#child.exited();
    clearTimeout(timer);
  }

  get pid() {
    return this.#child.pid;
  }

  async #nextLine(what) {
    const lines = () => this.#child.stdout.split('\n');
    await this.#child.until(() => lines().length > this.#answered + 1, PATIENCE, what);
    const line = JSON.parse(lines()[this.#answered++]);
    if (line.error) throw new Error(`${what}: ${line.error}`);
    return line;
  }
}

/**
 * Servers of one kind. `url` is what Sessile is configured with; `servers` are the ports, process numbers, URLs and directories
 * by name. Where there is one server, it need not be named.
 */
export class Servers extends Instrument {
  get url() {
    return this.ready.url;
  }

  get servers() {
    return this.ready.servers;
  }

  /** The port of the one server, or of the one named. */
  port(server = Object.keys(this.servers)[0]) {
    return this.servers[server].port;
  }

  /** At once, with every process of it. */
  kill(server) {
    return this.order({ do: 'kill', server });
  }

  /** On what it left. */
  restart(server) {
    return this.order({ do: 'restart', server });
  }

  /** Stops it where it is: connections stay, and nothing answers. */
  freeze(server) {
    return this.order({ do: 'stop', server });
  }

  thaw(server) {
    return this.order({ do: 'continue', server });
  }

  /** A command to Redis, and its answer. */
  async ask(command, server) {
    return (await this.order({ ask: command.map(String), server })).answer;
  }

  /** Statements to PostgreSQL, and the rows of their answers as texts. */
  async sql(sql, server) {
    return (await this.order({ sql, server })).rows;
  }
}

const settingArgs = (settings) => Object.entries(settings).flatMap(([name, value]) => ['--setting', `${name}=${value}`]);

/** One Redis, which syncs each write unless `settings` say otherwise. */
export const startRedis = (settings = {}) => new Servers().start(['redis', ...settingArgs(settings)]);

/** `master`, `replica` and `sentinel`. */
export const startSentinel = (settings = {}) => new Servers().start(['sentinel', ...settingArgs(settings)]);

/** `master-0` to `master-2`, and with `replicas` `replica-0` to `replica-2`. */
export const startRedisCluster = ({ replicas = false } = {}) => new Servers().start(['redis-cluster', ...(replicas ? ['--replicas'] : [])]);

/** `postgres`, and with `standby` a `standby` that follows it. */
export const startPostgres = ({ settings = {}, standby = false } = {}) =>
  new Servers().start(['postgres', ...settingArgs(settings), ...(standby ? ['--standby'] : [])]);

/** A TCP proxy. The documentation of `fault_proxy` in the crate lists the behaviours. */
export class FaultProxy extends Instrument {
  get port() {
    return this.ready.port;
  }

  get address() {
    return this.ready.listen;
  }

  /** Where it takes orders as well, if it was started with `control`. */
  get control() {
    return this.ready.control;
  }

  /** Behaves like this from now on: when this resolves, it does. */
  set(behaviour) {
    return this.order({ set: behaviour });
  }

  /** One behaviour after the other. */
  script(steps) {
    return this.order({ script: steps });
  }

  pass() {
    return this.set('pass');
  }

  async counters() {
    return (await this.order({ counters: true })).counters;
  }
}

/**
 * @param {number} port Where it leads to, on the loopback.
 * @param {{listen?: number, control?: boolean, script?: string}} options `script` is a file.
 */
export function startFaultProxy(port, { listen, control = false, script } = {}) {
  const args = ['fault-proxy', '--to', `127.0.0.1:${port}`];
  if (listen) args.push('--listen', `127.0.0.1:${listen}`);
  if (control) args.push('--control', '127.0.0.1:0');
  if (script) args.push('--script', script);
  return new FaultProxy().start(args);
}
