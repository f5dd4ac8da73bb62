/** Longer timers than 2^31 ms run out at once (HTML: a signed 32-bit number of milliseconds). */
const LONGEST_MS = 2e9;
/** Timers may fire early by a little, which would tell a second twice or put off the last question. */
const LATE_MS = 10;
/** Requests that other tabs and pages make can move the end silently, so the server is asked again this often. */
const ASK_AGAIN_MS = 10_000;
/** The server tells times in whole seconds, so that an end is certain only this much later. */
const ROUNDING_MS = 1500;

/**
 * Announces the end of a session each second of its last `lead` milliseconds.
 *
 * `ask` asks the server, which leads to `set` or `stop`. A wrong answer here alarms or surprises a person; nothing else
 * hangs on it.
 */
export function createCountdown(lead: number, ask: () => Promise<unknown>, announce: (seconds: number) => void) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let end = 0; // Not known, which is as good as long ago.
  let asked = 0;
  let wanted = false;

  function schedule() {
    const left = end - Date.now();
    clearTimeout(timer);
    if (wanted) {
      timer = setTimeout(
        tick,
        LATE_MS + (left > lead ? Math.min(left - lead, LONGEST_MS) : left > 0 ? left % 1000 || 1000 : left > -ROUNDING_MS ? ROUNDING_MS : ASK_AGAIN_MS),
      );
    }
  }

  async function tick() {
    if (end - Date.now() <= -ROUNDING_MS || Date.now() - asked > ASK_AGAIN_MS) {
      asked = Date.now();
      // Not to be reached: the count goes on from what was last known.
      await ask().catch(() => {});
    }
    if (!timer) return;
    const left = end - Date.now();
    if (left <= lead && left > -ROUNDING_MS) announce(Math.max(0, Math.round(left / 1000)));
    schedule();
  }

  return {
    /** The session ends in `ms`. */
    set(ms: number) {
      asked = Date.now();
      end = asked + ms;
      schedule();
    },
    /** Somebody listens now. */
    want() {
      wanted = true;
      clearTimeout(timer);
      timer = setTimeout(tick);
    },
    stop() {
      end = 0;
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
