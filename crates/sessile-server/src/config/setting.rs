//! How a value is read: from a string, or from what TOML has a type for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sessile_core::SecretText;
use sessile_core::origin::Origin;

use super::document::Raw;
use super::mistake::Fault;

/// A type a setting can have.
pub trait Setting: Sized {
    /// What to write, for messages and the reference.
    const FORM: &'static str;
    /// Whether the value must never be shown, and never stands in the file.
    const SECRET: bool = false;
    /// Whether there may be several, each of the form named.
    const LIST: bool = false;

    /// Reads the text of an environment variable, a flag, or a default of the table.
    fn from_text(text: &str) -> Result<Self, Fault>;

    /// Reads a value of the file. Strings are read as text unless the type says otherwise.
    fn from_raw(raw: &Raw) -> Result<Self, Fault> {
        match raw {
            Raw::Text(text) => Self::from_text(text),
            Raw::Integer(_) | Raw::Bool(_) | Raw::List(_) | Raw::Other(_) => Err(wrong_type::<Self>(raw)),
        }
    }
}

/// A value of another type than the setting's.
pub(super) fn wrong_type<T: Setting>(raw: &Raw) -> Fault {
    let found = match raw {
        Raw::Text(_) => "a string",
        Raw::Integer(_) => "a whole number",
        Raw::Bool(_) => "true or false",
        Raw::List(_) => "a list",
        Raw::Other(what) => what,
    };
    let unit =
        if matches!(raw, Raw::Integer(_)) && T::FORM == Duration::FORM { ", with a unit and in quotes" } else { "" };
    Fault::new(format!("this is {found}"), format!("write {}{unit}", T::FORM))
}

/// A value of the right type that is not acceptable.
pub(super) fn not<T: Setting>(why: impl std::fmt::Display) -> Fault {
    Fault::new(why.to_string(), format!("write {}", T::FORM))
}

impl Setting for String {
    const FORM: &'static str = "a text in quotes";

    fn from_text(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(not::<Self>("empty, or with control characters in it"));
        }
        Ok(text.to_owned())
    }
}

impl Setting for bool {
    const FORM: &'static str = "true or false, without quotes";

    fn from_text(text: &str) -> Result<Self, Fault> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(not::<Self>("neither true nor false")),
        }
    }

    fn from_raw(raw: &Raw) -> Result<Self, Fault> {
        match raw {
            Raw::Bool(value) => Ok(*value),
            Raw::Text(_) | Raw::Integer(_) | Raw::List(_) | Raw::Other(_) => Err(wrong_type::<Self>(raw)),
        }
    }
}

impl Setting for u32 {
    const FORM: &'static str = "a whole number, without quotes";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|_| digits).ok_or_else(|| not::<Self>("not a whole number from 0 to 4294967295"))
    }

    fn from_raw(raw: &Raw) -> Result<Self, Fault> {
        match raw {
            Raw::Integer(number) => {
                Self::try_from(*number).map_err(|_| not::<Self>("not a whole number from 0 to 4294967295"))
            }
            Raw::Text(_) | Raw::Bool(_) | Raw::List(_) | Raw::Other(_) => Err(wrong_type::<Self>(raw)),
        }
    }
}

/// Units of a duration and their milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Setting for Duration {
    const FORM: &'static str = "a duration such as \"500ms\", \"2s\", \"5m\", \"24h\" or \"30d\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, millis)| *millis);
        let (Ok(number), Some(unit)) = (number.parse::<u64>(), unit) else {
            return Err(not::<Self>("not a duration: it is one whole number and one unit"));
        };
        let millis = number.checked_mul(unit).filter(|millis| *millis <= 100 * 365 * 86_400_000);
        millis.map(Self::from_millis).ok_or_else(|| not::<Self>("longer than a hundred years"))
    }
}

