//! Compiler name → [`Toolchain`]: which compiler, which kind, and the programs beside it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::error::{fail, Class, Result};
use crate::base::run::{Cmd, Shell};
use crate::base::target::TARGET;
use crate::base::workdir;

/// What kind of compiler it is; decides the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompilerKind {
    /// GNU C.
    Gcc,
    /// LLVM's clang.
    Clang,
}

/// The compiler and its binutils.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Toolchain {
    /// The compiler driver.
    pub cc: PathBuf,
    /// Its kind.
    pub kind: CompilerKind,
    /// First line of `cc --version`.
    pub version: String,
    /// The GNU linker.
    pub ld: PathBuf,
    /// The GNU assembler.
    pub assembler: PathBuf,
    /// The archiver, for build systems.
    pub ar: PathBuf,
    /// The compiler's own headers (`stddef.h`, `stdarg.h`, …).
    pub include: PathBuf,
    /// The compiler's run-time library.
    pub libgcc: PathBuf,
    /// Hash over compiler and binutils versions; part of every cache key.
    pub id: String,
}

impl Toolchain {
    /// The driver for C++ beside the compiler: `g++`, `clang++-14`.
    ///
    /// Error (class `Host`): it is not installed.
    pub fn cxx(&self) -> Result<PathBuf> {
        let name = match self.kind {
            CompilerKind::Gcc => self.named("gcc", "g++"),
            CompilerKind::Clang => self.named("clang", "clang++"),
        };
        name.ok_or_else(|| self.without("C++", "g++"))
    }

    /// The driver for Fortran beside the compiler: `gfortran`.
    ///
    /// Error (class `Host`): it is not installed, or the compiler has none.
    pub fn fortran(&self) -> Result<PathBuf> {
        self.named("gcc", "gfortran").ok_or_else(|| self.without("Fortran", "gfortran"))
    }

    /// The executable beside the compiler whose name has `other` in the place of `word`.
    fn named(&self, word: &str, other: &str) -> Option<PathBuf> {
        let name = self.cc.file_name()?.to_string_lossy();
        let path = self.cc.with_file_name(name.contains(word).then(|| name.replacen(word, other, 1))?);
        is_executable(&path).then_some(path)
    }

    fn without(&self, language: &str, package: &str) -> anyhow::Error {
        let text = format!("no {language} compiler beside `{}`", self.cc.display());
        fail(Class::Host, text).hint(apt(package)).into()
    }

    /// The flags of every compilation: what makes one object fit both privilege levels.
    pub fn kernel_flags(&self) -> Vec<&'static str> {
        let mut flags = TARGET.flags.to_vec();
        if self.kind == CompilerKind::Clang {
            // The site macros reach clang only through the assembler of its own choosing, ours.
            flags.extend(["-fno-integrated-as", "-Wno-unused-command-line-argument"]);
        }
        flags
    }
}

/// Finds `compiler` (`gcc`, `clang` or a path) and the GNU binutils.
///
/// Errors (class `Host`): a program is missing, the compiler is neither gcc nor clang or does not
/// work. Reads only; it also runs in a dry run.
pub fn find(shell: &Shell, compiler: &str) -> Result<Toolchain> {
    let package = if compiler.contains("clang") { "clang" } else { "gcc" };
    let cc = usual(program(&[compiler], package)?, package);
    // A linker script with -r is GNU ld's business, whatever `ld` is an alias of.
    let ld = program(&["ld.bfd", "ld"], "binutils")?;
    let assembler = program(&["as"], "binutils")?;
    let ar = program(&["ar"], "binutils")?;
    let kind = kind(&cc)?;
    let full = ask(shell, &cc, &["--version"])?;
    let version = full.lines().next().unwrap_or_default().to_owned();
    let (include, libgcc) = own_files(shell, &cc, kind)?;
    let ld_version = ask(shell, &ld, &["--version"])?;
    if !ld_version.starts_with("GNU ld") {
        let text = format!("`{}` is not GNU ld", ld.display());
        return Err(fail(Class::Host, text).hint(apt("binutils")).into());
    }
    let as_version = ask(shell, &assembler, &["--version"])?;
    let id = workdir::hash([full.as_bytes(), ld_version.as_bytes(), as_version.as_bytes()]);
    Ok(Toolchain { cc, kind, version, ld, assembler, ar, include, libgcc, id })
}

