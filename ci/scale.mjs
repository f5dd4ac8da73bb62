// The tables of docs/scale.md, made from docs/measured/scale-units.json and scale-simulation.json. Used by measured.mjs.
// Every figure of the page is one of these files' or follows from them here.

import { filledWith, selfTestOf } from "./tables.mjs";

// ---- figures and their words

/** A number as people read it: three figures, thousands apart. */
export function figure(number) {
  if (!Number.isFinite(number)) throw new Error(`a figure of docs/scale.md is ${number}`);
  if (number === 0) return "0";
  if (Math.abs(number) < 0.001) return "< 0.001";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(number))));
  const rounded = Number(number.toPrecision(3));
  return rounded.toLocaleString("en-US", { maximumFractionDigits: Math.min(digits, 3) });
}

/** A number of bytes. */
export function bytes(number) {
  for (const [unit, size] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (number >= size) return `${figure(number / size)} ${unit}`;
  }
  return `${figure(number)} B`;
}

const millis = (number) => `${figure(number)} ms`;
const minutes = (seconds) => `${seconds / 60} min`;
const size = ({ nodes, sessions }) => `${figure(nodes)} ${nodes === 1 ? "node" : "nodes"}, ${short(sessions)} sessions`;
const short = (number) => (number >= 1e6 ? `${number / 1e6}M` : `${number / 1e3}k`);
const table = (head, rows) => [`| ${head.join(" | ")} |`, `|${"---|".repeat(head.length)}`, ...rows.map((row) => `| ${row.join(" | ")} |`)];

const title = (store) => {
  const [kind, ...rest] = store.name.split(", ");
  const name = { sqlite: "SQLite", postgres: "PostgreSQL", redis: "Redis" }[kind];
  return rest.length > 0 ? `${name}, \`${rest.join(", ")}\`` : name;
};

// ---- arithmetic

const cost = (store, operation) => {
  const found = store.operations.find((one) => one.operation === operation);
  if (!found) throw new Error(`scale-units.json has no operation "${operation}" of ${store.name}`);
  return found;
};

/** Bytes that one live session takes in a store. Redis answers for all of its memory; the rest of its parts are in that. */
export function sessionBytes(store) {
  const whole = store.session_bytes.find(({ what }) => what === "all of it");
  return whole ? whole.bytes : store.session_bytes.reduce((sum, part) => sum + part.bytes, 0);
}

/** Ending sessions, with several nodes at it where there can be several. */
const endings = (store) => cost(store, store.follow.nodes > 1 ? "revoke, from eight nodes" : "revoke");

// One is held back for ending sessions, and one listens.
const OWN_CONNECTIONS = 2;

// Which measured operation each simulated one is.
const KINDS = { confirm_new: "confirm, first", confirm_again: "confirm, again", load: "load", rotate: "rotate", insert: "insert", revoke: "revoke", events: "append event" };

/** Operations a second; events go in batches. */
const operations = (run) => Object.keys(KINDS).filter((kind) => kind !== "events").reduce((sum, kind) => sum + run.per_second[kind], 0);

/** Processors that a store's server is busy with for the sessions of a run. */
export function processors(store, run) {
  return Object.entries(KINDS).reduce((sum, [kind, operation]) => sum + (run.per_second[kind] * cost(store, operation).server_micros) / 1e6, 0);
}

// Measured was what it takes until a node that waits knows of one ending: its listener's look and one page. A page counts as the
// operation does, so a look as all the rest: as dear as it can be, since there are more looks than pages.
const parts = (store) => {
  const { follow } = store;
  const page = cost(store, "feed, nothing new");
  const pageBytes = page.bytes_up + page.bytes_down;
  return {
    page: { micros: page.server_micros, bytes: pageBytes },
    look: { micros: Math.max(follow.delivery_micros - page.server_micros, 0), bytes: Math.max(follow.delivery_bytes - follow.entry_bytes - pageBytes, 0) },
  };
};

