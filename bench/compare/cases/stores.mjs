// The gateway beside itself: where the session is kept.
import { startPostgres, startRedis } from '../../../e2e/lib/instruments.mjs';
import { startGateway, startStore, startUpstream } from '../lib/servers.mjs';
import { SIGN_IN, subject } from '../lib/subjects.mjs';

const HYBRID = 'Sessile, `hybrid`, SQLite';
const REDIS = 'Sessile, `server-session`, Redis';
const POSTGRES = 'Sessile, `server-session`, PostgreSQL';

export const stores = {
  name: 'stores',
  title: 'Sessions that live in a store, warm',
  half: true,
  targets: [
    { subject: REDIS, peer: HYBRID, figure: 'throughput', at_least: 0.9 },
    { subject: POSTGRES, peer: HYBRID, figure: 'throughput', at_least: 0.9 },
  ],
  start: async (world) => {
    const upstream = await startUpstream(world);
    const redis = await startStore(world, startRedis);
    const postgres = await startStore(world, startPostgres);
    const kept = (store) => ({ upstream, config: { session: { storage: 'server-session' }, store: { url: store.url } } });
    const servers = [
      [HYBRID, await startGateway(world, { upstream })],
      [REDIS, await startGateway(world, kept(redis))],
      [POSTGRES, await startGateway(world, kept(postgres))],
    ];
    return {
      configs: { upstream: upstream.config, ...Object.fromEntries(servers.map(([name, { config }]) => [name, config])) },
      subjects: servers.map(([name, server]) => subject(name, server, { cookie: SIGN_IN.sessile })),
    };
  },
};
