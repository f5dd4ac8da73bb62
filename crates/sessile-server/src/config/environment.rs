//! The environment laid over the file: `SESSILE_SECTION_KEY`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::document::{Given, Raw};
use super::keys::SECTIONS;
use super::mistake::{Fault, Mistakes, Place};
use super::suggest::nearest;
use super::table::Key;

/// Names the configuration file; read before it.
pub const CONFIG: &str = "SESSILE_CONFIG";

/// Puts every `SESSILE_` variable over what the file said. An unknown one is a mistake: it is a misspelt one.
pub(super) fn overlay(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    values: &mut BTreeMap<String, Given>,
    mistakes: &mut Mistakes,
) {
    let mut ours: Vec<(String, OsString)> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("SESSILE_") && name != CONFIG)
        .collect();
    ours.sort();
    let mut given_by: BTreeMap<&'static str, String> = BTreeMap::new();
    for (name, value) in ours {
        let place = Place::Env(name.clone());
        let Ok(value) = value.into_string() else {
            mistakes.fault(&name, place, None, Fault::new("not UTF-8", "write the value in UTF-8"));
            continue;
        };
        let Some(key) = key_of(&name) else {
            if !is_service_link(&name, &value) {
                mistakes.fault(&name, place, None, unknown(&name));
            }
            continue;
        };
        if let Some(other) = given_by.insert(key.path, name.clone()) {
            let fault = Fault::new(format!("{other} gives the same setting"), "unset one of the two");
            mistakes.fault(key.path, place, None, fault);
            continue;
        }
        values.insert(key.path.to_owned(), Given { raw: Raw::Text(value), place });
    }
}

fn key_of(name: &str) -> Option<&'static Key> {
    settable().find(|key| key.env() == name || key.alias == Some(name))
}

fn settable() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().filter(|section| !section.repeated).flat_map(|section| section.keys)
}

fn unknown(name: &str) -> Fault {
    let names: Vec<String> =
        settable().map(Key::env).chain(settable().filter_map(|key| key.alias.map(str::to_owned))).collect();
    // Without what all of them begin with, which would make strangers look alike.
    let meant = nearest(without_prefix(name), names.iter().map(|name| without_prefix(name)));
    let hint = meant.map_or_else(String::new, |meant| format!("; did you mean SESSILE_{meant}?"));
    Fault::new(format!("no setting has this name{hint}"), "unset it, or see `sessile config` for the names")
}

fn without_prefix(name: &str) -> &str {
    name.strip_prefix("SESSILE_").unwrap_or(name)
}

/// Whether the orchestrator, not the operator, made this variable: Kubernetes describes a service called
/// `sessile...` by names such as `SESSILE_SERVICE_HOST` and `SESSILE_PORT_8080_TCP_ADDR`.
fn is_service_link(name: &str, value: &str) -> bool {
    let has_port_part = |protocol: &str| {
        name.split_once("_PORT_").is_some_and(|(_, rest)| {
            rest.split_once('_').is_some_and(|(port, rest)| port.parse::<u16>().is_ok() && rest.starts_with(protocol))
        })
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://")))
        || has_port_part("TCP")
        || has_port_part("UDP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_share_an_environment_name() {
        let mut names: Vec<String> =
            settable().map(Key::env).chain(settable().filter_map(|key| key.alias.map(str::to_owned))).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| !is_service_link(name, "")), "no key looks like a service link");
    }

    #[test]
    fn service_links_are_told_from_misspelt_settings() {
        for (name, value) in [
            ("SESSILE_SERVICE_HOST", "10.0.0.1"),
            ("SESSILE_SERVICE_PORT_HTTP", "80"),
            ("SESSILE_PORT", "tcp://10.0.0.1:80"),
            ("SESSILE_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("SESSILE_GATEWAY_PORT_53_UDP", "udp://10.0.0.1:53"),
        ] {
            assert!(is_service_link(name, value), "{name}");
        }
        for (name, value) in [("SESSILE_PORT", "8080"), ("SESSILE_SERVER_PORT", "8080"), ("SESSILE_SERVER_LISTN", "x")]
        {
            assert!(!is_service_link(name, value), "{name}");
        }
    }
}
