//! Sign-in with a password: throttle, check, session, and a last look at the account.

use std::time::Duration;

use sessile_core::event::{Event, EventName};
use sessile_core::revocation::{Reason, Scope};
use sessile_core::session::{Method, VerifiedIdentity};
use sessile_core::{SecretText, Storage, Subject};
use sessile_store::{Account, AccountName, FailureCount, StoreError, ThrottleKey, Vault};

use super::hash::{HashFault, Verdict};
use super::throttle::{Turn, turn};
use crate::arrival::Arrival;
use crate::engine::{Actor, Engine, EngineError, SignInError, SignedIn};

/// What somebody typed.
#[derive(Debug)]
pub struct PasswordAttempt<'a> {
    /// The account's name.
    pub username: &'a str,
    /// The password, byte for byte.
    pub password: SecretText,
    /// Whether they want to be remembered.
    pub remember: bool,
    /// Where the token of the session is to live.
    pub storage: Storage,
}

/// What became of it.
#[derive(Debug)]
pub enum PasswordSignIn {
    /// A session began.
    SignedIn(Box<SignedIn>),
    /// No such account, wrong password, or disabled account. Which one is in the events and nowhere else.
    Failed,
    /// Too many failures; the password was not looked at.
    Wait(Duration),
}

/// It could not be decided.
#[derive(Debug, thiserror::Error)]
pub enum PasswordSignInError {
    /// The password could not be checked.
    #[error(transparent)]
    Hash(#[from] HashFault),
    /// The store failed.
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
    /// The password is right, but no session could begin.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The session could not be taken back when the account turned out to have changed meanwhile.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The counter of an account, for networks it was never signed in to from.
pub(super) fn account_key(vault: &Vault, name: &str) -> ThrottleKey {
    vault.throttle_key("account", name)
}

/// Counts how often an administrator has unlocked an account.
pub(super) fn unlock_key(vault: &Vault, name: &str) -> ThrottleKey {
    vault.throttle_key("unlocked", name)
}

/// The counters of one attempt.
struct Counters {
    /// The account's, or the pair's if the network is known.
    own: ThrottleKey,
    network: ThrottleKey,
    /// Marks the network as known to the account.
    known: ThrottleKey,
    is_known: bool,
}

/// Why an attempt failed, for the events.
#[derive(Clone, Copy)]
enum Failure {
    UnknownAccount,
    WrongPassword,
    Disabled,
    AccountChanged,
}

impl Failure {
    const fn code(self) -> &'static str {
        match self {
            Self::UnknownAccount => "unknown_account",
            Self::WrongPassword => "wrong_password",
            Self::Disabled => "account_disabled",
            Self::AccountChanged => "account_changed",
        }
    }
}

impl Engine {
    /// Signs in with a password. Unknown account, wrong password and disabled account take the same steps, the
    /// same time and the same number of store operations (R-125, K7).
    ///
    /// # Errors
    ///
    /// When it cannot be decided: the store is away, or too many passwords are waiting. Nothing is said of the
    /// password then.
    pub async fn sign_in_with_password(
        &self,
        attempt: PasswordAttempt<'_>,
        arrival: &Arrival<'_>,
    ) -> Result<PasswordSignIn, PasswordSignInError> {
        let policy = &self.config().throttle;
        let name: Option<AccountName> = attempt.username.parse().ok();
        let counters = self.counters(name.as_ref().map_or(attempt.username, AccountName::as_str), arrival).await?;
        let own = self.vault().failures(&counters.own).await?;
        let network = self.vault().failures(&counters.network).await?;

        // Decision and admission are one step on this node, so a crowd at the limit does not slip through (K6).
        let now = self.now().wall;
        let mut turn_taken = Turn::Free;
        let admitted = self.hashing().under_way.begin(vec![counters.own, counters.network], |under_way| {
            turn_taken = turn(policy.account(), own, under_way[0], policy.forget_after, now);
            let of_network = match counters.is_known {
                true => Turn::Free,
                false => turn(policy.network(), network, under_way[1], policy.forget_after, now),
            };
            match (turn_taken, of_network) {
                (Turn::Stopped(wait), _) | (_, Turn::Stopped(wait)) => Err((wait, "hard_stop")),
                (Turn::Wait(a), Turn::Wait(b)) => Err((a.max(b), "back_off")),
                (Turn::Wait(wait), _) => Err((wait, "back_off")),
                (_, Turn::Wait(wait)) => Err((wait, "network_back_off")),
                (Turn::Free | Turn::AfterWait, Turn::Free | Turn::AfterWait) => Ok(()),
            }
        });
        let under_way = match admitted {
            Ok(under_way) => under_way,
            Err((wait, why)) => return self.locked(why, wait, name.as_ref(), arrival).await,
        };
        if own.count > 0 && now >= own.last.plus(policy.forget_after) {
            self.vault().clear_failures(&counters.own).await?;
        }
        // Past the free tries an attempt is counted before it is made, so that two nodes do not both take the
        // one turn after a wait.
        let counted = turn_taken == Turn::AfterWait;
        if counted && self.vault().note_failure(&counters.own, now).await?.count != own.count.saturating_add(1) {
            return self.locked("back_off", policy.first_wait, name.as_ref(), arrival).await;
        }

        let account = match &name {
            Some(name) => self.vault().find_account(name).await?,
            None => None,
        };
        let too_long = attempt.password.expose().len() > self.config().passwords.max_bytes;
        let hash = account.as_ref().map(|(_, hash)| hash.clone()).filter(|_| !too_long);
        let open = account.as_ref().is_some_and(|(account, _)| account.disabled_at.is_none());
        let subject = account.as_ref().map(|(account, _)| account.subject.clone());
        let failure = match (&account, open) {
            (None, _) => Failure::UnknownAccount,
            (Some(_), true) => Failure::WrongPassword,
            (Some(_), false) => Failure::Disabled,
        };
        let verdict = {
            let (engine, own, network) = (self.clone(), counters.own, counters.network);
            let (password, failed) = (attempt.password.clone(), self.failure(failure, subject, arrival));
            // A task of its own: whoever hangs up has made the try all the same; it is counted and written down.
            let check = tokio::spawn(async move {
                let _under_way = under_way;
                let verdict = engine.hashing().verify(password, hash).await?;
                if !(open && matches!(verdict, Verdict::Match { .. })) {
                    // Counted before it is answered: a failure that cannot be counted is not answered as one.
                    if !counted {
                        engine.vault().note_failure(&own, now).await?;
                    }
                    engine.vault().note_failure(&network, now).await?;
                    engine.record(failed);
                }
                Ok::<_, PasswordSignInError>(verdict)
            });
            check.await.map_err(|_| HashFault::Interrupted)??
        };
        let (Some((account, _)), Verdict::Match { outdated }, true) = (account, verdict, open) else {
            return Ok(PasswordSignIn::Failed);
        };

        if own.count > 0 || counted {
            self.vault().clear_failures(&counters.own).await?;
        }
        let identity =
            VerifiedIdentity::vouched(Method::Password, account.subject.clone(), now).remembered(attempt.remember);
        let signed_in = self.sign_in(identity, arrival, attempt.storage).await?;
        // An administrator may have shut the account while the password was being checked, after its sessions
        // were ended and before this one began (H10, F8).
        let still = self.vault().find_account(&account.name).await?;
        let unchanged =
            still.is_some_and(|(now, _)| now.disabled_at.is_none() && now.password_set_at == account.password_set_at);
        if !unchanged {
            self.revoke(&Scope::Session(signed_in.session.id), Reason::AccountDisabled, &Actor::Rules).await?;
            self.record(self.failure(Failure::AccountChanged, Some(account.subject), arrival));
            return Ok(PasswordSignIn::Failed);
        }
        self.after_success(&account, attempt.password, outdated, &counters).await;
        Ok(PasswordSignIn::SignedIn(Box::new(signed_in)))
    }

