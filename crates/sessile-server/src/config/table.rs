//! The machinery of the table of keys: one line there gives a typed field, a default, an environment name,
//! a line of `sessile config`, of the commented file and of the reference.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use super::document::{Given, Raw};
use super::mistake::{Fault, Mistakes, Place};
use super::setting::Setting;

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Its section, such as `session` or `server.tls`; `route` for a key of `[[route]]`.
    pub section: &'static str,
    /// Its name in the section.
    pub name: &'static str,
    /// Both, joined by a dot.
    pub path: &'static str,
    /// What to write.
    pub form: &'static str,
    /// Whether it takes a list of those.
    pub list: bool,
    /// The default as text; empty if there is none.
    pub default: &'static str,
    /// Least and greatest value.
    pub within: Option<(&'static str, &'static str)>,
    /// A further environment name.
    pub alias: Option<&'static str>,
    /// What it is for, and why the default is what it is.
    pub why: &'static str,
    /// Whether it is a secret: read from the environment only, never shown.
    pub secret: bool,
}

impl Key {
    /// The environment name: `session.access` is `SESSILE_SESSION_ACCESS`.
    pub fn env(&self) -> String {
        format!("SESSILE_{}", self.path.replace('.', "_").to_ascii_uppercase())
    }

    /// Whether setting it weakens protection.
    pub fn is_danger(&self) -> bool {
        self.name.starts_with("danger_")
    }
}

/// A section of the configuration.
#[derive(Debug)]
pub struct Section {
    /// Its name in brackets.
    pub name: &'static str,
    /// Whether there may be several: `[[name]]`.
    pub repeated: bool,
    /// What it is about.
    pub about: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// A value that was read, and where.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// The value; the default where none, or a mistaken one, was given.
    pub value: T,
    /// Where it was given.
    pub place: Place,
    /// Whether it can be reasoned about: `false` after a mistake, so that one mistake does not breed others.
    pub sound: bool,
    shown: Option<String>,
    key: &'static Key,
}

impl<T> Deref for Found<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Found<T> {
    /// Whether somebody gave it, rather than the default.
    pub fn is_given(&self) -> bool {
        self.place != Place::Default
    }

    /// The key it belongs to.
    pub fn key(&self) -> &'static Key {
        self.key
    }

    /// Notes that the value, good in itself, does not go with others.
    pub fn refuse(&self, mistakes: &mut Mistakes, problem: impl Into<String>, remedy: impl Into<String>) {
        let fault = Fault::new(problem, remedy);
        mistakes.fault(self.key.path, self.place.clone(), self.shown.clone(), fault);
    }
}

/// A setting of whatever type that does not go with others.
pub(super) trait Refusable {
    /// See [`Found::refuse`].
    fn refuse_with(&self, mistakes: &mut Mistakes, problem: String, remedy: &str);
}

impl<T> Refusable for Found<T> {
    fn refuse_with(&self, mistakes: &mut Mistakes, problem: String, remedy: &str) {
        self.refuse(mistakes, problem, remedy);
    }
}

/// What a relation between settings is checked on.
pub(super) trait Sound {
    /// Whether no mistake was found in it so far.
    fn is_sound(&self) -> bool;
}

impl<T> Sound for Found<T> {
    fn is_sound(&self) -> bool {
        self.sound
    }
}

/// Hands out the values of a section, or of one row, and collects the mistakes.
pub struct Reader<'a> {
    values: &'a BTreeMap<String, Given>,
    mistakes: &'a mut Mistakes,
    /// How much of a key's path is the name of the row.
    prefix: usize,
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl<'a> Reader<'a> {
    /// Reads from values under full paths.
    pub fn new(values: &'a BTreeMap<String, Given>, mistakes: &'a mut Mistakes) -> Self {
        Self { values, mistakes, prefix: 0 }
    }

    /// Reads from the values of one row of `[[name]]`, which stand under paths below the row.
    pub fn row(name: &str, values: &'a BTreeMap<String, Given>, mistakes: &'a mut Mistakes) -> Self {
        Self { values, mistakes, prefix: name.len() + 1 }
    }

    /// Reads one key.
    ///
    /// # Panics
    /// If the table's own default does not read; a test reads them all.
    pub fn read<T: Setting>(&mut self, key: &'static Key) -> Found<T> {
        let default = || match T::from_text(key.default) {
            Ok(value) => value,
            Err(fault) => panic!("the default of {} does not read: {}", key.path, fault.problem),
        };
        let Some(given) = self.values.get(&key.path[self.prefix..]) else {
            return Found { value: default(), place: Place::Default, sound: true, shown: None, key };
        };
        let lenient = !matches!(given.place, Place::File { .. });
        let read = match &given.raw {
            Raw::Text(text) if lenient => T::from_text(text),
            raw => T::from_raw(raw),
        };
        let shown = if T::SECRET { None } else { show(&given.raw) };
        match read {
            Ok(value) => Found { value, place: given.place.clone(), sound: true, shown, key },
            Err(fault) => {
                self.mistakes.fault(key.path, given.place.clone(), shown.clone(), fault);
                Found { value: default(), place: given.place.clone(), sound: false, shown, key }
            }
        }
    }

    /// Checks the range of a value.
    pub fn within<T: Setting + PartialOrd>(&mut self, mut found: Found<T>) -> Found<T> {
        let Some((low, high)) = found.key.within else { return found };
        let (Ok(least), Ok(greatest)) = (T::from_text(low), T::from_text(high)) else {
            panic!("the range of {} does not read", found.key.path)
        };
        if found.sound && found.is_given() && !(least <= found.value && found.value <= greatest) {
            found.refuse(
                self.mistakes,
                format!("not between {low} and {high}"),
                format!("choose a value from {low} to {high}"),
            );
            found.sound = false;
        }
        found
    }
}

