//! How each header of ours meets the upstream's.

use alloc::{borrow::Cow, format, string::String, vec, vec::Vec};
use core::time::Duration;

use super::{Csp, HeaderContext, HeaderEdit, Hsts, Managed, Policy, Reach, Rule, cache, merge_vary};
use crate::fault::ConfigFault;

/// Fields of upstream answers that name products or versions and serve nobody but an attacker.
pub const VERSION_REVEALING: [&str; 32] = [
    "server",
    "powered-by",
    "x-powered-by",
    "x-powered-by-plesk",
    "x-powered-cms",
    "x-server-powered-by",
    "x-server",
    "x-version",
    "x-generator",
    "x-generated-by",
    "x-framework",
    "x-cms",
    "x-content-encoded-by",
    "x-redirect-by",
    "x-turbo-charged-by",
    "x-php-version",
    "x-aspnet-version",
    "x-aspnetmvc-version",
    "x-owa-version",
    "x-feserver",
    "x-beserver",
    "x-diaginfo",
    "x-sourcefiles",
    "x-joomla-version",
    "x-umbraco-version",
    "x-cocoon-version",
    "x-jitsi-release",
    "x-litespeed-cache",
    "x-mod-pagespeed",
    "x-page-speed",
    "liferay-portal",
    "microsoftsharepointteamservices",
];

/// Whether what [`Policy::apply`](super::Policy::apply) decides may depend on the upstream's fields of this name. All
/// others pass, but for [`VERSION_REVEALING`], which are removed, and `Vary`, which is [merged](super::merge_vary); neither
/// changes anything else.
pub fn is_decisive(name: &str) -> bool {
    matches!(
        name,
        "content-security-policy"
            | "x-frame-options"
            | "cross-origin-opener-policy"
            | "cross-origin-embedder-policy"
            | "cross-origin-resource-policy"
            | "permissions-policy"
            | "strict-transport-security"
            | "x-content-type-options"
            | "referrer-policy"
            | "x-xss-protection"
            | "clear-site-data"
    ) || cache::is_decisive(name)
}

type Fields<'a> = [(&'a str, &'a [u8])];

fn values<'a>(upstream: &'a Fields<'a>, name: &str) -> impl Iterator<Item = &'a [u8]> {
    upstream.iter().filter(move |(given, _)| *given == name).map(|(_, value)| *value)
}

fn texts<'a>(upstream: &'a Fields<'a>, name: &str) -> impl Iterator<Item = &'a str> {
    values(upstream, name).filter_map(|value| core::str::from_utf8(value).ok())
}

pub(super) fn apply<'p>(policy: &'p Policy, context: &HeaderContext<'_>, upstream: &Fields<'_>) -> Vec<HeaderEdit<'p>> {
    let mut out = Vec::with_capacity(16);
    let page = context.document || policy.reach == Reach::Everything;

    if page {
        content_security_policy(policy, context, upstream, &mut out);
        managed("x-frame-options", &policy.x_frame_options, upstream, frame_rank, &mut out);
        managed("cross-origin-opener-policy", &policy.cross_origin_opener_policy, upstream, opener_rank, &mut out);
        managed(
            "cross-origin-embedder-policy",
            &policy.cross_origin_embedder_policy,
            upstream,
            embedder_rank,
            &mut out,
        );
        managed("permissions-policy", &policy.permissions_policy, upstream, incomparable, &mut out);
    }
    strict_transport_security(&policy.strict_transport_security, context.https, upstream, &mut out);
    managed("x-content-type-options", &policy.x_content_type_options, upstream, sniff_rank, &mut out);
    managed("referrer-policy", &policy.referrer_policy, upstream, referrer_rank, &mut out);
    managed("cross-origin-resource-policy", &policy.cross_origin_resource_policy, upstream, resource_rank, &mut out);
    managed("x-xss-protection", &policy.x_xss_protection, upstream, xss_rank, &mut out);

    cache::edits(context.session, upstream, &mut out);
    if let Some(vary) = merge_vary(values(upstream, "vary"), context.vary)
        && !context.vary.is_empty()
    {
        out.push(HeaderEdit::Set("vary", vary.into()));
    }
    clear_site_data(upstream, &mut out);
    if policy.hide_versions {
        let revealed = |name: &&'static str| upstream.iter().any(|(given, _)| given == name);
        out.extend(VERSION_REVEALING.into_iter().filter(revealed).map(HeaderEdit::Remove));
    }
    out
}

