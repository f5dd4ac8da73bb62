//! Secrets in files and in the environment: who may read them, and whether they are secrets (R-129, R-165, A17).

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sessile_server::config::{Loaded, Mistakes, Purpose, Sources, load_text};

const STRONG: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn write(dir: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Mistakes> {
    let environment = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let text = format!("[server]\nupstream = \"http://127.0.0.1:1\"\n{text}");
    load_text("x", &text, &Sources { environment, ..Sources::default() }, Purpose::Serve)
}

fn token_file(path: &Path) -> String {
    format!("[ops]\nadmin_token_file = {path:?}\n")
}

/// a secret others may read or change is refused, at every such mode; its owner's and its group's are not.
#[test]
fn a_secret_that_others_may_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o644, 0o604, 0o606, 0o620, 0o660, 0o601, 0o777] {
        let path = write(dir.path(), "token", STRONG, mode);
        let refused = load(&token_file(&path), &[]).expect_err("refused").to_string();
        assert!(refused.contains("ops.admin_token_file") && refused.contains("chmod 600"), "{mode:o}: {refused}");
        assert!(!refused.contains(STRONG));
    }
    for mode in [0o600, 0o400, 0o440, 0o640] {
        let path = write(dir.path(), "token", &format!("{STRONG}\n"), mode);
        assert!(load(&token_file(&path), &[]).unwrap().runtime.ops.admin_token.is_some(), "{mode:o}");
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
}

/// placeholders are refused, in a file and in the environment, and never repeated.
#[test]
fn placeholder_secrets_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for bad in [
        "changeme-changeme-changeme-changeme!",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "tooShort-1",
        "my-example-admin-token-for-the-docs",
    ] {
        let path = write(dir.path(), "token", bad, 0o600);
        let in_file = load(&token_file(&path), &[]).expect_err(bad).to_string();
        let in_environment = load("", &[("SESSILE_OPS_ADMIN_TOKEN", bad)]).expect_err(bad).to_string();
        for refused in [in_file, in_environment] {
            assert!(refused.contains("openssl rand") && !refused.contains(bad), "{refused}");
        }
    }
    assert!(load("", &[("SESSILE_OPS_ADMIN_TOKEN", STRONG)]).is_ok(), "the control is a secret");
}

/// A17: a secret that cannot be had stops the start; nothing is served without it.
#[test]
fn a_missing_secret_is_no_absent_secret() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let refused = load(&token_file(&missing), &[]).expect_err("refused").to_string();
    assert!(refused.contains("No such file"), "{refused}");
    let empty = write(dir.path(), "empty", "\n", 0o600);
    assert!(load(&token_file(&empty), &[]).expect_err("refused").to_string().contains("empty"));
    assert!(load(&token_file(dir.path()), &[]).expect_err("refused").to_string().contains("not a regular file"));
    let client = format!("[[client]]\nid = \"api\"\nsecret_file = {missing:?}\n");
    assert!(load(&client, &[]).expect_err("refused").to_string().contains("client.secret_file"));
    let certificates = format!("[server.tls]\ncert = {missing:?}\nkey = {missing:?}\n");
    assert!(load(&certificates, &[]).expect_err("refused").to_string().contains("server.tls.key"));
    let authorities = format!("upstream_ca = {missing:?}\n");
    assert!(load(&authorities, &[]).expect_err("refused").to_string().contains("server.upstream_ca"));
    assert!(
        load("", &[]).unwrap().runtime.ops.admin_token.is_none(),
        "the control: without a token the admin API is off"
    );
}

/// K11, A17: a certificate and a key that do not read stop the start, and so does a key others may read.
#[test]
fn unusable_certificates_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let cert = write(dir.path(), "cert.pem", "no certificate\n", 0o644);
    for (mode, word) in [(0o644, "chmod 600"), (0o600, "certificate")] {
        let key = write(dir.path(), "key.pem", "no key\n", mode);
        let refused =
            load(&format!("[server.tls]\ncert = {cert:?}\nkey = {key:?}\n"), &[]).expect_err("refused").to_string();
        assert!(refused.contains("server.tls") && refused.contains(word), "{refused}");
    }
}

/// A secret that is given twice is a contradiction, whichever of the two would win.
#[test]
fn a_secret_given_twice_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "token", STRONG, 0o600);
    assert!(
        load(&token_file(&path), &[("SESSILE_OPS_ADMIN_TOKEN", STRONG)])
            .expect_err("refused")
            .to_string()
            .contains("given twice")
    );
    let master = format!("[keys]\nmaster_key_file = {path:?}\n");
    assert!(load(&master, &[("SESSILE_MASTER_KEY", STRONG)]).expect_err("refused").to_string().contains("given twice"));
    assert!(
        load("", &[("SESSILE_MASTER_KEY", STRONG), ("SESSILE_KEYS_MASTER_KEY", STRONG)])
            .expect_err("refused")
            .to_string()
            .contains("same setting")
    );
}

/// a secret's value appears in no `Debug` of what was loaded, and not among what is in force.
#[test]
fn loaded_secrets_do_not_print() {
    let loaded = load("", &[("SESSILE_OPS_ADMIN_TOKEN", STRONG), ("SESSILE_MASTER_KEY", STRONG)]).unwrap();
    assert!(!format!("{loaded:?}").contains(STRONG));
    assert_eq!(loaded.in_force["ops.admin_token"], (None, "environment SESSILE_OPS_ADMIN_TOKEN".to_owned()));
    // Negative control: other values do.
    assert!(format!("{loaded:?}").contains("127.0.0.1:9901"));
}

/// the digest of a client's secret is kept, never the secret.
#[test]
fn client_secrets_become_digests() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "client", STRONG, 0o600);
    let loaded = load(&format!("[[client]]\nid = \"api\"\nsecret_file = {path:?}\n"), &[]).unwrap();
    let [client] = &loaded.runtime.engine.clients[..] else { panic!("one client") };
    assert_eq!(client.id, "api");
    assert_eq!(client.secret_digest, sessile_aws_lc::provider().sha256(STRONG.as_bytes()));
}
