// The instruments of the fault tests: each behaviour of the proxy does what it says, servers are as away as they are told.
// A proxy that passes is the negative control of each: under it the same check fails.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { startFaultProxy, startPostgres, startRedis, startRedisCluster, startSentinel } from './lib/instruments.mjs';
import { eventually, listen, sleep } from './lib/process.mjs';

/** How long nothing must be heard to call it silence. */
const SILENT = 400;
/** How long to wait for what must come. */
const PATIENT = 30_000;

/** Answers each line by `echo LINE`, each line `many N` by N bytes, and the end of the requests by `bye`. */
class LineServer {
  received = '';
  ends = 0;
  connections = 0;
  #sockets = new Set();
  #server = createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket));

  async open() {
    this.port = await listen(this.#server);
    return this;
  }

  /** Says something to everybody without being asked. */
  push(text) {
    for (const socket of this.#sockets) socket.write(text);
  }

  close() {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #serve(socket) {
    this.connections += 1;
    this.#sockets.add(socket);
    socket.setEncoding('latin1');
    let line = '';
    socket.on('data', (text) => {
      this.received += text;
      this.lastAt = performance.now();
      for (const character of text) {
        if (character !== '\n') {
          line += character;
          continue;
        }
        const many = /^many (\d+)$/.exec(line);
        socket.write(many ? `${'x'.repeat(Number(many[1]) - 1)}\n` : `echo ${line}\n`);
        line = '';
      }
    });
    socket.on('end', () => {
      this.ends += 1;
      socket.end('bye\n');
    });
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
  }
}

/** One connection, and what became of it: `ended`, or the code of its fault. */
class Line {
  heard = '';
  fate;

  constructor(port) {
    this.#socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.#socket.setNoDelay(true);
    this.#socket.setEncoding('latin1');
    this.#socket.on('data', (text) => (this.heard += text));
    this.#socket.on('end', () => (this.fate ??= 'ended'));
    this.#socket.on('error', (error) => (this.fate = error.code));
  }

  #socket;

  send(text) {
    this.#socket.write(text);
  }

  /** Sends a line and gives the answer, the fate of the connection, or `silent` when neither comes in time. */
  async ask(line, ms = PATIENT) {
    const before = this.heard.length;
    this.send(`${line}\n`);
    return this.next(before, ms);
  }

  async next(before, ms = PATIENT) {
    const answered = () => this.heard.indexOf('\n', before) >= 0;
    for (const end = Date.now() + ms; Date.now() < end && !answered() && !this.fate; ) await sleep(5);
    return answered() ? this.heard.slice(before, this.heard.indexOf('\n', before)) : (this.fate ?? 'silent');
  }

  close() {
    this.#socket.destroy();
  }
}

/** A proxy before a server, and a connection through it that was there before anything went wrong. */
async function startScene(options) {
  const server = await new LineServer().open();
  const proxy = await startFaultProxy(server.port, options);
  const lines = [];
  const open = () => {
    const line = new Line(proxy.port);
    lines.push(line);
    return line;
  };
  const old = open();
  assert.equal(await old.ask('before'), 'echo before');
  server.received = '';
  const close = async () => {
    for (const line of lines) line.close();
    await proxy.close();
    server.close();
  };
  return { server, proxy, open, old, close };
}

/** The fastest of several exchanges: one that is slowed down has no fast one. */
async function fastest(exchange, enough) {
  let best = Infinity;
  for (let i = 0; i < 3 || (best >= enough && i < 20); i += 1) {
    const begun = performance.now();
    await exchange();
    best = Math.min(best, performance.now() - begun);
  }
  return best;
}

// Each check says whether the behaviour shows. `ms` is how long it listens where nothing may come: briefly when silence is
// what it expects, patiently when that would be found wrong. `listens` says both where it is the other way round.
const BEHAVIOURS = [
  {
    name: 'refuse: closed as it is made, and those there are',
    behaviour: 'refuse',
    shows: async ({ server, open, old }) => {
      const before = server.connections;
      const fates = [await open().ask('a'), await old.ask('b')];
      return fates.every((fate) => ['ended', 'ECONNRESET', 'EPIPE'].includes(fate)) && server.connections === before;
    },
  },
  {
    name: 'closed: the port does not listen, and those there are end',
    behaviour: 'closed',
    shows: async ({ open, old }) =>
      (await open().ask('a')) === 'ECONNREFUSED' && ['ended', 'ECONNRESET', 'EPIPE'].includes(await old.ask('b')),
  },
  {
    name: 'silence: taken, and nothing passes; those there are fall silent',
    behaviour: 'silence',
    shows: async ({ server, open, old, proxy }, ms) => {
      const silent = [await open().ask('a', ms), await old.ask('b', ms)].every((answer) => answer === 'silent');
      const { connections } = await proxy.counters();
      return silent && connections === 2 && server.received === '';
    },
    then: async ({ old }) => assert.equal(await old.next('echo before\n'.length), 'echo b', 'what waited is delivered'),
  },
  {
    name: 'reset: RST as it is made, and those there are',
    behaviour: 'reset',
    shows: async ({ open, old }) => (await open().ask('a')) === 'ECONNRESET' && ['ECONNRESET', 'EPIPE'].includes(await old.ask('b')),
  },
  {
    name: 'delay of requests: they reach the server later',
    behaviour: { delay: { request_ms: 300 } },
    shows: async ({ server, open }) =>
      Math.min(...(await Promise.all([1, 2, 3].map(async () => {
        const sent = performance.now();
        await open().ask('a');
        return server.lastAt - sent;
      })))) >= 295,
  },
  {
    name: 'delay of replies: they reach the client later',
    behaviour: { delay: { reply_ms: 300 } },
    shows: async ({ old }) => (await fastest(() => old.ask('a'), 295)) >= 295,
  },
  {
    name: 'throttle: 10000 bytes at 20000 in a second take nearly half of one',
    behaviour: { throttle: { bytes_per_second: 20_000 } },
    shows: async ({ old }) => (await fastest(() => old.ask('many 10000'), 440)) >= 440,
  },
  {
    name: 'cut of replies: the end after 5 bytes',
    behaviour: { cut: { direction: 'replies', after: 5 } },
    shows: async ({ server, open }) => {
      const line = open();
      const fate = await line.ask('abc');
      return fate === 'ended' && line.heard === 'echo ' && server.received === 'abc\n';
    },
  },
  {
    name: 'cut of requests: the end after 3 bytes, also for a connection that was there',
    behaviour: { cut: { direction: 'requests', after: 3 } },
    shows: async ({ server, old }) => (await old.ask('abcdef')) === 'ended' && server.received === 'abc',
  },
  {
    name: 'half-close of requests: the server reads the end, its replies pass',
    behaviour: { half_close: { direction: 'requests' } },
    listens: [PATIENT, SILENT],
    shows: async ({ server, old }, ms) => (await old.next('echo before\n'.length, ms)) === 'bye' && server.ends === 1,
  },
  {
    name: 'half-close of replies: the client reads the end, its requests pass',
    behaviour: { half_close: { direction: 'replies' } },
    shows: async ({ server, old }) => {
      const fate = await old.ask('a');
      await eventually(() => server.received === 'a\n', { ms: PATIENT });
      return fate === 'ended' && server.ends === 0;
    },
  },
  {
    name: 'drop-reply: the next request happens, its reply is lost, once',
    behaviour: { drop_reply: {} },
    shows: async ({ server, open, old, proxy }) => {
      const fate = await old.ask('a');
      const again = await open().ask('b');
      const { dropped_replies } = await proxy.counters();
      return fate === 'ended' && server.received === 'a\nb\n' && again === 'echo b' && dropped_replies === 1;
    },
  },
  {
    name: 'drop-reply of a request that matches, in whatever pieces it comes',
    behaviour: { drop_reply: { matching: 'revoke anna' } },
    shows: async ({ server, open, old }) => {
      const other = await old.ask('revoke boris');
      const line = open();
      line.send('revoke');
      await eventually(() => server.received.endsWith('revoke'), { ms: PATIENT });
      const fate = await line.ask(' anna');
      return other === 'echo revoke boris' && fate === 'ended' && server.received === 'revoke boris\nrevoke anna\n';
    },
  },
  {
    name: 'drop-reply until the server has said so much: what it said before is lost too',
    behaviour: { drop_reply: { until: 'echo c' } },
    shows: async ({ server, old }) => {
      old.send('a\nb\n');
      await eventually(() => server.received === 'a\nb\n', { ms: PATIENT });
      const fate = await old.ask('c');
      return fate === 'ended' && old.heard === 'echo before\n' && server.received === 'a\nb\nc\n';
    },
  },
  {
    name: 'drop-reply into silence: the client hears neither reply nor end',
    behaviour: { drop_reply: { then: 'silence' } },
    shows: async ({ server, old, proxy }, ms) => {
      const fate = await old.ask('a', ms);
      return fate === 'silent' && server.received === 'a\n' && (await proxy.counters()).dropped_replies === 1;
    },
  },
  {
    name: 'corrupt: one byte of the reply is inverted',
    behaviour: { corrupt: { after: 2, bytes: 1 } },
    shows: async ({ open }) => {
      const inverted = String.fromCharCode(~'h'.charCodeAt(0) & 0xff);
      return (await open().ask('a')) === `ec${inverted}o a`;
    },
  },
  {
    name: 'one way: requests pass, replies do not',
    behaviour: { one_way: { direction: 'requests' } },
    shows: async ({ server, old }, ms) => {
      const answer = await old.ask('a', ms);
      await eventually(() => server.received === 'a\n', { ms: PATIENT });
      return answer === 'silent';
    },
    then: async ({ old }) => assert.equal(await old.next('echo before\n'.length), 'echo a', 'the reply waited'),
  },
  {
    name: 'one way: replies pass, requests do not',
    behaviour: { one_way: { direction: 'replies' } },
    shows: async ({ server, old }, ms) => {
      server.push('news\n');
      const news = await old.next('echo before\n'.length);
      return (await old.ask('a', ms)) === 'silent' && news === 'news' && server.received === '';
    },
  },
];

describe('the fault proxy', () => {
  for (const { name, behaviour, shows, then, listens = [SILENT, PATIENT] } of BEHAVIOURS) {
    test(name, async () => {
      const scene = await startScene();
      try {
        await scene.proxy.set(behaviour);
        assert.equal(await shows(scene, listens[0]), true);
        await scene.proxy.pass();
        await then?.(scene);
        const line = scene.open();
        assert.equal(await line.ask('after'), 'echo after', 'it can be taken back');
      } finally {
        await scene.close();
      }
    });

    test(`negative control, a proxy that passes: not ${name}`, async () => {
      const scene = await startScene();
      try {
        await scene.proxy.pass();
        assert.equal(await shows(scene, listens[1]), false);
      } finally {
        await scene.close();
      }
    });
  }

  test('a script: each step lasts for exactly so much, and the last one stays', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'sessile-script-'));
    const script = join(dir, 'script.json');
    const steps = [
      { behaviour: 'refuse', until: { connections: 3 } },
      { behaviour: { drop_reply: {} }, until: { dropped_replies: 1 } },
      { behaviour: 'silence', until: { ms: 300 } },
      { behaviour: { corrupt: { bytes: 1 } }, until: { reply_bytes: 1 } },
      { behaviour: 'pass' },
    ];
    writeFileSync(script, JSON.stringify(steps));
    const server = await new LineServer().open();
    const scripted = await startFaultProxy(server.port, { script });
    const plain = await startFaultProxy(server.port);
    const outcomes = async (proxy) => {
      const seen = [];
      for (let i = 0; i < 6; i += 1) {
        const line = new Line(proxy.port);
        seen.push(await line.ask(`${i}`));
        line.close();
      }
      return seen.map((outcome) => (outcome === 'ECONNRESET' ? 'ended' : outcome));
    };
    try {
      const first = String.fromCharCode(~'e'.charCodeAt(0) & 0xff);
      assert.deepEqual(await outcomes(scripted), ['ended', 'ended', 'ended', 'ended', `${first}cho 4`, 'echo 5']);
      assert.equal(server.received, '3\n4\n5\n');
      assert.deepEqual(await outcomes(plain), [0, 1, 2, 3, 4, 5].map((i) => `echo ${i}`), 'the negative control');
      for (const wrong of [[], [{ behaviour: 'pass' }, { behaviour: 'pass' }], [{ behaviour: 'pass', until: { ms: 1 } }], [{ behaviour: 'paas' }], [{ behaviour: 'pass', untill: 1 }]]) {
        await assert.rejects(scripted.script(wrong), /script|variant|field/, JSON.stringify(wrong));
      }
      writeFileSync(script, '[]');
      await assert.rejects(startFaultProxy(server.port, { script }), /script\.json/);
    } finally {
      await Promise.all([scripted.close(), plain.close()]);
      server.close();
      rmSync(dir, { recursive: true, force: true });
    }
  });

