//! Two people with an account on every site: the victim and the attacker.

use crate::text::random;

/// Who is attacked.
pub(crate) const VICTIM: &str = "ada";
/// Who attacks, with an account of their own.
pub(crate) const ATTACKER: &str = "mallory";

/// Names and passwords, made for this lab and gone with it.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    victim: String,
    attacker: String,
}

impl Accounts {
    pub(crate) fn new() -> Self {
        Self { victim: random(), attacker: random() }
    }

    pub(crate) fn password(&self, name: &str) -> &str {
        if name == VICTIM { &self.victim } else { &self.attacker }
    }

    pub(crate) fn is_right(&self, name: &str, password: &str) -> bool {
        [VICTIM, ATTACKER].contains(&name) && self.password(name) == password
    }
}