/// A header with one value: `rank` orders values by strictness, `None` for what browsers would ignore.
fn managed<'p>(
    name: &'static str,
    ours: &'p Managed,
    upstream: &Fields<'_>,
    rank: impl Fn(&str) -> Option<u8>,
    out: &mut Vec<HeaderEdit<'p>>,
) {
    let present = values(upstream, name).next().is_some();
    let send = match ours.rule {
        Rule::Off => return,
        Rule::AddIfMissing if present => return,
        Rule::Override | Rule::AddIfMissing => Cow::Borrowed(&*ours.value),
        Rule::KeepStricter => {
            let listed = texts(upstream, name).flat_map(|text| text.split(',')).map(str::trim);
            let strictest = listed.filter_map(|value| rank(value).map(|r| (r, value))).max_by_key(|(r, _)| *r);
            match strictest {
                Some((theirs, value)) if Some(theirs) > rank(&ours.value) => Cow::Owned(String::from(value)),
                _ => Cow::Borrowed(&*ours.value),
            }
        }
    };
    out.push(HeaderEdit::Set(name, send));
}

fn position(order: &[&str], value: &str) -> Option<u8> {
    let value = value.split(';').next().unwrap_or_default().trim();
    order.iter().position(|known| known.eq_ignore_ascii_case(value)).and_then(|at| u8::try_from(at).ok())
}

fn frame_rank(value: &str) -> Option<u8> {
    position(&["SAMEORIGIN", "DENY"], value)
}
fn opener_rank(value: &str) -> Option<u8> {
    position(&["unsafe-none", "same-origin-allow-popups", "noopener-allow-popups", "same-origin"], value)
}
fn embedder_rank(value: &str) -> Option<u8> {
    position(&["unsafe-none", "credentialless", "require-corp"], value)
}
fn resource_rank(value: &str) -> Option<u8> {
    position(&["cross-origin", "same-site", "same-origin"], value)
}
fn sniff_rank(value: &str) -> Option<u8> {
    position(&["nosniff"], value)
}
fn referrer_rank(value: &str) -> Option<u8> {
    position(
        &[
            "unsafe-url",
            "no-referrer-when-downgrade",
            "origin-when-cross-origin",
            "origin",
            "strict-origin-when-cross-origin",
            "strict-origin",
            "same-origin",
            "no-referrer",
        ],
        value,
    )
}
fn xss_rank(value: &str) -> Option<u8> {
    // `0` is the safe value; every `1` ranks below it.
    position(&["1", "0"], value)
}
fn incomparable(_: &str) -> Option<u8> {
    None
}

fn content_security_policy(
    policy: &Policy,
    context: &HeaderContext<'_>,
    upstream: &Fields<'_>,
    out: &mut Vec<HeaderEdit<'_>>,
) {
    const NAME: &str = "content-security-policy";
    let theirs: Vec<Csp> = texts(upstream, NAME).flat_map(|field| field.split(',')).map(Csp::parse).collect();
    let ours = policy.content_security_policy.clone();
    let mut ours = match policy.content_security_policy_rule {
        Rule::Off => return,
        Rule::Override | Rule::KeepStricter => ours,
        Rule::AddIfMissing => ours.without(|name| theirs.iter().any(|csp| csp.get(name).is_some())),
    };
    // Browsers that honour frame-ancestors ignore X-Frame-Options, so a stricter upstream value there must
    // not be undone by a laxer one here.
    let denied = texts(upstream, "x-frame-options")
        .flat_map(|field| field.split(','))
        .any(|v| v.trim().eq_ignore_ascii_case("deny"));
    if denied && ours.get("frame-ancestors").is_some() {
        ours = ours.with("frame-ancestors", "'none'");
    }
    if !ours.is_idle() {
        out.push(HeaderEdit::Append(NAME, ours.to_field(context.nonce).into()));
    }
}

/// What an upstream's `Strict-Transport-Security` asks for; `None` if browsers would ignore it (RFC 6797
/// section 6.1: every directive once, `max-age` required).
fn read_hsts(field: &str) -> Option<Hsts> {
    let (mut max_age, mut include_sub_domains, mut preload) = (None, false, false);
    for directive in field.split(';').map(str::trim).filter(|directive| !directive.is_empty()) {
        let (name, value) = directive.split_once('=').map_or((directive, None), |(n, v)| (n.trim(), Some(v.trim())));
        if name.eq_ignore_ascii_case("max-age") {
            let seconds = value?.trim_matches('"').parse().ok()?;
            if max_age.replace(Duration::from_secs(seconds)).is_some() {
                return None;
            }
        } else if name.eq_ignore_ascii_case("includesubdomains") {
            include_sub_domains = true;
        } else if name.eq_ignore_ascii_case("preload") {
            preload = true;
        }
    }
    Some(Hsts { rule: Rule::Off, max_age: max_age?, include_sub_domains, preload })
}