  test('a control port takes the same orders, and counters tell what has passed', async () => {
    const scene = await startScene({ control: true });
    const control = new Line(Number(scene.proxy.control.split(':')[1]));
    const order = async (order) => JSON.parse(await control.ask(typeof order === 'string' ? order : JSON.stringify(order)));
    try {
      const zero = { dropped_replies: 0, corrupted_bytes: 0, closed: 0, reset: 0 };
      assert.deepEqual(await order({ counters: true }), {
        behaviour: 'pass',
        steps_left: 0,
        counters: { connections: 1, open: 1, request_bytes: 'before\n'.length, reply_bytes: 'echo before\n'.length, ...zero },
      });
      assert.deepEqual((await order({ set: { delay: { request_ms: 1 } } })).behaviour, { delay: { request_ms: 1, reply_ms: 0 } });
      assert.equal((await order({ set: 'silence' })).behaviour, 'silence');
      assert.equal(await scene.old.ask('a', SILENT), 'silent');
      assert.equal((await order({ set: 'pass' })).behaviour, 'pass');
      assert.equal(await scene.old.next('echo before\n'.length), 'echo a');
      for (const wrong of ['', '{}', '{"set":"paas"}', '{"set":{"cut":{"after":1}}}', '{"set":{"corrupt":{"form":1}}}', '[', '{"counters":false}']) {
        assert.ok((await order(wrong)).error, wrong);
      }
      assert.equal((await order({ counters: true })).counters.open, 1, 'wrong orders change nothing');
      scene.old.close();
      await eventually(async () => (await scene.proxy.counters()).open === 0, { ms: PATIENT });
    } finally {
      control.close();
      await scene.close();
    }
  });
});

