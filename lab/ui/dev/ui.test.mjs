// The lab's page in a real browser, in front of an invented lab.
//
//   node --test lab/ui/dev/ui.test.mjs        (after scripts/setup-tests)
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, afterEach, before, describe, test } from 'node:test';
import { defaultAnswer, indexed, judge, markdown, place, storagesOf, tally, twinAnswer } from '../verdict.js';
import { FakeLab, fixture } from './serve.mjs';

const { chromium } = createRequire(new URL('../../../e2e/package.json', import.meta.url))('playwright-core');
const { catalogue } = fixture;

const OUTCOMES = ['succeeded', 'stopped', 'survives', 'lost', 'not_applicable', 'not_measured', 'something new', undefined];
const STATES = ['waiting', 'running', 'needs_restart', 'done', 'failed'];

describe('what a result is worth', () => {
  const outcomeOf = (outcome) => outcome && { outcome };

  test('only two things look good: stopped while the twin fell, and surviving', () => {
    const good = [];
    for (const wanted of ['stopped', 'survives', 'either']) {
      for (const sessile of OUTCOMES) {
        for (const twin of OUTCOMES) {
          for (const state of STATES) {
            const { tone } = judge({ good: wanted }, { sessile: outcomeOf(sessile), twin: outcomeOf(twin) }, state);
            if (tone === 'good') good.push(`${wanted}: ${sessile}, ${sessile === 'stopped' ? `twin ${twin}` : 'any twin'}`);
          }
        }
      }
    }
    assert.deepEqual([...new Set(good)].sort(), ['stopped: stopped, twin succeeded', 'survives: survives, any twin']);
  });

  test('a stop without a fallen twin is unproven, and pending while the twin may still fall', () => {
    const kind = (twin, state) => judge({ good: 'stopped' }, { sessile: { outcome: 'stopped' }, twin: outcomeOf(twin) }, state).kind;
    assert.equal(kind('succeeded', 'done'), 'stopped');
    assert.equal(kind('stopped', 'done'), 'unproven');
    assert.equal(kind('not_measured', 'running'), 'unproven');
    assert.equal(kind(undefined, 'done'), 'unproven');
    assert.equal(kind(undefined, 'running'), 'pending');
    // A lab that will not say "stopped" before the twin fell says "not measured" until then.
    const early = (twin) => judge({ good: 'stopped' }, { sessile: { outcome: 'not_measured' }, twin: outcomeOf(twin) }, 'running').kind;
    assert.deepEqual([early(undefined), early('not_measured')], ['pending', 'not_measured']);
  });

  test('what is neither good nor bad has its own tone', () => {
    assert.equal(judge({ good: 'either' }, { sessile: { outcome: 'succeeded' } }, 'done').tone, 'plain');
    assert.equal(judge({ good: 'stopped' }, { sessile: { outcome: 'succeeded' } }, 'done').tone, 'bad');
    assert.equal(judge({ good: 'survives' }, { sessile: { outcome: 'lost' } }, 'done').tone, 'bad');
  });

  test('an unproven stop does not count, neither as stopped nor as measured', () => {
    const attacks = [{ id: 'a' }, { id: 'b' }, { id: 'c' }, { id: 'survives-new-tab' }, { id: 'survives-restart-remembered' }];
    const kinds = { a: 'stopped', b: 'succeeded', c: 'unproven', 'survives-new-tab': 'lost', 'survives-restart-remembered': 'survives' };
    assert.deepEqual(tally(attacks, ({ id }) => ({ kind: kinds[id] })), {
      stopped: 1, measured: 2, unproven: 1, survives: ['restart (remembered)'], lost: ['new tab'],
    });
  });

  test('the words for the default and for the twin', () => {
    assert.equal(defaultAnswer({ kind: 'unproven' }), 'Unproven for Sessile’s default');
    assert.equal(defaultAnswer({ kind: 'pending' }), '');
    assert.deepEqual(twinAnswer({ good: 'stopped' }, { outcome: 'succeeded' }, 'done'), ['The weakened twin fell', 'yes']);
    assert.deepEqual(twinAnswer({ good: 'stopped' }, { outcome: 'stopped' }, 'done'), ['The weakened twin fell', 'no']);
    assert.deepEqual(twinAnswer({ good: 'stopped' }, undefined, 'done'), ['The weakened twin fell', 'not measured']);
    assert.deepEqual(twinAnswer({ good: 'survives' }, { outcome: 'lost' }, 'done'), ['The weakened twin', 'lost']);
  });

  test('a later result of the same place wins, and a bar does not break the Markdown table', () => {
    const at = (target, outcome) => ({ attack: 'a', storage: 's', target, outcome });
    const index = indexed([at('sessile', 'lost'), at('twin', 'lost'), at('sessile', 'survives')]);
    assert.equal(index.get(place('a', 's')).sessile.outcome, 'survives');
    assert.equal(index.get(place('a', 's')).twin.outcome, 'lost');
    const run = { browser: { name: 'B', version: '156.0.0.0' }, started_at: '2026-01-02T03:04:05Z', state: 'done', results: [] };
    const text = markdown({ attacks: [{ title: 'a|b' }] }, [{ name: 's', default: true }], run, () => ({ word: 'Stopped' }));
    assert.equal(text, 'Sessile lab, B 156, 2026-01-02\n\n| Attack | s (default) |\n| --- | --- |\n| a\\|b | stopped |\n');
  });

  test('a finished run shows the storages it attacked', () => {
    const run = { state: 'done', results: [{ storage: 'cookie' }] };
    assert.deepEqual(storagesOf(catalogue, run).map(({ name }) => name), ['cookie']);
    assert.equal(storagesOf(catalogue, { ...run, state: 'running' }).length, catalogue.storages.length);
    assert.deepEqual(storagesOf(catalogue, undefined, ['memory']).map(({ name }) => name), ['memory']);
  });
});

