import { createCarrier, memoryVault } from './carrier.js';
import type { Adapter, BodyStorage, Held } from './types.js';

/**
 * A token in one of the two web storages, or in memory once the browser refuses that. `storage` is asked each time,
 * because reaching for it may already throw.
 */
export function webStorage(name: BodyStorage, isShared: boolean, storage: () => Storage): Adapter {
  return (context) => {
    const key = `sessile:${context.origin}${context.prefix}`;
    const memory = memoryVault();
    let blocked = false;

    function guarded<T>(use: () => T, otherwise: T): T {
      try {
        if (!blocked) return use();
      } catch {
        blocked = true;
        context.blocked();
        try {
          storage().removeItem(key); // A full store still lets go of what it has.
        } catch {}
      }
      return otherwise;
    }

    return createCarrier(context, name, {
      get keptIn() {
        return blocked ? 'memory' : name;
      },
      get shared() {
        return isShared && !blocked;
      },
      read: () => guarded(() => parse(storage().getItem(key)), memory.read()),
      write(held) {
        memory.write(held);
        guarded(() => (held ? storage().setItem(key, JSON.stringify(held)) : storage().removeItem(key)), undefined);
      },
    });
  };
}

/** What was stored, if it is what we store. Anybody in the page may have written it. */
function parse(text: string | null): Held | null {
  try {
    const held = JSON.parse(text!);
    return /^[\w.~+/=-]+$/.test(held.token) && Number.isFinite(held.at) && held.life > 0 ? held : null;
  } catch {
    return null;
  }
}
