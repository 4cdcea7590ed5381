//! Single values of a manifest or the command line: text in, checked value out.

use std::path::Path;

use super::KernelSource;
use crate::base::units;

/// The least memory that is worth trying, in MiB.
const MEMORY_MIN_MIB: u32 = 16;
/// The most memory, in MiB: 1 TiB.
const MEMORY_MAX_MIB: u32 = 1 << 20;

/// A guest's memory ([`units::size_mib`]) → MiB. The error is a lower-case fragment.
pub fn memory_mib(text: &str) -> Result<u32, String> {
    let mib = units::size_mib(text)?;
    let fits = u32::try_from(mib).ok().filter(|mib| (MEMORY_MIN_MIB..=MEMORY_MAX_MIB).contains(mib));
    fits.ok_or_else(|| format!("`{text}` is not between {MEMORY_MIN_MIB}M and {}G", MEMORY_MAX_MIB / 1024))
}

/// `debian`, a URL with its checksum, or a path below `dir` → where the kernel's source is.
pub fn kernel_source(text: &str, sha256: Option<&str>, dir: &Path) -> Result<KernelSource, String> {
    let is_url = ["https://", "http://", "file://"].iter().any(|scheme| text.starts_with(scheme));
    if !is_url && sha256.is_some() {
        return Err("`sha256` goes with a URL only".into());
    }
    if is_url {
        let (url, sha256) = tarball(text, sha256)?;
        return Ok(KernelSource::Url { url, sha256 });
    }
    if text == "debian" {
        return Ok(KernelSource::Debian);
    }
    let path = absolute(dir, text);
    if !path.exists() {
        return Err(format!("no kernel source at `{}`: write `debian`, a path or a URL", path.display()));
    }
    Ok(KernelSource::Local(path))
}

/// `text` below `dir`, with `.` and `..` resolved by name.
pub(super) fn absolute(dir: &Path, text: &str) -> std::path::PathBuf {
    use std::path::Component;
    let mut path = std::path::PathBuf::new();
    for part in dir.join(text).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(path.pop()),
            other => path.push(other),
        }
    }
    path
}

/// The name of an image or guest: what may stand in a file name, a host name and a C identifier's place.
pub fn name(text: &str) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !first || !text.chars().all(inner) {
        return Err(format!(
            "`{text}` is not a valid name: lower-case letters, digits, `-` and `_`, not starting with a mark"
        ));
    }
    if text.len() > 64 {
        return Err("a name has at most 64 characters".into());
    }
    Ok(text.into())
}

/// Permission bits in octal, `644` or `0755`.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    let bad = || format!("`{text}` is not a mode: octal digits such as `0644`");
    if !(3..=5).contains(&text.len()) || !is_number(text) {
        return Err(bad());
    }
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777).ok_or_else(bad)
}

/// An absolute path in the guest, in its shortest form.
pub(super) fn guest_path(text: &str) -> Result<String, String> {
    let parts = text.strip_prefix('/').map(|rest| rest.split('/'));
    let good = parts.is_some_and(|mut parts| parts.all(|part| !matches!(part, "" | "." | "..")));
    if !good || text.contains(['\0', '\n']) {
        return Err(format!("`{text}` is not an absolute guest path without empty parts, `.` or `..`"));
    }
    Ok(text.into())
}

/// One line of kernel configuration → the option's name; the line itself is kept as it is.
pub(super) fn config_option(line: &str) -> Result<&str, String> {
    let bad = || format!("`{line}` is not a configuration line: `CONFIG_NAME=value` or `# CONFIG_NAME is not set`");
    let unset = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set"));
    let (option, value) = match unset {
        Some(option) => (option, "n"),
        None => line.split_once('=').ok_or_else(bad)?,
    };
    let name = option.strip_prefix("CONFIG_").ok_or_else(bad)?;
    let quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"') && !value.contains('\n');
    let hex = value.strip_prefix("0x").is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_hexdigit()));
    let good = matches!(value, "y" | "n" | "m") || quoted || hex || is_number(value.trim_start_matches('-'));
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') || !good {
        return Err(bad());
    }
    Ok(option)
}

/// A command without a shell: the words of `line`.
pub(super) fn words(line: &str) -> Result<Vec<String>, String> {
    if let Some(mark) = line.chars().find(|c| "'\"\\$`|&;<>*?()#~\n".contains(*c)) {
        return Err(format!(
            "`{mark}` in `{}` would need a shell: write a list of words, or [\"sh\", \"-c\", \"…\"]",
            line.escape_debug()
        ));
    }
    Ok(line.split_whitespace().map(String::from).collect())
}

