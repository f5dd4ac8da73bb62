// The end of a world: what it started stops, the last first, and its folder goes.
import { rmSync } from 'node:fs';

/** Runs every closer, whatever became of the one before it; then says what failed. */
export async function closeAll(closers, dir) {
  const failures = [];
  for (const close of closers.splice(0).reverse()) {
    await Promise.resolve().then(close).catch((error) => failures.push(error));
  }
  rmSync(dir, { recursive: true, force: true });
  if (failures.length > 0) throw new AggregateError(failures, 'The world did not close cleanly');
}
