//! The page people look at: static files, built into the program.

use http::StatusCode;

use crate::control::guarded;
use crate::net::{self, Answer};

macro_rules! files {
    ($($name:literal as $kind:ident,)*) => {
        /// Path, kind and text of each file.
        const FILES: &[(&str, Kind, &str)] = &[$((concat!("/", $name), Kind::$kind, include_str!(concat!("../ui/", $name))),)*];
    };
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Page,
    Style,
    Script,
}

files! {
    "index.html" as Page,
    "style.css" as Style,
    "api.js" as Script,
    "app.js" as Script,
    "board.js" as Script,
    "browser.js" as Script,
    "dom.js" as Script,
    "evidence.js" as Script,
    "status.js" as Script,
    "verdict.js" as Script,
}

/// The file at a path.
pub(crate) fn file(path: &str) -> Option<Answer> {
    let path = if path == "/" { "/index.html" } else { path };
    let (_, kind, text) = FILES.iter().find(|(known, _, _)| *known == path)?;
    let kind = match kind {
        Kind::Page => "text/html; charset=utf-8",
        Kind::Style => "text/css; charset=utf-8",
        Kind::Script => "text/javascript; charset=utf-8",
    };
    Some(guarded(net::answer(StatusCode::OK, kind, *text), ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module that the page imports and nobody listed would be missing. Negative control: what is not there is not.
    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/ui");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let served = |name: &String| name.ends_with(".js") || name.ends_with(".css") || name.ends_with(".html");
        let names: Vec<String> = names.filter(served).collect();
        assert!(names.len() > 2);
        for name in names {
            assert!(file(&format!("/{name}")).is_some(), "{name} is missing in the table of this file");
        }
        assert!(file("/").is_some());
        assert!(file("/dev/fixture.json").is_none());
    }
}
