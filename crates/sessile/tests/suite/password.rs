//! Password accounts: what may be chosen, how it is kept and checked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sessile::password::{
    AccountError, Argon2Cost, Blocklist, HashFault, HashingPool, PasswordPolicy, PasswordRefused, Verdict,
};
use sessile_core::SecretText;
use sessile_store::memory::MemoryStore;

use crate::surface_client::{PASSWORD, add_account, ask, events, opens, quick_config, sign_in, site, site_on, stores};
use crate::world::World;

fn secret(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}

fn check(policy: &PasswordPolicy, password: &str) -> Result<(), PasswordRefused> {
    policy.check("ada.lovelace", &secret(password))
}

const CHEAP: Argon2Cost = Argon2Cost { memory_kib: 64, iterations: 1, parallelism: 1 };

/// 15 characters and more, counted as code points, up to 1024 bytes, of any kind, without composition rules.
#[test]
fn length_is_the_only_form() {
    let policy = PasswordPolicy::default();
    let mixed = "vq7 ;Ż漢🦊\u{1}\u{0}ñ~ßœð";
    assert_eq!(mixed.chars().count(), 15);
    for fine in [
        "gnarlybeetroots",
        "velvet otter umbrella",
        "73918264059173x",
        "!#%&/()=?+*'_:;",
        mixed,
        "🦊🌵🎻🧭🪵🧊🐙🎲🪁🧵🍋🚲🔭🪺🧱",
        " leading and trailing ",
        "e\u{301}ta\u{302}ge\u{300}re zwei",
    ] {
        assert_eq!(check(&policy, fine), Ok(()), "{fine}");
    }
    let fourteen: String = mixed.chars().take(14).collect();
    assert_eq!(check(&policy, &fourteen), Err(PasswordRefused::TooShort { min_chars: 15 }), "characters, not bytes");
    assert_eq!(check(&policy, ""), Err(PasswordRefused::TooShort { min_chars: 15 }));
    // At the longest: 1024 bytes that do not repeat.
    let long: String = (0..1024u32).map(|i| char::from(b'!' + u8::try_from(i * i * 31 % 89).expect("small"))).collect();
    assert_eq!(check(&policy, &long), Ok(()));
    assert_eq!(check(&policy, &format!("{long}x")), Err(PasswordRefused::TooLong { max_bytes: 1024 }));
    let beside_a_second_factor = PasswordPolicy { min_chars: 8, ..PasswordPolicy::default() };
    assert_eq!(check(&beside_a_second_factor, "vq7;Ż漢🦊~"), Ok(()));
    assert_eq!(check(&beside_a_second_factor, "vq7;Ż漢🦊"), Err(PasswordRefused::TooShort { min_chars: 8 }));
}

/// common passwords, however spelled out or strung together, the user's own name, the site's, and runs.
#[test]
fn guessable_passwords_are_refused() {
    let policy = PasswordPolicy { context: vec!["Wonder Notes".to_owned()], ..PasswordPolicy::default() };
    for guessable in [
        "passwordpassword",
        "PasswordPassword1",
        "password 12345678",
        "qwertyuiopasdfghjkl",
        "111111111111111",
        "123456789012345678",
        "abcdefghijklmnopqrst",
        "iloveyou iloveyou",
        "admin123admin123admin123",
        "letmeinletmeinletmein",
        "ada.lovelace2024",
        "lovelacelovelace!",
        "wondernotes-wonder-notes",
        "summer2027 sunshine",
        "abcabcabcabcabcabcabc",
    ] {
        assert_eq!(check(&policy, guessable), Err(PasswordRefused::Predictable), "{guessable}");
    }
    // Negative control: the same lengths, and the same words among others.
    for fine in
        ["my password hates umbrellas", "ada.lovelace likes turnips", "wonder notes about pickled herring", PASSWORD]
    {
        assert_eq!(check(&policy, fine), Ok(()), "{fine}");
    }
    assert_eq!(check(&PasswordPolicy::default(), "wondernotes wander nutes"), Ok(()), "without the context word");
    let elsewhere = policy.check("grace", &secret("ada.lovelace is my friend"));
    assert_eq!(elsewhere, Ok(()), "another's name is no clue");
}