/// A duration as the configuration writes it: in the largest unit that leaves no rest.
pub fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let unit = UNITS.iter().find(|(_, unit)| millis.is_multiple_of(u128::from(*unit)));
    unit.map_or_else(|| format!("{millis}ms"), |(name, unit)| format!("{}{name}", millis / u128::from(*unit)))
}

impl Setting for SocketAddr {
    const FORM: &'static str = "an address and port such as \"127.0.0.1:8080\" or \"[::1]:8080\"";

    fn from_text(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| not::<Self>("not an IP address with a port"))
    }
}

impl Setting for PathBuf {
    const FORM: &'static str = "a path in quotes";

    fn from_text(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.contains('\0') {
            return Err(not::<Self>("not a path"));
        }
        Ok(Self::from(text))
    }
}

impl Setting for Origin {
    const FORM: &'static str = "an origin such as \"https://app.example\", exactly as browsers send it";

    fn from_text(text: &str) -> Result<Self, Fault> {
        Self::parse(text).map_err(not::<Self>)
    }
}

impl Setting for SecretText {
    const FORM: &'static str = "a secret, only in the environment";
    const SECRET: bool = true;

    fn from_text(text: &str) -> Result<Self, Fault> {
        Ok(Self::new(text.trim().to_owned()))
    }

    fn from_raw(_: &Raw) -> Result<Self, Fault> {
        Err(Fault::new(
            "a secret in the configuration file",
            "put it into a file of its own (mode 0600) and name that file in the key that ends in _file; then change the secret",
        ))
    }
}

impl<T: Setting> Setting for Option<T> {
    const FORM: &'static str = T::FORM;
    const SECRET: bool = T::SECRET;

    fn from_text(text: &str) -> Result<Self, Fault> {
        if text.is_empty() { Ok(None) } else { T::from_text(text).map(Some) }
    }

    fn from_raw(raw: &Raw) -> Result<Self, Fault> {
        T::from_raw(raw).map(Some)
    }
}

/// A list. In the environment its items are separated by commas.
impl<T: Setting> Setting for Vec<T> {
    const FORM: &'static str = T::FORM;
    const LIST: bool = true;

    fn from_text(text: &str) -> Result<Self, Fault> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::from_text).collect()
    }

    fn from_raw(raw: &Raw) -> Result<Self, Fault> {
        match raw {
            Raw::List(items) => items.iter().map(|item| T::from_raw(&item.raw)).collect(),
            Raw::Text(_) | Raw::Integer(_) | Raw::Bool(_) | Raw::Other(_) => {
                let fault = wrong_type::<T>(raw);
                Err(Fault::new(
                    format!("{}, not a list", fault.problem),
                    format!("in square brackets, {}", fault.remedy),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_what_they_write() {
        for text in ["500ms", "1500ms", "2s", "90s", "5m", "90m", "1h", "25h", "30d", "0s"] {
            let duration = Duration::from_text(text).expect(text);
            assert_eq!(Duration::from_text(&duration_text(duration)).expect(text), duration, "{text}");
        }
        assert_eq!(duration_text(Duration::from_secs(300)), "5m");
        for text in
            ["", "5", "m", "5 m", "-5m", "5M", "5min", "1h30m", "0x5s", "99999999999999999999s", "200000d", "٣s"]
        {
            assert!(Duration::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_file_is_read_strictly_and_the_environment_as_text() {
        assert!(u32::from_raw(&Raw::Text("5".into())).is_err());
        assert_eq!(u32::from_text("5"), Ok(5));
        assert!(u32::from_text("+5").is_err());
        assert!(bool::from_raw(&Raw::Text("true".into())).is_err());
        assert_eq!(bool::from_text("true"), Ok(true));
        assert!(bool::from_text("yes").is_err());
        assert!(Duration::from_raw(&Raw::Integer(5)).is_err());
        assert_eq!(Vec::<u32>::from_text("1, 2,,3"), Ok(vec![1, 2, 3]));
        assert!(Vec::<String>::from_raw(&Raw::Text("a".into())).is_err());
    }
}
