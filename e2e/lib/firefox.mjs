// Debian's Firefox with a profile of its own, opened at an address and driven by the pages it finds there.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Child } from './process.mjs';

const PATHS = ['/usr/bin/firefox-esr', '/usr/bin/firefox'];

export function firefoxPath() {
  const path = process.env.FIREFOX ?? PATHS.find((each) => existsSync(each));
  if (!path) throw new Error('There is no Firefox. Run scripts/setup-tests, or name one in FIREFOX.');
  return path;
}

// Nothing but what the page asks for: no updates, no services, no first-run pages, and nothing brought back of the last
// time. Pages may open tabs by themselves.
const PREFERENCES = {
  'app.normandy.enabled': false,
  'app.update.enabled': false,
  'browser.aboutwelcome.enabled': false,
  'browser.newtabpage.enabled': false,
  'browser.region.update.enabled': false,
  'browser.safebrowsing.downloads.enabled': false,
  'browser.safebrowsing.malware.enabled': false,
  'browser.safebrowsing.phishing.enabled': false,
  'browser.sessionstore.privacy_level': 2,
  'browser.sessionstore.resume_from_crash': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'browser.startup.page': 0,
  'datareporting.policy.dataSubmissionEnabled': false,
  'dom.disable_open_during_load': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'network.prefetch-next': false,
  'network.proxy.type': 0,
  'services.settings.server': 'data:,#remote-settings-dummy/v1',
  'toolkit.telemetry.enabled': false,
};

/**
 * Opens an address in a headless Firefox that keeps its profile in `profile`. Stop it with `stop()`.
 * @param {Record<string, boolean | number | string>} [preferences] beside the quiet ones
 */
export function openFirefox(profile, address, preferences = {}) {
  mkdirSync(profile, { recursive: true });
  const lines = Object.entries({ ...PREFERENCES, ...preferences }).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`);
  writeFileSync(join(profile, 'user.js'), `${lines.join('\n')}\n`);
  return new Child(firefoxPath(), ['--headless', '--no-remote', '--profile', profile, address], { env: { MOZ_CRASHREPORTER_DISABLE: '1' }, input: '' });
}
