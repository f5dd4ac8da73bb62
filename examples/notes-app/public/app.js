// The page. It holds no token and has no code for renewing one: it asks, and a 401 means the session is over.

const $ = (id) => document.getElementById(id);
const notesList = $('notes');
const devicesList = $('devices');
let events;
let socket;
let statusTimer;
let openPages = 1;
// Counts what was asked for, so that an answer that comes late, or after the end of the session, is not shown.
const latest = { notes: 0, devices: 0 };

class SignedOut extends Error {}

async function call(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: 'no-store',
  });
  if (response.status === 401) throw new SignedOut();
  if (response.ok) return response.status === 204 ? undefined : response.json();
  const problem = await response.json().catch(() => ({}));
  throw Object.assign(new Error(problem.detail ?? problem.title ?? `The server answered ${response.status}.`), {
    status: response.status,
    code: problem.code,
  });
}

/** Runs one action of the user and says how it went. */
async function act(action, done) {
  try {
    await action();
    if (done) say(done);
  } catch (error) {
    if (error instanceof SignedOut) return leave();
    say(error instanceof TypeError ? 'The server cannot be reached.' : error.message);
  }
}

function say(text) {
  $('status').textContent = text;
  clearTimeout(statusTimer);
  statusTimer = setTimeout(() => ($('status').textContent = ''), 6000);
}

// ---- notes

async function showNotes() {
  const turn = (latest.notes += 1);
  const { notes } = await call('GET', '/api/notes');
  if (turn !== latest.notes) return;
  notesList.replaceChildren(...notes.map(noteItem));
  $('empty').hidden = notes.length > 0;
}

function noteItem(note) {
  const item = $('note-template').content.firstElementChild.cloneNode(true);
  item.querySelector('.note-text').textContent = note.text;
  const time = item.querySelector('time');
  time.dateTime = note.created_at;
  time.textContent = when(note.created_at);
  const button = item.querySelector('button');
  button.setAttribute('aria-label', `Delete the note “${note.text.slice(0, 40)}”`);
  button.addEventListener('click', () =>
    act(async () => {
      button.disabled = true;
      await call('DELETE', `/api/notes/${note.id}`);
      await showNotes();
      $('notes-heading').focus();
    }, 'Note deleted.'),
  );
  return item;
}

$('add').addEventListener('submit', (event) => {
  event.preventDefault();
  act(async () => {
    await call('POST', '/api/notes', { text: $('text').value });
    $('add').reset();
    $('left').textContent = '';
    $('text').focus();
    await showNotes();
  }, 'Note added.');
});

$('text').addEventListener('input', () => {
  const left = $('text').maxLength - $('text').value.length;
  $('left').textContent = left < 200 ? `${left} characters left` : '';
});

// ---- devices

async function showDevices() {
  const turn = (latest.devices += 1);
  const { sessions } = await call('GET', '/auth/sessions');
  if (turn !== latest.devices) return;
  devicesList.replaceChildren(...sessions.map(deviceItem));
}

function deviceItem(session) {
  const item = $('device-template').content.firstElementChild.cloneNode(true);
  const name = deviceName(session.client);
  item.querySelector('.device-name').textContent = name;
  item.querySelector('.badge').hidden = !session.current;
  item.querySelector('.device-when').textContent = `Signed in ${when(session.created_at)}, last seen ${when(session.last_seen_at)}`;
  const button = item.querySelector('button');
  button.hidden = Boolean(session.current);
  button.setAttribute('aria-label', `End the session on ${name}, signed in ${when(session.created_at)}`);
  button.addEventListener('click', () =>
    act(async () => {
      button.disabled = true;
      try {
        await call('DELETE', `/auth/sessions/${encodeURIComponent(session.id)}`);
      } finally {
        button.disabled = false;
      }
      await showDevices();
      $('devices-heading').focus();
    }, 'Session ended.'),
  );
  return item;
}

function deviceName(client = {}) {
  const parts = [client.browser, client.platform].filter(Boolean);
  return parts.length > 0 ? parts.join(' on ') : 'A browser';
}

function when(moment) {
  const date = new Date(typeof moment === 'number' ? moment * 1000 : moment);
  return Number.isNaN(date.getTime()) ? 'some time ago' : date.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}

// ---- live

const RETRY_MS = 2000;

function listen() {
  openEvents();
  openSocket();
}

function openEvents() {
  const opened = new EventSource('/api/events');
  events = opened;
  opened.addEventListener('ready', () => {
    live('on');
    // Whatever changed before the stream was open, at first or after a break, was not announced on it.
    act(showNotes);
  });
  opened.addEventListener('notes', () => act(showNotes));
  opened.addEventListener('error', () => {
    if (events !== opened) return;
    live('off');
    // A closed stream is how the end of the session arrives; ask instead of guessing.
    act(() => call('GET', '/api/me'));
    // The browser retries a broken stream by itself, but not one that was answered with an error.
    if (opened.readyState === EventSource.CLOSED) setTimeout(() => events === opened && openEvents(), RETRY_MS);
  });
}

function openSocket() {
  const opened = new WebSocket(new URL('/api/live', location.href.replace(/^http/, 'ws')));
  socket = opened;
  opened.addEventListener('message', ({ data }) => {
    const message = JSON.parse(data);
    if (message.type !== 'pages') return;
    openPages = message.open;
    live($('live').dataset.state);
  });
  opened.addEventListener('close', () => {
    if (socket !== opened) return;
    act(() => call('GET', '/api/me'));
    setTimeout(() => socket === opened && openSocket(), RETRY_MS);
  });
}

const LIVE = { connecting: 'connecting', on: 'live', off: 'reconnecting', over: 'signed out' };

function live(state) {
  $('live').dataset.state = state;
  $('live-text').textContent = state === 'on' && openPages > 1 ? `live, ${openPages} pages open` : LIVE[state];
}

// ---- the end of the session

function hangUp() {
  const [stream, webSocket] = [events, socket];
  events = undefined;
  socket = undefined;
  stream?.close();
  webSocket?.close();
}

function clear() {
  latest.notes += 1;
  latest.devices += 1;
  notesList.replaceChildren();
  devicesList.replaceChildren();
}

function leave() {
  hangUp();
  clear();
  $('add').reset();
  $('who').textContent = '';
  live('over');
  $('app').hidden = true;
  $('gone').hidden = false;
  $('gone-heading').focus();
}

function signOut(scope) {
  return act(async () => {
    await call('POST', '/auth/sign-out', { scope });
    leave();
  });
}

$('sign-out').addEventListener('click', () => signOut('this'));
$('sign-out-everywhere').addEventListener('click', () => signOut('everywhere'));

// A page taken out of the back-forward cache still shows what it showed: clear it before asking.
addEventListener('pageshow', (event) => {
  if (!event.persisted) return;
  clear();
  act(start);
});

async function start() {
  const me = await call('GET', '/api/me');
  $('who').textContent = me.sub;
  hangUp();
  listen();
  await Promise.all([showNotes(), showDevices()]);
}

act(start);
