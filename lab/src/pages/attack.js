// The attacker's page, on another site or on a sibling of the app's.
function form({ action, fields }) {
  const form = Object.assign(document.createElement('form'), { method: 'post', action });
  for (const [name, value] of Object.entries(fields)) {
    form.append(Object.assign(document.createElement('input'), { type: 'hidden', name, value }));
  }
  document.body.append(form);
  form.submit();
}

workFor('attack', {
  ...moves,
  form: (order) => leave(order, () => form(order)),
  // Sent without asking first, as a page may: the answer cannot be read, and need not be.
  write: async ({ url, text }) => {
    await fetch(url, { method: 'POST', mode: 'no-cors', credentials: 'include', body: new URLSearchParams({ text }) });
    return 'sent';
  },
  get: async ({ url }) => {
    await fetch(url, { mode: 'no-cors', credentials: 'include' });
    return 'sent';
  },
  read: async ({ url }) => reply(await fetch(url, { credentials: 'include' })),
  image: ({ url }) =>
    new Promise((done) => {
      const image = new Image();
      image.onload = () => done('loaded');
      image.onerror = () => done('not an image');
      image.src = url;
      document.body.append(image);
    }),
  frame: ({ url }) =>
    new Promise((done) => {
      const frame = document.createElement('iframe');
      // The page says twice that it was rendered: at once, and when it knows whether somebody is signed in.
      let seen = { rendered: false };
      window.addEventListener('message', ({ data, source }) => {
        if (source !== frame.contentWindow || !data?.rendered) return;
        seen = data;
        if ('signedIn' in data) done(seen);
      });
      frame.addEventListener('load', () => setTimeout(() => seen.rendered || done(seen), 400));
      setTimeout(() => done(seen), 6000);
      frame.src = url;
      document.body.append(frame);
    }),
  // By the server's answer and by script: browsers have other rules for each.
  plant: async ({ cookies }) => {
    await fetch('/plant', { method: 'POST', body: JSON.stringify(cookies) });
    for (const cookie of cookies) document.cookie = cookie;
    return (await fetch('/seen')).json();
  },
});
