//! `sessile token`: looking into a token, and the rows of those that have one.

use std::io::Read;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};
use sessile::Engine;
use sessile::engine::Introspection;
use sessile_core::encoding::from_base64url;
use sessile_core::id::TokenId;
use sessile_core::rotation::SessionToken;
use sessile_core::token::TokenRefused;
use sessile_core::{InvalidId, SecretText, SessionId};

use super::opening::engine_for_command;
use super::{Failure, block_on};
use crate::config::Loaded;
use crate::log::escape;
use crate::output::{Format, Layout, Tone, cell, print, print_json, print_table};
use crate::views::{self, rfc3339};

/// Longer than any token of ours.
const MAX_INPUT: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Show what a token says, and whether it is genuine and its session lives
    ///
    /// Reads the token from standard input: on a command line, other users of the machine could see it.
    Inspect,
    /// List the rows of a session's access tokens (storage `database`)
    List {
        /// The session
        // One id in 64 begins with a hyphen.
        #[arg(long, allow_hyphen_values = true)]
        session: String,
    },
    /// Revoke an access token by its row (storage `database`), and end its session
    Revoke {
        /// The token's id, its `jti`
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
}

pub(super) fn run(loaded: &Loaded, command: TokenCommand, format: Format) -> Result<ExitCode, Failure> {
    match command {
        TokenCommand::Inspect => {
            let token = from_stdin()?;
            block_on(inspect(loaded, token, format))
        }
        TokenCommand::List { session } => block_on(list(loaded, parsed(&session)?, format)),
        TokenCommand::Revoke { id } => block_on(revoke(loaded, parsed(&id)?, format)),
    }
}

fn parsed<T: std::str::FromStr<Err = InvalidId>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error: InvalidId| Failure::Usage(error.to_string()))
}