describe('servers', () => {
  const started = [];
  const keep = async (starting) => {
    const servers = await starting;
    started.push(servers);
    return servers;
  };
  after(() => Promise.all(started.map((servers) => servers.close())));

  test('Redis: what is lost with a kill is a matter of its settings; frozen, it is silent', async () => {
    for (const [settings, left] of [[{}, 'b'], [{ appendonly: 'no' }, null]]) {
      const redis = await keep(startRedis(settings));
      await redis.ask(['SET', 'a', 'b']);
      assert.equal((await redis.kill()).pid, null);
      await assert.rejects(redis.ask(['GET', 'a']), /refused/);
      await redis.restart();
      assert.equal(await redis.ask(['GET', 'a']), left);
      const line = new Line(redis.port());
      assert.equal(await line.ask('PING'), '+PONG\r');
      await redis.freeze();
      assert.equal(await line.ask('ECHO 1', SILENT), 'silent');
      await redis.thaw();
      assert.equal(await line.next('+PONG\r\n'.length), '$1\r');
      line.close();
      await assert.rejects(redis.ask(['NOSUCH']), /unknown command/);
      await assert.rejects(redis.kill('another'), /one of redis/);
    }
  });

  test('P6 in little: with its reply dropped a command has happened, and its client cannot know', async () => {
    const redis = await keep(startRedis());
    const proxy = await keep(startFaultProxy(redis.port()));
    for (const [behaviour, told] of [[{ drop_reply: { matching: 'INCR' } }, 'ended'], ['pass', ':2\r']]) {
      await proxy.set(behaviour);
      const line = new Line(proxy.port);
      assert.equal(await line.ask('INCR a'), told);
      line.close();
    }
    assert.equal(await redis.ask(['GET', 'a']), '2');
  });

  test('a Sentinel promotes the replica of a master that is gone', async () => {
    const sentinel = await keep(startSentinel());
    const role = async () => (await sentinel.ask(['ROLE'], 'replica'))[0];
    assert.equal(await role(), 'slave');
    await sentinel.kill('master');
    await eventually(async () => (await role()) === 'master', { ms: 60_000, every: 100, what: 'the promotion' });
    assert.match(sentinel.url, /^redis\+sentinel:\/\/127\.0\.0\.1:\d+\/main$/);
  });

  test('a cluster serves all slots, and a replica takes the place of its master', async () => {
    const cluster = await keep(startRedisCluster({ replicas: true }));
    assert.equal(Object.keys(cluster.servers).length, 6);
    const role = async () => (await cluster.ask(['ROLE'], 'replica-1'))[0];
    assert.equal(await role(), 'slave');
    await cluster.kill('master-1');
    await eventually(async () => (await role()) === 'master', { ms: 60_000, every: 100, what: 'the promotion' });
    await eventually(async () => /cluster_state:ok/.test(await cluster.ask(['CLUSTER', 'INFO'], 'master-0')), { ms: 60_000, every: 100 });
  });

  test('PostgreSQL keeps what it acknowledged; its standby follows and is promoted', async () => {
    const postgres = await keep(startPostgres({ settings: { max_connections: 23 }, standby: true }));
    assert.deepEqual(await postgres.sql('SHOW max_connections', 'postgres'), [['23']]);
    await postgres.sql('CREATE TABLE kept (it int); INSERT INTO kept VALUES (1)', 'postgres');
    await postgres.kill('postgres');
    await assert.rejects(postgres.sql('SELECT 1', 'postgres'));
    await postgres.restart('postgres');
    assert.deepEqual(await postgres.sql('SELECT it, NULL FROM kept', 'postgres'), [['1', null]]);
    const kept = () => postgres.sql('SELECT it FROM kept', 'standby').catch(() => []);
    await eventually(async () => (await kept()).length === 1, { ms: 60_000, every: 100, what: 'the standby' });
    await assert.rejects(postgres.sql('DELETE FROM kept', 'standby'), /read-only/);
    await postgres.kill('postgres');
    await postgres.sql('SELECT pg_promote()', 'standby');
    await postgres.sql('DELETE FROM kept', 'standby');
  });

  test('nothing is left of them', async () => {
    const { directory } = started[0].servers.redis;
    assert.ok(existsSync(directory), 'it was there');
    for (const servers of started) await servers.close();
    for (const { servers = {} } of started) {
      for (const { directory, pid } of Object.values(servers)) {
        assert.ok(!existsSync(directory) && !existsSync(`/proc/${pid}/exe`), directory);
      }
    }
  });
});
