// The app behind the gateway of docs/situations.md: notes, as JSON or, with PAGES, as pages with forms. It knows who
// asks by the page's verify.mjs alone, and has a login of its own if the page's login.mjs is there.
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

const { PORT, MODULES, PAGES, ACCOUNTS = '{}' } = process.env;
const { identify } = await import(join(MODULES, 'verify.mjs'));
const login = existsSync(join(MODULES, 'login.mjs')) ? await import(join(MODULES, 'login.mjs')) : undefined;
const accounts = JSON.parse(ACCOUNTS);
const notes = [];
/** Every request, for the tests. */
const asked = [];

const notesOf = (user) => notes.filter((note) => note.user === user).map((note) => note.text);

async function answer(request, response) {
  if (request.url === '/asked') return response.end(JSON.stringify(asked));
  const user = await identify(request).then(({ sub }) => sub, () => undefined);
  const body = await text(request);
  // Browsers ask for an icon when they please.
  if (request.url !== '/favicon.ico') asked.push({ method: request.method, url: request.url, user });
  if (login && new URL(request.url, 'http://app').pathname === '/login') return signIn(request, response, body);
  if (login && request.url === '/logout' && request.method === 'POST') return login.signedOut(response);
  if (!user) return login ? login.toLogin(request, response) : response.writeHead(401).end();
  if (PAGES) return page(request, response, user, new URLSearchParams(body));
  if (request.method === 'POST') notes.push({ user, text: JSON.parse(body).text });
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ user, notes: notesOf(user) }));
}

function page(request, response, user, form) {
  if (request.method === 'POST') {
    notes.push({ user, text: form.get('text') });
    return response.writeHead(303, { location: '/' }).end();
  }
  html(response, `<h1>Notes of ${user}</h1><p>${notesOf(user).join(', ')}</p>${PAGES}
    <form method="post" action="/notes"><input name="text"><button id="add">Add</button></form>`);
}

function signIn(request, response, body) {
  const next = new URL(request.url, 'http://app').searchParams.get('next') ?? '/';
  if (request.method === 'GET') {
    return html(response, '<h1>Log in</h1><form method="post"><input name="name"><input name="word" type="password"><button>Log in</button></form>');
  }
  const form = new URLSearchParams(body);
  if (accounts[form.get('name')] !== form.get('word')) return response.writeHead(401).end('Wrong.');
  login.signedIn(response, form.get('name'), next);
}

const html = (response, body) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(`<!doctype html><title>Notes</title>${body}`);

const server = createServer((request, response) => {
  // A browser that goes elsewhere breaks its request off.
  answer(request, response).catch((error) => {
    console.error(error);
    response.destroy();
  });
});

server.listen(Number(PORT), '127.0.0.1', () => console.log('ready'));