async fn list(loaded: &Loaded, session: SessionId, format: Format) -> Result<ExitCode, Failure> {
    let engine = engine_for_command(loaded).await?;
    let rows = engine.vault().list_tokens(session).await?;
    match format {
        Format::Json => print_json(&rows.iter().map(views::token).collect())?,
        Format::Human => print_table(
            Layout::Rows,
            &["TOKEN", "SUBJECT", "ISSUED", "LAST USED", "EXPIRES"],
            rows.iter()
                .map(|row| {
                    let used = row.last_used_at.map_or_else(|| "not yet".to_owned(), rfc3339);
                    let cells = [
                        row.id.to_string(),
                        row.subject.to_string(),
                        rfc3339(row.issued_at),
                        used,
                        rfc3339(row.expires_at),
                    ];
                    cells.into_iter().map(|text| cell(text, Tone::Plain)).collect()
                })
                .collect(),
            "The session has no token with a row.",
        )?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn revoke(loaded: &Loaded, id: TokenId, format: Format) -> Result<ExitCode, Failure> {
    let engine = engine_for_command(loaded).await?;
    let there = engine.delete_token(id).await?;
    // Writes the event of this order into the store.
    engine.run(std::future::ready(())).await;
    match (format, there) {
        (Format::Json, _) => print_json(&json!({ "revoked": there }))?,
        (Format::Human, true) => {
            print("revoked, and its session ended; every server refuses it from the next request on")?
        }
        (Format::Human, false) => print("there is no such row: the token is revoked already, or of another storage")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn from_stdin() -> Result<SecretText, Failure> {
    let mut text = zeroize::Zeroizing::new(String::new());
    std::io::stdin().take(MAX_INPUT).read_to_string(&mut text)?;
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::Usage("write the token to standard input, as in `sessile token inspect < token`".into()));
    }
    Ok(SecretText::new(token.to_owned()))
}

/// What is known of a token.
struct Findings {
    kind: &'static str,
    /// Header and claims as the token itself has them.
    says: Value,
    /// Whether the signature, or the derivation of a session token, holds.
    genuine: bool,
    /// Whether its session lives.
    live: bool,
    /// Why it is refused, as a stable code.
    refused: Option<&'static str>,
    session: Option<Value>,
    hint: &'static str,
}

async fn inspect(loaded: &Loaded, token: SecretText, format: Format) -> Result<ExitCode, Failure> {
    let engine = engine_for_command(loaded).await?;
    let findings = match SessionToken::parse(token.expose()) {
        Some(parsed) => session_token(&engine, &parsed, token.expose()).await?,
        None => access_token(&engine, token.expose()).await?,
    };
    match format {
        Format::Json => print_json(&json!({
            "kind": findings.kind, "verified": findings.genuine, "live": findings.live,
            "refused": findings.refused, "says": findings.says, "session": findings.session,
        }))?,
        Format::Human => print(&findings.describe())?,
    }
    Ok(if findings.genuine && findings.live { ExitCode::SUCCESS } else { super::Exit::Failed.into() })
}

async fn session_token(engine: &Engine, parsed: &SessionToken, token: &str) -> Result<Findings, Failure> {
    let introspection = engine.introspect(token).await?;
    let live = matches!(introspection, Introspection::Session { .. });
    let kept = engine.vault().load(parsed.id()).await?;
    let genuine = kept.as_ref().is_some_and(|kept| engine.vault().is_genuine(kept, parsed));
    let refused = match (genuine, live) {
        (true, true) => None,
        (true, false) => Some("session_over_or_superseded"),
        (false, _) => Some("unknown_or_forged"),
    };
    Ok(Findings {
        kind: "session token",
        says: json!({ "sid": parsed.id(), "generation": parsed.generation() }),
        genuine,
        live,
        refused,
        session: kept.filter(|_| genuine).map(|kept| views::session(kept.session(), engine.config())),
        hint: "",
    })
}

async fn access_token(engine: &Engine, token: &str) -> Result<Findings, Failure> {
    let verified = engine.verify_token(token);
    let live = matches!(engine.introspect(token).await?, Introspection::Access(_));
    // An expired token's signature held: it is reported as genuine and over.
    let genuine = matches!(verified, Ok(_) | Err(TokenRefused::Expired { .. }));
    let session = match &verified {
        Ok(verified) => engine.session(verified.claims().session).await?,
        Err(TokenRefused::Expired { session, .. }) => engine.session(*session).await?,
        Err(_) => None,
    };
    let refused = match &verified {
        Ok(_) if live => None,
        Ok(_) => Some("session_over"),
        Err(refused) => Some(refused.code()),
    };
    Ok(Findings {
        kind: "access token",
        says: unverified(token),
        genuine,
        live,
        refused,
        session: session.map(|session| views::session(&session, engine.config())),
        // The signature is judged before these, so it held.
        hint: match &verified {
            Err(TokenRefused::Issuer | TokenRefused::Audience) => {
                " Its signature holds, but this configuration speaks for another issuer: run this with the server's --config, or its SESSILE_SERVER_PUBLIC_URL."
            }
            Ok(_) | Err(_) => "",
        },
    })
}

/// Header and claims as they stand in the token, believed by nobody. A part that is not JSON is `null`.
fn unverified(token: &str) -> Value {
    let part = |at: usize| -> Value {
        let bytes = token.split('.').nth(at).and_then(from_base64url).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    };
    json!({ "header": part(0), "claims": part(1) })
}

impl Findings {
    fn describe(&self) -> String {
        let verdict = match (self.genuine, self.live) {
            (true, true) => "VERIFIED: this server issued it, and its session lives.".to_owned(),
            (true, false) => format!(
                "VERIFIED, BUT OVER ({}): this server issued it; it opens nothing any more.",
                self.refused.unwrap_or("over")
            ),
            (false, _) => format!(
                "NOT VERIFIED ({}): what follows is what the token says of itself. Anybody could have written it.{}",
                self.refused.unwrap_or("refused"),
                self.hint,
            ),
        };
        let mut out = format!("{}\n\n{verdict}\n", self.kind);
        for line in format!("{:#}", self.says).lines() {
            out.push_str(if self.genuine { "\n  " } else { "\n  ? " });
            escape(&mut out, line);
        }
        for name in ["iat", "auth_time", "exp"] {
            if let Some(at) = self.says["claims"][name].as_u64() {
                out.push_str(&format!("\n  {name:<10} {}", rfc3339(sessile_core::Timestamp::from_secs(at))));
            }
        }
        if let Some(session) = &self.session {
            out.push_str("\n\nsession\n");
            for line in format!("{session:#}").lines() {
                out.push_str("\n  ");
                escape(&mut out, line);
            }
        }
        out
    }
}
