//! Hashing passwords: Argon2id behind a gate, so that a crowd at the door cannot take the machine's memory.

use std::sync::Arc;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{self, CustomizedPasswordHasher, Error as PhcError, PasswordVerifier};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use sessile_core::SecretText;
use sessile_core::crypto::{Entropy, EntropyFailure, random};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::policy::PasswordPolicy;
use super::throttle::UnderWay;

/// What hashing one password costs (RFC 9106). The default is the floor OWASP names: 19 MiB, two passes, one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub iterations: u32,
    /// Lanes. They are worked through one after the other, so more lanes cost no more threads.
    pub parallelism: u32,
}

impl Default for Argon2Cost {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, iterations: 2, parallelism: 1 }
    }
}

impl Argon2Cost {
    /// Whether this is less work for an attacker than the default. Memory may be traded for passes.
    pub fn is_below_floor(self) -> bool {
        let floor = Self::default();
        let work = |cost: Self| u64::from(cost.memory_kib) * u64::from(cost.iterations);
        work(self) < work(floor) || self.memory_kib < 7 * 1024
    }

    /// Whether a hash made at this cost should be made anew at `configured`.
    fn is_outdated(self, configured: Self) -> bool {
        self.memory_kib < configured.memory_kib
            || self.iterations < configured.iterations
            || self.parallelism < configured.parallelism
    }
}

/// A stored hash is never asked to cost more than this many times the configured cost: a damaged record must
/// not take the machine down.
const MOST_TIMES_CONFIGURED: u64 = 16;

/// Hashes passwords, a few at a time.
#[derive(Debug)]
pub struct HashingPool {
    cost: Argon2Cost,
    /// Held while waiting and working. Whoever gets none is told to come back.
    places: Arc<Semaphore>,
    /// Held while working.
    benches: Arc<Semaphore>,
    /// Checked when there is no account, so that its absence takes as long as a wrong password (R-125, K7).
    decoy: SecretText,
    /// The tries whose password is being checked.
    pub(super) under_way: UnderWay,
}

/// What a check said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password belongs to the hash.
    Match {
        /// The hash was made at a lower cost than is configured now.
        outdated: bool,
    },
    /// It does not, or there was no hash.
    NoMatch,
}

impl HashingPool {
    /// A pool with the bounds of `policy`.
    pub fn new(policy: &PasswordPolicy) -> Self {
        let Argon2Cost { memory_kib, iterations, parallelism } = policy.argon2;
        let parallel = policy.parallel_hashes.unwrap_or_else(half_the_cores).max(1);
        Self {
            cost: policy.argon2,
            places: Arc::new(Semaphore::new(parallel + policy.queue)),
            benches: Arc::new(Semaphore::new(parallel)),
            // No password has this hash, as far as anybody knows, and it would open nothing.
            decoy: SecretText::new(format!(
                "$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}$c2Vzc2lsZSBkZWNveS4$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaA"
            )),
            under_way: UnderWay::default(),
        }
    }

    /// The PHC string to store for a password: its own random salt, the configured cost.
    ///
    /// # Errors
    ///
    /// [`HashFault::Busy`] when the queue is full.
    pub async fn hash(&self, entropy: &dyn Entropy, password: SecretText) -> Result<SecretText, HashFault> {
        let cost = self.cost;
        let salt: [u8; 16] = random(entropy)?;
        self.work(move || hash(cost, &password, &salt)).await
    }

    /// Whether `password` belongs to `phc`. Without a hash the answer is no, and takes as long.
    ///
    /// # Errors
    ///
    /// [`HashFault::Busy`] when the queue is full, [`HashFault::Record`] when `phc` is not a hash.
    pub async fn verify(&self, password: SecretText, phc: Option<SecretText>) -> Result<Verdict, HashFault> {
        let cost = self.cost;
        let known = phc.is_some();
        let phc = phc.unwrap_or_else(|| self.decoy.clone());
        let verdict = self.work(move || verify(cost, &password, &phc)).await?;
        Ok(if known { verdict } else { Verdict::NoMatch })
    }

    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, HashFault> + Send + 'static,
    ) -> Result<T, HashFault> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| HashFault::Busy)?;
        let bench = self.benches.clone().acquire_owned().await.map_err(|_| HashFault::Busy)?;
        // The permits go with the work: a client that hangs up does not make room for another while its
        // password is still being hashed.
        let permits: [OwnedSemaphorePermit; 2] = [place, bench];
        let worked = tokio::task::spawn_blocking(move || {
            let outcome = job();
            drop(permits);
            outcome
        });
        worked.await.map_err(|_| HashFault::Interrupted)?
    }
}

