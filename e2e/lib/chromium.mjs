// Debian's Chromium, driven by playwright-core, that can reach nothing but this machine.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const PATHS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export function chromiumPath() {
  const path = process.env.CHROMIUM ?? PATHS.find((each) => existsSync(each));
  if (!path) throw new Error('There is no Chromium. Run scripts/setup-tests, or name one in CHROMIUM.');
  return path;
}

/**
 * One browser process. Contexts made from it are separate browsers as far as cookies go.
 * @param {object} [options]
 * @param {string} [options.spki] the one certificate to trust, as the hash of its key
 * @param {boolean} [options.backForwardCache] Playwright turns that cache off; this leaves it on
 */
export function launchChromium(options) {
  return chromium.launch(launchOptions(options));
}

/** One browser that is also its only context, with a profile in `dir` that outlives it. */
export function openProfile(dir, options) {
  return chromium.launchPersistentContext(dir, launchOptions(options));
}

function launchOptions({ spki, backForwardCache = false } = {}) {
  return {
    ignoreDefaultArgs: backForwardCache ? ['--disable-back-forward-cache'] : [],
    executablePath: chromiumPath(),
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--host-resolver-rules=MAP *.test 127.0.0.1, MAP *.localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1',
      ...(spki ? [`--ignore-certificate-errors-spki-list=${spki}`] : []),
    ],
  };
}
