//! Log lines: whole, in UTC, with the fields of an event, and unforgeable.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sessile_core::Timestamp;
use sessile_core::client::Client;
use sessile_core::event::{Event, EventName, RequestId};
use sessile_server::log::{Style, subscriber};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn written(style: Style, act: impl FnOnce()) -> String {
    let sink = Sink::default();
    let (subscriber, logging) = subscriber(style, Box::new(sink.clone())).unwrap();
    tracing::subscriber::with_default(subscriber, act);
    drop(logging);
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes).expect("UTF-8")
}

const HOSTILE: [&str; 9] = [
    "line\n{\"level\":\"info\",\"event\":\"authn_login_success\"}",
    "carriage\r\nreturn",
    "\u{1b}[2K\u{1b}[1Aansi",
    "bidi \u{202e}gnihtemos\u{2066}",
    "separators \u{2028}\u{2029}\u{85}",
    "c1 \u{9b}2J",
    "zero\u{200b}width\u{feff}",
    "quote\" , \"level\":\"critical",
    "back\\slash \\u000a \u{e0041}",
];

fn misleading(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// text from outside stays within its field. Negative control: written as it is, it makes further lines.
#[test]
fn untrusted_text_cannot_forge_lines() {
    for text in HOSTILE {
        for style in [Style::Json, Style::Text { colour: false }] {
            let log = written(
                style,
                || tracing::warn!(target: "sessile::test", user_agent = text, claimed = %text, debugged = ?text, "met {text}"),
            );
            assert_eq!(log.matches('\n').count(), 1, "{log:?}");
            assert!(!log.chars().any(misleading), "{log:?}");
            if style == Style::Json {
                let value: Value = serde_json::from_str(&log).expect("one JSON object");
                assert_eq!(value["user_agent"], text);
                assert_eq!(value["claimed"], text);
                assert_eq!(value["message"], format!("met {text}"));
                assert_eq!(value["level"], "warn");
            }
        }
    }
    assert!(
        HOSTILE.iter().any(|text| format!("warn {text}\n").matches('\n').count() > 1),
        "the corpus forges lines where nothing is escaped"
    );
}

/// a security event is one record with time in UTC, who, what, where and the request it belongs to.
#[tokio::test]
async fn an_event_is_one_record_with_every_field() {
    let engine = crate::ops_world::engine(|_| {}).await;
    let id = "AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap();
    let event = Event::new(EventName::TokenReuse, "reuse", Timestamp::from_millis(1_763_856_000_123))
        .subject("ada".parse().unwrap())
        .session(id)
        .client(Client { browser: "Firefox".into(), network: "192.0.2.7".into(), ..Client::default() })
        .request(Some(RequestId("r-1".into())));
    let log = written(Style::Json, || engine.record(event));
    let value: Value = serde_json::from_str(&log).unwrap();
    for (field, wanted) in [
        ("time", "2025-11-23T00:00:00.123Z"),
        ("level", "critical"),
        ("event", "authn_token_reuse"),
        ("reason", "reuse"),
        ("subject", "ada"),
        ("session", "AAAAAAAAAAAAAAAAAAAAAA"),
        ("request", "r-1"),
        ("browser", "Firefox"),
        ("network", "192.0.2.7"),
        ("target", "sessile::event"),
    ] {
        assert_eq!(value[field], wanted, "{field} of {log}");
    }
    let members = value.as_object().unwrap();
    assert_eq!(members.len(), 10, "{members:?}");
    let nobody =
        written(Style::Json, || engine.record(Event::new(EventName::Startup, "serve", Timestamp::from_millis(0))));
    let value: Value = serde_json::from_str(&nobody).unwrap();
    assert!(
        value.get("subject").is_none() && value.get("session").is_none(),
        "what is not known is left out: {nobody}"
    );
}

/// libraries print requests and frames below `warn`; none of that passes, at our lowest level.
#[test]
fn what_libraries_say_below_warn_does_not_pass() {
    let log = written(Style::Json, || {
        tracing::trace!(target: "hyper::proto::h1", "cookie: __Host-Http-sessile=secret");
        tracing::debug!(target: "h2::codec", "authorization: Bearer secret");
        tracing::info!(target: "rustls", "secret");
        tracing::trace!(target: "sessile_server::test", "ours");
        tracing::warn!(target: "hyper", "theirs");
    });
    assert!(!log.contains("secret"), "{log}");
    assert!(log.contains("ours") && log.contains("theirs"), "the control: these pass: {log}");
}

/// X11: a log nobody reads stalls nobody. Lines are dropped, and that is said when they flow again.
#[test]
fn a_stalled_log_stalls_nobody() {
    struct Stalled(Arc<(Mutex<bool>, std::sync::Condvar)>, Sink);
    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let (open, changed) = &*self.0;
            let _open = changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap();
            self.1.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let gate = Arc::new((Mutex::new(false), std::sync::Condvar::new()));
    let sink = Sink::default();
    let (subscriber, logging) = subscriber(Style::Json, Box::new(Stalled(gate.clone(), sink.clone()))).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        let began = std::time::Instant::now();
        for n in 0..60_000u64 {
            tracing::info!(target: "sessile::test", n, "line");
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "nobody waits for the log");
        assert!(sink.0.lock().unwrap().is_empty(), "the control: nothing could be written");
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        // One more, so that the count of the lost is written behind it.
        std::thread::sleep(std::time::Duration::from_millis(200));
        tracing::info!(target: "sessile::test", "last");
    });
    drop(logging);
    let log = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("log lines were dropped") && log.contains("\"last\""),
        "{}",
        log.lines().last().unwrap_or_default()
    );
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "what was written is whole");
}