describe('the page', () => {
  let browser;
  let lab;
  const contexts = [];

  before(async () => {
    const executablePath = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path));
    browser = await chromium.launch({
      executablePath,
      headless: true,
      args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost'],
    });
  });
  after(() => browser?.close());
  afterEach(async () => {
    for (const context of contexts.splice(0)) await context.close();
    await lab?.close();
    lab = undefined;
  });

  /** A fresh lab and a fresh browser at `path`. What the page may never do is noted in `page.wrongs`. */
  async function visit(path = '/', { prepare = () => {}, init, ...options } = {}) {
    lab ??= await new FakeLab().listen();
    prepare(lab);
    const context = await browser.newContext({ viewport: { width: 1300, height: 900 }, ...options });
    context.setDefaultTimeout(10_000);
    contexts.push(context);
    await context.addInitScript(() => {
      window.violations = [];
      window.said = [];
      document.addEventListener('securitypolicyviolation', ({ violatedDirective, sourceFile }) => window.violations.push(`${violatedDirective} ${sourceFile}`));
      document.addEventListener('DOMContentLoaded', () => {
        const live = document.getElementById('live');
        if (live) new MutationObserver(() => window.said.push(live.textContent)).observe(live, { childList: true, characterData: true, subtree: true });
      });
    });
    if (init) await context.addInitScript(init);
    const page = await context.newPage();
    page.wrongs = [];
    page.on('pageerror', (error) => page.wrongs.push(error.stack));
    page.on('request', (request) => request.url().startsWith(lab.origin) || request.url().startsWith('data:') || page.wrongs.push(`asked for ${request.url()}`));
    await page.goto(lab.origin + path);
    await page.waitForSelector('.board, #status:not([hidden])');
    return page;
  }

  const finished = (lab) => lab.begin('r').finish();
  const rows = catalogue.groups.flatMap(({ id }) => catalogue.attacks.filter(({ group }) => group === id)).map(({ id }) => id);
  const cell = (page, attack, storage) => page.locator(`td[data-column="${storage}"] .cell`).nth(rows.indexOf(attack));
  const focused = (page) => page.evaluate(() => document.activeElement.textContent);
  const heading = (page) => page.locator('#status-title');

  // ---- States

  test('before a run: what will be tried, and why', async () => {
    const page = await visit();
    assert.equal(await page.getByRole('heading', { level: 1 }).innerText(), 'Where a JWT can live, attacked in the browser you are using');
    assert.match(await page.locator('#browser').innerText(), /^Chromium \d+$/);
    assert.equal(await page.locator('#status').isVisible(), false);
    for (const { title, claim, how } of catalogue.attacks) {
      const row = page.getByRole('row').filter({ has: page.getByText(title, { exact: true }) });
      assert.equal(await row.getByText(claim, { exact: true }).isVisible(), true, title);
      assert.equal(await row.getByText(how, { exact: true }).first().isVisible(), true, title);
    }
    assert.equal(await page.locator('.cell:visible').count(), 0);
    assert.equal(await page.getByText('No storage stops an injected script from using the session while the page is open.').isVisible(), true);
    assert.equal(await page.getByRole('checkbox').count(), catalogue.storages.length);
    assert.deepEqual(page.wrongs, []);
  });

  test('Attack opens the start in a tab of its own, without a way back to this page', async () => {
    const page = await visit();
    const [tab] = await Promise.all([page.waitForEvent('popup'), page.getByRole('button', { name: 'Attack all 7 storages' }).click()]);
    await tab.waitForURL(`${lab.origin}/fixture-tab?run=run-1`);
    assert.equal(await tab.evaluate(() => window.opener), null);
    await page.waitForURL(/#run=run-1$/);
    await heading(page).getByText('Waiting for the other tab').waitFor();
    assert.equal(await page.getByRole('link', { name: 'Open the tab' }).getAttribute('href'), `${lab.origin}/fixture-tab?run=run-1`);
    assert.equal(await page.locator('#attack').isDisabled(), true);
    assert.equal(await focused(page), 'Waiting for the other tab');
  });

  test('the choice of storages is what is attacked and shown', async () => {
    const page = await visit();
    await page.getByRole('button', { name: 'Choose none' }).click();
    await page.getByRole('checkbox', { name: 'hybrid' }).check();
    await page.getByRole('checkbox', { name: 'local-storage' }).check();
    const [asked] = await Promise.all([
      page.waitForRequest((request) => request.method() === 'POST'),
      page.getByRole('button', { name: 'Attack 2 storages' }).click(),
    ]);
    assert.deepEqual(asked.postDataJSON(), { storages: ['hybrid', 'local-storage'] });
    await heading(page).getByText('Waiting').waitFor();
    assert.deepEqual(await page.locator('.board thead [data-column]').evaluateAll((all) => all.map((each) => each.dataset.column)), ['hybrid', 'local-storage']);
  });

  test('no storage chosen: nothing is asked of the lab', async () => {
    const page = await visit();
    await page.getByRole('button', { name: 'Choose none' }).click();
    await page.locator('#attack').click();
    await heading(page).getByText('No storage is chosen').waitFor();
    assert.equal(lab.seen.some((each) => each.startsWith('POST')), false);
    assert.equal(page.context().pages().length, 1);
  });

  test('a blocked tab: this one goes', async () => {
    const page = await visit('/', { init: () => (window.open = () => null) });
    await page.locator('#attack').click();
    await page.waitForURL(`${lab.origin}/fixture-tab?run=run-1`);
  });

  test('a refused start says why and leaves no empty tab behind', async () => {
    const page = await visit('/', { prepare: (lab) => (lab.refusal = 'The gateway for “memory” did not start.') });
    await page.locator('#attack').click();
    await heading(page).getByText('The lab refused').waitFor();
    assert.equal(await page.getByText('The gateway for “memory” did not start.').first().isVisible(), true);
    await eventually(() => page.context().pages().length === 1);
    lab.refusal = undefined;
    await page.getByRole('button', { name: 'Try again' }).click();
    await heading(page).getByText('Waiting').waitFor();
  });

  test('running: progress in words, the current cell, and focus that stays', async () => {
    let run;
    const page = await visit('/#run=r', { prepare: (lab) => (run = lab.begin('r')).advance(4) });
    await heading(page).getByText('Attacking').waitFor();
    assert.equal(await page.locator('#progress-text').innerText(), '4 of 322 · database · A script reads the token · against Sessile');
    assert.equal(await page.getByRole('progressbar', { name: 'Attacking' }).getAttribute('value'), '4');
    assert.match(await page.title(), /^1 % /);
    assert.equal(await cell(page, 'script-reads-token', 'database').getAttribute('data-now'), '');
    assert.equal(await page.locator('[data-now]').count(), 1);
    await cell(page, 'script-reads-token', 'cookie').focus();
    run.advance(4);
    await page.getByText('8 of 322').waitFor();
    await cell(page, 'script-reads-token', 'cookie').getByText('Stopped').waitFor();
    assert.match(await focused(page), /^Stopped A script reads the token, cookie$/);
  });

  test('a stop whose twin has not run yet is not shown as one', async () => {
    let run;
    const page = await visit('/#run=r', { prepare: (lab) => (run = lab.begin('r')).advance(1) });
    await page.getByText('1 of 322').waitFor();
    assert.equal(await cell(page, 'script-reads-token', 'hybrid').getAttribute('data-kind'), 'pending');
    run.advance(1);
    await page.getByText('2 of 322').waitFor();
    assert.equal(await cell(page, 'script-reads-token', 'hybrid').getAttribute('data-kind'), 'stopped');
  });

  test('the live region speaks at the quarters and at every change of state, and not more', async () => {
    let run;
    const page = await visit('/#run=r', { prepare: (lab) => (run = lab.begin('r', ['hybrid'])).advance(1) });
    await heading(page).getByText('Attacking').waitFor();
    const drawn = new Set();
    while (await heading(page).getByText('Attacking').isVisible()) {
      const text = await page.locator('#progress-text').innerText({ timeout: 500 }).catch(() => '');
      drawn.add(text);
      run.advance(3);
      await page.waitForFunction((before) => document.getElementById('progress-text')?.innerText !== before, text);
    }
    const said = await page.evaluate(() => window.said);
    assert.deepEqual(said.map((each) => each.split('. ')[0].replace(/\.$/, '')), [
      'Attacking',
      '25 percent of the attacks are done',
      '50 percent of the attacks are done',
      '75 percent of the attacks are done',
      'Restart the browser, then continue',
    ]);
    assert.ok(drawn.size > 10, 'negative control: the visible text changed far more often');
    const live = page.locator('#live');
    assert.equal(await live.getAttribute('role'), 'status');
    assert.equal(await live.getAttribute('aria-live'), 'polite');
  });

  test('needs_restart: what to do, then Continue', async () => {
    const page = await visit('/#run=r', { prepare: (lab) => lab.begin('r').advance() });
    await heading(page).getByText('Restart the browser, then continue').waitFor();
    assert.equal(await page.locator('.address').innerText(), `${lab.origin}/#run=r`);
    await page.reload();
    await heading(page).getByText('Restart the browser, then continue').waitFor();
    assert.equal(await heading(page).innerText(), 'Restart the browser, then continue', 'negative control: a reload is no restart');
    // What a restart does to a browser that does not reopen its windows: session cookies go, the rest stays.
    await page.context().clearCookies();
    await page.reload();
    await heading(page).getByText('The browser was restarted').waitFor();
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForURL(`${lab.origin}/fixture-tab?run=r&restarted`);
    assert.ok(lab.seen.includes('POST /lab/api/runs/r/restarted'));
    await page.goto(`${lab.origin}/#run=r`);
    await heading(page).getByText('Attacking').waitFor();
    lab.runs.get('r').finish();
    await heading(page).getByText('Done').waitFor();
  });

  test('done: the summary counts as the table shows', async () => {
    const page = await visit('/#run=r', { prepare: finished });
    await heading(page).getByText('Done').waitFor();
    const sentence = await page.locator('#status .say').innerText();
    assert.equal(sentence, 'Sessile’s default stopped 16 of the 18 attacks measured. Not stopped: “A script uses the session”, “Stolen credentials, elsewhere”.');
    assert.deepEqual(await page.evaluate(() => window.said.at(-1)), `Done. ${sentence}`);
    for (const { name } of catalogue.storages) {
      const cells = await page.locator(`td[data-column="${name}"] .cell`).evaluateAll((all) => all.map((each) => each.dataset.kind));
      const count = (kind) => cells.filter((each) => each === kind).length;
      const unproven = count('unproven') > 0 ? `, ${count('unproven')} unproven` : '';
      const row = page.locator(`.storages [data-storage="${name}"]`);
      assert.equal(await row.locator('.stops').innerText(), `${count('stopped')} of ${count('stopped') + count('succeeded')} measured${unproven}`);
      assert.match(await row.locator('.lasts').innerText(), /^survives reload, new tab, restart \(remembered\); lost on restart$/);
    }
    assert.equal(await page.locator('#measured').innerText().then((text) => text.startsWith('Fixture 0, begun')), true);
    assert.equal(await page.title(), 'Done · Sessile lab');
  });

  test('each row says whether the default stops it', async () => {
    const page = await visit('/#run=r', { prepare: finished });
    const answer = async (title) => page.getByRole('rowheader', { name: title }).locator('.answer').innerText();
    assert.equal(await answer('A script reads the token'), 'Sessile’s default stops it');
    assert.equal(await answer('A script uses the session'), 'Sessile’s default does not stop it');
    assert.equal(await answer('Reloading the page'), 'Survives with Sessile’s default');
    assert.equal(await answer('A fetch from another site'), 'Not measured for Sessile’s default');
  });

  test('failed: where it stopped, and what to do', async () => {
    const page = await visit('/#run=r', {
      prepare: (lab) => {
        const run = lab.begin('r');
        run.advance(90);
        run.fail('The tab was closed.');
      },
    });
    await heading(page).getByText('The run stopped before its end').waitFor();
    assert.match(await page.locator('#status').innerText(), /It stopped at “Reloading the page” on cookie, after 90 of 322[\s\S]*The lab says: The tab was closed\./);
    assert.equal(await cell(page, 'forged-jwt', 'hybrid').getAttribute('data-kind'), 'not_measured');
    await page.getByRole('button', { name: 'Attack again' }).click();
    await heading(page).getByText('Waiting').waitFor();
  });

  test('a run the lab does not know', async () => {
    const page = await visit('/#run=older');
    await heading(page).getByText('The lab does not know this run').waitFor();
    await page.getByRole('button', { name: 'Start over' }).click();
    await page.locator('#status').waitFor({ state: 'hidden' });
    assert.equal(new URL(page.url()).hash, '');
  });

  test('the lab goes and comes back', async () => {
    let run;
    const page = await visit('/#run=r', { prepare: (lab) => (run = lab.begin('r')).advance(10) });
    await page.getByText('10 of 322').waitFor();
    const { port, runs } = lab;
    await lab.close();
    await heading(page).getByText('The lab does not answer').waitFor();
    assert.match(await page.evaluate(() => window.said.at(-1)), /^The lab does not answer\. It was probably stopped/);
    lab = new FakeLab();
    lab.runs = runs;
    await lab.listen(port);
    run.advance(10);
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('20 of 322').waitFor();
  });

  test('the lab is gone before anything was read', async () => {
    const page = await visit('/', { init: () => (window.fetch = () => Promise.reject(new TypeError('gone'))) });
    await heading(page).getByText('The lab does not answer').waitFor();
    assert.equal(await page.locator('#results').isVisible(), false);
    assert.deepEqual(page.wrongs, []);
  });

  // ---- Twin

  test('stopped without a fallen twin never looks like a success', async () => {
    const page = await visit('/#run=r', {
      prepare: (lab) => {
        const run = lab.begin('r');
        run.finish();
        run.change('forged-jwt', 'hybrid', 'twin', 'not_measured');
        run.change('clickjacking', 'hybrid', 'twin', undefined);
      },
    });
    await heading(page).getByText('Done').waitFor();
    const look = async (attack, storage) => {
      const at = cell(page, attack, storage);
      const { color, backgroundColor } = await at.evaluate((element) => {
        const { color, backgroundColor } = getComputedStyle(element);
        return { color, backgroundColor };
      });
      return { color, backgroundColor, word: await at.locator('.word').innerText(), shape: await at.locator('use').getAttribute('href') };
    };
    const proven = await look('script-reads-token', 'hybrid');
    assert.deepEqual([proven.word, proven.shape], ['Stopped', '#shape-check'], 'negative control: a proven stop does');
    for (const [attack, storage] of [['cross-site-form', 'memory'], ['forged-jwt', 'hybrid'], ['clickjacking', 'hybrid']]) {
      const unproven = await look(attack, storage);
      assert.deepEqual([unproven.word, unproven.shape], ['Unproven', '#shape-question'], attack);
      for (const part of ['color', 'backgroundColor']) assert.notEqual(unproven[part], proven[part], `${attack} ${part}`);
    }
    assert.match(await page.locator('#status').innerText(), /stopped 14 of the 16 attacks measured\. [\s\S]*2 more prove nothing/);
    await cell(page, 'cross-site-form', 'memory').click();
    assert.match(await page.getByRole('dialog').innerText(), /did not, so this proves nothing[\s\S]*The weakened twin fell: no/);
  });

  // ---- Keyboard and panel

  test('by keyboard: one stop for the table, arrows within, Enter, Escape, and back to the cell', async () => {
    const page = await visit('/#run=r', { prepare: finished });
    await heading(page).getByText('Done').waitFor();
    assert.equal(await page.locator('.cell[tabindex="0"]').count(), 1);
    await page.locator('#copy').focus();
    for (let presses = 0; presses < 4 && !(await page.evaluate(() => document.activeElement.matches('.cell'))); presses += 1) await page.keyboard.press('Tab');
    assert.equal(await focused(page), 'Stopped A script reads the token, hybrid');
    const press = async (key) => {
      await page.keyboard.press(key);
      return focused(page);
    };
    assert.equal(await press('ArrowUp'), 'Stopped A script reads the token, hybrid', 'the edge holds');
    assert.match(await press('ArrowDown'), /A script uses the session, hybrid$/);
    assert.match(await press('ArrowRight'), /A script uses the session, server-session$/);
    assert.match(await press('End'), /A script uses the session, local-storage$/);
    assert.match(await press('Home'), /A script uses the session, hybrid$/);
    assert.match(await press('Control+End'), /Forged tokens, local-storage$/);
    assert.equal(await page.evaluate(() => document.activeElement.matches(':focus-visible') && getComputedStyle(document.activeElement).outlineStyle), 'solid');
    await page.keyboard.press('Enter');
    const panel = page.getByRole('dialog', { name: 'Forged tokens' });
    await panel.waitFor();
    assert.equal(await focused(page), 'Forged tokens');
    assert.equal(await press('Tab'), 'Close');
    for (let presses = 0; presses < 12; presses += 1) {
      await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement === document.body || document.getElementById('evidence').contains(document.activeElement)), true, 'focus stays in the panel');
    }
    await page.keyboard.press('Escape');
    await panel.waitFor({ state: 'hidden' });
    assert.match(await focused(page), /Forged tokens, local-storage$/);
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.matches('.cell')), false, 'Tab leaves the table');
  });

  test('a click opens the panel; Close and a click beside it close it, and focus goes back', async () => {
    const page = await visit('/#run=r', { prepare: finished });
    const from = cell(page, 'cookie-tossing', 'cookie');
    for (const close of [() => page.getByRole('button', { name: 'Close' }).click(), () => page.mouse.click(20, 300)]) {
      await from.click();
      await page.getByRole('dialog').waitFor();
      await page.mouse.click(1200, 500);
      assert.equal(await page.getByRole('dialog').isVisible(), true, 'negative control: a click inside does not');
      await close();
      await page.getByRole('dialog').waitFor({ state: 'hidden' });
      assert.equal(await focused(page), 'Stopped A sibling plants cookies, cookie');
    }
  });

  test('the panel holds the claim, the way, the twin, and the steps with their times', async () => {
    const page = await visit('/#run=r', { prepare: finished });
    await cell(page, 'script-reads-token', 'local-storage').click();
    const panel = page.getByRole('dialog', { name: 'A script reads the token' });
    const attack = catalogue.attacks.find(({ id }) => id === 'script-reads-token');
    for (const text of [attack.claim, attack.how, attack.twin, 'Fixture: the attack got what it wanted.']) {
      assert.equal(await panel.getByText(text).first().isVisible(), true, text);
    }
    assert.match(await panel.innerText(), /Succeeded[\s\S]*The weakened twin fell: yes[\s\S]*Steps against Sessile[\s\S]*\+0 ms[\s\S]*\+35 ms[\s\S]*\+212 ms[\s\S]*Steps against the twin/);
    assert.match(await panel.innerText(), /248 ms in all, 3\.0 s after the run began/);
    await panel.getByText('Data', { exact: true }).first().click();
    assert.match(await panel.locator('pre').first().innerText(), /"globals": 184/);
  });

  test('the panel follows the run while it is open', async () => {
    let run;
    const page = await visit('/#run=r', { prepare: (lab) => (run = lab.begin('r')).advance(1) });
    await cell(page, 'script-reads-token', 'hybrid').click();
    const panel = page.getByRole('dialog');
    await panel.getByText('The weakened twin fell: not yet').waitFor();
    await panel.getByRole('button', { name: 'Close' }).focus();
    run.advance(1);
    await panel.getByText('The weakened twin fell: yes').waitFor();
    assert.equal(await focused(page), 'Close');
  });

  test('evidence is text, whatever it quotes', async () => {
    const page = await visit('/#run=r', { prepare: finished });
    await cell(page, 'script-reads-token', 'hybrid').click();
    await page.getByRole('dialog').getByText('<img src=x onerror=').first().waitFor();
    assert.equal(await page.locator('img').count(), 0);
    assert.equal(await page.title(), 'Done · Sessile lab');
  });

  // ---- Export

  test('the export link downloads, and the table goes to the clipboard as Markdown', async () => {
    const page = await visit('/#run=r', { prepare: finished, permissions: ['clipboard-read', 'clipboard-write'] });
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download JSON' }).click()]);
    assert.equal(new URL(download.url()).pathname, '/lab/api/runs/r/export');
    assert.equal(JSON.parse(readFileSync(await download.path(), 'utf8')).state, 'done');
    await page.getByRole('button', { name: 'Copy as Markdown table' }).click();
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    const lines = (await page.evaluate(() => navigator.clipboard.readText())).trimEnd().split('\n');
    assert.equal(lines[2], '| Attack | hybrid (default) | server-session | database | cookie | memory | session-storage | local-storage |');
    assert.equal(lines[4], '| A script reads the token | stopped | stopped | stopped | stopped | succeeded | succeeded | succeeded |');
    assert.equal(lines.length, 4 + catalogue.attacks.length);
  });

  test('without a clipboard the table can be copied by hand', async () => {
    const page = await visit('/#run=r', { prepare: finished, init: () => (navigator.clipboard.writeText = () => Promise.reject(new Error('no'))) });
    await page.getByRole('button', { name: 'Copy as Markdown table' }).click();
    const area = page.getByLabel('The table, to copy by hand');
    await area.waitFor();
    assert.match(await area.inputValue(), /^Sessile lab, Fixture 0, 2026-01-02\n\n\| Attack/);
    assert.equal(await area.evaluate((element) => element === document.activeElement && element.selectionEnd > 100), true);
  });

  // ---- Structure

  test('landmarks, one h1, no skipped heading, a table with scopes and a caption', async () => {
    const page = await visit('/#run=r', { prepare: finished });
    await heading(page).getByText('Done').waitFor();
    for (const role of ['banner', 'main']) assert.equal(await page.getByRole(role).count(), 1, role);
    for (const name of ['Done', 'The attacks']) assert.equal(await page.getByRole('region', { name }).count(), 1, name);
    const levels = await page.locator('h1, h2, h3').evaluateAll((all) => all.map(({ tagName }) => Number(tagName[1])));
    assert.equal(levels[0], 1);
    assert.equal(levels.filter((level) => level === 1).length, 1);
    levels.reduce((before, level) => (assert.ok(level <= before + 1, 'a heading is skipped'), level));
    const board = page.getByRole('table', { name: /^Each cell opens its evidence/ });
    assert.equal(await board.getByRole('columnheader').count(), 1 + catalogue.storages.length);
    assert.equal(await board.locator('th:not([scope])').count(), 0);
    assert.equal(await board.locator('th[scope="rowgroup"]').count(), catalogue.groups.length);
    assert.equal(await board.locator('th[scope="row"]').count(), catalogue.attacks.length);
    assert.equal(await page.locator('html').getAttribute('lang'), 'en');
    assert.equal(await page.getByRole('button', { name: 'Unproven An image that changes state, cookie' }).count(), 1, 'a cell says all of itself');
    await page.keyboard.press('Tab');
    assert.equal(await focused(page), 'Skip to the results');
    await page.keyboard.press('Enter');
    assert.equal(await focused(page), 'The attacks');
  });

  // ---- Content security policy

  test('nothing on the page needs more than the policy allows', async () => {
    const page = await visit('/#run=r', { prepare: finished });
    await cell(page, 'script-reads-token', 'hybrid').click();
    await page.keyboard.press('Escape');
    await page.locator('#theme').click();
    assert.deepEqual(await page.evaluate(() => window.violations), []);
    assert.equal(await page.locator('[style]').count(), 0);
    assert.deepEqual(page.wrongs, []);
    await page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = 'document.title = "ran"';
      document.body.append(script);
      document.body.setAttribute('style', 'color: red');
      new Image().src = 'https://example.com/x';
    });
    const violations = await page.evaluate(() => new Promise((resolve) => setTimeout(() => resolve(window.violations.map((each) => each.split(' ')[0])), 200)));
    assert.deepEqual(violations.sort(), ['img-src', 'script-src-elem', 'style-src-attr'], 'negative control: the policy is in force and heard');
    assert.notEqual(await page.title(), 'ran');
  });

  // ---- Layout

  /** Elements that reach beyond the right edge, and how far the page scrolls sideways. */
  const sideways = (page) =>
    page.evaluate(() => {
      const width = document.documentElement.clientWidth;
      const beyond = [...document.querySelectorAll('body *')].filter((element) => {
        const { right, width: own, height } = element.getBoundingClientRect();
        return own > 1 && height > 1 && right > width + 0.5;
      });
      return { scrolls: document.documentElement.scrollWidth - width, beyond: beyond.map(({ tagName, className }) => `${tagName} ${className}`) };
    });
  const FITS = { scrolls: 0, beyond: [] };

  for (const width of [360, 320]) {
    test(`at ${width} px nothing scrolls sideways, in any state`, async () => {
      const prepare = (lab) => {
        lab.begin('done').finish();
        lab.begin('running').advance(100);
        lab.begin('restart').advance();
        const failed = lab.begin('failed');
        failed.advance(50);
        failed.fail();
      };
      const page = await visit('/', { prepare, viewport: { width, height: 720 } });
      assert.deepEqual(await sideways(page), FITS, 'idle');
      for (const id of ['running', 'restart', 'failed', 'unknown', 'done']) {
        await page.goto(`${lab.origin}/#run=${id}`);
        await page.waitForSelector('#status:not([hidden])');
        assert.deepEqual(await sideways(page), FITS, id);
      }
      await heading(page).getByText('Done').waitFor();
      await page.locator('.cell:visible').first().click();
      await page.getByRole('dialog').getByText('Data', { exact: true }).first().click();
      await page.evaluate(() => Promise.all(document.getAnimations().map((each) => each.finished)));
      assert.deepEqual(await sideways(page), FITS, 'panel');
      assert.equal(await page.locator('#evidence').evaluate((panel) => panel.scrollWidth - panel.clientWidth), 0);
      await page.keyboard.press('Escape');
      await page.evaluate(() => document.querySelector('.claim').style.setProperty('min-width', '500px'));
      assert.notDeepEqual(await sideways(page), FITS, 'negative control: what is too wide is seen');
    });
  }

  test('on a phone one storage is shown at a time, and the arrows move within it', async () => {
    const page = await visit('/#run=r', { prepare: finished, viewport: { width: 360, height: 720 } });
    await heading(page).getByText('Done').waitFor();
    const shown = () => page.locator('.cell:visible').evaluateAll((all) => [...new Set(all.map((each) => each.closest('td').dataset.column))]);
    assert.deepEqual(await shown(), ['hybrid']);
    await page.getByLabel('Storage shown').selectOption('memory');
    assert.deepEqual(await shown(), ['memory']);
    assert.equal(await page.locator('.cell:visible').count(), catalogue.attacks.length);
    assert.equal(await page.locator('.cell[tabindex="0"]:visible').count(), 1, 'the table can still be reached by Tab');
    await page.locator('.cell[tabindex="0"]').focus();
    await page.keyboard.press('ArrowDown');
    assert.match(await focused(page), /A script uses the session, memory$/);
    await page.keyboard.press('ArrowRight');
    assert.match(await focused(page), /A script uses the session, memory$/);
    for (const each of await page.locator('button:visible, select:visible, label:has(input):visible').all()) {
      const { width, height } = await each.boundingBox();
      assert.ok(width >= 24 && height >= 24, `too small for a finger: ${await each.innerText()}`);
    }
  });

  test('on a tablet the chosen storage stands beside the default', async () => {
    const page = await visit('/#run=r', { prepare: finished, viewport: { width: 820, height: 1000 } });
    await heading(page).getByText('Done').waitFor();
    await page.getByLabel('Storage shown').selectOption('memory');
    const shown = await page.locator('.board thead [data-column]:visible').evaluateAll((all) => all.map((each) => each.dataset.column));
    assert.deepEqual(shown, ['hybrid', 'memory']);
    assert.deepEqual(await sideways(page), FITS);
  });

  test('on a desktop all storages stand side by side without a picker', async () => {
    const page = await visit('/#run=r', { prepare: finished, viewport: { width: 1200, height: 900 } });
    await heading(page).getByText('Done').waitFor();
    assert.equal(await page.getByLabel('Storage shown').isVisible(), false);
    assert.equal(await page.locator('.cell:visible').count(), catalogue.attacks.length * catalogue.storages.length);
    assert.deepEqual(await sideways(page), FITS);
    const overflowing = await page.locator('.cell').evaluateAll((all) => all.filter((each) => each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight).length);
    assert.equal(overflowing, 0, 'every word fits its cell');
    const [caption, table] = await page.locator('.board').evaluate((board) => [board.caption, board.tHead].map((each) => each.getBoundingClientRect().toJSON()));
    assert.ok(caption.bottom <= table.top && caption.width >= table.width - 1, 'the caption stands above its table');
  });

  // ---- Colours and motion

  for (const colorScheme of ['light', 'dark']) {
    test(`${colorScheme}: every text has a contrast of 4.5 or more`, async () => {
      const prepare = (lab) => {
        lab.begin('done').finish();
        lab.begin('running').advance(100);
        lab.begin('restart').advance();
      };
      const page = await visit('/', { prepare, colorScheme, reducedMotion: 'reduce' });
      assert.deepEqual(await page.evaluate(lowContrast), [], 'idle');
      for (const id of ['running', 'restart', 'unknown', 'done']) {
        await page.goto(`${lab.origin}/#run=${id}`);
        await page.waitForSelector('#status:not([hidden])');
        assert.deepEqual(await page.evaluate(lowContrast), [], id);
      }
      for (const at of [cell(page, 'script-reads-token', 'hybrid'), cell(page, 'script-reads-token', 'memory'), cell(page, 'cross-site-form', 'memory'), cell(page, 'script-uses-session', 'hybrid')]) {
        await at.click();
        assert.deepEqual(await page.evaluate(lowContrast), [], 'panel');
        await page.keyboard.press('Escape');
      }
      await page.evaluate(() => document.querySelector('.lead').style.setProperty('color', '#777'));
      assert.match((await page.evaluate(lowContrast))[0] ?? '', /^Each place stands here .*: (3|4\.[0-4])/, 'negative control: grey on the page is found');
    });
  }

  test('the switch of colours is kept, and gives way when it equals the system’s', async () => {
    const page = await visit('/', { colorScheme: 'light' });
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await page.getByRole('button', { name: 'Dark', pressed: false }).click();
    const dark = await background();
    assert.notEqual(dark, light);
    await page.reload();
    await page.waitForSelector('.board');
    assert.equal(await background(), dark);
    await page.getByRole('button', { name: 'Dark', pressed: true }).click();
    assert.equal(await background(), light);
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.equal(await background(), dark, 'the page follows the system again');
  });

  test('reduced motion is respected', async () => {
    const moving = async (reducedMotion) => {
      const page = await visit('/#run=r', { prepare: (lab) => lab.begin('r').advance(3), reducedMotion });
      await page.waitForSelector('[data-now]');
      return page.evaluate(() => document.getAnimations().length);
    };
    assert.equal(await moving('reduce'), 0);
    assert.ok((await moving('no-preference')) > 0, 'negative control');
  });
});

async function eventually(check, within = 5000) {
  for (const end = Date.now() + within; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) if (check()) return;
  throw new Error(`It did not come to pass within ${within} ms: ${check}`);
}

/** Runs in the page: visible texts whose contrast with what lies behind them is below 4.5 (WCAG 2.2, 1.4.3). */
function lowContrast() {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const luminance = ([r, g, b]) => {
    const [R, G, B] = [r, g, b].map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      layers.unshift(colour);
      if (colour[3] === 1) break;
    }
    return layers.reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility({ visibilityProperty: true }) || element.closest('.sr, option, noscript')) continue;
    const background = behind(element);
    const [bright, dim] = [luminance(over(parse(getComputedStyle(element).color), background)), luminance(background)].sort((a, b) => b - a);
    const contrast = (bright + 0.05) / (dim + 0.05);
    if (contrast < 4.5) low.push(`${text}: ${contrast.toFixed(2)}`);
  }
  return low;
}