/// The usual name of `cc` if it is the same file: under another one everything would be built again.
fn usual(cc: PathBuf, package: &str) -> PathBuf {
    let file = |path: &Path| {
        let file = path.canonicalize().ok()?;
        // What stands in front of several compilers (ccache) is one file for all of them.
        file.file_name()?.to_str()?.contains(package).then_some(file)
    };
    match which(package) {
        Some(usual) if file(&usual).is_some() && file(&usual) == file(&cc) => usual,
        _ => cc,
    }
}

/// The executable file `name`, looked up as a shell does.
pub fn which(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return std::path::absolute(name).ok().filter(|path| is_executable(path));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn program(names: &[&str], package: &str) -> Result<PathBuf> {
    names.iter().find_map(|name| which(name)).ok_or_else(|| {
        let what = names.last().copied().unwrap_or_default();
        fail(Class::Host, format!("`{what}` is not installed")).hint(apt(package)).into()
    })
}

fn apt(package: &str) -> String {
    format!("apt-get install --yes {package}")
}

fn kind(cc: &Path) -> Result<CompilerKind> {
    let broken = |why: String| fail(Class::Host, format!("`{}` is not a usable C compiler: {why}", cc.display()));
    let tool = cc::Build::new()
        .compiler(cc)
        .target(TARGET.triple)
        .host(TARGET.triple)
        .opt_level(2)
        .cargo_metadata(false)
        .cargo_warnings(false)
        .try_get_compiler()
        .map_err(|error| broken(error.to_string()))?;
    if tool.is_like_clang() {
        return Ok(CompilerKind::Clang);
    }
    if tool.is_like_gnu() {
        return Ok(CompilerKind::Gcc);
    }
    Err(broken("neither gcc nor clang".to_owned()).into())
}

fn own_files(shell: &Shell, cc: &Path, kind: CompilerKind) -> Result<(PathBuf, PathBuf)> {
    let (include, libgcc) = match kind {
        CompilerKind::Gcc => {
            (ask(shell, cc, &["-print-file-name=include"])?, ask(shell, cc, &["-print-libgcc-file-name"])?)
        }
        CompilerKind::Clang => (
            format!("{}/include", ask(shell, cc, &["-print-resource-dir"])?),
            ask(shell, cc, &["--rtlib=libgcc", "-print-libgcc-file-name"])?,
        ),
    };
    let files = (PathBuf::from(include), PathBuf::from(libgcc));
    for path in [files.0.join("stddef.h"), files.1.clone()] {
        if !path.exists() {
            let text = format!("`{}` lacks its own file `{}`", cc.display(), path.display());
            return Err(fail(Class::Host, text).hint(apt("gcc")).into());
        }
    }
    Ok(files)
}

fn ask(shell: &Shell, program: &Path, args: &[&str]) -> Result<String> {
    let output = shell.check(&Cmd::new(program).args(args).env("LC_ALL", "C").probe(), Class::Host)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gcc_and_clang_are_told_apart() {
        let shell = Shell::default();
        assert_eq!(find(&shell, "gcc").unwrap().kind, CompilerKind::Gcc);
        if which("clang").is_some() {
            let clang = find(&shell, "clang").unwrap();
            assert_eq!(clang.kind, CompilerKind::Clang);
            assert!(clang.version.contains("clang"), "{}", clang.version);
        } else {
            eprintln!("skip: clang is not installed");
        }
    }

    #[test]
    fn one_compiler_under_two_names_is_one() {
        let usual = which("gcc").unwrap();
        let other = usual.canonicalize().unwrap();
        assert_eq!(find(&Shell::default(), &other.display().to_string()).unwrap().cc, usual);
        // Whatever calls compilers is not one of them, and another compiler keeps its name.
        let dir = tempfile::tempdir().unwrap();
        let front = dir.path().join("gcc-front");
        std::fs::copy("/bin/true", &front).unwrap();
        assert_eq!(super::usual(front.clone(), "gcc"), front);
    }

    #[test]
    fn a_missing_compiler_names_the_package() {
        let error = find(&Shell::default(), "/nowhere/clang").unwrap_err();
        let (text, code) = crate::base::error::render(&error);
        assert_eq!(code, Class::Host.exit_code());
        assert!(text.contains("`/nowhere/clang` is not installed"), "{text}");
        assert!(text.contains("apt-get install --yes clang"), "{text}");
    }

    #[test]
    fn a_program_that_is_no_compiler_is_refused() {
        let (text, code) = crate::base::error::render(&find(&Shell::default(), "/bin/true").unwrap_err());
        assert_eq!(code, Class::Host.exit_code());
        assert!(text.contains("true"), "{text}");
    }
}
