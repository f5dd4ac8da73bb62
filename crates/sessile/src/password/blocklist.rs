//! Passwords that attackers try first, and how much of a password is left without them.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

/// The built-in list: base words of the passwords that turn up most often in published breaches, lower case.
static COMMON: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("common.txt").split_whitespace().collect());

/// Shorter words are no evidence of anything: `ada` also stands in `adapter`.
const MIN_WORD: usize = 4;
const MAX_WORD: usize = 32;

/// Further passwords to refuse, such as a site's own list of breached ones. Compared without regard to case,
/// always as a whole (800-63B-4 section 3.1.1.2).
#[derive(Clone, Debug, Default)]
pub struct Blocklist(Arc<HashSet<Box<str>>>);

impl Blocklist {
    /// One password per line; empty lines are skipped.
    pub fn from_lines(text: &str) -> Self {
        let entries = text.lines().filter(|line| !line.is_empty());
        Self(Arc::new(entries.map(|line| line.to_lowercase().into_boxed_str()).collect()))
    }

    /// How many passwords are on it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `password` is on this list or the built-in one.
    pub fn contains(&self, password: &str) -> bool {
        let folded = password.to_lowercase();
        COMMON.contains(folded.as_str()) || self.0.contains(folded.as_str())
    }
}

/// How many independent choices `password` seems to hold: one for each common or `context` word and for each
/// repetition of what came before, none for white space or a character that goes on with a run (`aaa`, `123`,
/// `asd`), and one for any other character. The cheapest reading counts.
pub(super) fn effective_length<'a>(password: &str, context: impl Iterator<Item = &'a str>) -> usize {
    let folded: Vec<char> = password.to_lowercase().chars().collect();
    let context = context_words(context);
    let known = |word: &str| COMMON.contains(word) || context.contains(word);

    // cheapest[i]: the fewest choices that explain the first i characters.
    let mut cheapest = vec![0usize; folded.len() + 1];
    // repeated[d]: how many characters up to here equal the ones d places before.
    let mut repeated = vec![0usize; folded.len() + 1];
    let mut word = String::new();
    for end in 1..=folded.len() {
        let mut best = cheapest[end - 1] + usize::from(!is_free(&folded[..end]));
        for length in MIN_WORD..=MAX_WORD.min(end) {
            word.clear();
            word.extend(&folded[end - length..end]);
            if known(&word) {
                best = best.min(cheapest[end - length] + 1);
            }
        }
        for distance in 1..end {
            let same = folded[end - 1] == folded[end - 1 - distance];
            repeated[distance] = if same { repeated[distance] + 1 } else { 0 };
            if repeated[distance] >= MIN_WORD {
                best = best.min(cheapest[end - repeated[distance]] + 1);
            }
        }
        cheapest[end] = best;
    }
    cheapest[folded.len()]
}

/// The words themselves, and the parts of those that are put together: `ada.lovelace` is also `lovelace`.
fn context_words<'a>(context: impl Iterator<Item = &'a str>) -> HashSet<String> {
    let mut words = HashSet::new();
    for phrase in context {
        let folded = phrase.to_lowercase();
        words.extend(folded.split(|c: char| !c.is_alphanumeric()).map(str::to_owned));
        words.insert(folded);
    }
    words
}

/// Whether the last character of `text` adds nothing to what stands before it.
fn is_free(text: &[char]) -> bool {
    match text {
        [.., c] if c.is_whitespace() => true,
        [.., a, b, c] => continues_run(*a, *b, *c),
        _ => false,
    }
}

/// Rows in which neighbours follow each other. Digits wrap around.
const ROWS: [&str; 7] =
    ["abcdefghijklmnopqrstuvwxyz", "012345678901", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop"];

fn continues_run(a: char, b: char, c: char) -> bool {
    let same = a == b && b == c;
    let along = |x: char, y: char, z: char| ROWS.iter().any(|row| row.contains(String::from_iter([x, y, z]).as_str()));
    same || along(a, b, c) || along(c, b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(password: &str) -> usize {
        effective_length(password, ["ada.lovelace", "Notes"].into_iter())
    }

    /// the list is what it says it is, so that a typing mistake in it does not go unseen.
    #[test]
    fn the_built_in_list_is_clean() {
        let entries: Vec<_> = include_str!("common.txt").split_whitespace().collect();
        assert_eq!(entries.len(), COMMON.len(), "no entry twice");
        assert!(entries.len() >= 200);
        for entry in entries {
            assert!((MIN_WORD..=MAX_WORD).contains(&entry.chars().count()), "{entry}");
            assert_eq!(entry, entry.to_lowercase());
        }
    }

    /// runs, repetitions, common words and names count little.
    #[test]
    fn predictable_parts_count_little() {
        for (password, expected) in [
            ("aaaaaaaaaaaaaaa", 2),
            ("123456789012345", 1),
            ("987654321098765", 1),
            ("qwertyuiopasdfg", 3),
            ("passwordpassword", 2),
            ("PassWord PassWord", 2),
            ("ada.lovelace2024", 1 + 4),
            ("Lovelace.Notes!!", 1 + 1 + 1 + 2),
            ("abcabcabcabcabcabc", 3),
            ("xk7qlpxk7qlpxk7qlpxk7qlp", 7),
        ] {
            assert_eq!(length(password), expected, "{password}");
        }
    }

    /// Negative control: what people and password managers choose well keeps its length.
    #[test]
    fn unpredictable_passwords_keep_their_length() {
        assert_eq!(length("Xk7#qZ2!mP9vR4w"), 15);
        assert!(length("correct horse battery staple") >= 20);
        assert!(length("паровоз едет в Тулу") >= 14);
        assert!(length("🦊🌵🎻🧭🪵🧊🐙🎲🪁🧵🍋🚲🔭🪺🧱") == 15);
    }

    /// Negative control: without the list the same passwords look long.
    #[test]
    fn without_the_list_the_same_password_looks_long() {
        assert!(length("passwordpassword") < 8);
        let unlisted = "wordpasswordpass";
        assert!(length(&unlisted.replace("pass", "jqvx")) >= 8);
    }
}
