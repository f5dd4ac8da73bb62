//! The machine without I/O.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::corpus::{Case, Expect, corpus};
use crate::gateway::wire::{Gate, Limits, Step, WireViolation};

/// What a stream came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Messages that passed whole.
    pub(super) messages: usize,
    pub(super) passed: Vec<u8>,
    /// A head has passed whose body has not ended.
    pub(super) inside_body: bool,
    pub(super) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// More bytes could follow.
    Open,
    Refused(WireViolation),
    Broken(WireViolation),
}

/// Feeds a stream in pieces to a gate whose every exchange ends at once.
pub(super) fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Run {
    let mut gate = Gate::new(Limits::default());
    let mut held = Vec::new();
    let mut run = Run { messages: 0, passed: Vec::new(), inside_body: false, end: End::Open };
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            match gate.step(&held) {
                Step::Pass(count) => {
                    assert!(count > 0 && count <= held.len(), "{count} of {}", held.len());
                    run.passed.extend(held.drain(..count));
                }
                Step::More => break,
                Step::Hold => {
                    run.messages += 1;
                    gate.answered();
                }
                Step::Refuse(violation) => {
                    run.end = End::Refused(violation);
                    break;
                }
                Step::Break(violation) => {
                    run.end = End::Broken(violation);
                    break;
                }
            }
        }
    }
    run.inside_body = gate.is_inside_body();
    run
}

fn fault_of(case: &Case, run: &Run) -> Option<String> {
    let agrees = match (case.expect, run.end) {
        (Expect::Served(count), End::Open) => run.messages == count && run.passed == case.bytes,
        (Expect::RefusedHead { .. }, End::Open) => run.messages == 1,
        (Expect::Refused { after, status, code }, End::Refused(violation)) => {
            run.messages == after && violation.code() == code && violation.refusal().status() == status
        }
        (Expect::Broken { after, code }, End::Broken(violation)) => run.messages == after && violation.code() == code,
        _ => false,
    };
    (!agrees).then(|| format!("{} came to {} messages, {:?}", case.shown(), run.messages, run.end))
}

/// R-111, R-113 (P3 to P12): every case of the corpus, whole and byte by byte.
#[test]
fn corpus_whole_and_byte_by_byte() {
    let cases = corpus();
    assert!(cases.len() >= 90, "{}", cases.len());
    for case in &cases {
        let whole = run([case.bytes.as_slice()]);
        assert_eq!(fault_of(case, &whole), None);
        assert_eq!(run(case.bytes.chunks(1)), whole, "{}", case.name);
    }
}