/// Exactly one field, over https; none over http, where browsers must ignore it (P31).
fn strict_transport_security(ours: &Hsts, https: bool, upstream: &Fields<'_>, out: &mut Vec<HeaderEdit<'_>>) {
    const NAME: &str = "strict-transport-security";
    let mut present = values(upstream, NAME).peekable();
    if ours.rule == Rule::Off {
        return;
    }
    if !https {
        if present.peek().is_some() {
            out.push(HeaderEdit::Remove(NAME));
        }
        return;
    }
    // Of several, browsers read the first (RFC 6797 section 8.1).
    let theirs = present.next().and_then(|first| read_hsts(core::str::from_utf8(first).ok()?));
    let send = match (ours.rule, theirs) {
        (Rule::AddIfMissing, Some(theirs)) => theirs,
        (Rule::KeepStricter, Some(theirs)) => Hsts {
            rule: ours.rule,
            max_age: ours.max_age.max(theirs.max_age),
            include_sub_domains: ours.include_sub_domains || theirs.include_sub_domains,
            preload: ours.preload || theirs.preload,
        },
        (Rule::Override | Rule::AddIfMissing | Rule::KeepStricter | Rule::Off, _) => *ours,
    };
    out.push(HeaderEdit::Set(NAME, send.value().into()));
}

/// What an upstream may ask browsers to clear. Not `"cookies"`, which are ours too, nor anything unknown;
/// `"*"` stands for the first three.
const CLEARABLE: [&str; 6] =
    ["\"cache\"", "\"storage\"", "\"executionContexts\"", "\"clientHints\"", "\"prefetchCache\"", "\"prerenderCache\""];

fn clear_site_data(upstream: &Fields<'_>, out: &mut Vec<HeaderEdit<'_>>) {
    const NAME: &str = "clear-site-data";
    let mut kept: Vec<&str> = Vec::new();
    let mut touched = false;
    for kind in values(upstream, NAME).flat_map(|field| field.split(|&b| b == b',')).map(<[u8]>::trim_ascii) {
        let allowed = match CLEARABLE.iter().position(|known| known.as_bytes() == kind) {
            Some(at) => &CLEARABLE[at..=at],
            None if kind == b"\"*\"" => &CLEARABLE[..3],
            None => &[],
        };
        touched |= !matches!(allowed, [_]);
        for kind in allowed {
            if !kept.contains(kind) {
                kept.push(kind);
            }
        }
    }
    if touched {
        out.push(if kept.is_empty() {
            HeaderEdit::Remove(NAME)
        } else {
            HeaderEdit::Set(NAME, kept.join(", ").into())
        });
    }
}

pub(super) fn validate(policy: &Policy) -> Vec<ConfigFault> {
    let mut faults = Vec::new();
    let single: [(&'static str, &Managed); 8] = [
        ("headers.x_frame_options", &policy.x_frame_options),
        ("headers.x_content_type_options", &policy.x_content_type_options),
        ("headers.referrer_policy", &policy.referrer_policy),
        ("headers.cross_origin_opener_policy", &policy.cross_origin_opener_policy),
        ("headers.cross_origin_resource_policy", &policy.cross_origin_resource_policy),
        ("headers.cross_origin_embedder_policy", &policy.cross_origin_embedder_policy),
        ("headers.permissions_policy", &policy.permissions_policy),
        ("headers.x_xss_protection", &policy.x_xss_protection),
    ];
    let visible = |text: &str| !text.is_empty() && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    for (key, header) in single {
        if header.rule != Rule::Off && !visible(&header.value) {
            faults.push(ConfigFault::stop(
                key,
                "the value is empty or has characters a header cannot carry",
                "use visible ASCII, or the rule \"off\"",
            ));
        }
    }
    let field = policy.content_security_policy.to_field(None);
    if policy.content_security_policy_rule != Rule::Off && (!visible(&field) || field.contains(',')) {
        faults.push(ConfigFault::stop(
            "headers.content_security_policy",
            "the policy is empty or has characters it cannot carry",
            "use visible ASCII without commas, or the rule \"off\"",
        ));
    }
    if policy.x_xss_protection.rule != Rule::Off && policy.x_xss_protection.value != "0" {
        faults.push(ConfigFault::warn(
            "headers.x_xss_protection",
            format!(
                "{:?} switches on a filter that current browsers lack and that was itself a way to attack",
                policy.x_xss_protection.value
            ),
            "use \"0\" and rely on the content security policy",
        ));
    }
    let hsts = &policy.strict_transport_security;
    if hsts.rule != Rule::Off && hsts.max_age < Hsts::YEAR {
        faults.push(ConfigFault::warn(
            "headers.strict_transport_security",
            format!("{} s is less than a year", hsts.max_age.as_secs()),
            "use at least 31536000 once the site is on https for good",
        ));
    }
    faults.extend(preload_fault(hsts));
    faults
}

fn preload_fault(hsts: &Hsts) -> Vec<ConfigFault> {
    if hsts.rule != Rule::Off && hsts.preload && !hsts.include_sub_domains {
        return vec![ConfigFault::stop(
            "headers.strict_transport_security",
            "preload lists take a domain only with all hosts below it",
            "set include_sub_domains = true, or leave preload out",
        )];
    }
    Vec::new()
}
