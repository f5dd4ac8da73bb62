// Measures the subjects of one case in turns, so that whatever the machine does meanwhile meets all of them.
import { median } from '../../../ci/benchmarks.mjs';
import { sleep } from '../../../e2e/lib/process.mjs';
import { busyShares, coreTicks, cpu, memory } from './processes.mjs';
import * as load from './load.mjs';
import { profile } from './profile.mjs';

/**
 * What is measured.
 * @typedef {object} Subject
 * @property {string} name
 * @property {number} pid its processes are this one and its descendants
 * @property {() => Promise<load.Target>} prepare signs in where that is needed, and gives the request
 * @property {(target: load.Target) => Promise<void>} check throws unless that request is answered as it must be, and without
 *   its credentials is not
 */

/**
 * Rounds as fast as each subject can, and then rounds at half of what the slowest could, the same rate for all.
 * @param {Subject[]} subjects
 * @param {object} how
 * @param {(target, how) => Promise<{requests: number, per_second: number}>} [how.full] the load of the first rounds
 * @param {number} how.rounds
 * @param {number} how.seconds of each of the first rounds
 * @param {number} how.halfSeconds of each of the others; 0: there are none
 * @param {number} how.connections
 * @param {number} [how.streams] requests at a time on each
 * @param {string} how.dir for files of a moment
 * @param {string[]} how.profiled subjects of which it is also sampled where their time goes, after the rounds
 * @param {(line: string) => void} how.say
 * @param {string} [ceiling] the subject whose rate is no other's concern
 * @returns {Promise<{rate?: number, subjects: Record<string, {full: object[], half: object[]}>}>} raw rounds
 */
export async function measure(subjects, how, ceiling) {
  const { full = load.closed } = how;
  const results = Object.fromEntries(subjects.map(({ name }) => [name, { full: [], half: [] }]));
  await inTurns(subjects, how.rounds, async (subject, target) => {
    await full(target, { ...how, seconds: WARM_UP_SECONDS });
    const round = await during(subject, how.seconds, () => full(target, how));
    results[subject.name].full.push(round);
    how.say(`${subject.name}: ${Math.round(round.per_second)}/s`);
  });
  for (const subject of subjects.filter(({ name }) => how.profiled.includes(name))) {
    const target = await subject.prepare();
    const [profiled] = await Promise.all([profile(subject.pid, { seconds: how.seconds, dir: how.dir }), full(target, { ...how, seconds: how.seconds + 0.5 })]);
    results[subject.name].profile = profiled;
    how.say(`${subject.name}: ${profiled.why ?? 'profiled'}`);
  }
  if (how.halfSeconds === 0) return { subjects: results };

  const compared = subjects.filter(({ name }) => name !== ceiling);
  const rate = Math.round(Math.min(...compared.map(({ name }) => median(results[name].full.map((round) => round.per_second)))) / 2);
  await inTurns(compared, how.rounds, async (subject, target) => {
    const pace = { rate, dir: how.dir };
    await load.paced(target, { ...pace, seconds: WARM_UP_SECONDS });
    const round = await during(subject, how.halfSeconds, () => load.paced(target, { ...pace, seconds: how.halfSeconds }));
    results[subject.name].half.push(round);
    how.say(`${subject.name}: p99 ${round.p99_micros} µs at ${rate}/s`);
  });
  return { rate, subjects: results };
}

const WARM_UP_SECONDS = 0.5;

/** `act` on each subject once a round, beginning with another one in each. */
export async function inTurns(subjects, rounds, act) {
  for (let round = 0; round < rounds; round += 1) {
    for (let i = 0; i < subjects.length; i += 1) {
      const subject = subjects[(round + i) % subjects.length];
      const target = await subject.prepare();
      await subject.check(target);
      await act(subject, target);
    }
  }
}

/** What `act` gives, with what the subject's processes took for it. */
export async function during(subject, seconds, act) {
  const [cores, before] = [coreTicks(), cpu(subject.pid)];
  const [said, bytes] = await Promise.all([act(), sleep(seconds * 500).then(() => memory(subject.pid))]);
  const after = cpu(subject.pid);
  return {
    ...said,
    user_micros: (after.user - before.user) / said.requests,
    kernel_micros: (after.kernel - before.kernel) / said.requests,
    memory_bytes: bytes,
    busy: busyShares(cores, coreTicks()),
  };
}
