// The gateway beside proxies: small answers, signed in otherwise, and bodies.
import { readFileSync } from 'node:fs';
import { startRedis } from '../../../e2e/lib/instruments.mjs';
import { callbacks, newClient, signInByOpenId, startApache } from '../lib/apache.mjs';
import { CORES } from '../lib/processes.mjs';
import { SIZES, startGateway, startNginxProxy, startNode, startStore, startUpstream } from '../lib/servers.mjs';
import { SIGN_IN, hasLength, hasReceived, subject } from '../lib/subjects.mjs';

const GATEWAY = 'Sessile, `hybrid`';
const NGINX = 'nginx `proxy_pass`, no checks';

export const small = {
  name: 'small',
  title: 'Small answers through a proxy',
  half: true,
  targets: [
    { subject: GATEWAY, peer: NGINX, figure: 'throughput', at_least: 1 },
    { subject: GATEWAY, peer: NGINX, figure: 'p99', at_most: 1.2 },
  ],
  ceiling: 'the upstream itself',
  profiled: [GATEWAY, NGINX],
  start: async (world) => {
    const { upstream, gateway, nginx, configs } = await gatewayAndNginx(world);
    const cookie = () => SIGN_IN.sessile(gateway);
    return {
      configs,
      subjects: [
        subject(GATEWAY, gateway, { cookie }),
        subject(NGINX, nginx, { cookie, open: true }),
        subject(small.ceiling, upstream, { cookie, open: true }),
      ],
    };
  },
};

const SHM = 'Apache + mod_auth_openidc, shared memory';
const REDIS = 'Apache + mod_auth_openidc, Redis';

export const oidc = {
  name: 'oidc',
  title: 'Small answers through a proxy that keeps sessions',
  half: true,
  targets: [
    { subject: GATEWAY, peer: SHM, figure: 'throughput', at_least: 4 },
    { subject: GATEWAY, peer: REDIS, figure: 'throughput', at_least: 10 },
  ],
  start: async (world) => {
    const upstream = await startUpstream(world);
    const gateway = await startGateway(world, { upstream });
    const redis = await startStore(world, startRedis);
    const client = await newClient(2);
    const provider = await startNode(world, 'provider.mjs', { core: CORES.load, env: { CLIENT_SECRET: client.secret, REDIRECT_URIS: callbacks(client) } });
    const [shmPort, redisPort] = client.ports;
    const shm = await startApache(world, { port: shmPort, upstream, provider, client });
    const withRedis = await startApache(world, { port: redisPort, upstream, provider, client, redis: redis.url });
    const cookie = ({ url }) => signInByOpenId(url);
    return {
      configs: { upstream: upstream.config, [GATEWAY]: gateway.config, [SHM]: shm.config, [REDIS]: withRedis.config, 'OpenID provider': provider.config },
      subjects: [
        subject(GATEWAY, gateway, { cookie: SIGN_IN.sessile }),
        subject(SHM, shm, { cookie }),
        subject(REDIS, withRedis, { cookie }),
      ],
    };
  },
};

/** Answers and uploads of one size. */
function body(name, title, connections, options) {
  return {
    name,
    title,
    half: false,
    targets: [{ subject: GATEWAY, peer: NGINX, figure: 'throughput', at_least: 0.9 }],
    connections,
    seconds: 3,
    start: async (world) => {
      const { upstream, gateway, nginx, configs } = await gatewayAndNginx(world);
      const how = { cookie: () => SIGN_IN.sessile(gateway), ...options(upstream) };
      return { configs, subjects: [subject(GATEWAY, gateway, how), subject(NGINX, nginx, { ...how, open: true })] };
    },
  };
}

export const bodies = Object.entries(SIZES).flatMap(([size, bytes]) => {
  const word = size.replace(' ', '').toLowerCase();
  const connections = bytes > 1e6 ? 8 : 32;
  return [
    body(`download-${word}`, `Answers of ${size}`, connections, () => ({ path: `/files/${bytes}`, right: hasLength(bytes) })),
    body(`upload-${word}`, `Uploads of ${size}`, connections, ({ files }) => ({
      path: '/upload',
      body: { file: files[size], content: readFileSync(files[size]) },
      right: hasReceived(bytes),
    })),
  ];
});

async function gatewayAndNginx(world) {
  const upstream = await startUpstream(world);
  const gateway = await startGateway(world, { upstream });
  const nginx = await startNginxProxy(world, { upstream });
  return { upstream, gateway, nginx, configs: { upstream: upstream.config, [GATEWAY]: gateway.config, [NGINX]: nginx.config } };
}
