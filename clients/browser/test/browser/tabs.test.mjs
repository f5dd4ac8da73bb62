// Tabs of a real browser: who renews, and who hears of what.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually, sleep } from '../lib/browser.mjs';
import { launchChromium, prove } from './lib.mjs';

let browser;
before(async () => {
  browser = await launchChromium();
});
after(() => browser?.close());

const ROUNDS = 5;
/** Renewals in all rounds: half of what six tabs make that do not listen to each other. */
const FEW = (6 * ROUNDS) / 2;
const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);
const LOCKS_ABSENT = () => Object.defineProperty(Navigator.prototype, 'locks', { value: undefined });
const CHANNEL_ABSENT = () => delete window.BroadcastChannel;
const BOTH_ABSENT = () => {
  Object.defineProperty(Navigator.prototype, 'locks', { value: undefined });
  delete window.BroadcastChannel;
};
/** Nothing coordinates: no lock, no second look. */
const ALONE = { 'client.ts': ['version() === before', 'true'], 'tabs.ts': ['locks.request(name, {', 'locks.request(name + Math.random(), {'] };

/** Six tabs that need a token at once, several times. */
async function rounds(run, adapter, before) {
  const tabs = [];
  for (let i = 0; i < 6; i += 1) tabs.push(await run.tab({ adapter }, { before }));
  await run.signIn(tabs[0]);
  const answers = new Set();
  const refreshes = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await sleep(120);
    run.gateway.endTokens();
    run.gateway.asked.refresh = 0;
    for (const answer of await Promise.all(tabs.map((tab) => run.ask(tab)))) answers.add(answer);
    refreshes.push(run.gateway.asked.refresh);
  }
  const out = await Promise.all(tabs.map((tab) => tab.evaluate(() => events.filter(({ name }) => name === 'signed-out').length)));
  return { answers: [...answers], refreshes, out: Math.max(...out), reuse: run.gateway.reuse };
}

test('six tabs on local-storage renew once', (t) =>
  prove(browser, {
    gateway: { storage: 'local-storage' },
    scenario: (run) => rounds(run, 'local-storage'),
    check: (seen) => assert.deepEqual(seen, { answers: [200], refreshes: Array(ROUNDS).fill(1), out: 0, reuse: 0 }),
    twins: [ALONE],
  }));

test('six tabs with the token in memory renew once each, and rotate the session once', (t) =>
  prove(browser, {
    scenario: (run) => rounds(run, 'memory'),
    check: (seen) => assert.deepEqual(seen, { answers: [200], refreshes: Array(ROUNDS).fill(6), out: 0, reuse: 0 }),
    twins: [{ 'client.ts': ['} else if (!inBodies) {', '} else {'] }],
  }));

test('Web Locks absent: nobody is signed out, and most tabs are spared a renewal', (t) =>
  prove(browser, {
    gateway: { storage: 'local-storage' },
    scenario: (run) => rounds(run, 'local-storage', LOCKS_ABSENT),
    check({ refreshes, ...seen }) {
      assert.deepEqual(seen, { answers: [200], out: 0, reuse: 0 });
      t.diagnostic(`renewals by six tabs: ${refreshes}`);
      assert.ok(sum(refreshes) <= FEW, String(refreshes));
    },
    twins: [{ 'client.ts': ['version() === before', 'true'] }],
  }));

test('BroadcastChannel absent: the shared storage tells', (t) =>
  prove(browser, {
    gateway: { storage: 'local-storage' },
    scenario: (run) => rounds(run, 'local-storage', CHANNEL_ABSENT),
    check({ refreshes, ...seen }) {
      assert.deepEqual(seen, { answers: [200], out: 0, reuse: 0 });
      t.diagnostic(`renewals by six tabs: ${refreshes}`);
      assert.ok(sum(refreshes) <= FEW, String(refreshes));
    },
    twins: [{ 'client.ts': ['`${epoch} ${carrier?.status()?.at}`', '`${epoch}`'] }],
  }));

