// The app's own page: shows the notes, again whenever it is asked to.
import { call } from './app.js';

async function show() {
  const list = document.querySelector('#notes');
  const response = await call('/api/notes');
  const signedIn = response.ok;
  const notes = signedIn ? (await response.json()).notes : [];
  list.replaceChildren(...notes.map(({ text }) => Object.assign(document.createElement('li'), { textContent: text })));
  document.querySelector('#who').textContent = signedIn ? 'You are signed in.' : 'You are not signed in.';
  list.dataset.shown = Number(list.dataset.shown ?? 0) + 1;
  // Tells a frame around it that it was rendered there.
  if (window.parent !== window) window.parent.postMessage({ rendered: true, signedIn }, '*');
}

document.querySelector('#again').addEventListener('click', () => show().catch(() => {}));
if (window.parent !== window) window.parent.postMessage({ rendered: true }, '*');
show().catch(() => {});
