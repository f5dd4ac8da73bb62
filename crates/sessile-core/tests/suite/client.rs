//! What the server sees of a browser.

use sessile_core::client::{Client, Traces, network};

fn see(agent: &str, brands: &str, language: &str) -> (String, String, String) {
    let client = Client::observe(&Traces {
        user_agent: Some(agent.as_bytes()),
        brands: Some(brands.as_bytes()),
        accept_language: Some(language.as_bytes()),
        peer: None,
    });
    (client.browser, client.platform, client.language)
}

/// "My devices" names what people know; every browser also names those it descends from.
#[test]
fn families_and_platforms() {
    let chrome =
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
    for (agent, brands, browser, platform) in [
        (chrome, "", "Chrome", "Linux"),
        (chrome, "\"Chromium\";v=\"156\", \"Brave\";v=\"156\"", "Brave", "Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36 Edg/156.0",
            "",
            "Edge",
            "Windows",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36 OPR/110.0",
            "",
            "Opera",
            "Windows",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:153.0) Gecko/20100101 Firefox/153.0",
            "",
            "Firefox",
            "macOS",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
            "",
            "Safari",
            "macOS",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/156.0 Mobile/15E148 Safari/604.1",
            "",
            "Chrome",
            "iOS",
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
            "",
            "Safari",
            "iPadOS",
        ),
        (
            "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/30.0 Chrome/150.0 Mobile Safari/537.36",
            "",
            "Samsung Internet",
            "Android",
        ),
        (
            "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0 Safari/537.36",
            "",
            "Chrome",
            "ChromeOS",
        ),
        ("curl/8.5.0", "", "curl", ""),
        ("node", "", "", ""),
        ("", "", "", ""),
    ] {
        let (seen_browser, seen_platform, _) = see(agent, brands, "");
        assert_eq!((seen_browser.as_str(), seen_platform.as_str()), (browser, platform), "{agent}");
    }
    assert_eq!(Client::observe(&Traces::default()), Client::default());
}

/// whatever a client writes, nothing of it but a language tag is kept.
#[test]
fn no_text_of_the_clients_is_kept() {
    let hostile = "Firefox/1\u{1b}[31m\r\nset-cookie: x=1 <script>\u{202e}";
    let (browser, platform, language) = see(hostile, hostile, hostile);
    assert_eq!((browser.as_str(), platform.as_str(), language.as_str()), ("Firefox", "", ""));
    for (field, expected) in [
        ("en-GB,en;q=0.5", "en-GB"),
        ("de", "de"),
        (" fr-CH ;q=0.9, *", "fr-CH"),
        ("*", ""),
        ("", ""),
        (",en", ""),
        ("en_GB", ""),
        ("en\r\nx", ""),
        ("\u{fc}", ""),
        (&"a".repeat(36), ""),
    ] {
        assert_eq!(see("", "", field).2, expected, "{field:?}");
    }
}

/// an IPv4 address counts as itself, an IPv6 address as its /64, however IPv4 is written.
#[test]
fn networks() {
    for (address, expected) in [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
    ] {
        assert_eq!(network(address.parse().expect("an address")), expected);
    }
}
