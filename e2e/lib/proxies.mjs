// Other people's proxies, run with the configurations of docs/forward-auth.md.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { Client } from './client.mjs';
import { closeAll } from './closing.mjs';
import { PASSWORD } from './names.mjs';
import { freePorts, makeCertificate } from './network.mjs';
import { Child } from './process.mjs';
import { ROOT, Sessile } from './sessile.mjs';
import { startEcho } from './sites.mjs';

export const PAGE = join(ROOT, 'docs/forward-auth.md');

/** The configurations of the page by their info string, each of which stands there once. */
export function documented(page = readFileSync(PAGE, 'utf8')) {
  const blocks = new Map();
  for (const [, info, text] of page.matchAll(/^```([^\n]+)\n(.*?)^```$/gms)) {
    if (blocks.has(info)) throw new Error(`${PAGE} has two blocks "${info}"`);
    blocks.set(info, text);
  }
  return blocks;
}

/** Replaces each text by another. One that is not there is an error: the page has changed, and the test with it. */
export function substitute(text, replacements) {
  let result = text;
  for (const [from, to] of replacements) {
    if (!result.includes(from)) throw new Error(`The configuration does not contain ${JSON.stringify(from)}:\n${text}`);
    result = result.replaceAll(from, to);
  }
  return result;
}

const isRoot = process.getuid() === 0;

