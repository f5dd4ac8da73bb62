//! Layers, precedence, the environment, and files that were cut short.

use std::ffi::OsString;
use std::time::Duration;

use proptest::prelude::*;
use sessile_core::policy::Limits;
use sessile_server::config::reference::{Chosen, commented_file};
use sessile_server::config::{COMPLETE, END, Loaded, Mistakes, Purpose, Sources, load, load_text};

use crate::config_corpus::load as load_file;

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn with(
    text: &str,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &'static str, &str)],
) -> Result<Loaded, Mistakes> {
    let flags = flags.iter().map(|(key, flag, value)| (*key, *flag, (*value).to_owned())).collect();
    let sources = Sources { file: None, environment: environment(variables), flags };
    load_text("sessile.toml", text, &sources, Purpose::Serve)
}

const FILE: &str =
    "[server]\nupstream = \"http://127.0.0.1:3000\"\nlisten = \"127.0.0.1:1001\"\n[session]\naccess = \"1m\"\n";

/// Product section 8: the file, then the environment, then flags.
#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let env = [("SESSILE_SERVER_LISTEN", "127.0.0.1:1002"), ("SESSILE_SESSION_ACCESS", "2m")];
    let flag = [("server.listen", "--listen", "127.0.0.1:1003")];
    let listen = |loaded: Loaded| loaded.runtime.gateway.listen.port();
    assert_eq!(listen(with("", &[("SESSILE_SERVER_UPSTREAM", "http://127.0.0.1:1")], &[]).unwrap()), 8080);
    assert_eq!(listen(with(FILE, &[], &[]).unwrap()), 1001);
    assert_eq!(listen(with(FILE, &env, &[]).unwrap()), 1002);
    assert_eq!(listen(with(FILE, &env, &flag).unwrap()), 1003);
    let access = |loaded: Loaded| loaded.runtime.engine.limits.access;
    assert_eq!(access(with(FILE, &[], &flag).unwrap()), Duration::from_secs(60));
    assert_eq!(access(with(FILE, &env, &flag).unwrap()), Duration::from_secs(120));
}

