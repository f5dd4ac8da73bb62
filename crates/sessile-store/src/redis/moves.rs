//! Moves of sessions, in Redis.

use async_trait::async_trait;
use redis::Value;
use sessile_core::SessionId;

use super::RedisStore;
use super::reply::{exactly, hex, list, octets, text, unknown};
use super::row;
use super::script::{Call, verb};
use crate::contract::{MoveId, Moves, SessionCopy, Stage, StageChange, Taken, TakingIn, fresh_epoch};
use crate::error::StoreError;

#[async_trait]
impl Moves for RedisStore {
    async fn stage(&self) -> Result<Stage, StoreError> {
        let [phase, of] = exactly(self.link.read(&verb::stage, self.link.call()).await?)?;
        stage(phase, of)
    }

    async fn set_stage(&self, expected: Stage, next: Stage) -> Result<StageChange, StoreError> {
        let call = self.link.call().with(expected.phase.name()).with(name_of(expected));
        let call = call.with(next.phase.name()).with(name_of(next)).with(hex(&fresh_epoch().0));
        let [word, phase, of] = exactly(self.link.write(&verb::set_stage, call).await?)?;
        match text(word)?.as_str() {
            "changed" => Ok(StageChange::Changed),
            "not_empty" => Ok(StageChange::NotEmpty),
            "otherwise" => stage(phase, of).map(StageChange::Otherwise),
            word => Err(unknown("set_stage", word)),
        }
    }

    async fn copies(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<SessionCopy>, StoreError> {
        let after = after.map_or_else(String::new, |id| hex(id.as_bytes()));
        list(self.link.read(&verb::copies, self.link.call().with(after).with(limit)).await?, |copy| {
            let [session, tokens] = exactly(copy)?;
            Ok(SessionCopy { session: row::session(session)?, tokens: list(tokens, row::token)? })
        })
    }

    async fn take_in(&self, of: MoveId, items: &[Taken]) -> Result<TakingIn, StoreError> {
        let call = self.link.call().with(hex(of.as_bytes()));
        let call = items.iter().try_fold(call, with_item)?;
        match text(self.link.write(&verb::take_in, call).await?)?.as_str() {
            "taken" => Ok(TakingIn::Taken),
            "refused" => Ok(TakingIn::Refused),
            word => Err(unknown("take_in", word)),
        }
    }
}

// How many fields the scripts know of each kind of record.
const SESSION: usize = 14;
const TOKEN: usize = 6;
const KEY: usize = 6;
const ACCOUNT: usize = 6;

fn with_item(call: Call, item: &Taken) -> Result<Call, StoreError> {
    Ok(match item {
        Taken::Session(SessionCopy { session, tokens }) => {
            let call = row::with_session(call.with("session").with(SESSION + TOKEN * tokens.len()), session)?;
            tokens.iter().fold(call, row::with_token)
        }
        Taken::NoSession(id) => call.with("no_session").with(1).with(hex(id.as_bytes())),
        Taken::Account(account) => row::with_account(call.with("account").with(ACCOUNT), account),
        Taken::NoAccount(name) => call.with("no_account").with(1).with(name.as_str()),
        Taken::Keys(keys) => keys.iter().fold(call.with("keys").with(KEY * keys.len()), row::with_key),
    })
}

fn name_of(stage: Stage) -> String {
    stage.of.map_or_else(String::new, |of| hex(of.as_bytes()))
}

fn stage(phase: Value, of: Value) -> Result<Stage, StoreError> {
    let of = match of {
        Value::BulkString(bytes) if bytes.is_empty() => None,
        of => Some(MoveId::from_bytes(octets(of)?)),
    };
    Ok(Stage { phase: row::phase(phase)?, of })
}
