// The configurations, programs and requests of docs/situations.md, run as they stand there.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from './client.mjs';
import { closeAll } from './closing.mjs';
import { PASSWORD } from './names.mjs';
import { freePorts } from './network.mjs';
import { Child } from './process.mjs';
import { substitute } from './proxies.mjs';
import { ROOT, Sessile } from './sessile.mjs';

const PAGE = join(ROOT, 'docs/situations.md');
const BROWSER_CLIENT = join(ROOT, 'clients/browser/dist');
const APP = fileURLToPath(new URL('./situations-app.mjs', import.meta.url));

/** The browser client's entries, by the names that a bundler resolves. */
const PACKAGES = [
  ["'@sessile/client/memory'", "'/sessile-client/memory.js'"],
  ["'@sessile/client'", "'/sessile-client/index.js'"],
];

/** The page's blocks by their info string, and which of them were put to use. */
export class Guide {
  #blocks = new Map();
  #taken = new Set();

  constructor(text = readFileSync(PAGE, 'utf8')) {
    for (const [, info, block] of text.matchAll(/^```([^\n]+)\n(.*?)^```$/gms)) {
      if (this.#blocks.has(info)) throw new Error(`docs/situations.md has two blocks "${info}"`);
      this.#blocks.set(info, block);
    }
  }

  take(info) {
    const block = this.#blocks.get(info);
    if (block === undefined) throw new Error(`docs/situations.md has no block "${info}"`);
    this.#taken.add(info);
    return block;
  }

  get untaken() {
    return [...this.#blocks.keys()].filter((info) => !this.#taken.has(info));
  }
}

/**
 * A gateway configured as the page says, before an app that knows its callers by the page's own verify.mjs.
 * @param {object} options
 * @param {Guide} options.guide
 * @param {string} options.config which `toml` block
 * @param {string} [options.name] the gateway's name on the page; `host` is what it is here
 * @param {string} [options.host]
 * @param {object} options.certificate made before, for worlds that share a browser
 * @param {(world: object) => [string, string][]} [options.places] further names and paths of the page, and what they are here
 * @param {Record<string, string>} [options.files] what lies in the folder of static files
 * @param {string[]} [options.modules] `js` blocks that the app takes beside verify.mjs
 * @param {object} [options.appEnv] what else the app is told
 * @param {object} [options.env] environment of the gateway, SESSILE_...
 */
export async function startSituation({ guide, config, name = 'app.example', host = 'app.test', certificate, places = () => [], files, modules = [], appEnv = {}, env = {}, users = ['ada'] }) {
  const closers = [];
  const dir = mkdtempSync(join(tmpdir(), 'sessile-e2e-'));
  const [port, opsPort, appPort] = await freePorts(3);
  const world = {
    origin: `https://${host}:${port}`,
    certificate,
    files: join(dir, 'files'),
    close: () => closeAll(closers, dir),
  };
  /** A block's text with the names of the page replaced by those that exist here. */
  world.local = (text) => {
    const all = [[`https://${name}`, world.origin], ...places(world), ...PACKAGES];
    return substitute(text, all.filter(([from]) => text.includes(from)));
  };

  try {
    if (files) {
      mkdirSync(world.files);
      for (const [path, content] of Object.entries(files)) writeFileSync(join(world.files, path), world.local(content));
      cpSync(browserClient(), join(world.files, 'sessile-client'), { recursive: true });
    }

    const configFile = join(dir, 'sessile.toml');
    const written = substitute(guide.take(`toml ${config}`), [
      ['0.0.0.0:443', `127.0.0.1:${port}`],
      [`/etc/ssl/${name}.pem`, certificate.cert],
      [`/etc/ssl/${name}.key`, certificate.key],
      ['http://127.0.0.1:3000', `http://127.0.0.1:${appPort}`],
      [`https://${name}`, world.origin],
      ...(files ? [[`/srv/${name}`, world.files]] : []),
      ...places(world),
    ]);
    /** The configuration as the page has it, in this world's names. */
    world.written = written;
    writeFileSync(configFile, written);
    // Browsers hold spare connections on which nothing was said yet, and the gateway would wait for them.
    const settings = (more) => ({ SESSILE_SERVER_DRAIN: '500ms', ...env, ...more });
    world.sessile = new Sessile({ data: join(dir, 'data'), listen: port, ops: opsPort, publicUrl: world.origin, config: configFile, env: settings() });
    closers.push(() => world.sessile.stop());
    for (const user of users) await world.sessile.addUser(user, PASSWORD[user]);
    await world.sessile.start();

    writeFileSync(join(dir, 'verify.mjs'), substitute(guide.take('js verify.mjs'), [['https://app.example', world.origin]]));
    for (const module of modules) writeFileSync(join(dir, module), world.local(guide.take(`js ${module}`)));
    // So that the page's modules find jose.
    symlinkSync(join(ROOT, 'e2e/node_modules'), join(dir, 'node_modules'));
    world.appUrl = `http://127.0.0.1:${appPort}`;
    world.app = new Child(process.execPath, ['--import', new URL('./resolve-test-names.mjs', import.meta.url).href, APP], {
      env: { PORT: String(appPort), MODULES: dir, NODE_EXTRA_CA_CERTS: certificate.cert, ...appEnv },
    });
    closers.push(() => world.app.stop());
    await world.app.until(() => world.app.output.includes('ready'));

    /** What the app was asked, oldest first. */
    world.asked = async () => (await fetch(`${world.appUrl}/asked`)).json();
    const restart = async (text, more) => {
      await world.sessile.stop();
      writeFileSync(configFile, text);
      world.sessile.options.env = settings(more);
      await world.sessile.start();
    };
    /** Runs `act` while the gateway runs, on the same data, a changed twin of the page's configuration. */
    world.changed = async (changes, act, more = {}) => {
      try {
        await restart(substitute(written, changes), more);
        return await act();
      } finally {
        await restart(written);
      }
    };
    /** What `sessile check` says of the configuration as it is now. */
    world.check = async () => JSON.parse(await world.sessile.cli(['check', '--json']));
    world.client = () => new Client({ origin: world.origin, port, ca: certificate.certPem });
    return world;
  } catch (error) {
    const said = `${world.sessile?.output.slice(-2000) ?? ''}\n${world.app?.tail(2000) ?? ''}`;
    await world.close().catch(() => {});
    error.message += `\n--- said:\n${said}`;
    throw error;
  }
}

/** The built browser client. */
export function browserClient() {
  if (!existsSync(join(BROWSER_CLIENT, 'index.js'))) {
    throw new Error(`There is no ${BROWSER_CLIENT}/index.js. Build the browser client with \`npm run build\` in clients/browser.`);
  }
  return BROWSER_CLIENT;
}

/** An `http` block as method, path, header fields and body. */
export function parseRequest(text) {
  const [head, ...body] = text.trimEnd().split('\n\n');
  const [line, ...fields] = head.split('\n');
  const [, method, path] = /^([A-Z]+) (\S+) HTTP\/1\.1$/.exec(line);
  const headers = Object.fromEntries(fields.map((field) => [field.slice(0, field.indexOf(':')).toLowerCase(), field.slice(field.indexOf(':') + 1).trim()]));
  return { method, path, headers, body: body.length > 0 ? body.join('\n\n') : undefined };
}