/** Processors that it is busy with to tell every node of every ending. */
export function telling(store, run) {
  const { page, look } = parts(store);
  return (run.nodes * (run.feed.pages_per_node * page.micros + run.feed.looks_per_node * look.micros)) / 1e6;
}

const feedBytes = (store, run) => {
  const { page, look } = parts(store);
  return run.feed.pages_per_node * page.bytes + run.feed.looks_per_node * look.bytes + run.feed.entries_per_second * store.follow.entry_bytes;
};

// ---- tables

const found = (simulation, sticky) => simulation.outcomes.filter((run) => (run.affinity > 0) === sticky);
const servers = (units) => units.stores.filter((store) => store.follow.nodes > 1);
// Each kind of store once, as synced as it can be: an acknowledged write survives a loss of power.
const SYNCED = ["sqlite", "postgres", "redis, appendfsync always"];
const synced = (units) => units.stores.filter((store) => SYNCED.includes(store.name));
const syncedServers = (units) => synced(units).filter((store) => store.follow.nodes > 1);
const kind = (store) => title({ name: store.name.split(", ")[0] });
const pair = (simulation, run, sticky) => found(simulation, sticky).find((one) => one.nodes === run.nodes && one.access_secs === run.access_secs);
const strong = (words, is) => (is ? `**${words}**` : words);

