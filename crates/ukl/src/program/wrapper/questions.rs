//! What build systems ask a compiler, answered for the C library that it has here.

use crate::base::target::TARGET;
use crate::program::libc::{glibc, Sysroot};

/// What `ukl cc` with musl says to a question whose answer of the driver's would be about glibc; nothing where the
/// driver knows better.
pub(super) fn answer(sysroot: &Sysroot, words: &[String]) -> Option<String> {
    words.iter().find_map(|word| match word.trim_start_matches('-') {
        // Debian's word for it is also a folder's name: nobody's, here.
        "dumpmachine" | "print-multiarch" => Some(format!("{}-linux-musl", TARGET.musl)),
        word => file(sysroot, word.strip_prefix("print-file-name=")?),
    })
}

/// A file by its name: ours, or none where it is the host's.
fn file(sysroot: &Sysroot, name: &str) -> Option<String> {
    let own = sysroot.dir.join("lib").join(name);
    if own.is_file() {
        return Some(own.display().to_string());
    }
    // A driver repeats the name of what it does not have.
    glibc::has(name).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Libc;

    #[test]
    fn the_hosts_library_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("lib")).unwrap();
        std::fs::write(dir.path().join("lib/libc.a"), "").unwrap();
        let [start, archives, end, folders] = [const { Vec::new() }; 4];
        let key = String::new();
        let sysroot = Sysroot { libc: Libc::Musl, dir: dir.path().to_owned(), key, start, archives, end, folders };
        let ask = |word: &str| answer(&sysroot, &[word.to_owned()]);
        assert_eq!(ask("-dumpmachine").unwrap(), "x86_64-linux-musl");
        assert_eq!(ask("--print-multiarch").unwrap(), "x86_64-linux-musl");
        assert_eq!(ask("-print-file-name=libc.a").unwrap(), format!("{}/lib/libc.a", dir.path().display()));
        // Every host with glibc's headers has this one.
        assert_eq!(ask("-print-file-name=libanl.a").unwrap(), "libanl.a");
        assert_eq!(ask("-print-file-name=include"), None);
        assert_eq!(ask("-c"), None);
    }
}
