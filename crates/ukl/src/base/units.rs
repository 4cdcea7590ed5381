//! Sizes and times as people write them.

use std::time::Duration;

/// The forms of a size that are accepted, for errors.
pub const SIZES: &str = "a number of MiB, or one with a unit: `64`, `512M`, `512mb`, `2GiB`, `1T`";
/// The forms of a time that are accepted, for errors.
pub const TIMES: &str = "a number of seconds, or one with units: `90`, `1.5s`, `500ms`, `5m`, `1h30m`, `2d`";

/// A size in MiB: `64`, `64M`, `64mb`, `64MiB`, `2g`, `1T`. Units are powers of 1024, as in docker's and QEMU's options.
///
/// The error is a lower-case fragment; a size too large for the type is `u64::MAX`.
pub fn size_mib(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a size: write {SIZES}");
    let (digits, unit) = number(text).ok_or_else(bad)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "m" | "mb" | "mib" => 0,
        "g" | "gb" | "gib" => 10,
        "t" | "tb" | "tib" => 20,
        _ => return Err(bad()),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    Ok(digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift)).unwrap_or(u64::MAX))
}

/// A time: `90`, `90s`, `1.5s`, `500ms`, `5m`, `1h30m`, `2d`. The error is a lower-case fragment.
pub fn time(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a time: write {TIMES}");
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (digits, after) = number(rest).ok_or_else(bad)?;
        let unit = &after[..after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len())];
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" if rest == text => 1.0,
            "ms" => 0.001,
            "s" | "sec" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(bad()),
        };
        seconds += digits.parse::<f64>().map_err(|_| bad())? * factor;
        rest = &after[unit.len()..];
    }
    // A century is no limit that somebody means.
    if text.is_empty() || !(0.0..3.2e9).contains(&seconds) {
        return Err(bad());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// A time that is a limit: more than nothing.
pub fn limit(text: &str) -> Result<Duration, String> {
    time(text).and_then(|time| match time.is_zero() {
        true => Err("a limit of no time at all".into()),
        false => Ok(time),
    })
}

/// A number at the start of `text`, and what follows.
fn number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A time for a person: `90 s`, `1.5 s`, `5 min`.
pub fn words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 120.. if seconds % 60 == 0 && time.subsec_nanos() == 0 => format!("{} min", seconds / 60),
        seconds if time.subsec_nanos() == 0 => format!("{seconds} s"),
        _ => format!("{} s", (time.as_secs_f64() * 1000.0).round() / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, mib) in [("64", 64), ("64M", 64), ("64mb", 64), ("512m", 512), ("2GiB", 2048), ("1T", 1 << 20)] {
            assert_eq!(size_mib(text), Ok(mib), "{text}");
        }
        for bad in ["", "M", "-1M", "64 M", "64k", "1.5G", "64MBs", "0x40M", "６４"] {
            assert!(size_mib(bad).unwrap_err().contains("`64`, `512M`"), "{bad}");
        }
        assert_eq!(size_mib("99999999999999999999G"), Ok(u64::MAX));
    }

    #[test]
    fn times() {
        let ms = Duration::from_millis;
        for (text, wanted) in [("90", 90_000), ("1.5s", 1500), ("500ms", 500), ("5m", 300_000), ("1h30m", 5_400_000)] {
            assert_eq!(time(text), Ok(ms(wanted)), "{text}");
        }
        assert_eq!((time("2d"), time("0")), (Ok(Duration::from_secs(172_800)), Ok(Duration::ZERO)));
        for bad in ["", "s", "-5", "5 m", "5x", "1h30", "1..5s", "9e9", "99999999999d", "nan", "inf"] {
            assert!(time(bad).unwrap_err().contains("`1h30m`"), "{bad}");
        }
        assert!(limit("0").is_err() && limit("1ms").is_ok());
        assert_eq!(
            (words(ms(1500)), words(ms(90_000)), words(ms(300_000))),
            ("1.5 s".into(), "90 s".into(), "5 min".into())
        );
    }
}
