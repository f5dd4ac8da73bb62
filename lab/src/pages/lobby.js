// Where a tab waits for what comes next.
const say = (text) => {
  document.querySelector('#say').textContent = text;
};
const WAITING = document.querySelector('#say').textContent;
const open = (url) => window.open(url, '_blank', 'noopener');

workFor('lobby', {
  ...moves,
  reach: async ({ url }) => {
    await send(url, { mode: 'no-cors' });
  },
  open: ({ url }) => {
    open(url);
  },
  offer: ({ url }) => {
    const button = document.querySelector('#second');
    say('Some attacks need a second tab, and the browser did not let the lab open one. Your click may.');
    button.hidden = false;
    button.focus();
    const clicked = () => {
      button.hidden = true;
      say(WAITING);
      open(url);
    };
    button.addEventListener('click', clicked, { once: true });
  },
  // A cookie that ends with the browser: it tells whether the browser was really closed.
  'leave-mark': ({ name }) => {
    document.cookie = `${name}=1; path=/; samesite=lax`;
  },
  'has-mark': ({ name }) => document.cookie.split('; ').includes(`${name}=1`),
  // A tab that the visitor opened stays, and shows the results too.
  close: ({ url }) => {
    window.close();
    setTimeout(() => location.assign(url), 300);
    return LEFT;
  },
});
