// The lab in real browsers: every attack on every storage, its weakened twins beside it, and the table in the documentation.
// SESSILE_LAB_TAKE=1 keeps what this run came to instead of comparing.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openProfile } from './lib/chromium.mjs';
import { openFirefox } from './lib/firefox.mjs';
import { Lab } from './lib/lab.mjs';
import { run as command, sleep } from './lib/process.mjs';
import { ROOT } from './lib/sessile.mjs';

const MEASURED = join(ROOT, 'ci/measured.mjs');
const TAKE = process.env.SESSILE_LAB_TAKE === '1';
const MINUTES = 60_000;

// Both browsers take cookies of other sites, as all did when the twins were common practice: else the browser would stop
// attacks that nobody else has to stop.

async function chromium(profile, address) {
  const preferences = join(profile, 'Default/Preferences');
  if (!existsSync(preferences)) {
    mkdirSync(dirname(preferences), { recursive: true });
    writeFileSync(preferences, JSON.stringify({ profile: { cookie_controls_mode: 0 } }));
  }
  const context = await openProfile(profile);
  const [page] = context.pages();
  await page.goto(address).catch(() => {});
  return context;
}

async function firefox(profile, address) {
  const child = openFirefox(profile, address, { 'network.cookie.cookieBehavior': 0 });
  return {
    async close() {
      // It writes cookies down a moment after they are set.
      await sleep(3000);
      await child.stop();
      // Its lock on the profile goes a moment later.
      await sleep(500);
    },
  };
}

describe('the lab', () => {
  let lab;
  let storages;
  let dir;

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sessile-lab-'));
    lab = await Lab.start();
    storages = (await lab.catalogue()).storages.map(({ name }) => name);
  });
  after(async () => {
    await lab?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test('every gateway started', () => {
    assert.equal(storages.length, 7);
    assert.doesNotMatch(lab.output, /Without/);
  });

  for (const [name, open] of Object.entries({ chromium, firefox })) {
    test(`R-018, R-026, R-060, R-075: ${name} comes to what docs/measured keeps, and every twin falls`, { timeout: 12 * MINUTES }, async (t) => {
      const profile = join(dir, name);
      const run = await lab.attack(storages, (address) => open(profile, address), { ms: 10 * MINUTES });
      assert.equal(run.state, 'done', JSON.stringify(run.progress));
      const file = join(dir, `${name}.json`);
      await lab.save(run, file);
      t.diagnostic(`${run.browser.name} ${run.browser.version}: ${run.results.length} results`);

      const of = (target) => run.results.filter((result) => result.target === target);
      const said = (results) => results.map(({ attack, storage, outcome, detail }) => `${attack} on ${storage}: ${outcome}, ${detail}`).join('\n');
      const standing = of('twin').filter(({ outcome }) => !['succeeded', 'not_applicable', 'survives', 'lost'].includes(outcome));
      assert.deepEqual(standing.map(({ attack, storage }) => `${attack} on ${storage}`), expectedStanding(name), said(standing));
      // An attack that is called stopped had a twin that fell.
      for (const { attack, storage } of of('sessile').filter(({ outcome }) => outcome === 'stopped')) {
        assert.ok(of('twin').some((twin) => twin.attack === attack && twin.storage === storage && twin.outcome === 'succeeded'), `${attack} on ${storage}`);
      }
      const measured = await command(process.execPath, [MEASURED, TAKE ? '--take' : '--compare', name, file]);
      assert.equal(measured.code, 0, measured.output);
    });
  }
});

/** Twins that a browser protects by itself: there the lab says "not measured". */
function expectedStanding() {
  return [];
}
