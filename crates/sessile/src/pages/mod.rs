//! The few pages Sessile shows itself: sign-in, signed out, errors, the bounce.
//!
//! Templates are files beside this one with `{{name}}` for what is filled in. Text is escaped as it goes in;
//! only markup that was itself made here goes in as it is. The pages need no script.

use std::fmt::Write as _;

/// Markup that is safe to send: made by [`fill`] and [`render`] alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Html(String);

impl Html {
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// What goes into a place of a template.
enum Fill<'a> {
    /// Escaped.
    Text(&'a str),
    /// As it is.
    Markup(&'a Html),
    /// As it is, from a file of this directory.
    File(&'static str),
}
use Fill::{File, Markup, Text};

/// A page to be rendered.
#[derive(Debug)]
pub(crate) enum Page<'a> {
    /// The sign-in form.
    SignIn(SignIn<'a>),
    /// What a user sees after signing out without scripts.
    SignedOut { site: &'a str, sign_in: &'a str },
    /// Something went wrong.
    Error(ErrorPage<'a>),
    /// Re-requests a deep link from within the site, so that `SameSite=Strict` cookies come along. Only for a
    /// path and query that were requested: it goes where it stands.
    Bounce { target: &'a str },
}

/// The sign-in form.
#[derive(Debug)]
pub(crate) struct SignIn<'a> {
    /// Host of the site.
    pub(crate) site: &'a str,
    /// Where the form goes.
    pub(crate) action: &'a str,
    /// Against login CSRF, for browsers that send neither Fetch Metadata nor `Origin`.
    pub(crate) csrf_token: &'a str,
    /// Where the user goes afterwards.
    pub(crate) return_to: &'a str,
    /// What was typed before.
    pub(crate) username: &'a str,
    /// Whether "keep me signed in" is offered.
    pub(crate) offer_remember: bool,
    /// Who is signed in already, if anybody.
    pub(crate) signed_in_as: Option<&'a str>,
    /// What went wrong with the last try.
    pub(crate) alert: Option<&'a str>,
}

/// What went wrong, and what to do.
#[derive(Debug)]
pub(crate) struct ErrorPage<'a> {
    pub(crate) status: u16,
    pub(crate) code: &'a str,
    pub(crate) title: &'a str,
    pub(crate) detail: &'a str,
    pub(crate) items: &'a [String],
    /// Address and label of the one thing to do next.
    pub(crate) action: Option<(&'a str, &'a str)>,
    pub(crate) request_id: Option<&'a str>,
}

/// Renders a page. `nonce` is the one the response's policy allows.
pub(crate) fn render(page: &Page<'_>, nonce: &str) -> Html {
    let empty = Html::default();
    let (title, head, content) = match page {
        Page::SignIn(form) => {
            let title = if form.alert.is_some() { "Error: Sign in" } else { "Sign in" };
            // With the policy no-referrer, browsers that send no Fetch Metadata would post this form with
            // `Origin: null`.
            let head = Html("<meta name=\"referrer\" content=\"same-origin\">\n".to_owned());
            (title, head, sign_in(form))
        }
        Page::SignedOut { site, sign_in } => {
            let content = fill(include_str!("signed_out.html"), &[("site", Text(site)), ("sign_in", Text(sign_in))]);
            ("Signed out", empty, content)
        }
        Page::Error(error) => (error.title, empty, error_page(error)),
        Page::Bounce { target } => {
            let head = fill(include_str!("bounce_head.html"), &[("target", Text(target))]);
            ("One moment", head, fill(include_str!("bounce.html"), &[("target", Text(target)), ("nonce", Text(nonce))]))
        }
    };
    fill(
        include_str!("layout.html"),
        &[
            ("head", Markup(&head)),
            ("title", Text(title)),
            ("nonce", Text(nonce)),
            ("style", File(include_str!("style.css"))),
            ("content", Markup(&content)),
        ],
    )
}

fn sign_in(form: &SignIn<'_>) -> Html {
    let mut notice = Html::default();
    if let Some(subject) = form.signed_in_as {
        notice = fill(
            include_str!("signed_in_note.html"),
            &[("subject", Text(subject)), ("return_to", Text(form.return_to))],
        );
    }
    if let Some(text) = form.alert {
        notice.0 += &fill(include_str!("alert.html"), &[("text", Text(text))]).0;
    }
    // Whoever mistyped a password goes on with the password.
    let described = if form.alert.is_some() { " aria-invalid=\"true\" aria-describedby=\"alert\"" } else { "" };
    let (at_name, at_password) = if form.username.is_empty() { (" autofocus", "") } else { ("", " autofocus") };
    let username_state = Html(format!("{described}{at_name}"));
    let password_state = Html(format!("{described}{at_password}"));
    let remember = if form.offer_remember { include_str!("remember.html") } else { "" };
    fill(
        include_str!("sign_in.html"),
        &[
            ("site", Text(form.site)),
            ("notice", Markup(&notice)),
            ("action", Text(form.action)),
            ("csrf_token", Text(form.csrf_token)),
            ("return_to", Text(form.return_to)),
            ("username", Text(form.username)),
            ("username_state", Markup(&username_state)),
            ("password_state", Markup(&password_state)),
            ("remember", File(remember)),
        ],
    )
}

fn error_page(error: &ErrorPage<'_>) -> Html {
    let mut items = Html::default();
    for item in error.items {
        items.0 += &fill(include_str!("item.html"), &[("text", Text(item))]).0;
    }
    let list =
        if error.items.is_empty() { items } else { fill(include_str!("list.html"), &[("items", Markup(&items))]) };
    let action = error.action.map_or_else(Html::default, |(href, label)| {
        fill(include_str!("action.html"), &[("href", Text(href)), ("label", Text(label))])
    });
    let request = error.request_id.map_or_else(String::new, |id| format!(" · request {id}"));
    fill(
        include_str!("error.html"),
        &[
            ("title", Text(error.title)),
            ("detail", Text(error.detail)),
            ("list", Markup(&list)),
            ("action", Markup(&action)),
            ("status", Text(&error.status.to_string())),
            ("code", Text(error.code)),
            ("request", Text(&request)),
        ],
    )
}

/// Fills a template. What is filled in is not looked at again, so no value can hold a place for another.
fn fill(template: &'static str, values: &[(&str, Fill<'_>)]) -> Html {
    let mut out = String::with_capacity(template.len() + 512);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, after)) = after.split_once("}}") else {
            rest = after;
            break;
        };
        rest = after;
        let value = values.iter().find(|(known, _)| *known == name);
        debug_assert!(value.is_some(), "no value for {name}");
        match value {
            Some((_, Text(text))) => escape(text, &mut out),
            Some((_, Markup(html))) => out.push_str(&html.0),
            Some((_, File(text))) => out.push_str(text),
            None => {}
        }
    }
    out.push_str(rest);
    Html(out)
}

/// Escapes for text and for quoted attribute values. Control characters, which no page of ours needs, become
/// the replacement character.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' | '`' | '=' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
