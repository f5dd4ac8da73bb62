//! An attack counts as stopped if its twin fell in the same run, and in no other case.

use sessile_lab::attacks::Attack;
use sessile_lab::run::verdict::{Finding, Outcome, Seen, outcome};
use sessile_lab::storage::{Site, Storage, Target};

const ALL: [Seen; 6] = [Seen::Fell, Seen::Held, Seen::Survived, Seen::Lost, Seen::NotApplicable, Seen::NotMeasured];

fn finding(target: Target, storage: Storage, attack: Attack, seen: Seen) -> Finding {
    let detail = format!("{target:?} was seen as {seen:?}.");
    Finding { site: Site { storage, target }, attack, seen, detail, evidence: Vec::new(), ms: 0 }
}

#[test]
fn stopped_needs_a_twin_that_fell() {
    let (storage, attack) = (Storage::Hybrid, Attack::CrossSiteForm);
    let mut stopped = Vec::new();
    for sessile in ALL {
        for twin in ALL.map(Some).into_iter().chain([None]) {
            let ours = finding(Target::Sessile, storage, attack, sessile);
            let mut all = vec![ours.clone()];
            all.extend(twin.map(|seen| finding(Target::Twin, storage, attack, seen)));
            if outcome(&ours, &all).0 == Outcome::Stopped {
                stopped.push((sessile, twin));
            }
        }
    }
    assert_eq!(stopped, [(Seen::Held, Some(Seen::Fell))]);
}

/// Neither another attack's twin nor another storage's counts, nor the twin itself.
#[test]
fn only_the_same_attack_on_the_same_storage_counts() {
    let ours = finding(Target::Sessile, Storage::Hybrid, Attack::CrossSiteForm, Seen::Held);
    let others = [
        finding(Target::Twin, Storage::Hybrid, Attack::CrossSiteFetch, Seen::Fell),
        finding(Target::Twin, Storage::Cookie, Attack::CrossSiteForm, Seen::Fell),
        finding(Target::Sessile, Storage::Hybrid, Attack::CrossSiteForm, Seen::Fell),
    ];
    assert_eq!(outcome(&ours, &others).0, Outcome::NotMeasured);
    // The control: with the right one beside them it does.
    let right = finding(Target::Twin, Storage::Hybrid, Attack::CrossSiteForm, Seen::Fell);
    assert_eq!(outcome(&ours, &[others.as_slice(), &[right]].concat()).0, Outcome::Stopped);
}

#[test]
fn a_twin_that_held_is_never_praised() {
    let twin = finding(Target::Twin, Storage::Hybrid, Attack::CrossSiteImage, Seen::Held);
    let (said, detail) = outcome(&twin, std::slice::from_ref(&twin));
    assert_eq!(said, Outcome::NotMeasured);
    assert!(detail.starts_with("The twin did not fall"), "{detail}");
    let ours = finding(Target::Sessile, Storage::Hybrid, Attack::CrossSiteImage, Seen::Held);
    let (_, detail) = outcome(&ours, &[twin]);
    assert!(detail.contains("proves nothing"), "{detail}");
}
