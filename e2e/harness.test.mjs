// The instruments themselves: each must be able to show the bad case, or what they report elsewhere means nothing.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launchChromium } from './lib/chromium.mjs';
import { Client } from './lib/client.mjs';
import { Cutter } from './lib/cutter.mjs';
import { freePorts, makeCertificate } from './lib/network.mjs';
import { Child, listen, run } from './lib/process.mjs';
import { metricValue } from './lib/sessile.mjs';
import { bearerOf, folded, startEcho, startSite } from './lib/sites.mjs';
import { toToml } from './lib/toml.mjs';

describe('browser and certificate', () => {
  let dir;
  let certificate;
  let site;
  let browser;

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sessile-harness-'));
    certificate = await makeCertificate(dir);
    site = await startSite(certificate, {
      '/': { body: '<title>site</title>' },
      '/set': { headers: { 'set-cookie': ['__Host-Http-a=1; Path=/; Secure; HttpOnly; SameSite=Strict', '__Host-b=2; Path=/; Secure; Domain=app.test'] } },
    });
    browser = await launchChromium(certificate);
  });
  after(async () => {
    await browser?.close();
    await site?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  test('one server is two sites to the browser', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(site.origin('app.test') + '/set');
    assert.deepEqual((await context.cookies()).map(({ name }) => name), ['__Host-Http-a'], 'a prefixed cookie with Domain is refused');
    await page.goto(site.origin('evil.test') + '/');
    await page.setContent(`<a href="${site.origin('app.test')}/">link</a>`);
    await page.click('a');
    await page.waitForURL(site.origin('app.test') + '/');
    const arrived = site.seen.findLast(({ url, host }) => url === '/' && host.startsWith('app.test'));
    assert.equal(arrived.headers['sec-fetch-site'], 'cross-site');
    assert.equal(arrived.headers.cookie, undefined, 'Strict cookies stay away from a cross-site link');
    await context.close();
  });

  test('negative control: without the key hash the certificate is refused, and other names lead nowhere', async () => {
    const strict = await launchChromium({});
    try {
      const page = await strict.newPage();
      await assert.rejects(page.goto(site.origin() + '/'), /ERR_CERT_AUTHORITY_INVALID/);
      await assert.rejects(page.goto('http://example.com/'), /ERR_NAME_NOT_RESOLVED/);
    } finally {
      await strict.close();
    }
  });

  test('the cutter loses exactly the response it was armed for', async () => {
    const reached = [];
    const behind = https.createServer({ cert: certificate.certPem, key: certificate.keyPem }, (request, response) => {
      reached.push(request.url);
      response.setHeader('x-path', request.url);
      response.end('body');
    });
    const gatewayPort = await listen(behind);
    const cutter = new Cutter({ gatewayPort, tls: { ...certificate, servername: 'app.test' } });
    const port = await cutter.open();
    try {
      const client = new Client({ origin: `https://app.test:${port}`, ca: certificate.certPem });
      assert.equal((await client.get('/a')).status, 200);
      cutter.loseNext({ matching: /x-path: \/b/i });
      assert.equal((await client.get('/a')).status, 200, 'another response passes');
      await assert.rejects(client.get('/b'));
      assert.match(cutter.lost[0], /x-path: \/b/i);
      assert.equal((await client.get('/b')).status, 200, 'only once');
      assert.deepEqual(reached, ['/a', '/a', '/b', '/b']);
    } finally {
      await cutter.close();
      behind.closeAllConnections();
      behind.close();
    }
  });
});

test('the echo upstream folds names as CGI does', async () => {
  const echo = await startEcho();
  try {
    const client = new Client({ origin: echo.url });
    await client.get('/x?y', { rawHeaders: [['Sessile_Subject', 'a'], ['sessile.subject', 'b'], ['Authorization', 'Bearer t']], browser: false });
    assert.equal(folded(echo.last().raw).get('SESSILE_SUBJECT'), 'a,b');
    assert.equal(bearerOf(echo.last()), 't');
    assert.equal(echo.last().url, '/x?y');
  } finally {
    await echo.close();
  }
});

test('the client keeps, replaces and drops cookies', async () => {
  const lines = [['a=1; Path=/; HttpOnly', 'b=2'], ['a=; Max-Age=0', 'b=3'], ['b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT']];
  const sent = [];
  const server = http.createServer((request, response) => {
    sent.push(request.headers.cookie);
    response.setHeader('set-cookie', lines.shift() ?? []);
    response.end();
  });
  const port = await listen(server);
  try {
    const client = new Client({ origin: `http://localhost:${port}` });
    for (let i = 0; i < 4; i += 1) await client.get('/');
    assert.deepEqual(sent, [undefined, 'a=1; b=2', 'b=3', undefined]);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test('a child that does not get ready is reported with what it said, and is gone', async () => {
  const child = new Child('sh', ['-c', 'echo broken; exit 3']);
  await assert.rejects(child.until(() => false), /ended while[^]*broken/);
  const stubborn = new Child('sh', ['-c', "trap '' TERM; while :; do sleep 0.1; done"]);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal((await stubborn.stop(300)).signal, 'SIGKILL');
  assert.equal((await run('sh', ['-c', 'echo $SESSILE_X$PATH'], { env: { SESSILE_X: 'x:' } })).stdout.slice(0, 2), 'x:');
});

test('metrics are summed over labels, and a missing name is an error', () => {
  const page = '# TYPE a counter\na_total{x="1"} 2\na_total{x="2"} 3 1700000000\na_total_more 9\nb 4.5\n';
  assert.equal(metricValue(page, 'a_total'), 5);
  assert.equal(metricValue(page, 'b'), 4.5);
  assert.throws(() => metricValue(page, 'c'), /no metric/);
});

test('configuration is written as TOML', () => {
  assert.equal(
    toToml({ server: { listen: '127.0.0.1:1' }, route: [{ prefix: '/a', access: 'public' }, { prefix: '/' }], sign_in: { upstream_routes: ['POST /x'] } }),
    '[server]\nlisten = "127.0.0.1:1"\n\n[[route]]\nprefix = "/a"\naccess = "public"\n\n[[route]]\nprefix = "/"\n\n[sign_in]\nupstream_routes = ["POST /x"]\n',
  );
});

test('free ports are different ports', async () => {
  assert.equal(new Set(await freePorts(8)).size, 8);
});
