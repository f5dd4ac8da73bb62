// Apache with mod_auth_openidc in front of the upstream, and a sign-in through a real OpenID provider.
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Client } from '../../../e2e/lib/client.mjs';
import { freePorts } from '../../../e2e/lib/network.mjs';
import { CORES } from './processes.mjs';
import { started } from './servers.mjs';

const PROGRAM = '/usr/sbin/apache2';
const MODULES = '/usr/lib/apache2/modules';
const LOADED = ['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'proxy', 'proxy_http', 'auth_openidc'];

/** What the provider is told of its one client. */
export const newClient = async (count) => ({ secret: randomBytes(24).toString('hex'), ports: await freePorts(count) });

const callback = (port) => `http://127.0.0.1:${port}/callback`;
export const callbacks = ({ ports }) => ports.map(callback).join(' ');

/**
 * @param {object} options
 * @param {number} options.port one of the client's
 * @param {string} [options.redis] where sessions are kept; without it in shared memory
 */
export async function startApache(world, { port, upstream, provider, client, redis }) {
  const own = mkdtempSync(join(world.dir, 'apache-'));
  const cache = redis ? ['OIDCCacheType redis', `OIDCRedisCacheServer ${redis.replace('redis://', '')}`] : ['OIDCCacheType shm'];
  const lines = [
    ...LOADED.map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`),
    ...(process.getuid() === 0 ? ['User nobody', 'Group nogroup'] : []),
    `DefaultRuntimeDir ${own}`,
    `PidFile ${own}/apache.pid`,
    `ErrorLog ${own}/error.log`,
    'ServerName 127.0.0.1',
    `Listen 127.0.0.1:${port}`,
    'KeepAlive On',
    'MaxKeepAliveRequests 0',
    // As Debian ships it.
    'StartServers 2',
    'MinSpareThreads 25',
    'MaxSpareThreads 75',
    'ThreadLimit 64',
    'ThreadsPerChild 25',
    'MaxRequestWorkers 150',
    'MaxConnectionsPerChild 0',
    `OIDCProviderMetadataURL ${provider.url}/.well-known/openid-configuration`,
    'OIDCClientID bench',
    `OIDCClientSecret ${client.secret}`,
    `OIDCRedirectURI ${callback(port)}`,
    `OIDCCryptoPassphrase ${randomBytes(24).toString('hex')}`,
    ...cache,
    '<Location />',
    'AuthType openid-connect',
    'Require valid-user',
    `ProxyPass ${upstream.url}/`,
    '</Location>',
  ];
  const config = `${lines.join('\n')}\n`;
  const file = join(own, 'apache.conf');
  writeFileSync(file, config, { mode: 0o600 });
  for (const needed of [PROGRAM, `${MODULES}/mod_auth_openidc.so`]) {
    if (!existsSync(needed)) throw new Error(`There is no ${needed}. bench/run installs it.`);
  }
  const url = `http://127.0.0.1:${port}`;
  const child = await started('apache2', CORES.server, PROGRAM, ['-DFOREGROUND', '-d', own, '-f', file], url);
  world.closers.push(() => child.stop());
  const shown = config.replaceAll(own, '/run/apache').replace(/^(OIDCClientSecret|OIDCCryptoPassphrase) .*$/gm, '$1 (random)');
  return { url, port, pid: child.pid, config: shown };
}

/** Signs in as a browser would, by redirects and the provider's forms, and gives the proxy's own cookie. */
export async function signInByOpenId(url, user = 'ada') {
  const cookies = new Map();
  let next = { url: `${url}/data` };
  for (let step = 0; step < MOST_STEPS; step += 1) {
    const answer = await visit(next, cookies);
    if (answer.status >= 300 && answer.status < 400) next = { url: new URL(answer.headers.location, next.url).href };
    else if (answer.status !== 200) throw new Error(`Signing in, ${next.url} answered ${answer.status}: ${answer.text.slice(0, 500)}`);
    else if (next.url === `${url}/data`) return `${SESSION}=${cookies.get(SESSION)}`;
    else next = filledIn(answer.text, next.url, user);
  }
  throw new Error(`Signing in took more than ${MOST_STEPS} steps`);
}

const SESSION = 'mod_auth_openidc_session';
const MOST_STEPS = 20;

// Node's own `fetch` says that it is a script's, and those are not sent to sign in.
async function visit({ url, form }, cookies) {
  const { origin, pathname, search } = new URL(url);
  const client = new Client({ origin });
  client.cookies = cookies;
  return client.request(form ? 'POST' : 'GET', pathname + search, { browser: false, headers: { Accept: 'text/html' }, form });
}

/** The one form of the provider's page, with a name where it asks for one. */
function filledIn(page, url, user) {
  const action = /<form[^>]* action="([^"]+)"/.exec(page)?.[1];
  const prompt = /name="prompt" value="([^"]+)"/.exec(page)?.[1];
  if (!action || !prompt) throw new Error(`There is no form on the provider's page ${url}:\n${page.slice(0, 1000)}`);
  const form = new URLSearchParams({ prompt });
  if (prompt === 'login') {
    form.set('login', user);
    form.set('password', 'any');
  }
  return { url: new URL(action, url).href, form };
}
