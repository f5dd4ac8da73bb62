// Without a proxy: forward-auth, and the library beside the same app without it and beside other session libraries.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startRedis } from '../../../e2e/lib/instruments.mjs';
import { PASSWORD } from '../../../e2e/lib/names.mjs';
import { startGateway, startNode, startPeer, startStore } from '../lib/servers.mjs';
import { SIGN_IN, isOk, subject } from '../lib/subjects.mjs';

const VERIFY = 'Sessile, `GET /auth/verify`';
const AXUM = 'bare axum, a constant';
const HYPER = 'bare hyper, a constant';

export const forwardAuth = {
  name: 'forward_auth',
  title: 'Forward-auth',
  half: true,
  profiled: [VERIFY, AXUM],
  targets: [{ subject: VERIFY, peer: AXUM, figure: 'throughput', at_least: 0.9 }],
  start: async (world) => {
    const gateway = await startGateway(world, { config: { server: { forward_auth: true, trusted_proxies: ['127.0.0.1'] } } });
    const axum = await startPeer(world, ['axum']);
    const hyper = await startPeer(world, ['hyper']);
    // As a proxy asks, about a request of a page.
    const how = {
      cookie: () => SIGN_IN.sessile(gateway),
      path: '/auth/verify',
      headers: [['x-forwarded-method', 'GET'], ['x-forwarded-uri', '/data'], ['x-forwarded-for', '192.0.2.7'], ['x-forwarded-proto', 'http']],
      right: isOk,
    };
    return {
      configs: { [VERIFY]: gateway.config, [AXUM]: axum.config, [HYPER]: hyper.config },
      subjects: [subject(VERIFY, gateway, how), subject(AXUM, axum, { ...how, open: true }), subject(HYPER, hyper, { ...how, open: true })],
    };
  },
};

const LAYER = 'axum app with the layer, `hybrid`';
const BARE = 'the same app without it';

export const layer = {
  name: 'layer',
  title: 'The library in an axum app',
  half: true,
  profiled: [LAYER, BARE],
  targets: [{ subject: LAYER, peer: BARE, figure: 'throughput', at_least: 0.9 }],
  start: async (world) => {
    const guarded = await startApp(world, 'hybrid', 'memory:');
    const bare = await startPeer(world, ['app', '--guard', 'none']);
    const cookie = () => SIGN_IN.sessile(guarded);
    return {
      configs: { [LAYER]: guarded.config, [BARE]: bare.config },
      subjects: [subject(LAYER, guarded, { cookie }), subject(BARE, bare, { cookie, open: true })],
    };
  },
};

const IN_REDIS = 'axum app with the layer, `hybrid`, Redis';
const TOWER_REDIS = 'tower-sessions, Redis';
const TOWER_MEMORY = 'tower-sessions, memory';

export const libraryRedis = {
  name: 'library_redis',
  title: 'The library beside tower-sessions',
  half: true,
  targets: [{ subject: IN_REDIS, peer: TOWER_REDIS, figure: 'throughput', at_least: 2.5 }],
  start: async (world) => {
    const redis = await startStore(world, startRedis);
    const ours = await startApp(world, 'hybrid', redis.url);
    const stored = await startPeer(world, ['tower-sessions', '--store', redis.url]);
    const held = await startPeer(world, ['tower-sessions', '--store', 'memory:']);
    return {
      configs: { [IN_REDIS]: ours.config, [TOWER_REDIS]: stored.config, [TOWER_MEMORY]: held.config },
      subjects: [
        subject(IN_REDIS, ours, { cookie: SIGN_IN.sessile }),
        subject(TOWER_REDIS, stored, { cookie: SIGN_IN.form }),
        subject(TOWER_MEMORY, held, { cookie: SIGN_IN.form }),
      ],
    };
  },
};

const IN_SQLITE = 'axum app with the layer, `database`, SQLite';
const EXPRESS = 'express-session, Redis';

export const librarySqlite = {
  name: 'library_sqlite',
  title: 'The library beside express-session',
  half: true,
  targets: [{ subject: IN_SQLITE, peer: EXPRESS, figure: 'throughput', at_least: 5 }],
  start: async (world) => {
    const redis = await startStore(world, startRedis);
    const directory = join(world.dir, 'library');
    mkdirSync(directory);
    const ours = await startApp(world, 'database', `sqlite:${directory}`);
    const express = await startNode(world, 'express.mjs', { env: { REDIS: redis.url } });
    return {
      configs: { [IN_SQLITE]: ours.config, [EXPRESS]: express.config },
      subjects: [subject(IN_SQLITE, ours, { cookie: SIGN_IN.sessile }), subject(EXPRESS, express, { cookie: SIGN_IN.form })],
    };
  },
};

function startApp(world, guard, store) {
  const password = join(world.dir, 'password');
  writeFileSync(password, PASSWORD.ada, { mode: 0o600 });
  return startPeer(world, ['app', '--guard', guard, '--store', store, '--password-file', password]);
}
