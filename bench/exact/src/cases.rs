//! What is counted: each function by itself, on a request as a browser sends it.

use std::hint::black_box;

use http::{HeaderMap, HeaderValue, Method};
use sessile::Forward;
use sessile_core::csrf::CsrfVerdict;
use sessile_core::event::RequestId;
use sessile_core::revocation::Standing;
use sessile_core::storage::Storage;
use sessile_server::gateway::headers::{self, ForwardAs, Hop, Provenance};
use sessile_server::gateway::wire::{Gate, Limits, Step};

use crate::counted;
use crate::primitives::{BareKey, KnownView};
use crate::world::{Admitted, ORIGIN, Visit, answer_of_upstream, wire_head};

/// One thing that is counted.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it is called in `docs/measured/exact.json`.
    pub name: &'static str,
    /// Sets it up and does it once.
    pub run: fn(),
}

macro_rules! cases {
    ($($name:literal: $set_up:expr => $work:expr;)+) => {
        /// All of them.
        pub fn cases() -> Vec<Case> {
            vec![$(Case {
                name: $name,
                run: || {
                    let mut subject = $set_up;
                    counted(&mut subject, $work);
                },
            }),+]
        }
    };
}

cases! {
    // From the cookie header to Admitted.
    "warm, hybrid": Visit::warm(Storage::Hybrid) => guard;
    "warm, server-session": Visit::warm(Storage::ServerSession) => guard;
    "warm, database": Visit::warm(Storage::Database) => guard;
    "warm, cookie": Visit::warm(Storage::Cookie) => guard;
    "warm, bearer": Visit::warm(Storage::Memory) => guard;
    "cold, hybrid": Visit::cold(Storage::Hybrid) => guard;
    "cold, server-session": Visit::cold(Storage::ServerSession) => guard;
    "renewal, hybrid": due(Storage::Hybrid) => renew;
    "renewal, server-session": due(Storage::ServerSession) => renew;
    // What the library underneath takes for the same.
    "bare ES256 verification": BareKey::used() => |key| assert!(black_box(key.verifies()));
    "bare ES256 signature": BareKey::used() => |key| drop(black_box(key.sign()));
    // The parts.
    "arrival": Visit::warm(Storage::Hybrid) => |visit| drop(black_box(visit.arrival()));
    "view, a live session beside 10,000 ended": KnownView::new(10_000) => |view| assert_eq!(view.of_live(), Standing::Live);
    "view, an ended session of 10,000": KnownView::new(10_000) => |view| assert_eq!(view.of_ended(), Standing::Ended);
    "CSRF by Fetch Metadata": by_fetch_metadata() => check_csrf;
    "CSRF by Origin": by_origin() => check_csrf;
    "CSRF by token": by_token() => check_csrf;
    "wire gate, one head": wire_head(&Visit::warm(Storage::Hybrid).parts) => |head| pass_wire(head);
    // Headers.
    "headers to the upstream": Way::new() => Way::send;
    "headers to the client": answer_of_upstream() => |answer| drop(black_box(headers::to_client(answer)));
    "finish": forwarded() => |(visit, forward, answer)| visit.finish(forward, answer);
    // Twins that cost too much: a check that does not notice them is none.
    "twin: cold, hybrid": (Visit::cold(Storage::Hybrid), BareKey::used()) => verify_once_more;
    "twin: warm, hybrid": Visit::warm(Storage::Hybrid) => allocate_once_more;
}

fn guard(visit: &mut Visit) {
    drop(black_box(visit.guard()));
}

fn due(storage: Storage) -> (Visit, HeaderMap) {
    (Visit::due(storage), answer_of_upstream())
}

fn renew((visit, answer): &mut (Visit, HeaderMap)) {
    let forward = visit.guard();
    visit.finish(&forward, answer);
}

/// What a browser of before Fetch Metadata does not send, or a page hides.
const PROOFS: [&str; 4] = ["sec-fetch-site", "origin", "referer", "x-requested-with"];

fn by_fetch_metadata() -> Admitted {
    Visit::warm(Storage::Hybrid).changed(Method::POST, &[], &[("origin", ORIGIN)]).admitted()
}

fn by_origin() -> Admitted {
    Visit::warm(Storage::Hybrid).changed(Method::POST, &PROOFS, &[("origin", ORIGIN)]).admitted()
}

fn by_token() -> Admitted {
    Visit::warm(Storage::Hybrid).admitted().with_csrf_token(&PROOFS)
}

fn check_csrf(request: &mut Admitted) {
    assert!(matches!(black_box(request.check_csrf()), CsrfVerdict::Pass(_)));
}

fn pass_wire(head: &[u8]) {
    assert_eq!(Gate::new(Limits::default()).step(black_box(head)), Step::Pass(head.len()));
}

/// A request on its way to the application.
struct Way {
    request: Admitted,
    host: HeaderValue,
    id: RequestId,
}

impl Way {
    fn new() -> Self {
        let request = Visit::warm(Storage::Hybrid).admitted();
        let id = RequestId("Vt0J7c2bQ9yE1mXa4sLw8g".to_owned());
        Self { request, host: HeaderValue::from_static("app.example.org"), id }
    }

    fn send(&mut self) {
        let client = headers::address_field([192, 0, 2, 17].into());
        let via = Hop::new([7; 8]);
        let about = Provenance {
            host: &self.host,
            public_host: &self.host,
            public_scheme: "https",
            client: Some(&client),
            request_id: &self.id,
            via: &via,
            upgrade: false,
        };
        let who = ForwardAs::User(&self.request.pass.admitted);
        drop(black_box(headers::to_upstream(self.request.arrival.parts(), who, &about)));
    }
}

fn forwarded() -> (Visit, Forward, HeaderMap) {
    let visit = Visit::warm(Storage::Hybrid);
    let forward = visit.guard();
    // What is done once for each process is done.
    visit.finish(&forward, &mut answer_of_upstream());
    (visit, forward, answer_of_upstream())
}

fn verify_once_more((visit, key): &mut (Visit, BareKey)) {
    guard(visit);
    assert!(black_box(key.verifies()));
}

fn allocate_once_more(visit: &mut Visit) {
    guard(visit);
    drop(black_box(Box::new(0_u8)));
}
