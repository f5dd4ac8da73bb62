// Pages whose tables are made from kept figures: each stands between two marks and is made anew.

const BEGIN = /<!-- measured: begin (\w+)\..*-->/;
export const END = "<!-- measured: end -->";

/**
 * The page with its tables as they should be.
 * @param {string} text
 * @param {Record<string, (data: object) => string[]>} tables what makes each
 * @param {object} data
 * @param {object} page
 * @param {string} page.file for whoever reads what is wrong
 * @param {(name: string) => boolean} [page.isOthers] whether somebody else makes the table of that name; it stays as it is
 */
export function filledWith(text, tables, data, { file, isOthers = () => false }) {
  const out = [];
  const shown = new Set();
  // "made" or "others" while inside a table.
  let inside;
  for (const line of text.split("\n")) {
    const name = BEGIN.exec(line)?.[1];
    if (name) {
      if (inside) throw new Error(`${file} begins "${name}" within another table`);
      inside = isOthers(name) ? "others" : "made";
      out.push(line);
      if (inside === "others") continue;
      if (!tables[name]) throw new Error(`${file} asks for a table "${name}" that nobody makes`);
      shown.add(name);
      out.push("", ...tables[name](data), "", END);
    } else if (line === END) {
      if (!inside) throw new Error(`${file} ends a table that it did not begin`);
      if (inside === "others") out.push(line);
      inside = undefined;
    } else if (inside !== "made") out.push(line);
  }
  if (inside) throw new Error(`${file} does not end its last table`);
  const missing = Object.keys(tables).filter((name) => !shown.has(name));
  if (missing.length > 0) throw new Error(`${file} does not show ${missing.join(", ")}`);
  return out.join("\n");
}

/**
 * Shows that a page of these tables can be wrong, and gives what more of that needs.
 * @param {string} name for whoever reads what went unnoticed
 * @param {Record<string, (data: object) => string[]>} tables
 * @param {(text: string, data: object) => string} filled
 * @param {object} data
 * @param {object} [page]
 * @param {string[]} [page.before] what else is on it
 * @param {string} [page.unknown] a table that nobody makes
 */
export function selfTestOf(name, tables, filled, data, { before = [], unknown = "nothing" } = {}) {
  const page = [...before, ...Object.keys(tables).map((table) => `<!-- measured: begin ${table}. x -->\nold\n${END}`)].join("\n");
  const good = filled(page, data);
  const refuses = (what, work) => {
    try {
      work();
    } catch {
      return;
    }
    throw new Error(`${name}: ${what} went unnoticed`);
  };
  /** The page from figures in which something was changed. */
  const changed = (change) => {
    const copy = structuredClone(data);
    change(copy);
    return () => filled(page, copy);
  };
  refuses("a table nobody makes", () => filled(`${page}\n<!-- measured: begin ${unknown}. -->\n${END}`, data));
  refuses("a table that is not shown", () => filled("", data));
  refuses("a table without an end", () => filled(page.slice(0, -END.length), data));
  if (filled(good, data) !== good) throw new Error(`${name}: a page that is right is written anew`);
  return { good, refuses, changed };
}
