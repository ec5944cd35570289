//! Values and groups of options that commands share.

use std::time::Duration;

/// Smallest and largest block size in bytes.
const BLOCK_SIZES: std::ops::RangeInclusive<u64> = 4 << 10..=128 << 10;

/// How files open for writing are treated before a cut.
#[derive(clap::Args)]
pub(crate) struct FlushArgs {
    /// Do not flush files that are open for writing: what programs have written to them without
    /// fsync, and the kernel still holds, is then not in it
    #[arg(long, conflicts_with = "flush_timeout")]
    no_flush: bool,

    /// Flush files that are open for writing for at most so long; what could not be flushed is
    /// told
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    flush_timeout: Duration,
}

impl FlushArgs {
    /// Milliseconds; none: no flush.
    pub(crate) fn flush_ms(&self) -> Option<u64> {
        let millis = u64::try_from(self.flush_timeout.as_millis()).unwrap_or(u64::MAX);
        (!self.no_flush).then_some(millis)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| format!("'{text}' is not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Shortest time between two looks.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Seconds between two looks, at least a tenth.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = seconds(text)?;
    match interval < INTERVAL_MIN {
        true => Err(format!("'{text}' is too short: 0.1 seconds is the least")),
        false => Ok(interval),
    }
}

/// A time span in seconds: `90`, `90s`, `15m`, `6h`, `1d`, `2w`.
pub(crate) fn span(text: &str) -> Result<u64, String> {
    let problem = || format!("'{text}' is not a time: write it as 90s, 15m, 6h, 1d or 2w");
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| problem())?;
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        _ => return Err(problem()),
    };
    number.checked_mul(unit).ok_or_else(problem)
}

/// A number of bytes: `8192`, `8K`, `8KiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let problem = || format!("'{text}' is not a size: write it as 8192, 8K or 8KiB");
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| problem())?;
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return Err(problem()),
    };
    number.checked_mul(1 << shift).ok_or_else(problem)
}

/// A block size.
pub(crate) fn block_size(text: &str) -> Result<u32, String> {
    let size = bytes(text)?;
    if !BLOCK_SIZES.contains(&size) || !size.is_power_of_two() {
        return Err("a block size is a power of two from 4K to 128K".to_owned());
    }
    u32::try_from(size).map_err(|error| error.to_string())
}

/// `UID` or `UID:GID`.
pub(crate) fn owner(text: &str) -> Result<(u32, Option<u32>), String> {
    let number = |part: &str| {
        // chown(2) takes the largest number for "leave it".
        part.parse::<u32>()
            .ok()
            .filter(|id| *id != u32::MAX && part.bytes().all(|byte| byte.is_ascii_digit()))
            .ok_or_else(|| format!("'{text}' is not UID or UID:GID, both numbers"))
    };
    match text.split_once(':') {
        None => Ok((number(text)?, None)),
        Some((uid, gid)) => Ok((number(uid)?, Some(number(gid)?))),
    }
}

/// Permission bits in octal.
pub(crate) fn mode(text: &str) -> Result<u16, String> {
    let octal = text.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u16::from_str_radix(text, 8)
        .ok()
        .filter(|mode| octal && *mode <= 0o7777);
    mode.ok_or_else(|| format!("'{text}' is not a mode in octal, as 0700"))
}

/// `KEY=VALUE`; a key alone has an empty value, as with Docker.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err(format!("label '{text}' has no key"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes are plain numbers or have a binary unit; block sizes are powers of two.
    #[test]
    fn block_sizes_are_parsed() {
        for (text, size) in [
            ("8192", 8192),
            ("8K", 8192),
            ("8kib", 8192),
            ("128KiB", 131_072),
        ] {
            assert_eq!(block_size(text), Ok(size));
        }
        for bad in [
            "",
            "K",
            "8 K",
            "8X",
            "-8K",
            "2K",
            "6K",
            "256K",
            "1M",
            "99999999999999999999",
        ] {
            assert!(block_size(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(
            bytes("99999999999G").unwrap_err().split(':').next(),
            Some("'99999999999G' is not a size")
        );
    }

    /// Owners are numbers.
    #[test]
    fn owners_are_parsed() {
        assert_eq!(owner("999"), Ok((999, None)));
        assert_eq!(owner("999:0"), Ok((999, Some(0))));
        for bad in [
            "",
            ":",
            "999:",
            ":999",
            "postgres",
            "-1",
            "+1",
            "4294967295",
            "1:2:3",
        ] {
            assert!(owner(bad).is_err(), "{bad:?} was accepted");
        }
    }

    /// Modes are octal.
    #[test]
    fn modes_are_parsed() {
        assert_eq!(mode("0700"), Ok(0o700));
        assert_eq!(mode("1777"), Ok(0o1777));
        for bad in ["", "8", "+7", "10000", "rwx", "0o700"] {
            assert!(mode(bad).is_err(), "{bad:?} was accepted");
        }
    }

    /// Labels are as Docker's.
    #[test]
    fn labels_are_parsed() {
        assert_eq!(label("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(label("a"), Ok(("a".into(), String::new())));
        assert!(label("=b").is_err());
    }

    /// Time spans have a unit.
    #[test]
    fn spans_are_parsed() {
        for (text, secs) in [("90", 90), ("15m", 900), ("6h", 21_600), ("1d", 86_400)] {
            assert_eq!(span(text), Ok(secs));
        }
        for bad in ["", "m", "-1m", "1.5h", "1y", "99999999999999999999w"] {
            assert!(span(bad).is_err(), "{bad:?} was accepted");
        }
    }

    /// Timeouts may have a fraction, but a sign makes no sense.
    #[test]
    fn timeouts_are_parsed() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "x", "-1", "inf", "NaN"] {
            assert!(seconds(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "0.09", "-1", "x"] {
            assert!(interval(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