export const TABLES = {
  answer: ({ units, simulation, rules }) => {
    const [sqlite, postgres, redis] = SYNCED.map((name) => units.stores.find((store) => store.name === name));
    const rows = found(simulation, true).map((run) => {
      const all = (store) => processors(store, run) + telling(store, run);
      const own = run.nodes > 1 ? "–" : `${figure(processors(sqlite, run))} processors, ${bytes(run.sessions * sessionBytes(sqlite))}`;
      const share = run.feed.entries_per_second / endings(postgres).per_second;
      const connections = run.nodes * (rules.connections + OWN_CONNECTIONS);
      const shared = `${figure(all(postgres))} processors, ${strong(`${figure(share * 100)} % of its endings`, share > 1)}, ${figure(connections)} connections`;
      const threads = all(redis);
      const inMemory = `${strong(`${figure(threads * 100)} % of its thread`, threads > 1)}, ${bytes(run.sessions * sessionBytes(redis))} of memory`;
      return [size(run), minutes(run.access_secs), own, shared, inMemory];
    });
    return table(["", "Access token", "SQLite", "PostgreSQL", "Redis"], rows);
  },

  sweep: ({ simulation, rules }) => {
    const rows = found(simulation, true).map((run) => {
      const over = (run.per_second.insert - run.per_second.revoke) * 60;
      const swept = (run.nodes * rules.sweepBatch * rules.sweepBatches * 60) / rules.sweepEvery;
      return [size(run), minutes(run.access_secs), figure(over), figure(swept), strong(over > swept ? "falls behind" : "keeps up", over > swept)];
    });
    return table(["", "Access token", "Sessions over by themselves, a minute", "Records that all nodes may sweep, a minute", ""], rows);
  },

  machine: ({ units }) => [
    `${units.processors} processors, shared by the program that measures, the servers and whatever else ran there (load average ${figure(units.load)} at the start);`,
    `${figure(units.sessions)} sessions in each store; ${units.at_once} operations at a time; ${millis(units.sync_ms)} at most to write 4 kB over and sync them, half of the time.`,
    `${[...new Set(units.stores.map((store) => store.version))].join(", ")}.`,
  ],

  record: ({ units }) => {
    const rows = units.stores
      .filter((store) => !store.name.endsWith("everysec"))
      .map((store) => {
        const parts = store.session_bytes.filter(({ what }) => what !== "all of it").map(({ what, bytes: each }) => `\`${what}\` ${figure(each)}`);
        const total = sessionBytes(store);
        return [title(store), figure(total), parts.join(", "), bytes(total * 1e6), bytes(total * 1e7), bytes(total * 1e8)];
      });
    return table(["Store", "Bytes a session", "of these", "1M", "10M", "100M"], rows);
  },

  operations: ({ units }) => {
    const names = [...new Set(units.stores.flatMap((store) => store.operations.map(({ operation }) => operation)))];
    const cell = (store, operation) => {
      const one = store.operations.find((each) => each.operation === operation);
      return one ? `${figure(one.per_second)}/s; ${figure(one.server_micros)} µs` : "–";
    };
    return table(["Operation", ...units.stores.map(title)], names.map((operation) => [operation, ...units.stores.map((store) => cell(store, operation))]));
  },

  wire: ({ units }) => {
    const stores = syncedServers(units);
    const names = stores[0].operations.map(({ operation }) => operation);
    const cell = (store, operation) => {
      const one = cost(store, operation);
      return `${bytes(one.bytes_up)} / ${bytes(one.bytes_down)}; ${figure(one.node_micros)} µs`;
    };
    const rows = names.map((operation) => [operation, ...stores.map((store) => cell(store, operation))]);
    return table(["Operation", ...stores.map((store) => kind(store))], rows);
  },

  follow: ({ units }) => {
    const rows = servers(units).map((store) => {
      const { follow } = store;
      return [title(store), `${bytes(follow.idle_bytes)}/s; ${figure(follow.idle_micros)} µs/s`, `${bytes(follow.delivery_bytes)}; ${figure(follow.delivery_micros)} µs`, `${figure(1e6 / follow.delivery_micros)}/s`, bytes(follow.entry_bytes), bytes(store.feed_entry_bytes), bytes(store.event_bytes)];
    });
    return table(["Server", "One node, idle", "One node told of one ending", "Tellings that keep one processor busy", "An entry within a full page", "An entry kept in the store", "A security event kept in the store"], rows);
  },

  everybody: ({ units }) => {
    const rows = units.stores.map((store) => {
      const { sessions, seconds, patience_seconds } = store.everybody;
      return [title(store), figure(sessions), `${figure(seconds)} s`, `${figure(patience_seconds)} s`, figure((sessions / seconds) * patience_seconds)];
    });
    return table(["Store", "Live sessions", "All ended in", "Allowed", "Live sessions that come to that"], rows);
  },

  node: ({ units }) => {
    const row = (what) => ({ count, bytes: each }) => [what, short(count), figure(each), bytes(each * count)];
    return table(["", "of how many", "Bytes for one", "together"], [...units.view_entry.map(row("An ended session in a node's view")), ...units.warm_token.map(row("A warm access token"))]);
  },

  load: ({ units, simulation }) => {
    const stores = synced(units);
    const head = ["", "Access token", "Requests/s", "Sign-ins/s", "Renewals/s", "First sights/s", "Store operations/s", ...stores.map((store) => `Processors, ${kind(store)}`)];
    const rows = found(simulation, true).map((run) => {
      const ops = run.per_second;
      const busy = stores.map((store) => (store.name === "sqlite" && run.nodes > 1 ? "–" : figure(processors(store, run))));
      return [size(run), minutes(run.access_secs), figure(ops.requests), figure(ops.insert), figure(ops.rotate), figure(ops.confirm_new + ops.confirm_again), figure(operations(run)), ...busy];
    });
    return table(head, rows);
  },

  scattered: ({ units, simulation }) => {
    const stores = syncedServers(units);
    const head = ["", "Access token", "Store operations/s", "for each request", "with affinity", ...stores.map((store) => `Processors, ${kind(store)}`)];
    const rows = found(simulation, false).map((run) => {
      const sticky = pair(simulation, run, true);
      const each = (one) => figure(operations(one) / one.per_second.requests);
      return [size(run), minutes(run.access_secs), figure(operations(run)), each(run), each(sticky), ...stores.map((store) => figure(processors(store, run)))];
    });
    return table(head, rows);
  },

  memory: ({ units, simulation }) => {
    const entry = units.view_entry.at(-1).bytes;
    const token = units.warm_token.at(-1).bytes;
    const head = ["", "Access token", "Ended sessions in a view", "by the formula", "after 1 % were ended at once", "View", "at most", "Live tokens of a node", "their memory", "the same, scattered"];
    const rows = found(simulation, true).map((run) => {
      const scattered = pair(simulation, run, false);
      const { view } = run;
      return [size(run), minutes(run.access_secs), figure(view.entries), figure(view.formula), figure(view.most), bytes(view.entries * entry), bytes(view.most * entry), figure(run.tokens_per_node), bytes(run.tokens_per_node * token), scattered ? bytes(scattered.tokens_per_node * token) : "–"];
    });
    return table(head, rows);
  },

  feed: ({ units, simulation }) => {
    const stores = syncedServers(units);
    const heads = stores.flatMap((store) => [`${kind(store)}: a node`, "in sum", "processors"]);
    const rows = found(simulation, true)
      .filter((run) => run.nodes > 1 && run.access_secs === 300)
      .map((run) => [
        size(run), figure(run.feed.entries_per_second), figure(run.feed.pages_per_node), figure(run.feed.looks_per_node), figure((run.feed.pages_per_node + run.feed.looks_per_node) * run.nodes),
        ...stores.flatMap((store) => [`${bytes(feedBytes(store, run))}/s`, `${bytes(feedBytes(store, run) * run.nodes)}/s`, figure(telling(store, run))]),
      ]);
    return table(["", "Endings/s", "Pages/s of a node", "Looks/s of a node", "both, of all nodes", ...heads], rows);
  },

  delay: ({ simulation }) => {
    const rows = simulation.outcomes
      .filter((run) => run.access_secs === 300 && run.affinity > 0)
      .map(({ heard, accepted, ...run }) => [size(run), millis(heard.p50_ms), millis(heard.p99_ms), millis(heard.p999_ms), millis(heard.longest_ms), millis(accepted.longest_ms)]);
    return table(["", "p50", "p99", "p99.9", "p100", "Longest that any node accepted, cut off or not"], rows);
  },

  faults: ({ simulation }) => {
    const rows = found(simulation, true).map(({ faults, ...run }) => [
      size(run), minutes(run.access_secs), figure(faults.confirms_usual), figure(faults.confirms_after_restart), figure(faults.confirms_after_gap), figure(faults.sign_ins_usual), figure(faults.sign_ins_after_everybody),
    ]);
    return table(["", "Access token", "First sights of a node in its busiest second", "after its restart", "after a gap", "Sign-ins in the busiest second", "after everybody was signed out"], rows);
  },

  samples: ({ simulation }) => {
    const [first] = simulation.samples;
    const whole = simulation.outcomes.find((run) => run.nodes === first.nodes && run.access_secs === first.access_secs && run.affinity === first.affinity);
    const all = [...simulation.samples, whole].sort((one, other) => one.sample - other.sample);
    const rows = all.map((run) => [figure(run.sample), figure(run.per_second.requests), figure(run.per_second.rotate), figure(run.per_second.insert), figure(run.feed.entries_per_second), figure(run.view.entries), figure(run.tokens_per_node)]);
    return table(["Sessions simulated, of 1M", "Requests/s", "Renewals/s", "Sign-ins/s", "Endings/s", "Ended sessions in a view", "Live tokens of a node"], rows);
  },

  assumptions: ({ simulation }) => {
    const { traffic, network, plan, seed } = simulation;
    return [
      `- A visit lasts ${figure(traffic.visit_secs / 60)} minutes, with a request every ${figure(traffic.between_requests_secs)} s; the next one comes after ${figure(traffic.between_visits_secs / 60)} minutes. All are means of exponential distributions.`,
      `- ${figure(traffic.sign_out * 100)} % of the visits end with a sign-out. The others' sessions end by the idle timeout or the absolute end, of which the feed need not tell; but who signs in anew from the same browser, before the old record was swept, replaces it, and that the feed tells.`,
      `- The load balancer brings ${figure(traffic.affinity * 100)} % of the requests to their session's own node; *scattered* means that it brings each anywhere.`,
      `- Whoever was signed out with everybody else is back after ${figure(traffic.sign_in_secs)} s, exponentially.`,
      `- A packet takes ${figure(network.hop_micros / 1000)} ms from node to store or back, half to one and a half of it, service included; one in ${figure(network.one_lost_in)} is lost and sent again after ${figure(network.resend_micros / 1000)} ms. The store is not overloaded.`,
      `- Undisturbed life is measured for ${figure((plan.disturb - plan.steady) / 60)} minutes. Then one node restarts (${plan.restart} s), one is cut off for ${plan.short_cut} s, one for ${plan.long_cut} s; an administrator ends ${figure(plan.burst * 100)} % of all sessions, ${figure(plan.burst_rate)} a second; everybody is signed out.`,
      `- Random numbers begin at ${seed}: the same run comes to the same figures.`,
    ];
  },

  ceilings: ({ units, simulation }) => {
    const rows = [];
    for (const access_secs of [300, 900]) {
      const run = found(simulation, true).find((one) => one.sessions === 1e6 && one.access_secs === access_secs);
      for (const store of units.stores) {
        const perProcessor = run.sessions / processors(store, run);
        const ended = endings(store).per_second;
        rows.push([title(store), minutes(access_secs), figure(perProcessor), bytes(perProcessor * sessionBytes(store)), `${figure(ended)}/s`, figure((run.sessions / run.feed.entries_per_second) * ended)]);
      }
    }
    return table(["Store", "Access token", "Live sessions that keep one processor of the server busy", "their bytes", "Endings it took", "Live sessions whose endings come to that"], rows);
  },

  split: ({ units, simulation }) => {
    const stores = syncedServers(units);
    const of = (nodes) => found(simulation, true).find((run) => run.nodes === nodes && run.access_secs === 900);
    const whole = of(1000);
    const rows = [of(1000), of(300), of(30), of(3)].map((run) => {
      const parts = whole.sessions / run.sessions;
      const busy = stores.flatMap((store) => [figure(processors(store, run)), figure(telling(store, run))]);
      return [figure(parts), size(run), figure(run.feed.entries_per_second), ...busy, bytes(run.view.entries * units.view_entry.at(-1).bytes)];
    });
    const heads = stores.flatMap((store) => [`Processors, ${kind(store)}: sessions`, "feed"]);
    return table(["Deployments", "each", "Endings/s", ...heads, "A node's view"], rows);
  },
};

