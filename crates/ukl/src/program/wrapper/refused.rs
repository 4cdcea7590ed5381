//! What `ukl cc` cannot do: the word, the reason, and what to do instead.

use crate::base::error::{fail, Class, Failure};
use crate::manifest::Libc;

/// Words that no program of ours can be compiled with.
const NEVER: [(&str, &str); 7] = [
    ("-shared", "the program becomes one static object: configure it without shared libraries and modules"),
    ("-m32", "kernel-linked programs are 64-bit"),
    ("-mx32", "kernel-linked programs are 64-bit"),
    ("-m16", "kernel-linked programs are 64-bit"),
    ("-fsplit-stack", "the C library does not know split stacks"),
    ("-pg", "its table would reach from the program's data to its text in the kernel; `--coverage` counts calls"),
    ("-p", "its table would reach from the program's data to its text in the kernel; `--coverage` counts calls"),
];

/// Words that bring a library of the compiler's that is made for glibc.
const GLIBCS: [(&str, &str); 8] = [
    ("--coverage", "libgcov"),
    ("-coverage", "libgcov"),
    ("-fprofile-arcs", "libgcov"),
    ("-fprofile-generate", "libgcov"),
    ("-fopenmp", "libgomp"),
    ("-fopenacc", "libgomp"),
    ("-ftree-parallelize-loops", "libgomp"),
    ("-fgnu-tm", "libitm"),
];

/// Sanitizers that need no library when they trap.
const TRAPS: [&str; 2] = ["-fsanitize-undefined-trap-on-error", "-fsanitize-trap"];
/// Sanitizers that are not UndefinedBehaviorSanitizer's.
const OTHERS: [&str; 9] =
    ["address", "thread", "leak", "memory", "hwaddress", "dataflow", "fuzzer", "safe-stack", "kernel-"];

/// Why `word` of a call is refused.
pub(super) fn refusal(word: &str, words: &[String], libc: Libc) -> Option<Failure> {
    let cannot = |why: &str| fail(Class::Usage, format!("`ukl cc` cannot do `{word}`: {why}"));
    if let Some((_, why)) = NEVER.iter().find(|(refused, _)| *refused == word) {
        return Some(cannot(why));
    }
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    if let (Libc::Musl, Some((_, library))) = (libc, GLIBCS.iter().find(|(refused, _)| *refused == name)) {
        let failure = cannot(&format!("its run-time library, {library}, is made for glibc"));
        return Some(failure.hint("`libc = \"glibc\"` in ukl.toml, or `ukl env --libc glibc`"));
    }
    let sanitizers = word.strip_prefix("-fsanitize=")?;
    let is_other = |name: &str| OTHERS.iter().any(|other| name.starts_with(other));
    if let Some(name) = sanitizers.split(',').find(|name| is_other(name)) {
        return Some(cannot(&format!("the run-time library of `{name}` needs a dynamic linker")));
    }
    let traps = words.iter().any(|word| TRAPS.iter().any(|trap| word.starts_with(trap)));
    (!traps).then(|| {
        let failure = cannot("its run-time library needs a dynamic linker");
        failure.hint("gcc -fsanitize-undefined-trap-on-error, clang -fsanitize-trap=all: SIGILL, and no library")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str, libc: Libc) -> Option<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        words.iter().find_map(|word| refusal(word, &words, libc)).map(|failure| failure.to_string())
    }

    #[test]
    fn what_needs_a_library_of_glibcs_is_refused_under_musl_alone() {
        for word in ["--coverage", "-fprofile-generate=dir", "-fopenmp", "-ftree-parallelize-loops=4"] {
            let text = said(word, Libc::Musl).unwrap();
            assert!(text.contains("is made for glibc"), "{text}");
            assert_eq!(said(word, Libc::Glibc), None);
        }
        assert_eq!(said("-fopenmp-simd -fprofile-use", Libc::Musl), None);
    }

    #[test]
    fn sanitizers_that_trap_need_no_library() {
        for libc in [Libc::Musl, Libc::Glibc] {
            assert_eq!(said("-fsanitize=undefined -fsanitize-undefined-trap-on-error", libc), None);
            assert_eq!(said("-fsanitize=bounds,shift -fsanitize-trap=all", libc), None);
            for line in ["-fsanitize=undefined", "-fsanitize=undefined,address -fsanitize-trap=all", "-pg", "-m32"] {
                assert!(said(line, libc).unwrap().starts_with("`ukl cc` cannot do `-"), "{line}");
            }
        }
    }
}
