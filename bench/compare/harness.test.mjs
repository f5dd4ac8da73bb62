// That the harness refuses to measure what does not answer as it must, and reads what the tools say.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { listen } from '../../e2e/lib/process.mjs';
import { counted } from './lib/handshakes.mjs';
import { answered, timings } from './lib/load.mjs';
import { busyShares, cpu, memory, tree } from './lib/processes.mjs';
import { shares } from './lib/profile.mjs';
import { inTurns } from './lib/rounds.mjs';
import { SMALL } from './lib/servers.mjs';
import { subject } from './lib/subjects.mjs';

const said = ({ total = 10, good = 10, failed = 0, two = 10, four = 0 } = {}) =>
  `finished in 2.00s, 5.50 req/s, 9.13MB/s\nrequests: ${total} total, 12 started, ${total} done, ${good} succeeded, ${failed} failed, 0 errored, 0 timeout\nstatus codes: ${two} 2xx, 0 3xx, ${four} 4xx, 0 5xx\n`;

test('a run of h2load counts only if every answer is 2xx', () => {
  assert.deepEqual(answered(said()), { requests: 10, per_second: 5.5 });
  for (const wrong of [{ good: 9, failed: 1 }, { two: 9 }, { four: 1 }, { total: 0, good: 0, two: 0 }]) assert.throws(() => answered(said(wrong)), /2xx/);
  assert.throws(() => answered('nonsense'), /did not say/);
});

test('percentiles and rate come from the log', () => {
  const log = Array.from({ length: 101 }, (_, i) => `${1000 + i * 100}\t200\t${101 - i}`).join('\n');
  assert.deepEqual(timings(log), { per_second: 10_000, p50_micros: 51, p99_micros: 100 });
});

test('samples are told apart by whose code they met', () => {
  const said = [
    '# Overhead  Symbol',
    '    40.00%  [k] tcp_sendmsg_locked      -      -',
    '    30.00%  [.] sessile_server::gateway::gate::check_head',
    '    10.00%  [.] <hyper::proto::h1::role::Server as hyper::proto::h1::Http1Transaction>::encode',
    '    10.00%  [.] tokio::runtime::task::raw::poll',
    '     5.00%  [.] _int_malloc',
    '     5.00%  [.] ngx_http_parse_request_line',
  ].join('\n');
  const found = shares(said);
  assert.deepEqual([found['the kernel'], found.Sessile, found['the HTTP library'], found['the runtime'], found.memory, found['the rest']], [0.4, 0.3, 0.1, 0.1, 0.05, 0.05]);
  assert.throws(() => shares('perf: nothing\n'), /did not say/);
});

test('a handshake of the wrong kind is an error', () => {
  const output = (marks) => `start\n${marks}\n\n3 connections in 4 real seconds, 0 bytes read per connection\n`;
  assert.equal(counted({ code: 0, output: output('rrr') }, true), 3);
  assert.equal(counted({ code: 0, output: output('***') }, false), 3);
  assert.throws(() => counted({ code: 0, output: output('rr*') }, true));
  assert.throws(() => counted({ code: 0, output: output('***') }, true));
  assert.throws(() => counted({ code: 1, output: output('***') }, false));
});

test('a subject that answers wrongly, or lets everybody in, is not measured', async () => {
  let answer;
  const server = http.createServer((request, response) => {
    const [status, text] = answer(request);
    response.writeHead(status).end(text);
  });
  const port = await listen(server);
  const one = subject('one', { url: `http://127.0.0.1:${port}`, port, pid: process.pid }, { cookie: async () => 'a=b' });
  const check = async (next) => {
    answer = next;
    return one.check(await one.prepare());
  };
  await check(({ headers }) => (headers.cookie === 'a=b' ? [200, SMALL] : [401, '']));
  await assert.rejects(check(() => [200, SMALL]), /does not refuse/);
  await assert.rejects(check(() => [401, '']), /not what it should/);
  await assert.rejects(check(() => [200, '{}']), /not what it should/);
  await assert.rejects(check(({ headers }) => (headers.cookie ? [200, SMALL] : [500, ''])), /does not refuse/);
  server.close();
});

test('rounds go round, and each begins with another subject', async () => {
  const order = [];
  const named = (name) => ({ name, prepare: async () => {}, check: async () => {} });
  await inTurns([named('a'), named('b')], 3, async ({ name }) => order.push(name));
  assert.equal(order.join(''), 'abbaab');
});

test('processor time and memory are those of the process', () => {
  const before = cpu(process.pid);
  for (const end = performance.now() + 200; performance.now() < end; );
  const after = cpu(process.pid);
  assert.ok(after.user + after.kernel - before.user - before.kernel >= 50_000, JSON.stringify([before, after]));
  assert.ok(memory(process.pid) > 10_000_000);
  assert.ok(tree(process.pid).includes(process.pid));
  assert.deepEqual(
    busyShares({ server: { busy: 0, idle: 0 }, load: { busy: 5, idle: 5 } }, { server: { busy: 30, idle: 10 }, load: { busy: 5, idle: 6 } }),
    { server: 0.75, load: 0 },
  );
});