/// a site's own list is heeded, as a whole and in any case.
#[test]
fn a_list_of_breached_passwords_is_heeded() {
    let breached = "Velvet Otter Umbrella";
    let listed = PasswordPolicy {
        blocklist: Blocklist::from_lines("x\n\nvelvet otter umbrella\r\n"),
        ..PasswordPolicy::default()
    };
    assert_eq!(listed.blocklist.len(), 2);
    assert_eq!(check(&listed, breached), Err(PasswordRefused::Common));
    assert_eq!(check(&listed, "velvet otter umbrella!"), Ok(()), "as a whole");
    assert_eq!(check(&PasswordPolicy::default(), breached), Ok(()), "negative control: without the list");
    let eight = PasswordPolicy { min_chars: 8, ..PasswordPolicy::default() };
    for common in ["password1", "Sunshine", "iloveyou", "1q2w3e4r5t"] {
        assert_eq!(check(&eight, common), Err(PasswordRefused::Common), "{common}");
    }
}

/// R-127, ASVS 6.2.8: a password is checked byte for byte as it came: nothing is cut, trimmed, folded or normalised.
#[tokio::test]
async fn passwords_are_checked_as_received() {
    let world = World::with(quick_config(), Arc::new(MemoryStore::new())).await;
    let long: String = (0..500u32).map(|i| char::from_u32(0xc0 + i * i * 31 % 61).expect("a character")).collect();
    let cases = [
        (
            "plain",
            "velvet otter umbrella",
            vec!["Velvet otter umbrella", "velvet otter umbrella ", " velvet otter umbrella", "velvet otter umbrell"],
        ),
        ("nul", "velvet\0otter umbrella", vec!["velvet", "velvet\0otter umbrellb", "velvetotter umbrella"]),
        ("blank", " velvet otter umbrella ", vec!["velvet otter umbrella"]),
        ("nfc", "\u{e9}tag\u{e8}re velvet otter", vec!["e\u{301}tage\u{300}re velvet otter"]),
        ("long", &long[..], vec![&long[..72], &long[..256], &long[..998]]),
        ("emoji", "🦊🌵🎻🧭🪵🧊🐙🎲🪁🧵🍋🚲🔭🪺🧱", vec!["🦊🌵🎻🧭🪵🧊🐙🎲🪁🧵🍋🚲🔭🪺"]),
    ];
    for (name, password, others) in cases {
        let accounts = world.engine.accounts();
        accounts
            .create(name, None, secret(password), world.engine.now().wall)
            .await
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let try_it = async |password: &str| {
            let body = serde_json::json!({ "username": name, "password": password });
            ask("POST", "/auth/sign-in").script().json(&body).send(&world.engine).await.status.as_u16()
        };
        for other in others {
            assert_eq!(try_it(other).await, 401, "{name}: {other:?}");
        }
        assert_eq!(try_it(password).await, 200, "{name}: negative control");
    }
}

/// what is stored is Argon2id at the configured cost with a salt of its own.
#[tokio::test]
async fn hashes_are_argon2id() {
    let entropy = sessile_aws_lc::entropy();
    let pool = HashingPool::new(&PasswordPolicy::default());
    let hash = pool.hash(&*entropy, secret(PASSWORD)).await.expect("hashed");
    let parts: Vec<&str> = hash.expose().split('$').collect();
    assert_eq!(parts[..4], ["", "argon2id", "v=19", "m=19456,t=2,p=1"]);
    assert_eq!((parts[4].len(), parts[5].len()), (22, 43), "128 bits of salt, 256 of hash");
    let again = pool.hash(&*entropy, secret(PASSWORD)).await.expect("hashed");
    assert_ne!(hash.expose(), again.expose(), "another salt");
    assert_eq!(pool.verify(secret(PASSWORD), Some(hash.clone())).await, Ok(Verdict::Match { outdated: false }));
    assert_eq!(pool.verify(secret("x"), Some(hash)).await, Ok(Verdict::NoMatch), "negative control");
    assert!(!Argon2Cost::default().is_below_floor() && CHEAP.is_below_floor());
    assert!(
        !Argon2Cost { memory_kib: 47_104, iterations: 1, parallelism: 1 }.is_below_floor(),
        "OWASP's other choices"
    );
    assert!(!format!("{pool:?}").contains("argon2id$"), "not even the decoy is printed");
}

