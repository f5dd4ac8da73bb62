// Notes, keyed by subject. In memory, and in one JSON file when asked for.
import { randomUUID } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';

export const MAX_TEXT = 2000;
export const MAX_NOTES = 500;

/** The text is empty, too long, or there are too many notes: the caller answers 400 with the message. */
export class NoteRefused extends Error {}

export class Notes {
  #bySubject = new Map();
  #file;
  #writing = Promise.resolve();

  /** @param {string} [file] where notes are kept between starts */
  static async open(file) {
    const notes = new Notes();
    notes.#file = file;
    if (file) {
      const text = await readFile(file, 'utf8').catch((error) => {
        if (error.code === 'ENOENT') return '{}';
        throw error;
      });
      notes.#bySubject = new Map(Object.entries(JSON.parse(text)));
    }
    return notes;
  }

  list(subject) {
    return this.#bySubject.get(subject) ?? [];
  }

  async add(subject, text) {
    if (typeof text !== 'string' || text.trim() === '') throw new NoteRefused('A note needs some text.');
    if (text.length > MAX_TEXT) throw new NoteRefused(`A note may have ${MAX_TEXT} characters.`);
    const mine = this.list(subject);
    if (mine.length >= MAX_NOTES) throw new NoteRefused(`There is room for ${MAX_NOTES} notes.`);
    const note = { id: randomUUID(), text: text.trim(), created_at: new Date().toISOString() };
    this.#bySubject.set(subject, [note, ...mine]);
    await this.#save();
    return note;
  }

  /** @returns {Promise<boolean>} whether this subject had such a note */
  async remove(subject, id) {
    const mine = this.list(subject);
    const rest = mine.filter((note) => note.id !== id);
    if (rest.length === mine.length) return false;
    this.#bySubject.set(subject, rest);
    await this.#save();
    return true;
  }

  // Writes queue up, and each replaces the file whole, so a reader never sees half of one.
  #save() {
    if (!this.#file) return Promise.resolve();
    this.#writing = this.#writing.catch(() => {}).then(async () => {
      const draft = `${this.#file}.new`;
      await writeFile(draft, JSON.stringify(Object.fromEntries(this.#bySubject), null, 1), { mode: 0o600 });
      await rename(draft, this.#file);
    });
    return this.#writing;
  }
}
