//! gdb on a guest: the symbols of program and kernel in one file, and the words that attach gdb to QEMU.

use std::path::{Path, PathBuf};

use anyhow::Context;
use formats::elf::Facts;
use formats::unprefix;
use serde_json::{json, Value};

use crate::base::error::{fail, Class, Result};
use crate::base::run::Cmd;
use crate::base::workdir;
use crate::image::folder::Image;
use crate::program::prefix::PREFIX;

/// What a program begins with, in every C library.
const ENTRY: &str = "_start";

/// What a debugger reads.
#[derive(Debug, Clone)]
pub struct Symbols {
    /// The image's kernel, with the program's names as its sources have them.
    pub file: PathBuf,
    /// Where the program's first instruction is.
    pub entry: u64,
}

/// Writes the symbols of `image` into its folder. Error (class `App`): the program has no beginning.
pub fn symbols(image: &Image) -> Result<Symbols> {
    let path = image.dir.vmlinux();
    let mut kernel = std::fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let failed = |error: formats::Error| fail(Class::App, format!("`{}`: {error}", path.display()));
    let entry = Facts::read(&kernel).map_err(failed)?.symbol(&format!("{PREFIX}{ENTRY}")).map(|symbol| symbol.value);
    let entry = entry.ok_or_else(|| fail(Class::App, format!("`{}` has no `{ENTRY}`", path.display())))?;
    unprefix::hide_prefix(&mut kernel, PREFIX).map_err(failed)?;
    let file = image.dir.debug_symbols();
    workdir::write_atomic(&file, &kernel)?;
    Ok(Symbols { file, entry })
}

/// How gdb is used.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// The guest waits for us before its first instruction: it runs until the program's first one.
    pub from_start: bool,
    /// What gdb does then.
    pub commands: Vec<String>,
    /// It ends after that, and asks nobody.
    pub batch: bool,
}

/// gdb at the socket of a guest's QEMU.
pub fn gdb(symbols: &Symbols, socket: &Path, session: &Session) -> Cmd {
    let mut words = vec![format!("target remote {}", socket.display())];
    if session.from_start {
        words.push(format!("thbreak *{:#x}", symbols.entry));
        words.push("continue".into());
    }
    words.extend(session.commands.iter().cloned());
    // Older ones do not know the setting, and only say so.
    let mut cmd = Cmd::new("gdb").whole_env().args(["-q", "-iex", "set debuginfod enabled off"]);
    if session.batch {
        cmd = cmd.arg("-batch");
    }
    for word in words {
        cmd = cmd.args(["-ex", &word]);
    }
    cmd.arg(&symbols.file)
}

/// The configuration of an editor that speaks to gdb (`launch.json`): it starts the guest by itself.
pub fn launch(image: &Image, symbols: &Symbols, socket: &Path, words: &[String]) -> Value {
    json!({
        "version": "0.2.0",
        "configurations": [{
            "name": format!("ukl: {}", image.info.name),
            "type": "cppdbg",
            "request": "launch",
            "program": symbols.file,
            "cwd": "${workspaceFolder}",
            "MIMode": "gdb",
            "miDebuggerServerAddress": socket,
            "debugServerPath": "ukl",
            "debugServerArgs": words.iter().map(|word| crate::base::quote::shell(word)).collect::<Vec<_>>().join(" "),
            "serverStarted": WAITS,
            "filterStderr": true,
            "stopAtEntry": true,
        }],
    })
}

/// What is said when a guest waits for a debugger; an editor looks for it.
pub const WAITS: &str = "waits for a debugger";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gdb_goes_to_the_programs_first_instruction_where_it_can() {
        let symbols = Symbols { file: "/i/vmlinux".into(), entry: 0xffff_ffff_8134_7c16 };
        let session = Session { from_start: true, commands: vec!["bt".into()], batch: true };
        let line = gdb(&symbols, Path::new("/t/gdb"), &session).display();
        assert_eq!(
            line,
            "gdb -q -iex 'set debuginfod enabled off' -batch -ex 'target remote /t/gdb' \
             -ex 'thbreak *0xffffffff81347c16' -ex continue -ex bt /i/vmlinux"
        );
        let line = gdb(&symbols, Path::new("/t/gdb"), &Session::default()).display();
        assert!(line.ends_with("off' -ex 'target remote /t/gdb' /i/vmlinux"), "{line}");
    }
}