/// A path that does not leave the folder it starts in.
pub(super) fn inside(text: &str) -> Result<String, String> {
    let good = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    if text.split('/').all(good) {
        return Ok(text.to_owned());
    }
    Err(format!("`{}` is not a path below the build's folder", text.escape_debug()))
}

/// `>= 1.6, << 2` → conditions on a version.
pub(super) fn conditions(text: &str) -> Result<Vec<(String, String)>, String> {
    let bad = |part: &str| format!("`{part}` is not a condition: write `>=`, `<=`, `>>`, `<<` or `=` and a version");
    let one = |part: &str| {
        let (relation, version) = part.trim().split_once(' ').ok_or_else(|| bad(part))?;
        let good = |c: char| c.is_ascii_alphanumeric() || ".+-~:".contains(c);
        let version = version.trim();
        if !["<<", "<=", "=", ">=", ">>"].contains(&relation) || version.is_empty() || !version.chars().all(good) {
            return Err(bad(part));
        }
        Ok((relation.to_owned(), version.to_owned()))
    };
    text.split(',').map(one).collect()
}

/// Name of a source package, or of a folder of ours.
pub(super) fn package(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(good) {
        return Ok(text.to_owned());
    }
    Err(format!("`{}` is not the name of a package or folder", text.escape_debug()))
}

/// A tarball's URL and its SHA-256, in lower case.
pub(super) fn tarball(url: &str, sha256: Option<&str>) -> Result<(String, String), String> {
    if !["https://", "http://", "file://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(format!("`{url}` is not a URL"));
    }
    let sha256 = sha256.ok_or("a URL needs `sha256`, the checksum of its tarball")?;
    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(format!("`{sha256}` is not a SHA-256: 64 hexadecimal digits"));
    }
    Ok((url.to_owned(), sha256.to_ascii_lowercase()))
}

pub fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_sizes() {
        let good: Vec<_> = ["16M", "128M", "1G", "1024G"].iter().map(|t| memory_mib(t)).collect();
        assert_eq!(good, [Ok(16), Ok(128), Ok(1024), Ok(1 << 20)]);
        for bad in ["", "M", "1.5G", "-1M", "+64M", "15M", "1025G", "99999999999M", "4194304G"] {
            assert!(memory_mib(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn configuration_lines() {
        for good in ["CONFIG_NET=y", "# CONFIG_SMP is not set", "CONFIG_A=\"b c\"", "CONFIG_P=0x1000", "CONFIG_HZ=-1"] {
            assert!(config_option(good).is_ok(), "{good}");
        }
        for bad in ["NET=y", "CONFIG_=y", "CONFIG_NET", "CONFIG_NET=", "CONFIG_NET=yes", "# CONFIG_A", "CONFIG_A-B=y"] {
            assert!(config_option(bad).is_err(), "{bad}");
        }
        assert_eq!(config_option("# CONFIG_SMP is not set"), Ok("CONFIG_SMP"));
    }

    #[test]
    fn versions_and_paths_of_sources() {
        let pair = |relation: &str, version: &str| (relation.to_string(), version.to_string());
        assert_eq!(conditions(">= 1.6, << 2:1~a"), Ok(vec![pair(">=", "1.6"), pair("<<", "2:1~a")]));
        for bad in ["", "1.6", ">=1.6", "> 1", ">= ", ">= 1,", ">= $x"] {
            assert!(conditions(bad).is_err(), "{bad}");
        }
        assert_eq!(inside("src/redis-server"), Ok("src/redis-server".into()));
        for bad in ["", "/x", "../x", "a//b", "a/../../b", "a/"] {
            assert!(inside(bad).is_err(), "{bad}");
        }
        for bad in ["", "-x", ".x", "a/b", "a b"] {
            assert!(package(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_are_resolved_by_name() {
        assert_eq!(absolute(Path::new("/a/b"), "../c/./d"), Path::new("/a/c/d"));
        assert_eq!(absolute(Path::new("/a"), "/x/../y"), Path::new("/y"));
    }

    #[test]
    fn modes_and_guest_paths() {
        assert_eq!((mode("644"), mode("0755"), mode("04755")), (Ok(0o644), Ok(0o755), Ok(0o4755)));
        for bad in ["", "9", "0999", "17777", "-644", "rwx"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
        for bad in ["", "/", "a", "/a/", "/a//b", "/a/../b", "/./a"] {
            assert!(guest_path(bad).is_err(), "{bad}");
        }
    }
}
