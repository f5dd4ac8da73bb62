import { abortable } from './time.js';
import type { Hold } from './types.js';

/** Where requests that were refused because nobody is signed in wait for somebody to sign in. */
export function createWaitingRoom({ max = 20, seconds = 120 }: Hold) {
  const waiting = new Set<(subject?: string) => void>();
  return {
    /**
     * Whether to send the request again. `owner` is whose it was: another person's sign-in does not send it. `null`
     * was nobody's. Rejects when `signal` is aborted.
     */
    async wait(owner: string | null, signal: AbortSignal): Promise<boolean> {
      if (waiting.size >= max) return false;
      let admit!: (subject?: string) => void;
      const turn = new Promise<boolean>((resolve) => {
        admit = (subject) => resolve(subject !== undefined && (owner === null || owner === subject));
      });
      waiting.add(admit);
      const timer = setTimeout(admit, seconds * 1000);
      try {
        return await abortable(turn, signal);
      } finally {
        waiting.delete(admit);
        clearTimeout(timer);
      }
    },

    /** `subject` signed in; without one, nobody will. */
    open(subject?: string) {
      for (const admit of waiting) admit(subject);
    },
  };
}
