import { sleep } from './time.js';

const TYPES = ['renewed', 'signed-in', 'signed-out', 'sign-out-owed', 'no-session'] as const;

/** What tabs tell each other: that something happened. Never a token. */
export interface TabMessage {
  readonly sessile: 1;
  /** `no-session` is for the listener to check; `sign-out-owed` says that the server has not been told yet. */
  readonly type: (typeof TYPES)[number];
  /** Whether the session's access token travels in bodies. */
  readonly token: boolean;
  readonly subject?: string | undefined;
}

/** Longer than a refresh of a healthy server; a tab that holds the lock longer is hung or frozen. */
const LOCK_WAIT_MS = 5000;
/** A lock can be handed on before a message sent earlier arrives; measured at 11 ms, at most 17. */
const DELIVERY_MS = 50;
/** Without locks, tabs that wake together spread over this. */
const SPREAD_MS = 200;

/** Keeps the tabs of one gateway in step, as far as this browser has the means. */
export function joinTabs(scope: string, hear: (message: TabMessage) => void) {
  const name = `sessile:${scope}`;
  let channel: BroadcastChannel | undefined;
  try {
    channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => {
      if (isTabMessage(data)) hear(data);
    };
  } catch {
    // Not there, or not for this kind of page. Other tabs then learn from the server.
  }

  return {
    tell(message: Omit<TabMessage, 'sessile'>) {
      channel?.postMessage({ sessile: 1, ...message });
    },

    /**
     * Runs `work` while no other tab runs any: by Web Locks, which outlive no tab. Without them, or after waiting too
     * long, it runs anyway: the server answers parallel refreshes with one and the same successor, so a lock saves
     * requests and is not needed for safety.
     */
    async exclusively<T>(work: () => Promise<T>, shared: () => boolean): Promise<T> {
      const locks = globalThis.navigator?.locks as LockManager | undefined;
      if (!locks) {
        if (shared()) await sleep(Math.random() * SPREAD_MS);
        return work();
      }
      return new Promise((resolve) => {
        let running: Promise<T> | undefined;
        const run = () => {
          running = work();
          resolve(running);
          // The caller goes on at once; the lock is kept until the news has arrived.
          return running.then(
            () => (shared() ? sleep(DELIVERY_MS) : undefined),
            () => {},
          );
        };
        locks.request(name, { signal: AbortSignal.timeout(LOCK_WAIT_MS) }, run).catch(() => {
          if (!running) void run();
        });
      });
    },

    close() {
      channel?.close();
      channel = undefined; // What is under way may still have something to tell.
    },
  };
}

/** Any script of the origin can use the channel, so nothing on it is believed for its name alone. */
function isTabMessage(data: any): data is TabMessage {
  return (
    data?.sessile === 1 &&
    TYPES.includes(data.type) &&
    typeof data.token === 'boolean' &&
    ['string', 'undefined'].includes(typeof data.subject)
  );
}
