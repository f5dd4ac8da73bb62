//! Secrets kept in files: who may read them, and whether they are secrets at all (R-165, R-129, X5).

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sessile_core::SecretText;
use zeroize::Zeroizing;

use super::mistake::Fault;

/// Far more than any secret needs.
const MAX_BYTES: u64 = 16 * 1024;
/// Fewest characters of a token or client secret: 128 random bits as hexadecimal.
const MIN_CHARS: usize = 32;
/// Fewest different characters among them. 32 random hexadecimal digits have about 14.
const MIN_DISTINCT: usize = 8;
/// What people write where a secret belongs.
const PLACEHOLDERS: [&str; 14] = [
    "change",
    "example",
    "placeholder",
    "secret",
    "password",
    "default",
    "insecure",
    "replace",
    "dummy",
    "sample",
    "your-",
    "your_",
    "0123456789",
    "abcdef0123",
];

/// Reads a file that only its owner, and perhaps a group set up for that, may read.
pub(crate) fn read(path: &Path) -> Result<SecretText, Fault> {
    let file = open(path)?;
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(|e| cannot(path, &e))?;
    Ok(SecretText::new(text.trim().to_owned()))
}

/// Checks who may read a file that somebody else will read.
pub(crate) fn check(path: &Path) -> Result<(), Fault> {
    open(path).map(drop)
}

fn cannot(path: &Path, e: &std::io::Error) -> Fault {
    Fault::new(format!("{}: {e}", path.display()), "name a file that this user may read, with the secret in it")
}

fn open(path: &Path) -> Result<File, Fault> {
    let cannot = |e: std::io::Error| cannot(path, &e);
    let file = File::open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if !about.is_file() {
        return Err(Fault::new(
            format!("{} is not a regular file", path.display()),
            "name a file with the secret in it",
        ));
    }
    // The handle that is judged is the handle that is read.
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        return Err(Fault::new(
            format!("{} has mode {mode:04o}: others may read or change it", path.display()),
            format!("chmod 600 {} (at most 0640), and change the secret if others may have seen it", path.display()),
        ));
    }
    Ok(file)
}

/// Refuses what nobody drew at random. The text itself is never told.
pub(crate) fn strong(secret: &SecretText) -> Result<(), Fault> {
    let text = secret.expose();
    let remedy = "make one with `openssl rand -base64 32`";
    if text.is_empty() {
        return Err(Fault::new("the secret is empty", remedy));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Fault::new("the secret has blanks or several lines", remedy));
    }
    if text.len() < MIN_CHARS {
        return Err(Fault::new(format!("the secret is shorter than {MIN_CHARS} characters"), remedy));
    }
    let lower = Zeroizing::new(text.to_ascii_lowercase());
    let distinct = lower.bytes().collect::<std::collections::BTreeSet<_>>().len();
    if distinct < MIN_DISTINCT || PLACEHOLDERS.iter().any(|word| lower.contains(word)) {
        return Err(Fault::new("the secret is a placeholder", remedy));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Result<(), Fault> {
        strong(&SecretText::new(text.to_owned()))
    }

    #[test]
    fn placeholders_are_told_from_secrets_without_repeating_them() {
        for bad in [
            "",
            "tiny-1",
            "changeme-changeme-changeme-changeme",
            "00000000000000000000000000000000000000",
            "abababababababababababababababababab",
            "this-is-an-example-token-for-the-docs-93",
            "0123456789abcdef0123456789abcdef",
            "two words make no token at all, do they?",
        ] {
            let fault = judged(bad).expect_err(bad);
            assert!(bad.is_empty() || !fault.problem.contains(bad));
        }
        for good in ["9f86d081884c7d659a2feaa0c55ad015", "Y3mX0o9JmO2fFvYc1b5mWb0m0b7c4Z9tq1lQnLr2s8A="] {
            assert_eq!(judged(good), Ok(()), "{good}");
        }
    }
}
