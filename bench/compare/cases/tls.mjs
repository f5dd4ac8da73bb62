// TLS: handshakes, and many streams of HTTP/2. The certificate, its key and the suites are the same.
import { makeCertificate } from '../../../e2e/lib/network.mjs';
import { handshakes } from '../lib/handshakes.mjs';
import { startGateway, startNginxProxy, startUpstream } from '../lib/servers.mjs';
import { SIGN_IN, subject } from '../lib/subjects.mjs';

const GATEWAY = 'Sessile, `hybrid`';
const NGINX = 'nginx';

const startBoth = async (world) => {
  const certificate = await makeCertificate(world.dir);
  const upstream = await startUpstream(world);
  const gateway = await startGateway(world, { upstream, certificate });
  // Under the gateway's name, which the certificate has.
  const nginx = await startNginxProxy(world, { upstream, certificate });
  const both = [[GATEWAY, gateway], [NGINX, { ...nginx, url: `https://app.test:${nginx.port}`, ca: certificate.certPem }]];
  return { gateway, both, configs: { upstream: upstream.config, [GATEWAY]: gateway.config, [NGINX]: nginx.config } };
};

// The client's half of a handshake costs more than the server's, so a rate would say how fast the client is.
const handshakeCase = (name, title, kind) => ({
  name,
  title,
  unit: 'handshake',
  half: false,
  targets: [{ subject: GATEWAY, peer: NGINX, figure: 'cpu', at_least: 0.8 }],
  full: handshakes,
  connections: 8,
  start: async (world) => {
    const { both, configs } = await startBoth(world);
    const subjects = both.map(([name, server]) => ({ name, pid: server.pid, prepare: async () => ({ port: server.port, ...kind }), check: async () => {} }));
    return { configs, subjects };
  },
});

export const tls = [
  handshakeCase('tls_full', 'TLS 1.3: full handshakes', { resumed: false, version: '1.3' }),
  handshakeCase('tls_resumed', 'TLS 1.3: resumed handshakes', { resumed: true, version: '1.3' }),
  handshakeCase('tls12_resumed', 'TLS 1.2: resumed handshakes', { resumed: true, version: '1.2' }),
  {
    name: 'h2',
    title: 'HTTP/2 over TLS, many streams',
    half: false,
    connections: 4,
    streams: 100,
    targets: [{ subject: GATEWAY, peer: NGINX, figure: 'throughput', at_least: 0.8 }],
    start: async (world) => {
      const { gateway, both, configs } = await startBoth(world);
      const cookie = () => SIGN_IN.sessile(gateway);
      return { configs, subjects: both.map(([name, server]) => subject(name, server, { cookie, open: server !== gateway, h2: true })) };
    },
  },
];
