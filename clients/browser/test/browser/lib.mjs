// A browser, and pages of a gateway in which the client is loaded: as built, or as a weakened twin.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { built, weakened } from '../lib/library.mjs';
import { startGateway } from '../lib/gateway.mjs';

const PATHS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Chromium that can reach nothing but this machine. */
export function launchChromium() {
  const executablePath = process.env.CHROMIUM ?? PATHS.find((each) => existsSync(each));
  if (!executablePath) throw new Error('There is no Chromium. Install it, or name one in CHROMIUM.');
  return chromium.launch({
    executablePath,
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1',
    ],
  });
}

const ENTRIES = ['index', 'local-storage', 'session-storage', 'memory', 'worker', 'worker-script'];
const script = (body) => ({ type: 'text/javascript', body });

/** What a page needs to have `window.start(options)` make a client of the given adapter. */
const page = (folder) => `<!doctype html><meta charset="utf-8"><title>test</title>
<script type="module">
  import * as core from '${folder}/index.js';
  import { inLocalStorage } from '${folder}/local-storage.js';
  import { inSessionStorage } from '${folder}/session-storage.js';
  import { inMemory } from '${folder}/memory.js';
  import { inWorker } from '${folder}/worker.js';
  const adapters = {
    'local-storage': inLocalStorage,
    'session-storage': inSessionStorage,
    memory: inMemory,
    worker: () => inWorker(new Worker(new URL('${folder}/worker-script.js', location.href), { type: 'module' })),
  };
  window.start = ({ adapter, ...options } = {}) => {
    const sessile = core.createSessile({ ...options, ...(adapter && { storage: adapters[adapter]() }) });
    const events = [];
    for (const name of ['signed-in', 'signed-out', 'renewed', 'storage-blocked']) sessile.on(name, ({ session, ...detail }) => events.push({ name, ...detail }));
    // Held by the tests alone; an attacker of the tests does not look here.
    Object.assign(window, { sessile, events, told: (error) => ({ code: error.code, name: error.name, message: error.message }) });
  };
  window.ready = true;
</script>`;

/** A gateway whose pages load the client: `/page/...` as built, `/twin/...` weakened by `changes`. */
export async function startPages(options, changes) {
  const gateway = await startGateway(options);
  for (const name of ENTRIES) gateway.files[`/client/${name}.js`] = script(built(name));
  gateway.files['/page'] = { type: 'text/html', body: page('/client') };
  if (changes) {
    const whole = await weakened(pick(changes, (file) => file !== 'worker-script.ts'));
    for (const name of ENTRIES) gateway.files[`/weak/${name}.js`] = script(whole);
    gateway.files['/weak/worker-script.js'] = script(await weakened(pick(changes, (file) => ['worker-script.ts', 'carrier.ts', 'scope.ts'].includes(file)), 'worker-script'));
    gateway.files['/twin'] = { type: 'text/html', body: page('/weak') };
  }
  return gateway;
}

const pick = (changes, keep) => Object.fromEntries(Object.entries(changes).filter(([file]) => keep(file)));

/** One run of a scenario in a fresh browser profile. */
class Run {
  constructor(gateway, context, path) {
    Object.assign(this, { gateway, context, path });
  }

  /** A new tab with the client loaded; `before` runs in it ahead of every script of the page. */
  async tab(options = {}, { before, path = this.path } = {}) {
    const tab = await this.context.newPage();
    if (before) await tab.addInitScript(before);
    await tab.goto(this.gateway.origin + path);
    await tab.waitForFunction('window.ready');
    await tab.evaluate((options) => window.start(options), options);
    return tab;
  }

  signIn = (tab, credentials = { username: 'ada', password: 'correct horse battery' }) => tab.evaluate((credentials) => sessile.signIn(credentials).catch(told), credentials);

  /** Status, or code or name of the error, of a fetch through the client. */
  ask = (tab, path = '/api/echo', init = {}) =>
    tab.evaluate(({ path, init }) => sessile.fetch(path, init).then(({ status }) => status, (error) => error.code ?? error.name), { path, init });
}

/** What `scenario` sees with the client as built, or with the twin that `changes` make of it. */
export async function observe(browser, options, scenario, changes) {
  const gateway = await startPages(options, changes);
  const context = await browser.newContext();
  context.setDefaultTimeout(15_000);
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done in 40 s${changes ? `: ${JSON.stringify(changes)}` : ''}`)), 40_000);
  });
  try {
    return await Promise.race([scenario(new Run(gateway, context, changes ? '/twin' : '/page')), late]);
  } finally {
    clearTimeout(timer);
    await context.close();
    await gateway.close();
  }
}

/** Runs `scenario` with the client as built, where `check` must hold, and with each twin, where it must not. */
export async function prove(browser, { gateway, scenario, check, twins }) {
  assert.ok(twins.length, 'there is no negative control');
  check(await observe(browser, gateway, scenario));
  for (const changes of twins) {
    const seen = await observe(browser, gateway, scenario, changes);
    assert.throws(() => check(seen), assert.AssertionError, `not noticed: ${JSON.stringify(changes)}`);
  }
}
