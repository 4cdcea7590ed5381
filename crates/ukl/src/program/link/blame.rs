//! A link that failed → what is wrong, in which object, and what to do.

use crate::base::error::{fail, Class, Failure, Result};
use crate::base::run::{Cmd, Shell};
use crate::manifest::Libc;
use crate::program::libc::glibc;
use crate::program::symbols::{self, list, ShortAddress};

use super::inputs::Inputs;

/// So many names are shown; the log has all.
const SHOWN: usize = 20;

/// The linker's complaint, with symbols and objects named.
pub(super) fn explain(shell: &Shell, inputs: &Inputs, text: &str) -> Result<Failure> {
    let mut missing: Vec<String> = Vec::new();
    for line in text.lines() {
        if let Some(name) = quoted_after(line, "undefined reference to ") {
            if !missing.iter().any(|known| known == name) {
                missing.push(name.to_owned());
            }
        }
    }
    if !missing.is_empty() {
        return undefined(shell, inputs, &missing);
    }
    if let Some(symbol) = quoted_after(text, "multiple definition of ") {
        let places = symbols::places(inputs.files(), symbol)?;
        let text = format!("`{symbol}` is defined more than once: in {}", list(&places.defined));
        return Ok(fail(Class::App, text));
    }
    let first = text.lines().find(|line| !line.contains("warning:")).unwrap_or("the linker failed");
    Ok(fail(Class::App, first.to_owned()))
}

/// All that is missing, with the objects that want it.
pub(super) fn undefined(shell: &Shell, inputs: &Inputs, names: &[String]) -> Result<Failure> {
    let plain = demangled(shell, names);
    let mut items = Vec::new();
    for (name, plain) in names.iter().zip(&plain).take(SHOWN) {
        let places = symbols::places(inputs.files(), name)?;
        items.push(format!("`{plain}`, wanted by {}", list(&places.wanted)));
    }
    let text = match items.as_slice() {
        [item] => format!("undefined symbol {item}"),
        items => {
            let more = names.len() - items.len();
            let tail = if more > 0 { format!("\n    and {more} more") } else { String::new() };
            format!("{} undefined symbols:\n    {}{tail}", names.len(), items.join("\n    "))
        }
    };
    let failure = fail(Class::App, text);
    let glibcs = plain.iter().zip(names).find(|(_, name)| inputs.libc == Libc::Musl && glibc::defines(name));
    Ok(match glibcs {
        Some((plain, _)) => failure.hint(format!(
            "`{plain}` is glibc's: what wants it was made for glibc, or needs what musl lacks; `libc = \"glibc\"` has it"
        )),
        None => failure.hint("add what defines it to `sources` or `libs`"),
    })
}

/// A function's address in 32 bits without a sign, which the kernel's text is beyond.
pub(super) fn short_address(inputs: &Inputs, place: &ShortAddress) -> Result<Failure> {
    let places = symbols::places(inputs.files(), &place.function)?;
    let object = places.defined.first().map_or(String::new(), |object| format!(" of `{object}`"));
    let text = format!(
        "`{}`{object} takes the address of `{}` in 32 bits, at offset {:#x} (R_X86_64_32): it is not position-independent",
        place.function, place.target, place.offset
    );
    Ok(fail(Class::App, text)
        .hint("the program's text is at the top of the address space: compile it with -fPIC or by `ukl cc`"))
}

/// Names as the program's source has them.
fn demangled(shell: &Shell, names: &[String]) -> Vec<String> {
    let cmd = Cmd::new("c++filt").args(names).env("LC_ALL", "C").probe();
    let said = shell.check(&cmd, Class::Host).map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let plain: Vec<String> = said.unwrap_or_default().lines().map(str::to_owned).collect();
    if plain.len() == names.len() {
        plain
    } else {
        names.to_vec()
    }
}

/// GNU ld quotes names like `this'.
fn quoted_after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let rest = text.split_once(words)?.1.strip_prefix('`')?;
    rest.split_once('\'').map(|(name, _)| name)
}
