// The lab's API on this same origin.

const GET_MS = 10_000;
// Starting a run starts gateways.
const POST_MS = 120_000;

/** Nothing answers: the lab was stopped, or the machine sleeps. */
export class LabGone extends Error {}

/** The lab answered, and said no. `message` is its own sentence where it gave one. */
export class LabRefused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, init, limit) {
  let response;
  let body;
  try {
    response = await fetch(path, { ...init, cache: 'no-store', signal: AbortSignal.timeout(limit) });
    body = await response.text();
  } catch (cause) {
    throw new LabGone(`No answer to ${path}`, { cause });
  }
  if (!response.ok) throw new LabRefused(response.status, sentence(body) ?? `The lab answered ${response.status} to ${path}.`);
  try {
    return JSON.parse(body);
  } catch (cause) {
    throw new LabRefused(response.status, `The lab's answer to ${path} is not JSON.`, { cause });
  }
}

function sentence(body) {
  try {
    const { detail, error, title } = JSON.parse(body);
    return detail ?? error ?? title;
  } catch {
    return undefined;
  }
}

const post = (path, json) =>
  ask(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(json) }, POST_MS);

const run = (id) => `/lab/api/runs/${encodeURIComponent(id)}`;

export const exportPath = (id) => `${run(id)}/export`;
export const readCatalogue = () => ask('/lab/api/catalogue', {}, GET_MS);
export const readRun = (id) => ask(run(id), {}, GET_MS);
export const startRun = (storages) => post('/lab/api/runs', { storages });
export const continueRun = (id) => post(`${run(id)}/restarted`, {});
