// The app behind Sessile with its JWT in cookies: there is nothing to hold, attach or renew.
export const call = (path, init) => fetch(path, init);

export async function signIn({ username, password, remember }) {
  const response = await fetch('/auth/sign-in', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password, remember }),
  });
  const { session } = response.ok ? await response.json() : {};
  return { status: response.status, session: session?.id };
}

export async function signOut() {
  const headers = { 'content-type': 'application/json' };
  return { status: (await fetch('/auth/sign-out', { method: 'POST', headers, body: '{"scope":"this"}' })).status };
}