/// A record that is no Argon2id hash, or one so costly that checking it would take the machine down, is a fault: never
/// a match, never a wait.
#[tokio::test]
async fn odd_hashes_are_faults() {
    let pool = HashingPool::new(&PasswordPolicy { argon2: CHEAP, ..PasswordPolicy::default() });
    let tail = "$c2FsdHNhbHQ$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaA";
    for odd in [
        "",
        PASSWORD,
        "$2b$12$abcdefghijklmnopqrstuv",
        &format!("$argon2i$v=19$m=64,t=1,p=1{tail}"),
        &format!("$argon2d$v=19$m=64,t=1,p=1{tail}"),
        &format!("$argon2id$v=19$m=4294967295,t=1,p=1{tail}"),
        &format!("$argon2id$v=19$m=19456,t=1000000,p=1{tail}"),
        &format!("$argon2id$v=19$m=0,t=0,p=0{tail}"),
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ",
    ] {
        let begun = Instant::now();
        assert_eq!(pool.verify(secret(PASSWORD), Some(secret(odd))).await, Err(HashFault::Record), "{odd}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{odd}");
    }
    let fine = format!("$argon2id$v=19$m=64,t=1,p=1{tail}");
    assert_eq!(pool.verify(secret(PASSWORD), Some(secret(&fine))).await, Ok(Verdict::NoMatch), "negative control");
}

/// when the configured cost rises, the next sign-in makes the hash anew; when it falls, nothing happens.
#[tokio::test]
async fn hashes_follow_a_rising_cost() {
    for (store, _directory) in stores() {
        let raised = Argon2Cost { memory_kib: 128, iterations: 2, parallelism: 1 };
        let mut config = quick_config();
        let world = World::with(config.clone(), store).await;
        add_account(&world.engine, "ada").await;
        let stored = async |engine: &sessile::Engine| {
            let name = "ada".parse().expect("a name");
            let (account, hash) = engine.vault().find_account(&name).await.expect("read").expect("an account");
            (account.password_set_at, hash.expose().split('$').nth(3).expect("parameters").to_owned(), hash)
        };
        sign_in(&world.engine, "ada").await;
        let (set_at, cost, _) = stored(&world.engine).await;
        assert_eq!(cost, "m=64,t=1,p=1");
        config.passwords.argon2 = raised;
        let node = world.second_node_with(config).await;
        world.pass_time(Duration::from_secs(60));
        let wrong = serde_json::json!({ "username": "ada", "password": "wrong-wrong-wrong" });
        assert_eq!(ask("POST", "/auth/sign-in").script().json(&wrong).send(&node).await.status, 401);
        assert_eq!(stored(&node).await.1, "m=64,t=1,p=1", "negative control: only after the right password");
        let browser = sign_in(&node, "ada").await;
        let (after, cost, rehashed) = stored(&node).await;
        assert_eq!((after, cost.as_str()), (set_at, "m=128,t=2,p=1"), "the same password, so the same age");
        assert!(opens(&browser, &node).await);
        sign_in(&world.engine, "ada").await;
        assert_eq!(stored(&world.engine).await.2.expose(), rehashed.expose(), "a node of lower cost leaves it");
        assert_eq!(node.accounts().find("ada").await.expect("found").name.as_str(), "ada");
    }
}

/// however many come at once, so many are hashed and so many wait; the rest are told to come back, and the
/// memory is bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_bounded() {
    let policy = PasswordPolicy { parallel_hashes: Some(2), queue: 3, ..PasswordPolicy::default() };
    let pool = Arc::new(HashingPool::new(&policy));
    let crowd: Vec<_> = (0..40)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.verify(secret("x"), None).await })
        })
        .collect();
    let mut served = 0;
    let mut turned_away = 0;
    for one in crowd {
        match one.await.expect("joined") {
            Ok(verdict) => {
                assert_eq!(verdict, Verdict::NoMatch);
                served += 1;
            }
            Err(fault) => {
                assert_eq!(fault, HashFault::Busy);
                turned_away += 1;
            }
        }
    }
    assert!(served >= 5 && turned_away > 0, "{served} served, {turned_away} turned away");
    assert_eq!(
        pool.verify(secret("x"), None).await,
        Ok(Verdict::NoMatch),
        "negative control: afterwards there is room"
    );
}

