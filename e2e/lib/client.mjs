// A client that sends exactly what it is told and keeps cookies the plain way: no browser rules in between.
import http from 'node:http';
import https from 'node:https';
import { COOKIE } from './names.mjs';

/** Headers of a request that a page of the site itself makes with fetch. */
export const SAME_ORIGIN = { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' };

export class Client {
  /** Cookies by name. Names and values as sent; attributes are in `attributes`. */
  cookies = new Map();
  attributes = new Map();
  /** A token that goes along as a bearer token, for storages that deliver theirs in bodies. */
  bearer;
  #origin;
  #port;
  #ca;

  /**
   * @param {{origin: string, port?: number, ca?: Buffer}} server
   *   `origin` gives scheme, Host and Origin; the connection always goes to 127.0.0.1, `port` if it differs.
   */
  constructor({ origin, port, ca }) {
    this.#origin = new URL(origin);
    this.#port = port ?? Number(this.#origin.port);
    this.#ca = ca;
  }

  /** A second holder of the same cookies: what a thief has after copying the jar. */
  steal() {
    const thief = new Client({ origin: this.#origin.href, port: this.#port, ca: this.#ca });
    thief.cookies = new Map(this.cookies);
    thief.bearer = this.bearer;
    return thief;
  }

  /** A client with nothing but the given cookies and bearer token. */
  holding(cookies, bearer) {
    const other = this.steal();
    other.cookies = new Map(Object.entries(cookies).filter(([, value]) => value !== undefined));
    other.bearer = bearer;
    return other;
  }

  get sessionToken() {
    return this.cookies.get(COOKIE.session);
  }

  get accessToken() {
    return this.cookies.get(COOKIE.access);
  }

  dropAccessToken() {
    this.cookies.delete(COOKIE.access);
  }

  /**
   * One request on a connection of its own.
   * @returns {Promise<{status: number, headers: Record<string, string>, raw: string[], setCookies: string[], text: string, json: any}>}
   */
  request(method, path, { headers = {}, rawHeaders = [], body, json, form, browser = true, keepCookies = true, ms = 20_000 } = {}) {
    const fields = [['Host', this.#origin.host]];
    let payload = body;
    if (json !== undefined) {
      payload = JSON.stringify(json);
      fields.push(['Content-Type', 'application/json']);
    }
    if (form !== undefined) {
      payload = new URLSearchParams(form).toString();
      fields.push(['Content-Type', 'application/x-www-form-urlencoded']);
    }
    if (payload !== undefined) fields.push(['Content-Length', String(Buffer.byteLength(payload))]);
    else if (method !== 'GET' && method !== 'HEAD') fields.push(['Content-Length', '0']);
    if (browser) {
      for (const [name, value] of Object.entries(SAME_ORIGIN)) fields.push([name, value]);
      if (method !== 'GET' && method !== 'HEAD') fields.push(['Origin', this.#origin.origin]);
    }
    if (this.cookies.size > 0) fields.push(['Cookie', [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')]);
    if (this.bearer) fields.push(['Authorization', `Bearer ${this.bearer}`]);
    for (const [name, value] of Object.entries(headers)) {
      const at = fields.findIndex(([known]) => known.toLowerCase() === name.toLowerCase());
      if (at >= 0) fields.splice(at, 1);
      if (value !== undefined) fields.push([name, value]);
    }
    fields.push(...rawHeaders);

    const { request } = this.#origin.protocol === 'https:' ? https : http;
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host: '127.0.0.1',
          port: this.#port,
          servername: this.#origin.hostname,
          ca: this.#ca,
          agent: false,
          method,
          path,
          headers: fields.flat(),
          setHost: false,
        },
        (incoming) => {
          const chunks = [];
          incoming.on('data', (chunk) => chunks.push(chunk));
          incoming.on('error', reject);
          incoming.on('end', () => {
            clearTimeout(timer);
            const text = Buffer.concat(chunks).toString('utf8');
            const setCookies = incoming.headers['set-cookie'] ?? [];
            if (keepCookies) for (const line of setCookies) this.#keep(line);
            resolve({
              status: incoming.statusCode,
              headers: incoming.headers,
              raw: incoming.rawHeaders,
              setCookies,
              text,
              get json() {
                return JSON.parse(text);
              },
            });
          });
        },
      );
      const timer = setTimeout(() => outgoing.destroy(new Error(`${method} ${path}: no answer in ${ms} ms`)), ms);
      outgoing.on('error', (error) => {
        clearTimeout(timer);
        reject(error);
      });
      outgoing.end(payload);
    });
  }

  get(path, options) {
    return this.request('GET', path, options);
  }

  post(path, options) {
    return this.request('POST', path, options);
  }

  /** With `storage`, in that one of those the gateway offers to clients. */
  async signIn(username, password, { remember = false, storage } = {}) {
    const response = await this.post('/auth/sign-in', { json: { username, password, remember, storage } });
    if (response.status !== 200) throw new Error(`sign-in of ${username} answered ${response.status}: ${response.text}`);
    this.bearer = response.json.access_token;
    return response.json.session;
  }

  /** Asks for a fresh token, as the page's own script would, and keeps it if the answer has one. */
  async refresh(options) {
    const response = await this.post('/auth/refresh', options);
    if (response.status === 200 && response.json.access_token) this.bearer = response.json.access_token;
    return response;
  }

  #keep(line) {
    const [pair, ...attributes] = line.split(';').map((part) => part.trim());
    const at = pair.indexOf('=');
    const name = pair.slice(0, at);
    const value = pair.slice(at + 1);
    const named = new Map(attributes.map((attribute) => {
      const [key, ...rest] = attribute.split('=');
      return [key.toLowerCase(), rest.join('=')];
    }));
    this.attributes.set(name, named);
    const maxAge = named.get('max-age');
    const gone = value === '' || (maxAge !== undefined ? Number(maxAge) <= 0 : named.has('expires') && Date.parse(named.get('expires')) <= Date.now());
    if (gone) this.cookies.delete(name);
    else this.cookies.set(name, value);
  }
}
