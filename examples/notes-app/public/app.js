// The page. It holds no token and has no code for renewing one: it asks, and a 401 means the session is over.

const $ = (id) => document.getElementById(id);
const notesList = $('notes');
const devicesList = $('devices');
let events;
let socket;
let statusTimer;

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
  const { notes } = await call('GET', '/api/notes');
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
  const { sessions } = await call('GET', '/auth/sessions');
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
  const parts = [client.browser ?? client.family, client.platform].filter(Boolean);
  return parts.length > 0 ? parts.join(' on ') : 'A browser';
}

function when(moment) {
  const date = new Date(typeof moment === 'number' ? moment * 1000 : moment);
  return Number.isNaN(date.getTime()) ? 'some time ago' : date.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}

// ---- live

function listen() {
  events = new EventSource('/api/events');
  events.addEventListener('ready', () => live('on', 'live'));
  events.addEventListener('notes', () => act(showNotes));
  events.addEventListener('error', () => {
    live('off', 'reconnecting');
    // A closed stream is how the end of the session arrives; ask instead of guessing.
    act(() => call('GET', '/api/me'));
  });

  openSocket();
}

function openSocket() {
  const opened = new WebSocket(new URL('/api/live', location.href.replace(/^http/, 'ws')));
  socket = opened;
  opened.addEventListener('message', ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === 'pages') live('on', message.open === 1 ? 'live' : `live, ${message.open} pages open`);
  });
  opened.addEventListener('close', () => {
    if (socket !== opened) return;
    act(() => call('GET', '/api/me'));
    setTimeout(() => socket === opened && openSocket(), 2000);
  });
}

function live(state, text) {
  $('live').dataset.state = state;
  $('live-text').textContent = text;
}

// ---- the end of the session

function hangUp() {
  events?.close();
  const closing = socket;
  socket = undefined;
  closing?.close();
}

function leave() {
  hangUp();
  notesList.replaceChildren();
  devicesList.replaceChildren();
  $('add').reset();
  $('who').textContent = '';
  live('off', 'signed out');
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
  notesList.replaceChildren();
  devicesList.replaceChildren();
  act(start);
});

async function start() {
  const me = await call('GET', '/api/me');
  $('who').textContent = me.sub;
  await Promise.all([showNotes(), showDevices()]);
  hangUp();
  listen();
}

act(start);