/** How each proxy is run: which blocks it takes, what surrounds the proxy's own, and the command. */
const PROXIES = {
  nginx: {
    package: 'nginx',
    paths: ['/usr/sbin/nginx', '/usr/bin/nginx'],
    gateway: 'toml forward-auth',
    localise: (text, { port, certificate }) =>
      substitute(text, [
        ['listen 443 ssl', `listen 127.0.0.1:${port} ssl`],
        ['/etc/ssl/app.example.pem', certificate.cert],
        ['/etc/ssl/app.example.key', certificate.key],
        ['app.example', 'app.test'],
      ]),
    files: (site, { dir }) => {
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${dir}/nginx-${kind};`);
      return {
        'site.conf': site,
        'nginx.conf': `daemon off;\nmaster_process off;\npid ${dir}/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${temporary.join('\n')}\ninclude ${dir}/site.conf;\n}\n`,
      };
    },
    args: (dir) => ['-p', dir, '-e', 'stderr', '-c', join(dir, 'nginx.conf')],
  },
  caddy: {
    package: 'caddy',
    paths: ['/usr/bin/caddy'],
    gateway: 'toml forward-auth',
    block: 'caddyfile',
    localise: (text, { port, certificate }) =>
      substitute(text, [['app.example {', `https://app.test:${port} {\n\tbind 127.0.0.1\n\ttls ${certificate.cert} ${certificate.key}`]]),
    files: (site) => ({ Caddyfile: `{\n\tadmin off\n\tauto_https disable_redirects\n}\n${site}` }),
    args: (dir) => ['run', '--config', join(dir, 'Caddyfile'), '--adapter', 'caddyfile'],
  },
  apache: {
    package: 'apache2-bin',
    paths: ['/usr/sbin/apache2', '/usr/sbin/httpd'],
    gateway: 'toml in-front',
    localise: (text, { port, certificate }) =>
      substitute(text, [
        ['*:443', `127.0.0.1:${port}`],
        ['/etc/ssl/app.example.pem', certificate.cert],
        ['/etc/ssl/app.example.key', certificate.key],
        ['app.example', 'app.test'],
      ]),
    files: (site, { dir, port }) => {
      const modules = ['mpm_event', 'authz_core', 'ssl', 'headers', 'proxy', 'proxy_http'];
      const lines = [
        ...modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`),
        ...(isRoot ? ['User nobody', 'Group nogroup'] : []),
        `DefaultRuntimeDir ${dir}`,
        `PidFile ${dir}/apache.pid`,
        `ErrorLog ${dir}/error.log`,
        'ServerName app.test',
        `Listen 127.0.0.1:${port}`,
        `Include ${dir}/site.conf`,
      ];
      return { 'site.conf': site, 'apache.conf': `${lines.join('\n')}\n` };
    },
    args: (dir) => ['-DFOREGROUND', '-d', dir, '-f', join(dir, 'apache.conf')],
  },
  haproxy: {
    package: 'haproxy',
    paths: ['/usr/sbin/haproxy'],
    gateway: 'toml in-front',
    localise: (text, { port, both }) =>
      substitute(text, [
        ['bind :443', `bind 127.0.0.1:${port}`],
        ['/etc/ssl/app.example.both.pem', both],
      ]),
    files: (site) => ({ 'haproxy.cfg': site }),
    args: (dir) => ['-db', '-f', join(dir, 'haproxy.cfg')],
  },
};

function program({ package: name, paths }) {
  const path = paths.find((each) => existsSync(each));
  if (!path) throw new Error(`There is no ${paths[0]} (package ${name}). Run scripts/setup-tests.`);
  return path;
}

/**
 * A proxy before a gateway before an app that echoes, all gone after `close`.
 * @param {'nginx' | 'caddy' | 'apache' | 'haproxy'} kind
 * @param {object} [options]
 * @param {[string, string][]} [options.weaken] changes to the documented proxy configuration, for negative controls
 * @param {[string, string][]} [options.weakenGateway] the same for the gateway's
 * @param {object} [options.env] environment of the gateway, SESSILE_...
 * @param {number} [options.standIn] port of something that answers in the gateway's place
 */
export async function startBehind(kind, { weaken = [], weakenGateway = [], env = {}, standIn } = {}) {
  const how = PROXIES[kind];
  const closers = [];
  const dir = mkdtempSync(join(tmpdir(), 'sessile-e2e-'));
  const world = {
    kind,
    close: () => closeAll(closers, dir),
  };
  try {
    const [port, ownPort, opsPort] = await freePorts(3);
    const gatewayPort = standIn ?? ownPort;
    const certificate = await makeCertificate(dir);
    const both = join(dir, 'both.pem');
    writeFileSync(both, Buffer.concat([certificate.certPem, certificate.keyPem]), { mode: 0o600 });
    mkdirSync(join(dir, 'empty'));
    Object.assign(world, { port, gatewayPort, certificate, origin: `https://app.test:${port}` });

    world.echo = await startEcho();
    closers.push(world.echo.close);
    const appAddress = world.echo.url.replace('http://', '');

    const blocks = documented();
    if (standIn === undefined) {
      const local = [
        ['127.0.0.1:8080', `127.0.0.1:${gatewayPort}`],
        ['https://app.example', world.origin],
        how.gateway === 'toml forward-auth' ? ['/var/lib/sessile/empty', join(dir, 'empty')] : ['127.0.0.1:3000', appAddress],
      ];
      const config = join(dir, 'sessile.toml');
      writeFileSync(config, substitute(blocks.get(how.gateway), [...local, ...weakenGateway]));
      world.sessile = new Sessile({ data: join(dir, 'data'), listen: gatewayPort, ops: opsPort, publicUrl: world.origin, config, env });
      for (const name of ['ada', 'grace']) await world.sessile.addUser(name, PASSWORD[name]);
      closers.push(() => world.sessile.stop());
      await world.sessile.start();
    }

    const site = how.localise(blocks.get(how.block ?? kind), { port, certificate, both });
    const behind = kind === 'nginx' || kind === 'caddy' ? [['127.0.0.1:3000', appAddress]] : [];
    const text = substitute(site, [['127.0.0.1:8080', `127.0.0.1:${gatewayPort}`], ...behind, ...weaken]);
    for (const [name, content] of Object.entries(how.files(text, { dir, port }))) writeFileSync(join(dir, name), content);
    world.proxy = new Child(program(how), how.args(dir), { cwd: dir, input: '', env: { HOME: dir, XDG_CONFIG_HOME: dir, XDG_DATA_HOME: dir } });
    closers.push(() => world.proxy.stop());
    await world.proxy.until(() => answersTls(port));

    /** A client that talks to the proxy. */
    world.client = () => new Client({ origin: world.origin, port, ca: certificate.certPem });
    world.signedIn = async (name = 'ada') => {
      const client = world.client();
      client.session = await client.signIn(name, PASSWORD[name]);
      return client;
    };
    /** Bytes to the proxy and what comes back. */
    world.raw = (request, ms = 3000) => sendRaw(port, request, ms);
    return world;
  } catch (error) {
    const said = `${world.sessile?.output.slice(-2000) ?? ''}\n${world.proxy?.tail(2000) ?? ''}`;
    await world.close().catch(() => {});
    error.message += `\n--- said:\n${said}`;
    throw error;
  }
}

function answersTls(port) {
  return new Promise((resolve) => {
    const socket = connectTls({ host: '127.0.0.1', port, servername: 'app.test', rejectUnauthorized: false });
    const finish = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('secureConnect', () => finish(true));
    socket.once('error', () => finish(false));
  });
}

function sendRaw(port, request, ms) {
  return new Promise((resolve) => {
    const socket = connectTls({ host: '127.0.0.1', port, servername: 'app.test', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
    let answer = '';
    const finish = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(finish, ms);
    socket.setEncoding('latin1');
    socket.once('secureConnect', () => socket.write(request));
    socket.on('data', (text) => (answer += text));
    socket.once('end', finish);
    socket.once('error', finish);
  });
}
