//! Who is connected to, and what is told of it: TLS, passwords, roles.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sessile_store::postgres::{PostgresOptions, PostgresStore, PostgresUrl, SchemaName};
use sessile_store::{Sessions, StoreError};

use crate::postgres_world::{own_server, patient, shared};

const LONGEST: Duration = Duration::from_secs(20);
const PASSWORD: &str = "correct-horse-41";

fn refusal(url: &str) -> String {
    url.parse::<PostgresUrl>().unwrap_err().to_string()
}

/// what would cross a network in the open, or to somebody unknown, is refused before anything is sent.
#[test]
fn a_connection_is_verified_or_local() {
    for local in [
        "postgres://app@localhost/app",
        "postgres://app@127.0.0.1:5433/app?sslmode=disable",
        "postgresql://app@[::1]/app",
        "postgres://app@%2Frun%2Fpostgresql/app",
        "postgres://app@db.example.com/app",
        "postgres://app@db1.example.com:5432,db2.example.com:5433/app?sslmode=verify-full&connect_timeout=3",
        "postgres://app:p%40ss%2F%3F@db.example.com/app",
    ] {
        local.parse::<PostgresUrl>().unwrap_or_else(|refused| panic!("{local}: {refused}"));
    }
    for (open, why) in [
        ("postgres://app@db.example.com/app?sslmode=disable", "in the open"),
        ("postgres://app@127.0.0.1,db.example.com/app?sslmode=disable", "in the open"),
        ("postgres://app@localhost/app?sslmode=disable&hostaddr=192.0.2.1", "in the open"),
        ("postgres://app@db.example.com/app?sslmode=prefer", "verify-full"),
        ("postgres://app@db.example.com/app?sslmode=require", "verify-full"),
        ("postgres://app@%2Frun%2Fpostgresql/app?sslmode=verify-full", "unix socket"),
        ("mysql://app@localhost/app", "postgres://"),
        ("postgres://localhost/app", "no user"),
        ("postgres://app@localhost", "no database"),
        ("postgres://app@localhost/app?password=x", "not as a parameter"),
    ] {
        assert!(refusal(open).contains(why), "{open}: {}", refusal(open));
    }
}

/// no error and no `Debug` shows a password, however wrongly it is written into a URL.
#[test]
fn a_url_does_not_tell_its_password() {
    for wrong in ["hun@ter2", "hun/ter2@", "hun?ter2", "hun#ter2", "hunter2%zz", "hunter2"] {
        for rest in [
            "@localhost/app",
            "@localhost/app?sslmode=prefer",
            "@db.example.com/app?sslmode=disable",
            "@localhost:x/app",
        ] {
            let told = match format!("postgres://app:{wrong}{rest}").parse::<PostgresUrl>() {
                Ok(url) => format!("{url:?}"),
                Err(refused) => format!("{refused} {refused:?}"),
            };
            assert!(!told.contains("ter2"), "{told}");
        }
    }
}

#[test]
fn schema_names_are_plain() {
    for name in ["sessile", "a", "_x9", "user"] {
        name.parse::<SchemaName>().unwrap();
    }
    for name in ["", "9a", "Sessile", "a-b", "a\"b", "pg_catalog", "ä", &"x".repeat(49)] {
        name.parse::<SchemaName>().unwrap_err();
    }
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).current_dir(directory).output();
    let made = made.unwrap_or_else(|fault| panic!("openssl: {fault}; run scripts/setup-tests"));
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
}

/// An authority, and a certificate of it for `localhost`.
fn make_certificate(directory: &Path, name: &str) {
    let (ca, key) = (format!("{name}-ca.pem"), format!("{name}-ca.key"));
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let mut authority = vec!["req", "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", &key, "-out", &ca];
    authority.extend(new_key);
    openssl(directory, &authority);
    let (request, server_key) = (format!("{name}.csr"), format!("{name}.key"));
    let mut asked = vec!["req", "-subj", "/CN=localhost", "-keyout", &server_key, "-out", &request];
    asked.extend(new_key);
    openssl(directory, &asked);
    fs::write(directory.join("names"), "subjectAltName=DNS:localhost").unwrap();
    let certificate = format!("{name}.pem");
    openssl(
        directory,
        &[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &key,
            "-CAcreateserial",
            "-extfile",
            "names",
            "-out",
            &certificate,
        ],
    );
}

