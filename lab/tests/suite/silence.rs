//! A page that says nothing is a result by its deadline, and never a hang.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::visitor::{Oddities, Visitor, begin, ended, lab, result};

fn outcomes(view: &Value) -> Vec<&str> {
    view["results"].as_array().unwrap().iter().map(|result| result["outcome"].as_str().unwrap()).collect()
}

/// The tab is gone when the first attack begins: closed, crashed, led elsewhere.
#[tokio::test]
async fn a_lost_tab_ends_the_run() {
    let lab = lab(Duration::from_millis(300)).await;
    let (run, start) = begin(&lab).await;
    Visitor::with(Oddities { lost_at: Some("/search"), ..Oddities::default() }).open(&start).await.unwrap();
    let began = Instant::now();
    let view = ended(&run).await;
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    assert_eq!(view["state"], "failed");
    assert!(view["why"].as_str().unwrap().contains("The tab was lost"), "{}", view["why"]);
    // Everything has a result, and nothing that was not tried looks like a success.
    assert_eq!(view["results"].as_array().unwrap().len() as u64, view["progress"]["total"].as_u64().unwrap());
    assert!(outcomes(&view).iter().all(|outcome| *outcome == "not_measured"), "{:?}", outcomes(&view));
}

/// One page never speaks, but the tab finds its way back: that attack is not measured, and the run goes on.
#[tokio::test]
async fn a_silent_page_costs_one_attack() {
    let lab = lab(Duration::from_millis(1500)).await;
    let (run, start) = begin(&lab).await;
    let visitor = Visitor::with(Oddities { silent_at: Some("/strict"), ..Oddities::default() });
    visitor.open(&start).await.unwrap();
    let view = ended(&run).await;
    assert_eq!(view["state"], "done", "{}", view["why"]);
    let silent = result(&view, "script-under-csp", "twin");
    assert_eq!(silent["outcome"], "not_measured");
    assert!(silent["detail"].as_str().unwrap().contains("said nothing"), "{silent}");
    assert!(silent["ms"].as_u64().unwrap() >= 1500, "{silent}");
    // The control: what came after it was measured.
    assert_eq!(result(&view, "survives-reload", "twin")["outcome"], "survives");
    assert_eq!(result(&view, "replay-elsewhere", "twin")["outcome"], "succeeded");
}
