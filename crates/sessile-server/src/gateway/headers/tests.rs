use super::*;

fn name(text: &str) -> HeaderName {
    HeaderName::from_bytes(text.as_bytes()).unwrap()
}

/// P14: spelling does not matter.
#[test]
fn p14_a_name_is_recognised_in_every_spelling() {
    for text in [
        "sessile-subject",
        "Sessile_Subject",
        "SESSILE.SUBJECT",
        "sessile~subject",
        "x_forwarded.for",
        "X-User",
        "x.user_id",
        "proxy",
    ] {
        assert!(is_spoken_for(&name(text)), "{text}");
    }
    for text in [
        "accept",
        "user-agent",
        "x-user-agent",
        "x-csrf-token",
        "x-api-key",
        "content-type",
        "xuser",
        "sessile",
        "x-requested-with",
    ] {
        assert!(!is_spoken_for(&name(text)), "negative control: {text}");
    }
}

/// P13: the names under which proxies commonly hand over users, tokens and groups.
#[test]
fn p13_names_of_an_identity_are_dropped() {
    for text in [
        "X-User",
        "X-UserId",
        "X_USERNAME",
        "X-UserInfo",
        "X-Users",
        "x-user-agent-id",
        "X-Id-Token",
        "x_id_token",
        "X-Access-Token",
        "X-Credential-Identifier",
        "x.credential.username",
        "X-Email",
        "X-Groups",
        "X_Roles",
    ] {
        assert!(is_spoken_for(&name(text)), "{text}");
    }
    for text in ["X-User-Agent", "x_user_agent", "x-use", "x-emails", "x-credential", "id-token", "email"] {
        assert!(!is_spoken_for(&name(text)), "negative control: {text}");
    }
}

/// A name is told apart only by what CGI tells apart.
#[test]
fn folding_keeps_what_is_distinct() {
    assert_eq!(fold(&name("X_A.b~C")), "x-a-b-c");
    assert_eq!(fold(&name("x--a")), "x--a");
}

/// Two subjects never look alike, and no subject breaks out of its field (C16).
#[test]
fn c16_subjects_are_encoded_without_ambiguity() {
    for (subject, encoded) in [
        ("ada", "ada"),
        ("ada@example.org", "ada@example.org"),
        ("a b", "a%20b"),
        ("a%20b", "a%2520b"),
        ("Zoë", "Zo%C3%AB"),
        ("a\r\nx: y", "a%0D%0Ax:%20y"),
    ] {
        assert_eq!(header_text(subject), encoded);
    }
}

/// What an application says to us never reaches a client, however it is spelled; it counts only in the plain spelling.
#[test]
fn asides_are_taken_out_in_every_spelling() {
    let mut headers = HeaderMap::new();
    for (each, value) in [
        ("Sessile-Sign-In", "a"),
        ("Sessile_Sign_In", "b"),
        ("sessile.sign-out", "c"),
        ("Sessile-Sign-Out", "this"),
        ("X-Sessile-Anything", "d"),
        ("Content-Type", "text/html"),
        ("Connection", "close, X-Hop"),
        ("X-Hop", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Alt-Svc", "h3=\":443\""),
        ("Set-Cookie", "a=b"),
    ] {
        headers.append(name(each), HeaderValue::from_static(value));
    }
    let asides = to_client(&mut headers);
    assert_eq!((asides.sign_in.len(), asides.sign_out.len()), (1, 1));
    let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["content-type", "set-cookie"]);
}

/// P1: several `Connection` lines, lists and blanks.
#[test]
fn p1_connection_lists_are_read_as_one() {
    let mut headers = HeaderMap::new();
    headers.append(CONNECTION, HeaderValue::from_static("Close,X-A ,  x-b"));
    headers.append(CONNECTION, HeaderValue::from_static(", ,X-C"));
    assert_eq!(named_by_connection(&headers), ["close", "x-a", "x-b", "x-c"]);
}

/// P23: a hop is a whole word of a `Via` list.
#[test]
fn p23_a_hop_is_named_whole() {
    let hop = Hop::new([0; 8]);
    let own = &hop.pseudonym;
    let names = |via: String| hop.is_in(&HeaderValue::try_from(via).unwrap());
    assert!(names(format!("1.1 a, 2.0 {own} (comment)")));
    assert!(!names(format!("1.1 {own}y, 1.1 a{own}")));
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        assert!(hop.is_in(&hop.field(version)), "{version:?}");
    }
}

/// What is looked up by halving is in order, or it would not be found.
#[test]
fn every_name_that_only_a_proxy_speaks_under_is_found() {
    assert!(SPOKEN_FOR.is_sorted());
    assert!(SPOKEN_FOR.iter().all(|each| is_spoken_for(&name(each))));
    assert!(FAMILIES.iter().all(|each| is_spoken_for(&name(&format!("{each}a")))));
    assert!(X_FAMILIES.iter().all(|each| is_spoken_for(&name(&format!("x-{each}a")))));
}