/// The names outside scripts rely on (product section 8).
#[test]
fn the_fixed_names_are_understood() {
    let text = "\
[server]
listen = \"127.0.0.1:1001\"
public_url = \"https://app.example\"
trusted_proxies = [\"127.0.0.1\"]
[ops]
listen = \"127.0.0.1:1002\"
[store]
url = \"memory:\"
[session]
storage = \"hybrid\"
access = \"2s\"
idle = \"1h\"
absolute = \"24h\"
remember = \"30d\"
grace = \"1s\"
staleness = \"5s\"
[cookie]
path = \"/\"
same_site = \"strict\"
[csrf]
mode = \"enforce\"
trusted_origins = [\"https://admin.app.example\"]
[keys]
algorithm = \"EdDSA\"
rotate = \"7d\"
[sign_in]
password = true
upstream_routes = [\"POST /api/login\"]
[[route]]
prefix = \"/api\"
upstream = \"http://127.0.0.1:3000\"
access = \"public\"
storage = \"hybrid\"
[[route]]
prefix = \"/\"
static = \"/tmp\"
access = \"optional\"
";
    let loaded = with(text, &[], &[]).unwrap();
    assert_eq!(loaded.runtime.gateway.routes.len(), 2);
    assert_eq!(loaded.runtime.gateway.sign_in_routes, ["POST /api/login"]);
    assert_eq!(loaded.runtime.engine.issuer, "https://app.example");
    for name in ["SESSILE_SERVER_LISTEN", "SESSILE_OPS_LISTEN"] {
        assert!(with(FILE, &[(name, "127.0.0.1:1005")], &[]).is_ok(), "{name}");
    }
    assert!(
        with(
            FILE,
            &[("SESSILE_STORE_URL", "memory:"), ("SESSILE_SESSION_ACCESS", "2s"), ("SESSILE_SESSION_GRACE", "1s")],
            &[]
        )
        .is_ok()
    );
}

/// an unknown variable is a misspelt one. Kubernetes' own are not ours to refuse.
#[test]
fn the_environment_is_read_as_strictly_as_the_file() {
    let refused = |variables: &[(&str, &str)]| with(FILE, variables, &[]).expect_err("refused").to_string();
    let unknown = refused(&[("SESSILE_SESSION_ACESS", "TopSecretTopSecret")]);
    assert!(
        unknown.contains("environment SESSILE_SESSION_ACESS")
            && unknown.contains("did you mean SESSILE_SESSION_ACCESS?"),
        "{unknown}"
    );
    assert!(!unknown.contains("TopSecretTopSecret"));
    assert!(refused(&[("SESSILE_SESSION_ACCESS", "5 min")]).contains("environment SESSILE_SESSION_ACCESS"));
    assert!(refused(&[("SESSILE_SESSION_ACCESS", "")]).contains("not a duration"));
    assert!(refused(&[("SESSILE_LOG", "debug"), ("SESSILE_LOG_LEVEL", "info")]).contains("gives the same setting"));
    assert!(refused(&[("SESSILE_ROUTE_PREFIX", "/")]).contains("no setting has this name"));
    let kubernetes = [
        ("SESSILE_SERVICE_HOST", "10.0.0.1"),
        ("SESSILE_PORT", "tcp://10.0.0.1:80"),
        ("SESSILE_PORT_80_TCP_PORT", "80"),
    ];
    assert!(with(FILE, &kubernetes, &[]).is_ok());
    assert!(with(FILE, &[("OTHER_SESSILE", "x"), ("sessile_server_listen", "x")], &[]).is_ok(), "not ours");
    let lists = with(FILE, &[("SESSILE_SERVER_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7")], &[]).unwrap();
    assert_eq!(lists.runtime.gateway.trusted_proxies.len(), 2);
}

#[test]
#[cfg(unix)]
fn a_variable_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let sources =
        Sources { environment: vec![("SESSILE_LOG".into(), OsString::from_vec(vec![0xff]))], ..Sources::default() };
    let mistakes = load_text("x", FILE, &sources, Purpose::Serve).expect_err("refused");
    assert!(mistakes.to_string().contains("not UTF-8"), "{mistakes}");
}

/// the ready profiles, and single values over them.
#[test]
fn profiles_set_idle_and_absolute_and_yield_to_both() {
    let limits = |text: &str| load_file(&format!("{FILE}{text}")).unwrap().runtime.engine.limits;
    for (name, profile) in [("aal1", Limits::AAL1), ("aal2", Limits::AAL2), ("aal3", Limits::AAL3)] {
        let read = limits(&format!("profile = \"{name}\"\n"));
        assert_eq!((read.idle, read.absolute), (profile.idle, profile.absolute), "{name}");
    }
    let read = limits("profile = \"aal3\"\nidle = \"10m\"\n");
    assert_eq!((read.idle, read.absolute), (Duration::from_secs(600), Limits::AAL3.absolute));
    assert_eq!(limits("remember = \"on\"\n").remember, Limits::REMEMBER);
}

/// X7: a file written by `sessile init` and cut short anywhere is refused as a whole: none of its settings
/// come into force. Negative control: without its first line the same file, cut at some line's end, is read.
#[test]
fn a_file_cut_short_anywhere_never_comes_into_force() {
    let chosen = [
        ("server.upstream", "http://127.0.0.1:3000"),
        ("session.sessions_per_subject", "50"),
        ("session.access", "2m"),
        ("csrf.mode", "enforce"),
        ("sign_in.password", "true"),
    ];
    let chosen: Vec<Chosen> = chosen.into_iter().map(|(key, value)| Chosen { key, value: value.to_owned() }).collect();
    let whole = commented_file(&chosen);
    assert!(whole.starts_with(COMPLETE) && whole.trim_end().ends_with(END));
    load_file(&whole).expect("the whole file is good");
    let sources = Sources::default();
    // An empty file is no file cut short: it is what stands before the first byte is written.
    for end in (1..whole.len()).filter(|end| whole.is_char_boundary(*end)) {
        let refused = load_text("sessile.toml", &whole[..end], &sources, Purpose::Data).expect_err(&whole[..end]);
        assert_eq!(
            refused.iter().next().map(|mistake| mistake.key.as_str()),
            Some("configuration file"),
            "at {end}: {refused}"
        );
    }
    let unprotected = whole.strip_prefix(COMPLETE).unwrap();
    let half = unprotected.find("[session]").unwrap();
    let read = load_text("sessile.toml", &unprotected[..half], &sources, Purpose::Data)
        .expect("the control can be read in part");
    assert_eq!(read.runtime.engine.limits.access, Limits::AAL2.access, "and half of it is in force");
}

/// X7: in any file, no cut goes through a value: the last line must be ended.
#[test]
fn a_cut_never_goes_through_a_number() {
    let text = "[session]\nsessions_per_subject = 50\n";
    for end in 1..text.len() {
        let cut = load_text("sessile.toml", &text[..end], &Sources::default(), Purpose::Data);
        assert!(end == "[session]\n".len() || cut.is_err(), "{:?}", &text[..end]);
    }
    assert!(load_text("sessile.toml", text, &Sources::default(), Purpose::Data).is_ok());
}

/// A17: a file that was named and cannot be read stops the start; it is never taken for an empty one.
#[test]
fn an_unreadable_file_is_no_empty_file() {
    let dir = tempfile::tempdir().unwrap();
    let named = |name: &str| Sources {
        file: Some(dir.path().join(name)),
        environment: environment(&[("SESSILE_SERVER_UPSTREAM", "http://127.0.0.1:1")]),
        ..Sources::default()
    };
    let refused = |name: &str| load(&named(name), Purpose::Serve).expect_err(name).to_string();
    assert!(refused("missing.toml").contains("--config"));
    std::fs::create_dir(dir.path().join("folder.toml")).unwrap();
    assert!(refused("folder.toml").contains("problem"));
    std::fs::write(dir.path().join("latin.toml"), b"[server]\n# \xe9\n").unwrap();
    assert!(refused("latin.toml").contains("UTF-8"));
    std::fs::write(dir.path().join("huge.toml"), vec![b'#'; 2 << 20]).unwrap();
    assert!(refused("huge.toml").contains("1 MiB"));
    std::fs::write(dir.path().join("empty.toml"), "").unwrap();
    assert!(load(&named("empty.toml"), Purpose::Serve).is_ok(), "the control: an empty file is one");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever stands in a file, it is read or refused, never a panic, and a refusal names something.
    #[test]
    fn any_text_is_read_or_refused(text in "(?s)\\PC{0,200}\n") {
        if let Err(mistakes) = load_text("x", &text, &Sources::default(), Purpose::Data) {
            prop_assert!(!mistakes.is_empty());
        }
    }

    /// The same for lines that look like settings.
    #[test]
    fn any_lines_are_read_or_refused(lines in proptest::collection::vec(
        prop_oneof![
            Just("[session]".to_owned()), Just("[[route]]".to_owned()), Just("[route.headers]".to_owned()), Just("[server.tls]".to_owned()),
            "(access|idle|prefix|upstream|cert|listen|storage) = (\"[ -~]{0,12}\"|[0-9]{1,20}|true|\\[\\]|\\{\\})",
        ], 0..12))
    {
        let text = lines.join("\n") + "\n";
        if let Err(mistakes) = load_text("x", &text, &Sources::default(), Purpose::Data) {
            prop_assert!(!mistakes.is_empty());
            for mistake in mistakes.iter() {
                prop_assert!(!mistake.key.is_empty() && !mistake.problem.is_empty() && !mistake.remedy.is_empty());
            }
        }
    }
}
