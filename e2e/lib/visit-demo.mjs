// Run by scripts/demo --once-ready: signs in with the printed account, writes a note, reads it back, signs out.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Client } from './client.mjs';

const { DEMO_URL, DEMO_USER, DEMO_PASSWORD, NODE_EXTRA_CA_CERTS } = process.env;
const client = new Client({ origin: DEMO_URL, ca: NODE_EXTRA_CA_CERTS && readFileSync(NODE_EXTRA_CA_CERTS) });

assert.equal((await client.get('/api/notes')).status, 401);
await client.signIn(DEMO_USER, DEMO_PASSWORD);
assert.equal((await client.post('/api/notes', { json: { text: 'from the demo' } })).status, 201);
assert.deepEqual((await client.get('/api/notes')).json.notes.map(({ text }) => text), ['from the demo']);
assert.equal((await client.get('/api/me')).json.sub, DEMO_USER);
const old = client.steal();
assert.equal((await client.post('/auth/sign-out', { json: { scope: 'this' } })).status, 200);
assert.equal((await old.get('/api/notes')).status, 401);
console.log(`visited ${DEMO_URL}`);