/// over TLS the server must prove who it is, to an authority of one's choice and for its name; then the password is
/// taken from a file. Negative controls: another authority, another name, no authority, a wrong password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_verified() {
    let files = tempfile::tempdir().unwrap();
    make_certificate(files.path(), "right");
    make_certificate(files.path(), "wrong");
    let server = own_server(&[]).await;
    let port = server.port();
    server.sql(&format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; CREATE SCHEMA app AUTHORIZATION app")).await;
    let data = server.data();
    for (from, to) in [("right.pem", "server.crt"), ("right.key", "server.key")] {
        fs::write(data.join(to), fs::read(files.path().join(from)).unwrap()).unwrap();
        server.own(&data.join(to));
    }
    fs::write(data.join("pg_hba.conf"), "hostssl all app 127.0.0.1/32 scram-sha-256\nlocal all all trust\n").unwrap();
    server.set("ssl = on").await;
    let password_file = files.path().join("password");
    fs::write(&password_file, format!("{PASSWORD}\n")).unwrap();
    let options = PostgresOptions { password_file: Some(password_file.clone()), ..patient(&"app".parse().unwrap()) };
    let at = |host: &str, roots: &str| -> PostgresUrl {
        let roots = files.path().join(roots);
        format!("postgres://app@{host}:{port}/postgres?sslmode=verify-full&sslrootcert={}", roots.display())
            .parse()
            .unwrap()
    };
    let begun = Instant::now();
    let store = loop {
        // The settings are read again a moment after it was asked for.
        match PostgresStore::connect(&at("localhost", "right-ca.pem"), options.clone()).await {
            Err(fault) if fault.to_string().contains("does not support TLS") && begun.elapsed() < LONGEST => {}
            opened => break opened.unwrap(),
        }
    };
    assert_eq!(store.count().await.unwrap(), 0);
    let encrypted =
        "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'app' AND NOT ssl";
    assert_eq!(server.client().await.query_one(encrypted, &[]).await.unwrap().get::<_, i64>(0), 0);

    let refused = async |url: &PostgresUrl, options: &PostgresOptions| {
        let refused = PostgresStore::connect(url, options.clone()).await.unwrap_err();
        for text in [refused.to_string(), format!("{refused:?}"), format!("{options:?}"), format!("{url:?}")] {
            assert!(!text.contains("horse"), "{text}");
        }
        refused
    };
    for (url, why) in
        [(at("localhost", "wrong-ca.pem"), "certificate"), (at("127.0.0.1", "right-ca.pem"), "certificate")]
    {
        let refused = refused(&url, &options).await;
        assert!(refused.to_string().contains(why), "{refused}");
    }
    let refused_file = refused(&at("localhost", "names"), &options).await;
    assert!(matches!(refused_file, StoreError::File { .. }), "{refused_file}");
    fs::write(&password_file, "wrong-horse").unwrap();
    let refused_password = refused(&at("localhost", "right-ca.pem"), &options).await;
    assert!(refused_password.to_string().contains("password authentication failed"), "{refused_password}");
    let missing = PostgresOptions { password_file: Some(files.path().join("none")), ..options };
    assert!(matches!(refused(&at("localhost", "right-ca.pem"), &missing).await, StoreError::File { .. }));
}

/// A role that may not make the tables hears what it lacks; one that owns the schema needs no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_needs_its_schema_alone() {
    let server = shared();
    server
        .sql(
            "CREATE ROLE plain LOGIN; CREATE SCHEMA plains_own AUTHORIZATION plain; REVOKE CREATE ON DATABASE postgres FROM PUBLIC",
        )
        .await;
    let url: PostgresUrl = format!("postgres://plain@{}/postgres", server.socket()).parse().unwrap();
    let open = async |schema: &str| PostgresStore::connect(&url, patient(&schema.parse().unwrap())).await;
    let refused = open("elsewhere").await.unwrap_err();
    assert!(refused.to_string().contains("the right to create a schema"), "{refused}");
    assert_eq!(open("plains_own").await.unwrap().count().await.unwrap(), 0);
}