test('both absent: everybody is answered, nobody is signed out', (t) =>
  prove(browser, {
    gateway: { storage: 'local-storage' },
    scenario: (run) => rounds(run, 'local-storage', BOTH_ABSENT),
    check({ refreshes, ...seen }) {
      assert.deepEqual(seen, { answers: [200], out: 0, reuse: 0 });
      t.diagnostic(`renewals by six tabs: ${refreshes}`);
      assert.ok(Math.max(...refreshes) <= 6, String(refreshes));
    },
    twins: [{ 'tabs.ts': ['if (!locks) {', "if (!locks) {\n        hear({ sessile: 1, type: 'signed-out', token: true });"] }],
  }));

test('a tab that dies while it renews leaves the others free', (t) =>
  prove(browser, {
    gateway: { storage: 'local-storage' },
    async scenario(run) {
      const [dying, living] = [await run.tab({ adapter: 'local-storage' }), await run.tab({ adapter: 'local-storage' })];
      await run.signIn(living);
      await sleep(120);
      run.gateway.endTokens();
      let hung = 0;
      run.gateway.instead.set('/auth/refresh', () => (hung += 1) === 1);
      void run.ask(dying).catch(() => {});
      await eventually(() => hung === 1);
      const asked = run.ask(living);
      await sleep(300);
      const waited = hung === 1;
      const began = performance.now();
      await dying.close();
      const answer = await asked;
      return { waited, answer, soon: performance.now() - began < 2000 };
    },
    check: (seen) => assert.deepEqual(seen, { waited: true, answer: 200, soon: true }),
    twins: [{ 'tabs.ts': ['locks.request(name, {', 'locks.request(name + Math.random(), {'] }],
  }));

for (const adapter of ['memory', 'worker', 'local-storage', 'session-storage']) {
  test(`sign-out clears ${adapter} in every tab`, (t) =>
    prove(browser, {
      // The server's Clear-Site-Data would do some of the client's work.
      gateway: { storage: adapter === 'worker' ? 'memory' : adapter, clearSiteData: false },
      async scenario(run) {
        const tabs = [];
        for (let i = 0; i < 3; i += 1) tabs.push(await run.tab({ adapter }));
        await run.signIn(tabs[0]);
        await sleep(50);
        const before = await Promise.all(tabs.map((tab) => run.ask(tab)));
        await tabs[0].evaluate(() => sessile.signOut());
        await eventually(async () => (await Promise.all(tabs.map((tab) => tab.evaluate(() => events.some(({ name }) => name === 'signed-out'))))).every(Boolean), 'news', 8000).catch(() => {});
        const from = run.gateway.seen.length;
        const after = await Promise.all(tabs.map((tab) => run.ask(tab)));
        const bearers = run.gateway.seen.slice(from).filter(({ headers }) => headers.authorization).length;
        const kept = await Promise.all(tabs.map((tab) => tab.evaluate(() => localStorage.length + sessionStorage.length)));
        return { before, after, bearers, kept };
      },
      check: (seen) => assert.deepEqual(seen, { before: [200, 200, 200], after: [401, 401, 401], bearers: 0, kept: [0, 0, 0] }),
      twins: [{ 'client.ts': ['    carrier?.clear();\n    countdown.stop();', '    countdown.stop();'] }],
    }));
}

test('the deployment moves up to cookies: all tabs go on, and the token is gone', (t) =>
  prove(browser, {
    gateway: { storage: 'local-storage' },
    async scenario(run) {
      const tabs = [await run.tab({ adapter: 'local-storage' }), await run.tab({ adapter: 'local-storage' })];
      await run.signIn(tabs[0]);
      await sleep(50);
      const before = await tabs[1].evaluate(() => localStorage.length);
      run.gateway.storage = 'hybrid';
      const answers = [];
      for (const tab of tabs) answers.push(await run.ask(tab), await run.ask(tab));
      return {
        before,
        answers,
        kept: await tabs[1].evaluate(() => localStorage.length),
        keptIn: await Promise.all(tabs.map((tab) => tab.evaluate(() => sessile.keptIn))),
        out: (await tabs[1].evaluate(() => events)).filter(({ name }) => name === 'signed-out').length,
      };
    },
    check: (seen) => assert.deepEqual(seen, { before: 1, answers: [200, 200, 200, 200], kept: 0, keptIn: ['cookie', 'cookie'], out: 0 }),
    twins: [{ 'client.ts': ['    inBodies = token;\n    if (!token)', '    if (!token)'] }],
  }));
