//! Which storages a route takes, and where a session begun elsewhere goes on.

use sessile_core::Storage;
use sessile_core::cookie::{CookieConfig, clear_unused};
use sessile_core::storage::{AccessTokenPlace, Exposure, Offer, Renewal};

/// The names are those of the setting, and each is read back.
#[test]
fn names_are_read_back() {
    for storage in Storage::ALL {
        assert_eq!(storage.name().parse(), Ok(storage));
    }
    for unknown in ["", "Hybrid", "hybrid ", "localStorage", "server_session"] {
        assert!(unknown.parse::<Storage>().is_err(), "{unknown}");
    }
}

/// What a script can read, it needs an acknowledgement for; `memory` hides its token in a closure.
#[test]
fn exposure_follows_the_place() {
    for storage in Storage::ALL {
        let shape = storage.shape();
        let in_scripts = shape.access_token == AccessTokenPlace::Body;
        assert_eq!(shape.exposure != Exposure::HttpOnly, in_scripts, "{storage}");
        assert_eq!(shape.danger.is_some(), shape.exposure >= Exposure::Tab, "{storage}");
        assert_eq!(storage.is_body_delivered(), in_scripts, "{storage}");
        assert!(shape.session_token || shape.renewal == Renewal::Never, "{storage}: renewal takes a session token");
    }
}

/// A session goes on where no script comes to read a token it could not read before: always to the server's side, never
/// from there to a script. Negative control: both answers occur.
#[test]
fn sessions_move_away_from_scripts_alone() {
    let moves = |from: Storage, to: Storage| Offer::new(to, &[]).place_of(from);
    for storage in Storage::ALL {
        assert_eq!(moves(storage, storage), Some(storage));
        for safe in [Storage::Hybrid, Storage::ServerSession, Storage::Database, Storage::Cookie] {
            assert_eq!(moves(storage, safe), Some(safe), "{storage} to {safe}");
            if storage.is_body_delivered() {
                assert_eq!(moves(safe, storage), None, "{safe} to {storage}");
            }
        }
    }
    assert_eq!(moves(Storage::LocalStorage, Storage::SessionStorage), Some(Storage::SessionStorage));
    assert_eq!(moves(Storage::SessionStorage, Storage::Memory), Some(Storage::Memory));
    assert_eq!(moves(Storage::Memory, Storage::SessionStorage), None);
    assert_eq!(moves(Storage::SessionStorage, Storage::LocalStorage), None);
}

/// What clients may choose stays where it is; the rest comes to the route's own storage.
#[test]
fn an_offer_takes_its_own_and_what_clients_chose() {
    let offer = Offer::new(Storage::Hybrid, &[Storage::Memory]);
    assert_eq!(offer.own(), Storage::Hybrid);
    assert_eq!(offer.place_of(Storage::Memory), Some(Storage::Memory));
    assert_eq!(offer.place_of(Storage::LocalStorage), Some(Storage::Hybrid));
    assert!(offer.takes_bearers() && offer.takes_session_tokens());
    for storage in Storage::ALL {
        let taken = matches!(storage, Storage::Hybrid | Storage::Memory);
        assert_eq!(offer.takes(storage), taken, "{storage}");
    }
    assert!(!Offer::new(Storage::Hybrid, &[]).takes_bearers());
    assert!(!Offer::new(Storage::Memory, &[Storage::LocalStorage]).takes_session_tokens());
}

/// Each of our two cookies is either used by a storage or expired with its attributes.
#[test]
fn unused_cookies_are_expired() {
    let config = CookieConfig::default();
    for storage in Storage::ALL {
        let shape = storage.shape();
        let expired: Vec<_> = clear_unused(&config, storage).iter().map(|cookie| cookie.name()).collect();
        let used = [
            shape.session_token.then_some(config.session_name()),
            (shape.access_token == AccessTokenPlace::Cookie).then_some(config.access_name()),
        ];
        for name in [config.session_name(), config.access_name()] {
            assert_ne!(expired.contains(&name), used.contains(&Some(name)), "{storage}: {name}");
        }
    }
    let gone = clear_unused(&config, Storage::ServerSession);
    assert_eq!(gone[0].as_str(), "__Host-Http-sessile-at=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
}
