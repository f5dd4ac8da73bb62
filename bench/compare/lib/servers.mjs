// The servers of a comparison, each a process that `closeAll` of e2e/lib/closing.mjs ends.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../../../e2e/lib/network.mjs';
import { PASSWORD } from '../../../e2e/lib/names.mjs';
import { Child } from '../../../e2e/lib/process.mjs';
import { ROOT, Sessile } from '../../../e2e/lib/sessile.mjs';
import { toToml } from '../../../e2e/lib/toml.mjs';
import { CORES, pin } from './processes.mjs';

export const HERE = dirname(dirname(fileURLToPath(import.meta.url)));

/** Bytes of the bodies that go through, by name. */
export const SIZES = { '64 KiB': 64 * 1024, '10 MiB': 10 * 1024 * 1024 };

/** What small answers consist of. */
export const SMALL = '{"user":"ada"}';

/** A process on one processor, ready when `url` answers anything. */
export async function started(name, core, command, args, url, options = {}) {
  const child = new Child('taskset', ['-c', String(core), command, ...args], { input: '', ...options });
  child.name = name;
  await child.until(() => fetch(url, { redirect: 'manual' }).then(() => true, () => false), 20_000);
  return child;
}

// ---- nginx

const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

/** nginx with one worker, on the servers and upstreams of `http`. */
async function startNginx({ dir, core, http, url }) {
  const own = mkdtempSync(join(dir, 'nginx-'));
  const lines = [
    'daemon off;',
    'worker_processes 1;',
    ...(process.getuid() === 0 ? ['user root;'] : []),
    `pid ${own}/nginx.pid;`,
    'error_log stderr warn;',
    'events { worker_connections 4096; }',
    'http {',
    'access_log off;',
    'sendfile on;',
    'tcp_nopush on;',
    'keepalive_requests 1000000000;',
    'client_max_body_size 0;',
    ...TEMPORARY.map((kind) => `${kind}_temp_path ${own}/${kind};`),
    ...http,
    '}',
  ];
  const config = `${lines.join('\n')}\n`;
  writeFileSync(join(own, 'nginx.conf'), config);
  const program = '/usr/sbin/nginx';
  if (!existsSync(program)) throw new Error(`There is no ${program}. bench/run installs it.`);
  const child = await started('nginx', core, program, ['-p', own, '-e', 'stderr', '-c', join(own, 'nginx.conf')], url);
  return { child, config: config.replaceAll(own, '/run/nginx').replaceAll(dir, '/run') };
}

/**
 * What stands behind every proxy: nginx with a small answer and files, and a service that reads uploads to their end.
 * @returns {Promise<{url: string, sinkUrl: string, pid: number, files: Record<string, string>, config: string}>}
 */
export async function startUpstream(world) {
  const [port, sinkPort] = await freePorts(2);
  const root = join(world.dir, 'files');
  mkdirSync(root);
  const files = {};
  for (const [name, size] of Object.entries(SIZES)) {
    files[name] = join(root, String(size));
    writeFileSync(files[name], Buffer.alloc(size, 'sessile '));
  }
  const url = `http://127.0.0.1:${port}`;
  const http = [
    'server {',
    `listen 127.0.0.1:${port} backlog=4096;`,
    `location = /data { default_type application/json; return 200 '${SMALL}'; }`,
    `location /files/ { alias ${root}/; }`,
    '}',
  ];
  const { child, config } = await startNginx({ dir: world.dir, core: CORES.load, http, url });
  world.closers.push(() => child.stop());
  const sink = await startPeer(world, ['sink'], { port: sinkPort, core: CORES.load });
  return { url, sinkUrl: sink.url, pid: child.pid, files, config };
}

