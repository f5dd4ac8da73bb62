// The app behind Sessile with its JWT in the hands of scripts: the client holds, attaches and renews it.
import { createSessile } from './sessile/index.js';
import { {{adapter}} } from './sessile/{{storage}}.js';

const sessile = createSessile({ storage: {{adapter}}() });

export const call = (path, init) => sessile.fetch(path, init);

export async function signIn({ username, password, remember }) {
  const session = await sessile.signIn({ username, password, remember });
  return { status: 200, session: session.id };
}

export async function signOut() {
  await sessile.signOut('this');
  return { status: 200 };
}
