// The announcement of a session's end. It takes as long as it says.
import assert from 'node:assert/strict';
import { ADA, prove, record } from './lib/prove.mjs';
import { eventually, sleep } from './lib/browser.mjs';

const ALL = ['signed-out', 'ending-soon'];

prove('the end of a session is counted down by the clock of the server, and extends nothing', {
  gateway: { storage: 'hybrid' },
  async scenario(world) {
    world.gateway.life = 4;
    const sessile = world.tab({ endingSoon: 2 });
    world.shiftClock(-86_400_000);
    await sessile.signIn(ADA);
    const events = record(sessile, ALL);
    await eventually(() => events.some(({ name }) => name === 'signed-out'), 'the end', 15_000).catch(() => {});
    const seconds = events.filter(({ name }) => name === 'ending-soon').map((event) => event.seconds);
    return { seconds, refreshes: world.gateway.asked.refresh ?? 0, last: events.at(-1) };
  },
  check({ seconds, ...seen }) {
    // The server tells whole seconds, so the count may begin at either end of one.
    const falling = seconds.every((each, i) => each <= 2 && (i === 0 || each < seconds[i - 1]));
    assert.deepEqual({ ...seen, falling, enough: seconds.length >= 2 }, { refreshes: 0, last: { name: 'signed-out', reason: 'no_session' }, falling: true, enough: true });
  },
  twins: [{ 'client.ts': ['(Date.parse(date!) || Date.now())', 'Date.now()'] }],
});

prove('no end is announced that was moved meanwhile by requests the client did not make', {
  gateway: { storage: 'hybrid' },
  async scenario(world) {
    world.gateway.life = 13;
    const sessile = world.tab({ endingSoon: 2 });
    await sessile.signIn(ADA);
    const events = record(sessile, ALL);
    for (const session of world.gateway.sessions.values()) session.end += 600_000;
    await sleep(13_500);
    return { events, asked: world.gateway.asked.session ?? 0 };
  },
  check: (seen) => assert.deepEqual(seen, { events: [], asked: 1 }),
  twins: [{ 'countdown.ts': ['Date.now() - asked > ASK_AGAIN_MS', 'false'] }],
});

prove('a page that only listens asks once who is signed in; one that does not listen never asks', {
  gateway: { storage: 'hybrid' },
  async scenario(world) {
    await world.tab().signIn(ADA);
    const idle = world.tab();
    record(idle);
    await sleep(100);
    const before = world.gateway.asked.session ?? 0;
    world.gateway.life = 3600;
    record(world.tab(), ALL);
    await sleep(100);
    return { before, after: world.gateway.asked.session };
  },
  check: (seen) => assert.deepEqual(seen, { before: 0, after: 1 }),
  twins: [{ 'client.ts': ["if (event === 'ending-soon') countdown.want()", 'countdown.want()'] }],
});