/** nginx as a proxy that checks nothing. With a certificate it speaks TLS and HTTP/2, as the gateway does. */
export async function startNginxProxy(world, { upstream, certificate }) {
  const [port] = await freePorts(1);
  const tls = certificate
    ? [
        `listen 127.0.0.1:${port} ssl http2 backlog=4096;`,
        `ssl_certificate ${certificate.cert};`,
        `ssl_certificate_key ${certificate.key};`,
        'ssl_protocols TLSv1.2 TLSv1.3;',
        `ssl_ciphers ${SUITES};`,
        'ssl_ecdh_curve X25519:P-256;',
        'ssl_session_cache shared:tls:10m;',
        'http2_max_concurrent_streams 128;',
      ]
    : [`listen 127.0.0.1:${port} backlog=4096;`];
  const pool = (name, url) => [`upstream ${name} { server ${url.replace('http://', '')}; keepalive 64; keepalive_requests 1000000000; }`];
  const proxied = (name) => [
    `proxy_pass http://${name};`,
    'proxy_http_version 1.1;',
    'proxy_set_header Connection "";',
    'proxy_set_header Host $http_host;',
    'proxy_request_buffering off;',
    'proxy_max_temp_file_size 0;',
    'proxy_buffers 8 64k;',
  ];
  const http = [
    ...pool('app', upstream.url),
    ...pool('sink', upstream.sinkUrl),
    'server {',
    ...tls,
    'location / {',
    ...proxied('app'),
    '}',
    'location = /upload {',
    ...proxied('sink'),
    '}',
    '}',
  ];
  const url = `http://127.0.0.1:${port}`;
  const { child, config } = await startNginx({ dir: world.dir, core: CORES.server, http, url });
  world.closers.push(() => child.stop());
  return { url, port, pid: child.pid, config };
}

/** Suites of TLS 1.2 that both servers have; those of 1.3 are the same by themselves. */
export const SUITES = 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305';

// ---- Sessile

/**
 * A gateway with one worker, and otherwise the defaults, except what `config` says. Without an upstream there is no app behind it.
 * @param {{upstream?: {url: string, sinkUrl: string}, config?: object, certificate?: object}} options
 */
export async function startGateway(world, { upstream, config = {}, certificate }) {
  const [listen, ops] = await freePorts(2);
  const own = mkdtempSync(join(world.dir, 'gateway-'));
  const origin = certificate ? `https://app.test:${listen}` : `http://127.0.0.1:${listen}`;
  const routes = [
    { prefix: '/', upstream: upstream?.url },
    { prefix: '/upload', upstream: upstream?.sinkUrl },
  ];
  const settings = {
    ...config,
    server: { workers: 1, ...config.server },
    ...(certificate ? { 'server.tls': { cert: certificate.cert, key: certificate.key } } : {}),
    ...(upstream ? { route: routes } : {}),
  };
  const text = toToml(settings);
  const file = join(own, 'sessile.toml');
  writeFileSync(file, text);
  const sessile = new Sessile({ data: join(own, 'data'), listen, ops, publicUrl: origin, config: file });
  await sessile.addUser('ada', PASSWORD.ada);
  await sessile.start();
  world.closers.push(() => sessile.stop());
  await pin(sessile.pid, CORES.server);
  return { url: origin, port: listen, ca: certificate?.certPem, pid: sessile.pid, config: text.replaceAll(world.dir, '/run') };
}

// ---- stores

/** One of e2e/lib/instruments.mjs, on the load's processor. */
export async function startStore(world, start) {
  const servers = await start();
  world.closers.push(() => servers.close());
  await pin(servers.pid, CORES.load);
  return servers;
}

// ---- services

/** SESSILE_BENCH_PEERS_BIN, or the release build. */
export function peersBinary() {
  if (process.env.SESSILE_BENCH_PEERS_BIN) return process.env.SESSILE_BENCH_PEERS_BIN;
  const path = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'bench/peers/target'), 'release/sessile-bench-peers');
  if (!existsSync(path)) throw new Error(`There is no ${path}. bench/run builds it.`);
  return path;
}

/** One of the services of bench/peers. */
export async function startPeer(world, args, { port, core = CORES.server } = {}) {
  const listen = port ?? (await freePorts(1))[0];
  const url = `http://127.0.0.1:${listen}`;
  const child = await started(args[0], core, peersBinary(), [...args, '--listen', `127.0.0.1:${listen}`], url);
  world.closers.push(() => child.stop());
  return { url, port: listen, pid: child.pid, config: `sessile-bench-peers ${args.join(' ').replaceAll(world.dir, '/run')}` };
}

/** A service in `peers/`, which is told its port and whatever `env` says. */
export async function startNode(world, file, { env, core = CORES.server }) {
  const [port] = await freePorts(1);
  const url = `http://127.0.0.1:${port}`;
  const script = join(HERE, 'peers', file);
  const child = await started(file, core, process.execPath, [script], url, { env: { NODE_ENV: 'production', PORT: String(port), ...env } });
  world.closers.push(() => child.stop());
  return { url, port, pid: child.pid, config: readFileSync(script, 'utf8') };
}
