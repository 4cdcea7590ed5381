//! The userland half on the real tools: compile, link, prefix and archive real programs, run their twins.

use std::sync::OnceLock;

use ukl::run::Shell;
use ukl::sysroot::{self, Sysroot};
use ukl::toolchain::{self, Toolchain};
use ukl::workdir::Cache;

/// Toolchain and sysroot of `compiler`; `None` when it is not installed.
fn tools(compiler: &'static str) -> Option<(Toolchain, Sysroot)> {
    static GCC: OnceLock<Option<(Toolchain, Sysroot)>> = OnceLock::new();
    static CLANG: OnceLock<Option<(Toolchain, Sysroot)>> = OnceLock::new();
    let cell = if compiler == "gcc" { &GCC } else { &CLANG };
    let made = cell.get_or_init(|| {
        if toolchain::which(compiler).is_none() {
            eprintln!("skipped: {compiler} is not installed");
            return None;
        }
        let shell = Shell::default();
        let toolchain = toolchain::find(&shell, compiler).unwrap();
        let sysroot = sysroot::build(&shell, &Cache::from_env().unwrap(), &toolchain).unwrap();
        Some((toolchain, sysroot))
    });
    made.clone()
}

#[test]
fn the_sysroot_is_complete_and_found_again() {
    for compiler in ["gcc", "clang"] {
        let Some((toolchain, sysroot)) = tools(compiler) else { continue };
        for file in ["lib/libc.a", "lib/crt1.o", "include/stdio.h", "include/linux/futex.h", "hook/as", "bin/cc"] {
            assert!(sysroot.dir.join(file).is_file(), "{compiler}: {file}");
        }
        let again = sysroot::build(&Shell::default(), &Cache::from_env().unwrap(), &toolchain).unwrap();
        assert_eq!(again.key, sysroot.key);
    }
}