/// A client that hangs up does not free its place before its password is hashed: hanging up is no way past the bound.
#[tokio::test]
async fn hanging_up_frees_nothing_early() {
    let pool = HashingPool::new(&PasswordPolicy { parallel_hashes: Some(1), queue: 0, ..PasswordPolicy::default() });
    let slow = secret("$argon2id$v=19$m=19456,t=32,p=1$c2FsdHNhbHQ$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaA");
    let hung_up = tokio::time::timeout(Duration::from_millis(20), pool.verify(secret("x"), Some(slow))).await;
    assert!(hung_up.is_err(), "it takes longer than that");
    assert_eq!(pool.verify(secret("x"), None).await, Err(HashFault::Busy));
    let begun = Instant::now();
    while pool.verify(secret("x"), None).await == Err(HashFault::Busy) {
        assert!(begun.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// R-027, E8: a new password and a disabled account end every session, on both stores: what may not be
/// chosen is refused here too.
#[tokio::test]
async fn administration_ends_sessions() {
    for (store, _directory) in stores() {
        let world = site_on(quick_config(), store).await;
        let accounts = world.engine.accounts();
        let now = world.engine.now().wall;
        let (ada, grace) = (sign_in(&world.engine, "ada").await, sign_in(&world.engine, "grace").await);
        let refused = accounts.set_password("ada", secret("passwordpassword"), now).await;
        assert!(matches!(refused, Err(AccountError::Password(PasswordRefused::Predictable))));
        assert!(opens(&ada, &world.engine).await, "a refused password changes nothing");

        let ended = accounts.set_password("ADA ", secret("thimble-cactus-meadow-rust"), now).await.expect("set");
        assert_eq!(ended.len(), 1);
        world.engine.catch_up().await.expect("the feed");
        assert!(!opens(&ada, &world.engine).await);
        assert!(opens(&grace, &world.engine).await, "negative control: others stay");
        let old = ask("POST", "/auth/sign-in")
            .script()
            .json(&crate::surface_client::credentials("ada"))
            .send(&world.engine)
            .await;
        assert_eq!(old.status, 401, "the old password is dead");
        let new = serde_json::json!({ "username": "ada", "password": "thimble-cactus-meadow-rust" });
        assert_eq!(ask("POST", "/auth/sign-in").script().json(&new).send(&world.engine).await.status, 200);

        accounts.disable("grace", now).await.expect("disabled");
        world.engine.catch_up().await.expect("the feed");
        assert!(!opens(&grace, &world.engine).await);
        let refused = ask("POST", "/auth/sign-in")
            .script()
            .json(&crate::surface_client::credentials("grace"))
            .send(&world.engine)
            .await;
        assert_eq!(refused.status, 401);
        accounts.enable("grace", now).await.expect("enabled");
        assert!(!opens(&grace, &world.engine).await, "dead stays dead");
        sign_in(&world.engine, "grace").await;

        let taken = accounts.create("Ada", None, secret(PASSWORD), now).await;
        assert!(matches!(taken, Err(AccountError::NameTaken(_))));
        let taken = accounts.create("other", Some("ada".parse().expect("a subject")), secret(PASSWORD), now).await;
        assert!(matches!(taken, Err(AccountError::SubjectTaken(_))));
        assert!(matches!(accounts.disable("nobody", now).await, Err(AccountError::NoSuchAccount(_))));
        assert!(matches!(accounts.create("\n", None, secret(PASSWORD), now).await, Err(AccountError::Name(_))));
        let names: Vec<String> = events(&world.engine).await.into_iter().map(|event| event.name).collect();
        for expected in ["user_created", "authn_password_change", "user_updated"] {
            assert!(names.iter().any(|name| name == expected), "{expected}");
        }
    }
}

/// no message about a password contains it.
#[tokio::test]
async fn messages_hold_no_password() {
    let world = site().await;
    for (password, advice) in [
        ("CANARY", "at least 15"),
        ("CANARYCANARYCANARYCANARY", "put together from"),
        (&"CANARY ".repeat(200), "at most 1024"),
    ] {
        let refused = world.engine.accounts().create("eve", None, secret(password), world.engine.now().wall).await;
        let error = refused.expect_err("refused");
        assert!(!format!("{error} {error:?}").contains("CANARY"));
        assert!(error.to_string().contains(advice), "{error}");
    }
}
