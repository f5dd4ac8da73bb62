// What is asked of each subject, how it is signed in to, and how one knows that it answers as it must.
import { Client } from '../../../e2e/lib/client.mjs';
import { PASSWORD } from '../../../e2e/lib/names.mjs';
import { SMALL } from './servers.mjs';

/** What a page's own fetch sends in a current browser, beside the cookies. */
const BROWSER = [
  ['user-agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'],
  ['accept', 'application/json, text/plain, */*'],
  ['accept-language', 'en-US,en;q=0.5'],
  ['accept-encoding', 'identity'],
  ['sec-fetch-dest', 'empty'],
  ['sec-fetch-mode', 'cors'],
  ['sec-fetch-site', 'same-origin'],
];

/** How a user's cookies are had at each kind of server: the value of the `Cookie` header. */
export const SIGN_IN = {
  sessile: async (server) => {
    const client = new Client({ origin: server.url, port: server.port, ca: server.ca });
    await client.signIn('ada', PASSWORD.ada);
    return [...client.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  },
  form: async (server) => {
    const response = await fetch(`${server.url}/sign-in`, { method: 'POST' });
    if (response.status !== 204) throw new Error(`${server.url}/sign-in answered ${response.status}`);
    return response.headers.getSetCookie().map((line) => line.split(';')[0]).join('; ');
  },
};

/**
 * A subject of `measure`.
 * @param {string} name
 * @param {{url: string, port: number, pid: number, ca?: Buffer}} server
 * @param {object} how
 * @param {(server) => Promise<string>} how.cookie signs in; without it the server refuses nobody
 * @param {boolean} [how.open] the cookie is carried, and nobody is refused for want of it
 * @param {string} [how.path]
 * @param {string} [how.body] a file to send
 * @param {[string, string][]} [how.headers] more of them
 * @param {boolean} [how.h2]
 * @param {(answer: {status: number, text: string}) => boolean} [how.right] 200 and the small answer, unless it says otherwise
 */
export function subject(name, server, { cookie, open = false, path = '/data', body, headers = [], h2, right = isSmall }) {
  return {
    name,
    pid: server.pid,
    prepare: async () => {
      const own = [...BROWSER, ...headers];
      if (body) own.push(['origin', new URL(server.url).origin], ['content-type', 'application/octet-stream']);
      if (cookie) own.push(['cookie', await cookie(server)]);
      return { url: server.url + path, headers: own, body: body?.file, h2, port: h2 ? server.port : undefined };
    },
    check: async (target) => {
      const client = new Client({ origin: server.url, port: server.port, ca: server.ca });
      const ask = (fields, content) => client.request(body ? 'POST' : 'GET', path, { browser: false, headers: Object.fromEntries(fields), body: content, keepCookies: false });
      const answer = await ask(target.headers, body?.content);
      if (!right(answer)) throw new Error(`${name} answered ${answer.status} and not what it should: ${answer.text.slice(0, 500)}`);
      if (!cookie || open) return;
      // Without a body: who is refused may be cut off in the middle of it.
      const refused = await ask(target.headers.filter(([field]) => field !== 'cookie'));
      if (refused.status < 300 || refused.status >= 500) throw new Error(`${name} does not refuse who is not signed in: ${refused.status}`);
    },
  };
}

const isSmall = ({ status, text }) => status === 200 && text === SMALL;
export const isOk = ({ status }) => status === 200;
export const hasLength = (bytes) => ({ status, text }) => status === 200 && text.length === bytes;
export const hasReceived = (bytes) => ({ status, text }) => status === 200 && JSON.parse(text).received === bytes;
