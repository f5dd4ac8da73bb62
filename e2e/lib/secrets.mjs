// Looking for secrets in places where none may be, under every spelling a program might give them.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The byte strings under which a secret could turn up.
 * @param {string | Buffer} secret text, or raw bytes
 */
export function spellings(secret) {
  const bytes = Buffer.isBuffer(secret) ? secret : Buffer.from(secret, 'utf8');
  const forms = [bytes];
  const text = (form) => forms.push(Buffer.from(form, 'latin1'));
  text(bytes.toString('hex'));
  text(bytes.toString('hex').toUpperCase());
  text(bytes.toString('base64').replace(/=+$/, ''));
  text(bytes.toString('base64url'));
  text(`[${[...bytes].join(', ')}]`);
  if (!Buffer.isBuffer(secret)) {
    text(encodeURIComponent(secret));
    text(JSON.stringify(secret).slice(1, -1));
  }
  return uniqueLong(forms);
}

/** A token of dotted parts: the whole, and the part that only its owner can know, as text and as the bytes it stands for. */
export function tokenSpellings(token) {
  const last = token.split('.').at(-1);
  return uniqueLong([...spellings(token), ...spellings(last), ...spellings(Buffer.from(last, 'base64url'))]);
}

// A form of a few bytes would be found anywhere by chance.
function uniqueLong(forms) {
  const byText = new Map(forms.filter((form) => form.length >= 12).map((form) => [form.toString('latin1'), form]));
  return [...byText.values()];
}

export class Canaries {
  #forms = [];

  addText(name, secret) {
    this.#forms.push(...spellings(secret).map((form) => ({ name, form })));
  }

  addToken(name, token) {
    this.#forms.push(...tokenSpellings(token).map((form) => ({ name, form })));
  }

  get size() {
    return new Set(this.#forms.map(({ name }) => name)).size;
  }

  /** Every canary found in `bytes`, as "NAME in PLACE". */
  search(place, bytes) {
    const haystack = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes, 'utf8');
    const found = new Set(this.#forms.filter(({ form }) => haystack.includes(form)).map(({ name }) => `${name} in ${place}`));
    return [...found];
  }
}

/** Every file below `dir` with its bytes. */
export function readTree(dir, below = '') {
  return readdirSync(join(dir, below)).flatMap((name) => {
    const path = join(below, name);
    const info = statSync(join(dir, path));
    if (info.isDirectory()) return readTree(dir, path);
    return info.isFile() ? [{ path, mode: info.mode & 0o777, bytes: readFileSync(join(dir, path)) }] : [];
  });
}