fn half_the_cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2)
}

fn hash(cost: Argon2Cost, password: &SecretText, salt: &[u8; 16]) -> Result<SecretText, HashFault> {
    let params = Params::new(cost.memory_kib, cost.iterations, cost.parallelism, None).map_err(|_| HashFault::Cost)?;
    let hash = Argon2id.hash_password_customized(password.expose().as_bytes(), salt, None, None, params);
    let hash = hash.map_err(|_| HashFault::Cost)?;
    Ok(SecretText::new(hash.to_string()))
}

fn verify(configured: Argon2Cost, password: &SecretText, phc: &SecretText) -> Result<Verdict, HashFault> {
    let hash = PasswordHash::new(phc.expose()).map_err(|_| HashFault::Record)?;
    let cost = cost_of(&hash).ok_or(HashFault::Record)?;
    let work = |cost: Argon2Cost| u64::from(cost.memory_kib) * u64::from(cost.iterations);
    if work(cost) > work(configured).max(work(Argon2Cost::default())).saturating_mul(MOST_TIMES_CONFIGURED) {
        return Err(HashFault::Record);
    }
    match Argon2id.verify_password(password.expose().as_bytes(), &hash) {
        Ok(()) => Ok(Verdict::Match { outdated: cost.is_outdated(configured) }),
        Err(PhcError::PasswordInvalid) => Ok(Verdict::NoMatch),
        Err(_) => Err(HashFault::Record),
    }
}

/// Argon2id in memory that the system gets back at once.
struct Argon2id;

impl CustomizedPasswordHasher<PasswordHash> for Argon2id {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        _: Option<&str>,
        version: Option<u32>,
        params: Params,
    ) -> password_hash::Result<PasswordHash> {
        let version = version.map(Version::try_from).transpose()?.unwrap_or_default();
        let argon2 = Argon2::new(Algorithm::Argon2id, version, params);
        let params = argon2.params();
        let mut output = [0; Output::MAX_LENGTH];
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let output = output.get_mut(..length).ok_or(PhcError::OutputSize)?;
        argon2.hash_password_into_with_memory(password, salt, output, &mut memory(params.block_count())[..])?;
        Ok(PasswordHash {
            algorithm: argon2::ARGON2ID_IDENT,
            version: Some(version.into()),
            params: ParamsString::try_from(params)?,
            salt: Some(Salt::new(salt)?),
            hash: Some(Output::new(output)?),
        })
    }
}

/// More than 32 MiB is what glibc maps from the system, and unmaps when it is freed, whatever it has seen before; less it
/// comes to keep for the next time (mallopt(3), `M_MMAP_THRESHOLD`), and a server at which ten people have signed in would
/// never again be below a hundred megabytes. What is not touched is not taken.
const ALWAYS_MAPPED: usize = 33 * 1024 * 1024 / Block::SIZE;

fn memory(blocks: usize) -> Vec<Block> {
    let mut memory = Vec::with_capacity(blocks.max(ALWAYS_MAPPED));
    memory.resize(blocks, Block::default());
    memory
}

fn cost_of(hash: &PasswordHash) -> Option<Argon2Cost> {
    if hash.algorithm != argon2::ARGON2ID_IDENT || hash.hash.is_none() {
        return None;
    }
    let params = Params::try_from(hash).ok()?;
    Some(Argon2Cost { memory_kib: params.m_cost(), iterations: params.t_cost(), parallelism: params.p_cost() })
}

/// Why no answer could be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashFault {
    /// Too many are waiting.
    #[error("too many passwords are waiting to be checked; raise the number hashed at once, or look for an attack")]
    Busy,
    /// The configured cost is not one Argon2 knows.
    #[error(
        "the Argon2 cost is not valid: memory must be at least 8 KiB per lane, and there must be a pass and a lane"
    )]
    Cost,
    /// The stored hash is not an Argon2id hash that this pool will check.
    #[error("a stored password hash is damaged, foreign or far too costly; set the account's password anew")]
    Record,
    /// No random bytes for a salt.
    #[error("the system's random number generator failed")]
    Entropy,
    /// The work was cut off: the process is stopping.
    #[error("hashing was interrupted because the process is stopping")]
    Interrupted,
}

impl From<EntropyFailure> for HashFault {
    fn from(_: EntropyFailure) -> Self {
        Self::Entropy
    }
}
