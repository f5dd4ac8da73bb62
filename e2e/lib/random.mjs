// Randomness that can be repeated: every random test prints its seed, and SESSILE_SEED (or --seed N) plays it again.

export function chooseSeed() {
  const at = process.argv.indexOf('--seed');
  const given = at > 0 ? process.argv[at + 1] : process.env.SESSILE_SEED;
  return given === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(given) >>> 0;
}

/** mulberry32. Good enough to choose among cases; nothing secret comes from it. */
export class Random {
  #state;

  constructor(seed) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  below(limit) {
    return Math.floor(this.next() * limit);
  }

  between(low, high) {
    return low + this.below(high - low + 1);
  }

  pick(items) {
    return items[this.below(items.length)];
  }

  chance(probability) {
    return this.next() < probability;
  }

  /** A generator of its own, so that concurrent actors do not disturb each other's sequence. */
  fork() {
    return new Random(Math.floor(this.next() * 2 ** 32));
  }
}