/// A value as it may be shown: bounded, on one line, without the password of a URL.
pub(super) fn show(raw: &Raw) -> Option<String> {
    const LONGEST: usize = 100;
    let text = match raw {
        Raw::Text(text) => format!("{:?}", without_password(text)),
        Raw::Integer(number) => number.to_string(),
        Raw::Bool(value) => value.to_string(),
        Raw::List(items) => {
            format!("[{}]", items.iter().filter_map(|item| show(&item.raw)).collect::<Vec<_>>().join(", "))
        }
        Raw::Other(_) => return None,
    };
    Some(if text.chars().count() > LONGEST {
        format!("{}...", text.chars().take(LONGEST).collect::<String>())
    } else {
        text
    })
}

fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => text.to_owned(),
    }
}

/// One section of the table: see `keys.rs`.
///
/// `field: Type = "default", named "word", within "low" to "high", alias "NAME";` with the documentation as the
/// reason. `named` is for a key that Rust has another use for.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $Struct:ident = $section:literal $(repeated $repeated:literal)? {
            $(
                $(#[doc = $why:literal])+
                $field:ident: $type:ty = $default:literal $(, named $name:literal)? $(, within $low:literal to $high:literal)? $(, alias $alias:literal)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub struct $Struct {
            $($(#[doc = $why])+ pub $field: $crate::config::table::Found<$type>,)+
        }

        impl $Struct {
            /// The section of the table.
            pub const SECTION: $crate::config::table::Section = $crate::config::table::Section {
                name: $section,
                repeated: section!(@flag $($repeated)?),
                about: concat!($($about,)+),
                keys: &[$($crate::config::table::Key {
                    section: $section,
                    name: section!(@name $field $($name)?),
                    path: section!(@path $section, $field $($name)?),
                    form: <$type as $crate::config::setting::Setting>::FORM,
                    list: <$type as $crate::config::setting::Setting>::LIST,
                    default: $default,
                    within: section!(@within $($low, $high)?),
                    alias: section!(@alias $($alias)?),
                    why: concat!($($why,)+),
                    secret: <$type as $crate::config::setting::Setting>::SECRET,
                },)+],
            };

            /// Reads the section.
            pub fn read(reader: &mut $crate::config::table::Reader<'_>) -> Self {
                let mut keys = Self::SECTION.keys.iter();
                $(
                    let $field = reader.read::<$type>(keys.next().expect("one key for each field"));
                    $(let _ = ($low, $high); let $field = reader.within($field);)?
                )+
                Self { $($field,)+ }
            }

            /// Whether anything in it was given.
            pub fn is_given(&self) -> bool {
                $(self.$field.is_given())||+
            }
        }
    };
    (@flag) => { false };
    (@flag $repeated:literal) => { $repeated };
    (@within) => { None };
    (@within $low:literal, $high:literal) => { Some(($low, $high)) };
    (@alias) => { None };
    (@alias $alias:literal) => { Some($alias) };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
    (@path $section:literal, $field:ident) => { concat!($section, ".", stringify!($field)) };
    (@path $section:literal, $field:ident $name:literal) => { concat!($section, ".", $name) };
}
pub(super) use section;

/// A choice among words: an enum whose variants are written as in the configuration.
macro_rules! choice {
    ($(#[doc = $about:literal])+ $Enum:ident: $form:literal { $($(#[doc = $doc:literal])+ $Variant:ident = $word:literal,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Enum { $($(#[doc = $doc])+ $Variant,)+ }

        impl $crate::config::setting::Setting for $Enum {
            const FORM: &'static str = $form;

            fn from_text(text: &str) -> Result<Self, $crate::config::mistake::Fault> {
                const WORDS: &[&str] = &[$($word,)+];
                match text {
                    $($word => Ok(Self::$Variant),)+
                    _ => {
                        let meant = $crate::config::suggest::nearest(text, WORDS.iter().copied());
                        let hint = meant.map_or_else(String::new, |word| format!("; did you mean \"{word}\"?"));
                        Err($crate::config::mistake::Fault::new(
                            format!("not one of the choices{hint}"),
                            format!("write {}", $form),
                        ))
                    }
                }
            }
        }
    };
}
pub(super) use choice;