/// Case names are what a failure is reported by.
#[test]
fn corpus_names_are_unique() {
    let mut names: Vec<_> = corpus().iter().map(|case| case.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// Negative control: the check above notices when a good case is called bad, a bad one good, or a reason is wrong.
#[test]
fn corpus_check_can_fail() {
    let find = |name: &str| corpus().into_iter().find(|case| case.name == name).unwrap();
    let mut good = find("get");
    good.expect = Expect::Refused { after: 0, status: 400, code: "host_missing" };
    assert!(fault_of(&good, &run([good.bytes.as_slice()])).is_some());
    let mut bad = find("no host");
    bad.expect = Expect::Served(1);
    assert!(fault_of(&bad, &run([bad.bytes.as_slice()])).is_some());
    bad.expect = Expect::Refused { after: 0, status: 400, code: "host_repeated" };
    assert!(fault_of(&bad, &run([bad.bytes.as_slice()])).is_some());
}

/// Every reason occurs in the corpus, so none is dead.
#[test]
fn corpus_covers_every_violation() {
    let cases = corpus();
    for violation in WireViolation::ALL {
        let code = violation.code();
        let named = cases.iter().any(|case| match case.expect {
            Expect::Refused { code: named, .. } | Expect::Broken { code: named, .. } => named == code,
            Expect::Served(_) | Expect::RefusedHead { .. } => false,
        });
        assert!(named, "{code}");
    }
}

/// RUSTSEC-2026-0033, C4: bytes behind an upgrade are neither a request nor tunnel data before the outcome is known.
#[test]
fn bytes_behind_an_upgrade_wait_for_the_outcome() {
    let head = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let smuggled = b"GET /admin HTTP/1.1\nHost: a\n\n";
    let offered = || {
        let mut gate = Gate::new(Limits::default());
        assert_eq!(gate.step(&[head.as_slice(), smuggled].concat()), Step::Pass(head.len()));
        gate
    };
    let mut undecided = offered();
    assert_eq!(undecided.step(smuggled), Step::Hold);
    assert_eq!(undecided.step(smuggled), Step::Hold);
    let mut declined = offered();
    declined.answered();
    assert_eq!(declined.step(smuggled), Step::Refuse(WireViolation::BareLf));
    let mut accepted = offered();
    accepted.switched();
    assert_eq!(accepted.step(smuggled), Step::Pass(smuggled.len()));
    // Negative control: had nobody asked, a 101 would open nothing.
    let plain = b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut unasked = Gate::new(Limits::default());
    assert_eq!(unasked.step(plain), Step::Pass(plain.len()));
    unasked.switched();
    assert_eq!(unasked.step(smuggled), Step::Hold);
}

/// RFC 9110 section 7.8: HTTP/1.0 cannot upgrade.
#[test]
fn http10_cannot_upgrade() {
    let head = b"GET /ws HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
    let mut gate = Gate::new(Limits::default());
    assert_eq!(gate.step(head), Step::Pass(head.len()));
    gate.switched();
    assert_eq!(gate.step(b"x"), Step::Hold);
}

/// C3: an answer before the end of a body does not turn what is left of the body into a request.
#[test]
fn early_answer_does_not_free_the_body() {
    let mut gate = Gate::new(Limits::default());
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n";
    assert_eq!(gate.step(head), Step::Pass(head.len()));
    gate.answered();
    assert!(gate.is_inside_body());
    let hidden = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(gate.step(hidden), Step::Pass(30));
    assert_eq!(gate.step(&hidden[30..]), Step::Refuse(WireViolation::EmptyLine));
}

/// A second response to one request, or a response to none, leaves no way to match them: nothing passes any more.
#[test]
fn responses_that_match_nothing_stop_the_stream() {
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut gate = Gate::new(Limits::default());
    gate.answered();
    assert_eq!(gate.step(get), Step::Hold);
    let mut gate = Gate::new(Limits::default());
    gate.step(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    gate.answered();
    gate.answered();
    assert_eq!(gate.step(get), Step::Hold);
}

/// R-119: a head that comes byte by byte is searched once, not once per byte.
#[test]
fn dripping_a_head_is_not_quadratic() {
    let field = vec![b'a'; 30 * 1024];
    let head = [b"GET / HTTP/1.1\r\nHost: a\r\nA: ".as_slice(), &field, b"\r\n\r\n"].concat();
    let mut gate = Gate::new(Limits::default());
    let begin = std::time::Instant::now();
    for end in 1..head.len() {
        assert_eq!(gate.step(&head[..end]), Step::More);
    }
    assert_eq!(gate.step(&head), Step::Pass(head.len()));
    // Searching 30,000 times 15,000 bytes on average takes this build many seconds.
    assert!(begin.elapsed() < std::time::Duration::from_secs(1), "{:?}", begin.elapsed());
}

/// A body's framing costs no memory: nothing of it is ever held but a trailer section.
#[test]
fn bodies_pass_as_they_come() {
    let mut gate = Gate::new(Limits::default());
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(gate.step(head), Step::Pass(head.len()));
    for piece in [b"1".as_slice(), b"0;a", b"=b\r", b"\n0123456789", b"abcdef\r\n1", b"\r\n!\r", b"\n0\r\n"] {
        assert_eq!(gate.step(piece), Step::Pass(piece.len()));
    }
    assert_eq!(gate.step(b"A: b\r\n"), Step::More);
    assert_eq!(gate.step(b"A: b\r\n\r\n"), Step::Pass(8));
    assert_eq!(gate.step(b""), Step::Hold);
}

/// Whether some cutting of a stream changes its verdict.
fn is_cut_proof(
    stream: &[u8],
    cuts: &[prop::sample::Index],
    judge: impl Fn(&mut dyn Iterator<Item = &[u8]>) -> Run,
) -> bool {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).chain([0, stream.len()]).collect();
    places.sort_unstable();
    let mut pieces = places.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
    judge(&mut pieces) == judge(&mut std::iter::once(stream))
}

/// Random cases of a run are not kept in files.
pub(super) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// A client's bytes, legible in the message of a failed test.
#[derive(Clone)]
pub(super) struct Stream(pub(super) Vec<u8>);

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// One or two cases behind each other, with a few bytes changed.
pub(super) fn mutated_stream() -> impl Strategy<Value = Stream> {
    let cases: Vec<Vec<u8>> = corpus().into_iter().map(|case| case.bytes).filter(|bytes| bytes.len() < 2000).collect();
    let byte = prop_oneof![prop::sample::select(b"\r\n\t :;,/.%?#*@0159aAfFxX\0\x7f\x80\xff".to_vec()), any::<u8>(),];
    let change = (any::<prop::sample::Index>(), 0..3u8, byte);
    (prop::collection::vec(prop::sample::select(cases), 1..3), prop::collection::vec(change, 0..4)).prop_map(
        |(cases, changes)| {
            let mut stream = cases.concat();
            for (place, kind, byte) in changes {
                let place = place.index(stream.len().max(1));
                match kind {
                    0 if place < stream.len() => stream[place] = byte,
                    1 if place < stream.len() => drop(stream.remove(place)),
                    _ => stream.insert(place.min(stream.len()), byte),
                }
            }
            Stream(stream)
        },
    )
}

proptest! {
    #![proptest_config(config(3000))]

    /// R-111: however a stream is cut, the same bytes pass and the same verdict falls; and no bytes make the machine panic.
    #[test]
    fn cutting_changes_nothing(stream in mutated_stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let judge = |pieces: &mut dyn Iterator<Item = &[u8]>| run(pieces);
        prop_assert!(is_cut_proof(&stream.0, &cuts, judge));
        let whole = run([stream.0.as_slice()]);
        prop_assert!(stream.0.starts_with(&whole.passed));
    }

    /// No bytes whatever make the machine panic.
    #[test]
    fn any_bytes_are_judged(stream in prop::collection::vec(any::<u8>(), 0..300)) {
        let judge = |pieces: &mut dyn Iterator<Item = &[u8]>| run(pieces);
        prop_assert!(is_cut_proof(&stream, &[], judge));
    }
}

/// Negative control: a gate that forgets between pieces (it looks for the end of a head within each) is caught by the same check.
#[test]
fn cutting_check_can_fail() {
    let forgetful = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let messages = pieces.filter(|piece| run([*piece]).messages > 0).count();
        Run { messages, passed: Vec::new(), inside_body: false, end: End::Open }
    };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let stream = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let found = (0..50).any(|_| {
        let cuts = prop::collection::vec(any::<prop::sample::Index>(), 1..4).new_tree(&mut runner).unwrap().current();
        !is_cut_proof(stream, &cuts, forgetful)
    });
    assert!(found);
}
