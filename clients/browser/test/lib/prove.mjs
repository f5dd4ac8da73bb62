// A scenario is run with the library as built and must satisfy `check`; run with each weakened twin it must not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Browser } from './browser.mjs';
import { startGateway, startStranger } from './gateway.mjs';
import { real, twin } from './library.mjs';

export const ADA = { username: 'ada', password: 'correct horse battery' };
export const GRACE = { username: 'grace', password: 'staple of the navy' };

/** Everything one run of a scenario needs and leaves behind. */
class World {
  #undo = [];

  static async start(library, options) {
    const world = new World();
    world.library = library;
    world.gateway = await startGateway(options);
    world.stranger = await startStranger();
    world.browser = new Browser(world.gateway.origin);
    world.undo(() => world.gateway.close());
    world.undo(() => world.stranger.close());
    return world;
  }

  /** A client in a tab of its own of the one browser. */
  tab(options = {}) {
    const sessile = this.library.createSessile({ origin: this.gateway.origin, fetch: this.browser.fetch, ...options });
    this.undo(() => sessile.close());
    return sessile;
  }

  /** A tab with the token in memory in which somebody signed in. */
  async signedIn(options = {}, who = ADA) {
    const sessile = this.tab({ storage: this.library.inMemory(), ...options });
    await sessile.signIn(who);
    return sessile;
  }

  url(path) {
    return this.gateway.origin + path;
  }

  /** Replaces a property until the end of the run. */
  replace(object, name, value) {
    const before = Object.getOwnPropertyDescriptor(object, name);
    Object.defineProperty(object, name, { value, configurable: true, writable: true });
    this.undo(() => (before ? Object.defineProperty(object, name, before) : delete object[name]));
  }

  /** Sets the client's clock ahead, or back. */
  shiftClock(ms) {
    const now = Date.now.bind(Date);
    this.replace(Date, 'now', () => now() + ms);
  }

  undo(step) {
    this.#undo.unshift(step);
  }

  async end() {
    for (const step of this.#undo) await step();
  }
}

async function observe(library, options, scenario) {
  const world = await World.start(library, options);
  try {
    return await scenario(world);
  } finally {
    await world.end();
  }
}

/**
 * @param {string} name
 * @param {object} parts
 * @param {object} [parts.gateway] options of the gateway
 * @param {(world: World) => Promise<any>} parts.scenario what happens; returns what was seen
 * @param {(seen: any) => void} parts.check asserts on what was seen
 * @param {Record<string, [string, string] | [string, string][]>[]} parts.twins changes to the sources, each of which must fail the check
 */
export function prove(name, { gateway, scenario, check, twins }) {
  assert.ok(twins.length, `${name} has no negative control`);
  test(name, { timeout: 60_000 }, async () => {
    check(await observe(real, gateway, scenario));
    for (const changes of twins) {
      const seen = await observe(await twin(changes), gateway, scenario);
      assert.throws(() => check(seen), assert.AssertionError, `not noticed: ${JSON.stringify(changes)}`);
    }
  });
}

/** Everything a client tells from now on, with the subject in place of the session. */
export function record(sessile, names = ['signed-in', 'signed-out', 'renewed', 'storage-blocked']) {
  const events = [];
  for (const name of names) {
    sessile.on(name, ({ session, ...detail }) => events.push({ name, ...detail, ...(session && { subject: session.subject }) }));
  }
  return events;
}

/** What a promise came to: its value, or the code, name and message of its error. */
export const outcome = (promise) =>
  promise.then(
    (value) => ({ value }),
    (error) => ({ error, code: error.code, name: error.name }),
  );
