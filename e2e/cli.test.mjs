// The command line beside a running server, as an operator types it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { T_MS } from './lib/names.mjs';
import { eventually } from './lib/process.mjs';
import { startWorld } from './lib/world.mjs';

describe('the command line beside a running server', () => {
  let world;

  before(async () => {
    world = await startWorld({ users: ['ada', 'grace'] });
  });
  after(() => world?.close());

  const signedOut = (client) => eventually(async () => (await client.get('/x')).status === 401, { ms: T_MS, what: 'the end of the session' });

  test('R-027 sessions are listed and end one by one, by subject, and all together', async () => {
    const [one, two, other] = [await world.signedIn(), await world.signedIn(), await world.signedIn('grace')];
    const listed = await world.sessile.sessions('ada');
    assert.deepEqual(listed.map(({ id }) => id).sort(), [one.session.id, two.session.id].sort());
    for (const field of ['subject', 'created_at', 'last_seen_at', 'expires_at', 'storage', 'client', 'current']) assert.ok(field in listed[0], field);

    await world.sessile.revoke(one.session.id);
    await signedOut(one);
    assert.equal((await two.get('/x')).status, 200, 'negative control');
    await world.sessile.revoke('--subject', 'ada');
    await signedOut(two);
    assert.equal((await other.get('/x')).status, 200, 'negative control');
    await world.sessile.revoke('--all');
    await signedOut(other);
    assert.deepEqual(await world.sessile.sessions(), []);
  });

  test('R-070 a new password ends the sessions, and only the new one signs in', async () => {
    const before = await world.signedIn('grace');
    await world.sessile.cli(['user', 'passwd', 'grace', '--password-stdin'], { input: 'another-harbour-lantern-63\n' });
    await signedOut(before);
    await assert.rejects(world.signedIn('grace'), /401/);
    await world.client().signIn('grace', 'another-harbour-lantern-63');
  });

  test('R-027 a disabled user is out and stays out until enabled', async () => {
    const client = await world.signedIn();
    await world.sessile.cli(['user', 'disable', 'ada']);
    await signedOut(client);
    await assert.rejects(world.signedIn(), /401/);
    await world.sessile.cli(['user', 'enable', 'ada']);
    assert.equal((await client.get('/x')).status, 401, 'the old session does not come back');
    assert.equal((await (await world.signedIn()).get('/x')).status, 200);
  });

  test('ids and key ids that begin with a hyphen can be named', async () => {
    // One of 64 does: they are base64url.
    const USAGE = 64;
    const revoke = await world.sessile.tryCli(['session', 'revoke', '-LchuhES7eU8T2Z1LhifBw']);
    assert.notEqual(revoke.code, USAGE, revoke.output);
    const key = await world.sessile.tryCli(['keys', 'revoke', `-${'a'.repeat(42)}`]);
    assert.doesNotMatch(key.output, /unexpected argument/);
    const wrong = await world.sessile.tryCli(['session', 'revoke', '--nonsense']);
    assert.equal(wrong.code, USAGE, 'negative control: an unknown flag is refused');
  });
});
