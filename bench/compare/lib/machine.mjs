// What was measured on, and which versions of everything.
import { cpus, release, totalmem } from 'node:os';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, runOk } from '../../../e2e/lib/process.mjs';
import { ROOT } from '../../../e2e/lib/sessile.mjs';
import { HERE } from './servers.mjs';
import { CORES } from './processes.mjs';

/** Fails where the servers and the load cannot have a processor each. */
export function machine() {
  const all = cpus();
  if (all.length < 2) throw new Error('Two processors are needed: one for the server that is measured, one for the load.');
  return { cpu: all[0].model.trim(), processors: all.length, memory_bytes: totalmem(), kernel: release(), cores: CORES };
}

/** By name; of Debian's packages, npm's and those of crates. */
export async function versions() {
  const own = JSON.parse(readFileSync(join(HERE, 'package.json'), 'utf8')).dependencies;
  const commit = (await run('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD'])).stdout.trim();
  const changed = (await run('git', ['-C', ROOT, 'status', '--porcelain', '--', 'crates', 'bench', 'Cargo.toml', 'Cargo.lock'])).stdout.trim() !== '';
  return {
    sessile: `${crate('Cargo.lock', 'sessile-server')}${commit ? `, commit ${commit}${changed ? ' with changes' : ''}` : ''}`,
    rustc: (await runOk('rustc', ['--version'])).stdout.trim().replace(/^rustc /, ''),
    ...(await packages(['nginx', 'nginx-light', 'apache2-bin', 'libapache2-mod-auth-openidc', 'redis-server', 'postgresql-15', 'openssl', 'nghttp2-client'])),
    ...Object.fromEntries(CRATES.map((name) => [name, crate('bench/peers/Cargo.lock', name)])),
    node: process.versions.node,
    ...own,
  };
}

const CRATES = ['axum', 'hyper', 'tokio', 'tower-sessions', 'tower-sessions-redis-store'];

function crate(lock, name) {
  const found = [...readFileSync(join(ROOT, lock), 'utf8').matchAll(/^name = "(.+)"\nversion = "(.+)"$/gm)].filter(([, each]) => each === name);
  if (found.length === 0) throw new Error(`${lock} has no ${name}`);
  return found.map(([, , version]) => version).join(' and ');
}

// Of the packages that are not installed dpkg-query says nothing.
async function packages(names) {
  const { stdout } = await run('dpkg-query', ['-W', '-f', '${db:Status-Status}\t${Package}\t${Version}\n', ...names]);
  return Object.fromEntries(
    stdout.split('\n').filter((line) => line.startsWith('installed\t')).map((line) => line.split('\t').slice(1)),
  );
}