/** The program's own numbers that the arithmetic needs, read from its sources: `read` answers the text of a file. */
export function rulesOf(read) {
  const number = (file, pattern) => {
    const found = read(file).match(pattern);
    if (!found) throw new Error(`${file} does not say ${pattern} any more: docs/scale.md counts with it`);
    return Number(found[1].replaceAll("_", ""));
  };
  const node = "crates/sessile/src/node.rs";
  return {
    sweepBatch: number(node, /const SWEEP_BATCH: u32 = ([\d_]+);/),
    sweepBatches: number(node, /const SWEEP_BATCHES: u32 = ([\d_]+);/),
    sweepEvery: number(node, /const SWEEP_EVERY: Duration = Duration::from_secs\(([\d_]+)\);/),
    connections: number("crates/sessile-store/src/postgres/mod.rs", /\n {12}connections: ([\d_]+),/),
  };
}

/** The page with its tables as they should be. */
export const filled = (text, data) => filledWith(text, TABLES, data, { file: "docs/scale.md" });

/** Shows that the checks can fail. Answers how many. */
export function selfTest(data) {
  const { good, refuses, changed } = selfTestOf("scale", TABLES, filled, data);
  refuses("an operation that was not measured", changed(({ units }) => units.stores[1].operations.splice(4, 1)));
  refuses("a figure that is gone", changed(({ simulation }) => { delete simulation.outcomes[0].view.entries; }));
  refuses("a number that its source does not hold any more", () => rulesOf(() => "const SWEEP_BATCH: u64 = 5;"));
  const other = changed(({ simulation }) => { simulation.outcomes[0].per_second.requests *= 2; });
  if (other() === good) throw new Error("scale: another figure went unnoticed");
  return 8;
}
