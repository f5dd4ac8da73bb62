//! The verbs as scripts: each is one atomic step on the server.

use std::sync::LazyLock;

use redis::{Cmd, Script, ToRedisArgs};

use crate::contract::FEED_KEEP_ENTRIES;

// `allow-oom`: at its memory limit a server still runs what ends sessions or goes on with them; it refuses, before they
// begin, the verbs that need room. No verb is `no-writes`: a replica would answer those, and its answers are of yesterday.
const RESERVE: &str = "#!lua flags=allow-oom\n";
const ROOM: &str = "#!lua\n";

// In which phases of the store a verb runs; in the others it is refused by its first line.
const ALWAYS: &str = "";
const SERVING: &str = "if phase() ~= 'serving' then return refuse() end";
const ANSWERING: &str = "if phase() == 'filling' or phase() == 'moved' then return refuse() end";

/// A script and its digest.
#[derive(Debug)]
pub(super) struct Verb {
    pub(super) name: &'static str,
    source: String,
    digest: String,
}

impl Verb {
    fn new(name: &'static str, need: &str, when: &str, body: &str) -> Self {
        let common = include_str!("scripts/common.lua");
        let source = format!("{need}local FEED_KEEP_ENTRIES = {FEED_KEEP_ENTRIES}\n{common}\n{when}\n{body}");
        let digest = Script::new(&source).get_hash().to_owned();
        Self { name, source, digest }
    }

    /// A call by digest; the server has the script unless it began anew.
    pub(super) fn by_digest(&self, call: &Call) -> Cmd {
        call.command("EVALSHA", &self.digest)
    }

    /// A call that brings the script along.
    pub(super) fn whole(&self, call: &Call) -> Cmd {
        call.command("EVAL", &self.source)
    }
}

/// What a verb is called with.
#[derive(Clone, Debug)]
pub(super) struct Call {
    store: String,
    // A key that never is. While a cluster moves the slot from one master to the other, each holds some of its keys, and a
    // script would take what has gone ahead for what is gone. A server that moves the slot refuses a command of several
    // keys unless it has all of them: with this one, it refuses every script until the slot has arrived.
    nothing: String,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    pub(super) fn new(store: String, nothing: String) -> Self {
        Self { store, nothing, arguments: Vec::new() }
    }

    #[must_use]
    pub(super) fn with(mut self, argument: impl ToRedisArgs) -> Self {
        argument.write_redis_args(&mut self.arguments);
        self
    }

    fn command(&self, how: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(how);
        command.arg(script).arg(2).arg(&self.store).arg(&self.nothing).arg(&self.arguments);
        command
    }
}

macro_rules! verbs {
    ($($name:ident needs $need:ident, $when:ident;)+) => {
        $(pub(in crate::redis) static $name: LazyLock<Verb> = LazyLock::new(|| {
            Verb::new(stringify!($name), $need, $when, include_str!(concat!("scripts/", stringify!($name), ".lua")))
        });)+
    };
}

/// The verbs, named as their files are.
#[allow(non_upper_case_globals)] // A verb reads as what it is where it is called.
pub(super) mod verb {
    use super::*;

    verbs! {
        open needs RESERVE, ALWAYS;
        master_witness needs RESERVE, ALWAYS;
        insert needs ROOM, SERVING;
        load needs RESERVE, ANSWERING;
        rotate needs RESERVE, SERVING;
        confirm needs RESERVE, SERVING;
        revoke needs RESERVE, SERVING;
        list needs RESERVE, ALWAYS;
        sweep needs RESERVE, SERVING;
        clear needs RESERVE, ALWAYS;
        count needs RESERVE, ALWAYS;
        add_token needs ROOM, SERVING;
        find_token needs RESERVE, ANSWERING;
        list_tokens needs RESERVE, ALWAYS;
        remove_token needs RESERVE, SERVING;
        note_uses needs RESERVE, SERVING;
        feed needs RESERVE, ALWAYS;
        restart needs RESERVE, ALWAYS;
        load_keys needs RESERVE, ALWAYS;
        add_key needs RESERVE, SERVING;
        revoke_key needs RESERVE, SERVING;
        forget_keys needs RESERVE, SERVING;
        create_account needs ROOM, SERVING;
        find_account needs RESERVE, ALWAYS;
        set_password needs RESERVE, SERVING;
        set_disabled needs RESERVE, SERVING;
        list_accounts needs RESERVE, ALWAYS;
        note_failure needs ROOM, SERVING;
        failures needs RESERVE, ALWAYS;
        clear_failures needs RESERVE, SERVING;
        sweep_failures needs RESERVE, SERVING;
        append_events needs ROOM, ALWAYS;
        events needs RESERVE, ALWAYS;
        sweep_events needs RESERVE, ALWAYS;
        stage needs RESERVE, ALWAYS;
        set_stage needs RESERVE, ALWAYS;
        copies needs RESERVE, ALWAYS;
        take_in needs ROOM, ALWAYS;
    }
}
