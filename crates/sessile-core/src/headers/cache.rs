//! Who may keep an answer: `Cache-Control` and `Vary`.

use alloc::{string::String, vec::Vec};

use super::HeaderEdit;

/// Whether an answer depends on who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionUse {
    /// It carries the session or is about it: sign-in, sign-out, refresh, our own errors, redirects, 401.
    Carries,
    /// The application's answer to a request that was forwarded with a session.
    Depends,
    /// A session was neither needed nor used.
    None,
}

/// Fields by which a cache other than the browser's is told to keep an answer, whatever `Cache-Control` says
/// (RFC 9213 and its forerunners).
const TARGETED: [&str; 6] = [
    "cdn-cache-control",
    "cloudflare-cdn-cache-control",
    "netlify-cdn-cache-control",
    "vercel-cdn-cache-control",
    "surrogate-control",
    "x-accel-expires",
];

/// Whether [`edits`] depend on the upstream's fields of this name.
pub(super) fn is_decisive(name: &str) -> bool {
    matches!(name, "cache-control" | "expires") || TARGETED.contains(&name)
}

/// What the upstream said about keeping its answer.
enum Said {
    Nothing,
    /// `no-store`, `private` or `no-cache`: shared caches do not answer with it unasked.
    NotForOthers,
    /// Anything else, and anything unreadable.
    MayBeShared,
}

fn said(upstream: &[(&str, &[u8])]) -> Said {
    let mut any = false;
    for (_, value) in upstream.iter().filter(|(name, _)| *name == "cache-control") {
        for directive in value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|d| !d.is_empty()) {
            any = true;
            // Only the plain forms: `private="x-field"` restricts one field and shares the rest, and a comma
            // within quotes parts nothing.
            if !value.contains(&b'"')
                && [&b"no-store"[..], b"private", b"no-cache"].iter().any(|d| directive.eq_ignore_ascii_case(d))
            {
                return Said::NotForOthers;
            }
        }
    }
    if any || upstream.iter().any(|(name, _)| *name == "expires") { Said::MayBeShared } else { Said::Nothing }
}

/// Keeps an answer that depends on the session out of every cache it could leak from.
///
/// - What carries the session is `no-store`.
/// - An application's answer without `Cache-Control` or `Expires` becomes `no-store` (P21).
/// - One that says `private`, `no-cache` or `no-store` is left as it is: the application knows what its user's
///   browser may keep.
/// - One that shared caches could keep becomes `private, no-store`, whatever its path looks like: a path that
///   ends in `.css` is how cache deception works. Files for everybody belong on a public route.
pub(super) fn edits(session: SessionUse, upstream: &[(&str, &[u8])], out: &mut Vec<HeaderEdit<'_>>) {
    let value = match session {
        SessionUse::None => return,
        SessionUse::Carries => Some("no-store"),
        SessionUse::Depends => match said(upstream) {
            Said::Nothing => Some("no-store"),
            Said::NotForOthers => None,
            Said::MayBeShared => Some("private, no-store"),
        },
    };
    if let Some(value) = value {
        out.push(HeaderEdit::Set("cache-control", value.into()));
    }
    for name in TARGETED {
        if upstream.iter().any(|(given, _)| *given == name) {
            out.push(HeaderEdit::Remove(name));
        }
    }
}

/// One `Vary` value that names everything the upstream named, in its order and spelling, and then `added`
/// . `None` if there is nothing to name.
pub fn merge_vary<'a>(upstream: impl Iterator<Item = &'a [u8]>, added: &[&'static str]) -> Option<String> {
    let mut names: Vec<String> = Vec::new();
    let mut push = |name: &str| {
        if !name.is_empty() && !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(String::from(name));
        }
    };
    for value in upstream {
        // A name that is not text names no field we could drop; it is kept out of the merged line only.
        value.split(|&b| b == b',').filter_map(|name| core::str::from_utf8(name.trim_ascii()).ok()).for_each(&mut push);
    }
    added.iter().copied().for_each(&mut push);
    if names.iter().any(|name| name == "*") {
        return Some(String::from("*"));
    }
    (!names.is_empty()).then(|| names.join(", "))
}
