// The app as it is commonly written: scripts hold the token, attach it, and give it to whoever asks.
const STORAGE = '{{storage}}';
const COOKIE = '{{cookie}}';

function cookie(name) {
  const pairs = document.cookie.split('; ').map((pair) => pair.split('='));
  return pairs.find(([known]) => known === name)?.[1];
}

const web = (store) => ({
  get: (name) => store.getItem(name),
  put: (name, token) => store.setItem(name, token),
  drop: (name) => store.removeItem(name),
});

const places = {
  'local-storage': web(localStorage),
  'session-storage': web(sessionStorage),
  memory: {
    get: (name) => window[name],
    put: (name, token) => {
      window[name] = token;
    },
    drop: (name) => delete window[name],
  },
};
// Elsewhere the server has set the cookies, and scripts read them.
const cookies = {
  get: (name) => cookie(name === 'token' ? COOKIE : `${COOKIE}_refresh`),
  put: () => {},
  drop: () => {},
};
const place = places[STORAGE] ?? cookies;

export async function signIn({ username, password, remember }) {
  const response = await fetch('/auth/sign-in', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password, remember: String(remember ?? false) }),
  });
  const said = response.ok ? await response.json() : {};
  if (said.access_token) {
    place.put('token', said.access_token);
    place.put('refresh_token', said.refresh_token);
  }
  return { status: response.status, session: said.session?.id };
}

export async function call(path, init = {}) {
  const token = place.get('token');
  if (!token) return new Response('signed out', { status: 401 });
  return fetch(path, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } });
}

export async function signOut() {
  const response = await fetch('/auth/sign-out', { method: 'POST' });
  place.drop('token');
  place.drop('refresh_token');
  return { status: response.status };
}

// A widget wants to know who is signed in; nobody looked at which origin asks.
window.addEventListener('message', ({ data, source }) => {
  if (data?.want === 'token') source.postMessage({ token: place.get('token') }, '*');
});