    async fn counters(&self, name: &str, arrival: &Arrival<'_>) -> Result<Counters, StoreError> {
        let vault = self.vault();
        let network = arrival.client().network.as_str();
        // Framed, so that no name and network make up another's.
        let pair = format!("{}:{name}{network}", name.len());
        let known = vault.throttle_key("known network", &pair);
        let mark: FailureCount = vault.failures(&known).await?;
        let fresh = mark.count > 0 && self.now().wall < mark.last.plus(self.config().throttle.know_network_for);
        let is_known = fresh && !network.is_empty();
        // An administrator who unlocks the account begins a new count for each of its networks. Should a flood sweep
        // the mark of it away, the old count is back until it is forgotten.
        let unlocked = vault.failures(&unlock_key(vault, name)).await?;
        let own = if is_known {
            vault.throttle_key("pair", &format!("{}@{}:{pair}", unlocked.count, unlocked.last.as_millis()))
        } else {
            account_key(vault, name)
        };
        Ok(Counters { own, network: vault.throttle_key("network", network), known, is_known })
    }

    // None of this undoes a sign-in that has happened.
    async fn after_success(&self, account: &Account, password: SecretText, outdated: bool, counters: &Counters) {
        let marked = self.vault().note_failure(&counters.known, self.now().wall).await.map(drop);
        if let Err(error) = marked {
            tracing::warn!(%error, "a network could not be noted as known to an account");
        }
        if !outdated {
            return;
        }
        let rehashed = match self.hashing().hash(self.entropy(), password).await {
            // The time stays: this is the same password.
            Ok(hash) => self
                .vault()
                .set_password(account, &hash, account.password_set_at)
                .await
                .map(drop)
                .map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match rehashed {
            Ok(()) => self.record(
                Event::new(EventName::UserUpdated, "password_rehashed", self.now().wall)
                    .subject(account.subject.clone()),
            ),
            Err(error) => tracing::warn!(%error, "a password hash could not be brought up to the configured cost"),
        }
    }

    // A name that belongs to nobody is not written down: at times it is a password.
    fn failure(&self, failure: Failure, subject: Option<Subject>, arrival: &Arrival<'_>) -> Event {
        let event = Event::new(EventName::LoginFail, failure.code(), self.now().wall)
            .client(arrival.client().clone())
            .request(arrival.request_id());
        match subject {
            Some(subject) => event.subject(subject),
            None => event,
        }
    }

    async fn locked(
        &self,
        why: &'static str,
        wait: Duration,
        name: Option<&AccountName>,
        arrival: &Arrival<'_>,
    ) -> Result<PasswordSignIn, PasswordSignInError> {
        let account = match name {
            Some(name) => self.vault().find_account(name).await?,
            None => None,
        };
        let mut event = Event::new(EventName::LoginLock, why, self.now().wall)
            .client(arrival.client().clone())
            .request(arrival.request_id());
        if let Some((account, _)) = account {
            event = event.subject(account.subject);
        }
        self.record(event);
        Ok(PasswordSignIn::Wait(wait))
    }
}
