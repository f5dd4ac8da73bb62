//! The table of keys, shown: as the commented file of `sessile init`, as the reference page, as JSON.

use serde_json::{Value, json};

use super::document::{COMPLETE, END};
use super::keys::SECTIONS;
use super::table::{Key, Section};

const WIDTH: usize = 110;

/// A setting to be written into the commented file as a value rather than a comment.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The key's path.
    pub key: &'static str,
    /// Its value as text.
    pub value: String,
}

/// The file `sessile init` writes: every key as a comment with its default, and what was chosen.
pub fn commented_file(chosen: &[Chosen]) -> String {
    let mut out = format!("{COMPLETE}\n#\n");
    comment(
        &mut out,
        "Every key with its default, commented out. Settings are read from this file, then from the environment \
         (SESSILE_SECTION_KEY), then from flags; whatever is unknown or contradictory stops the start. \
         `sessile check` names every mistake, `sessile config` prints this list with what is in force.",
    );
    for section in SECTIONS {
        out.push('\n');
        comment(&mut out, section.about);
        if section.repeated {
            out.push_str(&format!("#{}\n", heading(section)));
        } else {
            out.push_str(&format!("{}\n", heading(section)));
        }
        for key in section.keys.iter().filter(|key| !key.secret) {
            out.push('\n');
            comment(&mut out, key.why);
            match chosen.iter().find(|chosen| chosen.key == key.path) {
                Some(chosen) => out.push_str(&format!("{} = {}\n", key.name, toml_value(key, &chosen.value))),
                None => match default(key) {
                    Some(value) => out.push_str(&format!("#{} = {value}\n", key.name)),
                    None => out.push_str(&format!("#{} =    # not set; {}\n", key.name, form(key))),
                },
            }
        }
    }
    out.push_str(&format!("\n{END}\n"));
    out
}

/// docs/configuration.md.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Made by `sessile config --markdown` from the table in crates/sessile-server/src/config/keys.rs; a test holds the two together. -->\n\n\
         Settings come from the file (`--config`, else `SESSILE_CONFIG`, else `sessile.toml` in the current directory if there is one), then from \
         the environment, then from flags; each wins over the ones before. `sessile init` writes a commented file, `sessile check` names every \
         mistake at once, `sessile config` prints this table with what is in force.\n\n\
         Unknown keys, unknown `SESSILE_` variables, values of the wrong type, contradictions and placeholder secrets stop the start with exit \
         code 78, and nothing has been started by then. A key that weakens protection begins with `danger_` and is logged at every start.\n\n\
         Durations are a whole number and a unit: `ms`, `s`, `m`, `h`, `d`. In the environment the items of a list are separated by commas. \
         Secrets are never in the file: they are in files of their own, which others may not read, or in the environment.\n\n\
         A file whose first line is `# sessile configuration, complete to the line \"# end\"` must end with `# end`, so that a file cut short \
         anywhere is noticed. Any file must end with a newline.\n\n\
         The process connects to nothing but the upstreams named here, and listens on nothing but `server.listen` and `ops.listen`.\n",
    );
    for section in SECTIONS {
        out.push_str(&format!("\n## `{}`\n\n{}\n\n", heading(section), section.about.trim()));
        let env = if section.repeated { "" } else { " Environment |" };
        let rule = if section.repeated { "" } else { " --- |" };
        out.push_str(&format!("| Key | Value | Default |{env} Why |\n| --- | --- | --- |{rule} --- |\n"));
        for key in section.keys {
            let name = if key.secret { format!("({})", key.name) } else { format!("`{}`", key.name) };
            let default = default(key).map_or_else(|| "not set".to_owned(), |value| format!("`{value}`"));
            let env = if section.repeated { String::new() } else { format!(" {} |", environment(key)) };
            out.push_str(&format!(
                "| {name} | {} | {default} |{env} {} |\n",
                form(key).replace('|', "\\|"),
                key.why.trim()
            ));
        }
    }
    out.push_str(EXIT_CODES);
    out
}

const EXIT_CODES: &str = "\n## Exit codes\n\n\
    | Code | Meaning |\n| --- | --- |\n\
    | 0 | done |\n\
    | 1 | something else failed; the message says what |\n\
    | 64 | the command line is wrong |\n\
    | 65 | the store is damaged, or was written by a newer version |\n\
    | 69 | the store cannot be reached, or another server holds it |\n\
    | 78 | the configuration is wrong, or the master key is missing, wrong or readable by others |\n";

/// Every key, for `sessile config --json`. `in_force` tells the value in force and its place, if they are known.
pub fn json(in_force: impl Fn(&Key) -> Option<(Option<String>, String)>) -> Value {
    let one = |section: &Section, key: &Key| {
        let (value, place) = in_force(key).map_or((None, None), |(value, place)| (value, Some(place)));
        json!({
            "key": key.path,
            "repeated": section.repeated,
            "environment": (!section.repeated).then(|| key.env()),
            "alias": key.alias,
            "form": form(key),
            "default": (!key.default.is_empty()).then_some(key.default),
            "least": key.within.map(|(least, _)| least),
            "greatest": key.within.map(|(_, greatest)| greatest),
            "why": key.why.trim(),
            "danger": key.is_danger(),
            "secret": key.secret,
            "value": value,
            "place": place,
        })
    };
    SECTIONS.iter().flat_map(|section| section.keys.iter().map(move |key| one(section, key))).collect()
}

/// The heading of a section as the file writes it.
pub fn heading(section: &Section) -> String {
    match (section.repeated, section.name.contains('.')) {
        // A table within a row: `[route.headers]` belongs to the [[route]] above it.
        (true, false) => format!("[[{}]]", section.name),
        _ => format!("[{}]", section.name),
    }
}

/// The environment names of a key, as code.
fn environment(key: &Key) -> String {
    match key.alias {
        Some(alias) => format!("`{}` or `{alias}`", key.env()),
        None => format!("`{}`", key.env()),
    }
}

fn form(key: &Key) -> String {
    let list = if key.list { "a list: " } else { "" };
    let range = key.within.map_or_else(String::new, |(least, greatest)| format!(", from {least} to {greatest}"));
    format!("{list}{}{range}", key.form)
}

/// The default as the file would write it.
pub fn default(key: &Key) -> Option<String> {
    if key.default.is_empty() { key.list.then(|| "[]".to_owned()) } else { Some(toml_value(key, key.default)) }
}

fn toml_value(key: &Key, text: &str) -> String {
    if key.list {
        let items: Vec<String> = text.split(',').map(|item| format!("{:?}", item.trim())).collect();
        return format!("[{}]", items.join(", "));
    }
    let bare = matches!(text, "true" | "false") || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    if bare { text.to_owned() } else { format!("{text:?}") }
}

/// Appends prose as comment lines.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}
