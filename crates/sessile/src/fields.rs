//! Header policies, carried out on the header maps of responses.

use std::sync::OnceLock;

use http::header::VARY;
use http::{HeaderMap, HeaderName, HeaderValue};
use sessile_core::headers::{HeaderContext, HeaderEdit, Policy, VERSION_REVEALING, is_decisive, merge_vary};

/// A policy, and what it comes to where the answer so far says nothing that it depends on.
///
/// That is nearly every answer, and then the decision is the same each time. It is made once for each kind of answer;
/// core makes it anew for every other one.
#[derive(Clone, Debug)]
pub struct FieldPolicy {
    policy: Policy,
    /// By [`kind`].
    usual: [OnceLock<Usual>; KINDS],
}

/// The fields added in one setting.
#[derive(Clone, Debug)]
struct Usual {
    https: bool,
    vary: Vec<&'static str>,
    fields: Vec<(HeaderName, HeaderValue)>,
}

const KINDS: usize = 6;

fn kind(context: &HeaderContext<'_>) -> usize {
    context.session as usize * 2 + usize::from(context.document)
}

impl From<Policy> for FieldPolicy {
    fn from(policy: Policy) -> Self {
        Self { policy, usual: Default::default() }
    }
}

impl FieldPolicy {
    /// Brings `headers` under the policy.
    pub fn apply(&self, context: &HeaderContext<'_>, headers: &mut HeaderMap) {
        match self.usual(context).filter(|_| !headers.keys().any(|name| is_decisive(name.as_str()))) {
            Some(usual) => {
                if self.policy.hide_versions {
                    remove_versions(headers);
                }
                let vary = merged_vary(context, headers);
                for (name, value) in &usual.fields {
                    headers.insert(name, value.clone());
                }
                if let Some(vary) = vary {
                    headers.insert(VARY, vary);
                }
            }
            None => carry_out(self.decide(context, headers), headers),
        }
    }

    fn decide(&self, context: &HeaderContext<'_>, headers: &HeaderMap) -> Vec<HeaderEdit<'_>> {
        let current: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        self.policy.apply(context, &current)
    }

    /// `None` if this kind of answer was first met in another setting. A nonce is never the same twice.
    fn usual(&self, context: &HeaderContext<'_>) -> Option<&Usual> {
        if context.nonce.is_some() {
            return None;
        }
        let usual = self.usual[kind(context)].get_or_init(|| {
            let mut fields = HeaderMap::new();
            carry_out(self.decide(context, &fields), &mut fields);
            let fields = fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            Usual { https: context.https, vary: context.vary.to_vec(), fields }
        });
        (usual.https == context.https && usual.vary == context.vary).then_some(usual)
    }
}

/// What `Vary` comes to where the answer has one already.
fn merged_vary(context: &HeaderContext<'_>, headers: &HeaderMap) -> Option<HeaderValue> {
    if !headers.contains_key(VARY) || context.vary.is_empty() {
        return None;
    }
    let merged = merge_vary(headers.get_all(VARY).iter().map(HeaderValue::as_bytes), context.vary)?;
    HeaderValue::try_from(merged).ok()
}

fn remove_versions(headers: &mut HeaderMap) {
    let revealing = |name: &HeaderName| VERSION_REVEALING.iter().find(|known| **known == name.as_str());
    let found: Vec<&'static str> = headers.keys().filter_map(revealing).copied().collect();
    for name in found {
        headers.remove(name);
    }
}

/// Carries out header edits.
pub fn carry_out(edits: Vec<HeaderEdit<'_>>, headers: &mut HeaderMap) {
    for edit in edits {
        match edit {
            HeaderEdit::Set(name, value) => {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.insert(name, value);
                }
            }
            HeaderEdit::Append(name, value) => {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.append(name, value);
                }
            }
            HeaderEdit::Remove(name) => {
                headers.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sessile_core::headers::SessionUse;

    use super::*;

    fn context(
        https: bool,
        document: bool,
        session: SessionUse,
        vary: &'static [&'static str],
    ) -> HeaderContext<'static> {
        HeaderContext { https, nonce: None, document, session, vary }
    }

    fn sorted(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
        let mut fields: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        fields.sort();
        fields
    }

    /// remembered or decided anew, an answer gets the same fields: in every setting, whatever it says
    /// itself, and whichever setting was met first.
    #[test]
    fn what_is_remembered_is_what_would_be_decided() {
        let answers: [&[(&'static str, &'static str)]; 8] = [
            &[("content-type", "text/html")],
            &[("content-type", "application/json"), ("server", "nginx"), ("x-powered-by", "Express")],
            &[("content-type", "application/json"), ("vary", "Accept-Encoding"), ("vary", "Cookie")],
            &[("cache-control", "public, max-age=60")],
            &[("expires", "0"), ("vary", "accept")],
            &[("x-frame-options", "DENY"), ("content-security-policy", "default-src 'none'")],
            &[("strict-transport-security", "max-age=99999999"), ("referrer-policy", "no-referrer")],
            &[("clear-site-data", "\"*\""), ("surrogate-control", "max-age=1")],
        ];
        let varies: [&'static [&'static str]; 3] = [&[], &["cookie"], &["authorization", "cookie"]];
        let mut settings = Vec::new();
        for session in [SessionUse::Carries, SessionUse::Depends, SessionUse::None] {
            for (https, document) in [(false, false), (false, true), (true, false), (true, true)] {
                settings.extend(varies.map(|vary| context(https, document, session, vary)));
            }
        }
        for policy in [Policy::proxied_default(), Policy::own_pages()] {
            for first in varies {
                let remembering = FieldPolicy::from(policy.clone());
                for context in settings.iter().filter(|context| context.vary == first).chain(&settings) {
                    for answer in answers {
                        let mut expected = HeaderMap::new();
                        for (name, value) in answer {
                            expected.append(*name, HeaderValue::from_static(value));
                        }
                        let mut given = expected.clone();
                        carry_out(remembering.decide(context, &expected), &mut expected);
                        remembering.apply(context, &mut given);
                        assert_eq!(sorted(&given), sorted(&expected), "{context:?} {answer:?}");
                    }
                }
            }
        }
    }
}
