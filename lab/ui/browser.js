// This browser: its name, its colours, and whether it was restarted.
import { byId } from './dom.js';

const THEME = 'sessile-lab-theme';
const MARK = 'sessile-lab-restart';

const PATTERNS = [
  ['Firefox', /Firefox\/(\d+)/],
  ['Edge', /Edg\/(\d+)/],
  ['Opera', /OPR\/(\d+)/],
  ['Chrome', /Chrome\/(\d+)/],
  ['Safari', /Version\/(\d+).*Safari/],
];

/** Name and major version, as the browser itself gives them. */
export function thisBrowser() {
  const brands = (navigator.userAgentData?.brands ?? []).filter(({ brand }) => !/not.?a.?brand/i.test(brand));
  const brand = brands.find(({ brand }) => brand !== 'Chromium') ?? brands[0];
  if (brand) return `${brand.brand} ${brand.version}`;
  for (const [name, pattern] of PATTERNS) {
    const version = pattern.exec(navigator.userAgent)?.[1];
    if (version) return `${name} ${version}`;
  }
  return 'an unnamed browser';
}

// Where a browser keeps nothing for this page, the page works and forgets.
function kept(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function keep(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // Nothing to do: see above.
  }
}

/** A switch between light and dark. What equals the system's choice is not kept, so that the page follows it again. */
export function setUpTheme() {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const button = byId('theme');
  const systemTheme = () => (system.matches ? 'dark' : 'light');
  const apply = () => {
    const own = kept(THEME);
    if (own) document.documentElement.dataset.theme = own;
    else delete document.documentElement.dataset.theme;
    button.setAttribute('aria-pressed', String((own ?? systemTheme()) === 'dark'));
  };
  button.addEventListener('click', () => {
    const next = button.getAttribute('aria-pressed') === 'true' ? 'light' : 'dark';
    keep(THEME, next === systemTheme() ? null : next);
    apply();
  });
  system.addEventListener('change', apply);
  apply();
}

/**
 * Whether the browser ended its session since it first saw that this run waits for a restart: the lasting half of the
 * mark is still there and the half that a session cookie holds is gone. "No" is the answer in doubt; it only makes the
 * page explain the restart once more.
 */
export function wasRestarted(run) {
  const mark = `${MARK}=${encodeURIComponent(run)}`;
  if (kept(MARK) === run) return !document.cookie.split('; ').includes(mark);
  keep(MARK, run);
  document.cookie = `${mark}; SameSite=Strict; Path=/`;
  return false;
}
