// Several gateways on one store, each with a fault proxy of its own between itself and the store.
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from './client.mjs';
import { closeAll } from './closing.mjs';
import { startFaultProxy, startPostgres, startRedis, startRedisCluster, startSentinel } from './instruments.mjs';
import { PASSWORD } from './names.mjs';
import { freePorts } from './network.mjs';
import { startPgbouncer } from './pgbouncer.mjs';
import { eventually, sleep } from './process.mjs';
import { Sessile } from './sessile.mjs';
import { startEcho } from './sites.mjs';
import { toToml } from './toml.mjs';

/**
 * The stores that several nodes can share. `proxied`: a node may reach it through a proxy; the servers of a cluster, and the
 * master that Sentinels know, are dialled by the addresses those tell.
 */
const STORES = {
  postgres: { start: (settings) => startPostgres({ settings: { max_connections: 200, ...settings } }), proxied: true },
  pgbouncer: { start: startPooled, proxied: true },
  redis: { start: startRedis, proxied: true },
  sentinel: { start: startSentinel, proxied: false },
  'redis-cluster': { start: () => startRedisCluster(), proxied: false },
};

async function startPooled(settings) {
  const postgres = await STORES.postgres.start(settings);
  const pooler = await startPgbouncer(postgres.port()).catch(async (error) => {
    await postgres.close();
    throw error;
  });
  return {
    url: postgres.url,
    port: () => pooler.port,
    async close() {
      await pooler.close();
      await postgres.close();
    },
  };
}

const through = (url, port) => {
  const proxied = new URL(url);
  proxied.port = String(port);
  return proxied.href;
};

export const status = async (client) => (await client.get('/data')).status;

/**
 * Asks until `isRefused` holds of an answer: a request made later than `bound` ms after `since` must not be let through. Gives
 * when the first refused one was asked for, in ms after `since`.
 */
export async function untilRefused(client, since, bound, { isRefused = (answer) => answer === 401, every = 0 } = {}) {
  for (;;) {
    const after = performance.now() - since;
    if (isRefused(await status(client))) return after;
    assert.ok(after <= bound, `accepted ${Math.round(after)} ms after the acknowledgement`);
    if (every > 0) await sleep(every);
  }
}

/**
 * @param {object} options
 * @param {string} options.store one of STORES
 * @param {object} [options.settings] of its server
 * @param {number} [options.count] how many nodes
 * @param {object} [options.env] environment of every node, SESSILE_...
 * @param {(urls: {echo: string}) => object} [options.config] configuration file of every node
 * @param {string[]} [options.users] accounts to make
 */
export async function startNodes({ store, settings, count = 3, env = {}, config, users = ['ada'] }) {
  const closers = [];
  const dir = mkdtempSync(join(tmpdir(), 'sessile-nodes-'));
  const world = { dir, close: () => closeAll(closers, dir) };
  try {
    const kind = STORES[store];
    world.store = await kind.start(settings);
    closers.push(() => world.store.close());
    world.echo = await startEcho();
    closers.push(world.echo.close);
    const ports = await freePorts(count * 2 + 1);
    world.origin = `http://localhost:${ports.at(-1)}`;
    let configFile;
    if (config) {
      configFile = join(dir, 'sessile.toml');
      writeFileSync(configFile, toToml(config({ echo: world.echo.url })));
    }

    world.proxies = [];
    if (kind.proxied) {
      for (let i = 0; i < count; i += 1) {
        const proxy = await startFaultProxy(world.store.port());
        closers.push(() => proxy.close());
        world.proxies.push(proxy);
      }
    }
    const node = (i) =>
      new Sessile({
        data: join(dir, `node-${i}`),
        listen: ports[2 * i],
        ops: ports[2 * i + 1],
        publicUrl: world.origin,
        upstream: config ? undefined : world.echo.url,
        config: configFile,
        env: {
          SESSILE_STORE_URL: kind.proxied ? through(world.store.url, world.proxies[i].port) : world.store.url,
          // The first node makes the key; the others are given it, as an operator would.
          ...(i > 0 ? { SESSILE_KEYS_MASTER_KEY_FILE: join(dir, 'node-0', 'master.key') } : {}),
          ...env,
        },
      });
    world.nodes = Array.from({ length: count }, (_, i) => node(i));
    for (const name of users) await world.nodes[0].addUser(name, PASSWORD[name]);
    for (const each of world.nodes) {
      closers.push(() => each.stop());
      await each.start();
    }

    let turn = 0;
    /** A client of one node; of each in turn, if none is named. */
    world.client = (at = (turn += 1) % count) => new Client({ origin: world.origin, port: ports[2 * at] });
    world.signedIn = async (at, name = 'ada') => {
      const client = world.client(at);
      client.session = await client.signIn(name, PASSWORD[name]);
      return client;
    };
    /** The same browser, its next request led to another node. */
    world.at = (client, at) => {
      const other = world.client(at).holding(Object.fromEntries(client.cookies), client.bearer);
      other.session = client.session;
      return other;
    };
    world.allReady = (ms = 30_000) => Promise.all(world.nodes.map((each, i) => eventually(() => each.isReady(), { ms, what: `readiness of node ${i}` })));
    /** The sum of a metric over all nodes. */
    world.metric = async (name) => (await Promise.all(world.nodes.map((each) => each.metric(name)))).reduce((sum, value) => sum + value, 0);
    return world;
  } catch (error) {
    const said = world.nodes?.map((each) => each.output.slice(-2000)).join('\n---\n');
    await world.close().catch(() => {});
    if (said) error.message += `\n--- the nodes said:\n${said}`;
    throw error;
  }
}
