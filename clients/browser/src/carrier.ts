import type { AdapterContext, BodyStorage, Carrier, Handling, Held, KeptIn } from './types.js';

/** A place for a token. Never throws. */
export interface Vault {
  readonly keptIn: KeptIn;
  readonly shared: boolean;
  read(): Held | null;
  write(held: Held | null): void;
}

/** Puts the token of `vault` into requests and new ones of answers into `vault`, in the page or in a worker. */
export function createCarrier(
  context: Pick<AdapterContext, 'fetch' | 'mayCarry' | 'trustRedirects'>,
  asks: BodyStorage,
  vault: Vault,
): Carrier {
  // An exchange that began before a later one ended, or before the token was cleared, is out of date: dropping its
  // token costs a renewal, keeping it could bring back a session that is over.
  let changes = 0;
  function write(held: Held | null) {
    changes += 1;
    vault.write(held);
  }

  return Object.assign(vault, {
    asks,
    status() {
      const held = vault.read();
      return held && { at: held.at, life: held.life };
    },
    async send(request: Request, handling: Handling) {
      const held = handling === 'bearer' && context.mayCarry(request.url) && vault.read();
      if (held) {
        // Not every browser drops Authorization when a redirect leaves the origin, so none is followed with it.
        request = new Request(request, request.redirect === 'follow' && !context.trustRedirects ? { redirect: 'manual' } : {});
        request.headers.set('authorization', `Bearer ${held.token}`);
      }
      const began = changes;
      const response = await context.fetch(request);
      if (handling === 'bearer' || !response.ok) return response;
      let body = await response.text();
      try {
        const { access_token: token, ...rest } = JSON.parse(body);
        body = JSON.stringify(rest);
        // No token: the server keeps it now, so one that is held here is of no use to anybody but a thief.
        if (began === changes) write(token ? { token, at: Date.now(), life: (rest.expires_in > 0 ? rest.expires_in : 60) * 1000 } : null);
      } catch {
        // Not from the gateway, which the client notices.
      }
      return new Response(body, response);
    },
    clear: () => write(null),
    close() {},
  });
}

/** A closure. */
export function memoryVault(): Vault {
  let held: Held | null = null;
  return {
    keptIn: 'memory',
    shared: false,
    read: () => held,
    write(next) {
      held = next;
    },
  };
}
