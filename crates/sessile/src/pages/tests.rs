//! K8: what pages do with text from outside.

use super::*;

/// Everything a value might try to break out of: text, quoted attributes, templates.
const HOSTILE: &str = "\"'><script>alert(1)</script>`x=y&lt;{{nonce}}\u{0}\u{7f}\r\nend";

fn sign_in_with(text: &str) -> String {
    let form = SignIn {
        site: text,
        action: text,
        csrf_token: text,
        return_to: text,
        username: text,
        offer_remember: true,
        signed_in_as: Some(text),
        alert: Some(text),
    };
    render(&Page::SignIn(form), "NONCE").into_string()
}

fn every_page_with(text: &str) -> Vec<String> {
    let items = [text.to_owned()];
    let error = ErrorPage {
        status: 400,
        code: text,
        title: text,
        detail: text,
        items: &items,
        action: Some((text, text)),
        request_id: Some(text),
    };
    vec![
        sign_in_with(text),
        render(&Page::SignedOut { site: text, sign_in: text }, "NONCE").into_string(),
        render(&Page::Error(error), "NONCE").into_string(),
        render(&Page::Bounce { target: text }, "NONCE").into_string(),
    ]
}

/// The tags and attribute names of a page, text and values left out: what a browser would build.
fn skeleton(html: &str) -> Vec<String> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once('<') {
        let mut quoted = false;
        let end = after
            .char_indices()
            .find(|(_, c)| {
                quoted ^= *c == '"';
                *c == '>' && !quoted
            })
            .map_or(after.len(), |(at, _)| at);
        let tag = &after[..end];
        let mut shape = String::new();
        let mut inside = false;
        for c in tag.chars() {
            match c {
                '"' => inside = !inside,
                c if !inside => shape.push(c),
                _ => {}
            }
        }
        tags.push(shape);
        // The style sheet and the script are ours.
        rest = &after[end..];
        for raw in ["style", "script"] {
            if tag.starts_with(raw) {
                rest = rest.split_once(&format!("</{raw}")).map_or("", |(_, after)| after);
            }
        }
    }
    tags
}

/// K8: hostile text changes no page's structure.
#[test]
fn text_never_becomes_markup() {
    for (hostile, harmless) in every_page_with(HOSTILE).iter().zip(every_page_with("harmless")) {
        assert_eq!(skeleton(hostile), skeleton(&harmless));
        assert!(!hostile.contains("<script>alert"));
        assert!(!hostile.contains('\0') && !hostile.contains('\u{7f}'));
    }
}

/// Negative control: the comparison sees text that does become markup.
#[test]
fn the_comparison_sees_an_unescaped_value() {
    let leaky = |text: &str| sign_in_with("MARK").replace("MARK", text);
    assert_ne!(skeleton(&leaky(HOSTILE)), skeleton(&leaky("harmless")));
    assert_ne!(skeleton(&leaky("\" onfocus=\"alert(1)")), skeleton(&leaky("harmless")));
}

/// A value cannot hold a place for another value.
#[test]
fn values_are_not_filled_again() {
    for page in every_page_with("{{nonce}}") {
        assert!(page.contains("{{nonce}}"), "left as it was typed");
    }
}

/// Each place of a template is filled, and the style sheet arrives whole.
#[test]
fn no_place_is_left_open() {
    for page in every_page_with("harmless") {
        assert!(!page.contains("{{") && !page.contains("}}"));
        assert!(page.contains("prefers-color-scheme"));
        assert!(page.contains("<html lang=\"en\">") && page.contains("name=\"viewport\""));
    }
}

/// Nothing that a policy by nonce would forbid: no inline handler or style attribute, no script without the nonce,
/// nothing loaded from elsewhere.
#[test]
fn pages_obey_their_own_policy() {
    let faults = |page: &str| {
        let mut faults = Vec::new();
        for tag in skeleton(page) {
            let words: Vec<&str> = tag.split_ascii_whitespace().collect();
            if words.iter().any(|word| word.starts_with("on") || word.starts_with("style=") || word.starts_with("src="))
            {
                faults.push(tag.clone());
            }
            if matches!(words.first(), Some(&"script" | &"style")) && !words.contains(&"nonce=") {
                faults.push(tag.clone());
            }
        }
        faults
    };
    for page in every_page_with("harmless") {
        assert_eq!(faults(&page), Vec::<String>::new());
        assert_eq!(
            page.matches("nonce=\"NONCE\"").count(),
            page.matches("<style").count() + page.matches("<script").count()
        );
    }
    // Negative control.
    assert_eq!(faults("<p onclick=\"x\"><script>x</script><img src=\"x\">").len(), 3);
}

/// Labels, autocomplete, announcement of errors, and a focus order that begins where the user has to type.
#[test]
fn the_sign_in_form_is_accessible() {
    let page = sign_in_with("harmless");
    for expected in [
        "<label for=\"username\">",
        "<label for=\"password\">",
        "<label for=\"remember\">",
        "autocomplete=\"username\"",
        "autocomplete=\"current-password\"",
        "role=\"alert\"",
        "aria-describedby=\"alert\"",
        "aria-invalid=\"true\"",
        "<title>Error: Sign in</title>",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert_eq!(page.matches("autofocus").count(), 1);
    assert_eq!(page.matches("<h1>").count(), 1);
    // Negative control: without an error nothing is announced.
    let quiet = SignIn {
        site: "s",
        action: "a",
        csrf_token: "t",
        return_to: "/",
        username: "",
        offer_remember: false,
        signed_in_as: None,
        alert: None,
    };
    let quiet = render(&Page::SignIn(quiet), "NONCE").into_string();
    let (_, quiet) = quiet.split_once("</style>").expect("a style sheet");
    for absent in ["role=\"alert\"", "aria-invalid", "remember", "Error:"] {
        assert!(!quiet.contains(absent), "{absent}");
    }
}
