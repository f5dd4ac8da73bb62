//! What the page people look at is promised, and what strangers are not given.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::visitor::{Visitor, begin, ended, get_json, lab, send};

#[tokio::test]
async fn the_catalogue_has_everything_a_page_needs() {
    let lab = lab(Duration::from_secs(1)).await;
    let catalogue = get_json(&format!("{}lab/api/catalogue", lab.address())).await;
    assert_eq!(catalogue["version"], 1);
    let names = |list: &str, name: &str| -> Vec<String> {
        let all = catalogue[list].as_array().unwrap().iter();
        all.map(|each| each[name].as_str().unwrap().to_owned()).collect()
    };
    let storages = ["hybrid", "server-session", "database", "cookie", "memory", "session-storage", "local-storage"];
    assert_eq!(names("storages", "name"), storages);
    assert_eq!(catalogue["storages"][0]["default"], true);
    assert_eq!(names("groups", "id"), ["script", "lasting", "cross-site", "replay"]);
    let attacks = catalogue["attacks"].as_array().unwrap();
    assert_eq!(attacks.len(), 23);
    for attack in attacks {
        assert!(names("groups", "id").iter().any(|group| attack["group"] == *group), "{attack}");
        for text in ["id", "title", "claim", "how", "twin"] {
            assert!(attack[text].as_str().is_some_and(|text| !text.is_empty()), "{text} of {attack}");
        }
        assert!(["stopped", "survives", "either"].iter().any(|good| attack["good"] == *good), "{attack}");
    }
}

#[tokio::test]
async fn a_run_can_be_taken_home_without_secrets() {
    let lab = lab(Duration::from_secs(10)).await;
    let (run, start) = begin(&lab).await;
    let visitor = Visitor::default();
    visitor.open(&start).await.unwrap();
    let view = ended(&run).await;
    let answer = send(Method::GET, &format!("{run}/export"), &[], "").await;
    assert!(answer.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    let export: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(export["results"], view["results"]);
    assert!(export["versions"]["lab"].is_string());
    let secrets = visitor.secrets();
    assert!(secrets.iter().any(|secret| secret.starts_with("eyJ")), "the jar has held what must not be seen");
    for secret in &secrets {
        assert!(!text.contains(secret), "the export holds a secret whole");
    }
    // The control: they are in there, shortened.
    assert!(secrets.iter().any(|secret| text.contains(&format!("{}…", &secret[..12]))));
}

#[tokio::test]
async fn strangers_start_nothing_and_read_nothing() {
    let lab = lab(Duration::from_secs(1)).await;
    let base = lab.address();
    let post = |path: &'static str, headers: Vec<(&'static str, String)>, body: String| {
        let url = format!("{base}{path}");
        async move {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            send(Method::POST, &url, &headers, &body).await
        }
    };
    let wish = json!({ "storages": ["hybrid"] }).to_string();
    let own = base.trim_end_matches('/').to_owned();
    assert_eq!(post("lab/api/runs", vec![("origin", "https://evil.example".into())], wish.clone()).await.status(), 403);
    assert_eq!(post("lab/api/runs", vec![("origin", own.clone())], wish.clone()).await.status(), 201);
    assert_eq!(post("lab/api/runs", vec![("host", "evil.example".into())], wish).await.status(), 421);
    assert_eq!(post("lab/api/runs", vec![], json!({ "storages": ["shelf"] }).to_string()).await.status(), 400);

    let words =
        json!({ "run": "none", "tab": "main", "visit": 0, "page": "lobby", "href": "", "answer": null }).to_string();
    let foreign = post("lab/tab", vec![("origin", "https://evil.example".into())], words.clone()).await;
    assert!(!foreign.headers().contains_key("access-control-allow-origin"));
    let ours = post("lab/tab", vec![("origin", own.clone())], words).await;
    assert_eq!(ours.headers()["access-control-allow-origin"], own.as_str());
}

#[tokio::test]
async fn the_page_is_served_under_a_strict_policy() {
    let lab = lab(Duration::from_secs(1)).await;
    let answer = send(Method::GET, &lab.address(), &[], "").await;
    assert_eq!(answer.status(), 200);
    let policy = answer.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(send(Method::GET, &format!("{}nothing", lab.address()), &[], "").await.status(), 404);
}
