//! A panic's text, or that of a fault in the kernel, with function and line where the processor was.

use formats::console::{Oops, Panic, Rip};
use object::{Object, ObjectSymbol};

use crate::base::error::{Class, Result};
use crate::base::run::{Cmd, Shell};
use crate::base::workdir::{self, ImageDir};
use crate::program::prefix::PREFIX;

/// The program's text in the kernel lies between these symbols.
const TEXT: [&str; 2] = ["__ukl_text_start", "__ukl_text_end"];

/// What a person should read: the panic, what led to it, the place in the program.
pub(super) fn describe(shell: &Shell, dir: &ImageDir, panic: &Panic, oops: Option<&Oops>) -> String {
    let mut text = panic.message.clone();
    if let Some(oops) = oops.filter(|oops| !text.contains(&oops.message)) {
        text.push_str(&format!("\n  after   {}", oops.message));
    }
    let rip = panic.rip.as_ref().or(oops.and_then(|oops| oops.rip.as_ref()));
    text.push_str(&at(shell, dir, rip));
    text
}

/// The same of a fault in the kernel that it survived: it ended the process alone.
pub(super) fn describe_oops(shell: &Shell, dir: &ImageDir, oops: &Oops) -> String {
    oops.message.clone() + &at(shell, dir, oops.rip.as_ref())
}

/// A further line with the place; nothing where none can be told.
fn at(shell: &Shell, dir: &ImageDir, rip: Option<&Rip>) -> String {
    let place = rip.and_then(|rip| place(shell, dir, rip).ok().flatten());
    place.map_or(String::new(), |place| format!("\n  at      {place}"))
}

/// `function (file:line) in the program`, or `in the kernel`.
fn place(shell: &Shell, dir: &ImageDir, rip: &Rip) -> Result<Option<String>> {
    let bytes = workdir::read(&dir.vmlinux())?;
    let file = object::File::parse(&*bytes)?;
    let find = |name: &str| file.symbols().find(|symbol| symbol.name() == Ok(name)).map(|symbol| symbol.address());
    let (Some(start), Some(end)) = (find(TEXT[0]), find(TEXT[1])) else { return Ok(None) };
    let address = match (&rip.address, &rip.symbol) {
        (Some(address), _) => *address,
        (None, Some(symbol)) => match find(&symbol.name) {
            Some(address) => address + symbol.offset,
            None => return Ok(None),
        },
        (None, None) => return Ok(None),
    };
    let (prefix, lowest, whose) = match (start..end).contains(&address) {
        true => (PREFIX, start, "in the program"),
        // User addresses are nobody's text.
        false if address >> 63 == 0 => return Ok(None),
        false => ("", 1 << 63, "in the kernel"),
    };
    let line = line(shell, dir, address)?;
    let before =
        file.symbols().filter(|symbol| (lowest..=address).contains(&symbol.address()) && symbol.is_definition());
    let named = before.filter(|symbol| symbol.name().is_ok_and(|name| name.starts_with(prefix)));
    let function = named.max_by_key(|symbol| symbol.address()).and_then(|symbol| symbol.name().ok().map(str::to_owned));
    let function = function.map_or_else(|| format!("{address:#x}"), |name| name[prefix.len()..].to_owned());
    Ok(Some(match line {
        Some(line) => format!("{function} ({line}) {whose}"),
        None => format!("{function} {whose}"),
    }))
}

/// `file:line`, if the program was compiled with -g.
fn line(shell: &Shell, dir: &ImageDir, address: u64) -> Result<Option<String>> {
    let cmd = Cmd::new("addr2line").arg("-e").arg(dir.vmlinux()).arg(format!("{address:#x}")).probe();
    let output = shell.check(&cmd, Class::Host)?;
    let text = String::from_utf8_lossy(&output.stdout);
    // Which of several copies of a line is of no interest.
    let text = text.split(" (discriminator").next().unwrap_or_default().trim().to_owned();
    let is_known = !text.starts_with('?') && !text.ends_with(":0") && !text.ends_with(":?");
    Ok(is_known.then(|| text.trim_start_matches("./").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = ".globl __ukl_text_start, __ukl_text_end, ukl_crash\n\
        __ukl_text_start: nop\nukl_crash: nop\nud2\n__ukl_text_end: nop\n";

    fn panic_at(address: u64) -> Panic {
        let rip = Rip { segment: 0x10, address: Some(address), symbol: None };
        Panic { message: "Fatal exception".into(), rip: Some(rip), backtrace: Vec::new() }
    }

    #[test]
    fn a_place_is_named_with_whose_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let image = ImageDir::at(dir.path());
        let (source, object) = (dir.path().join("crash.s"), dir.path().join("crash.o"));
        workdir::write_atomic(&source, SOURCE.as_bytes()).unwrap();
        let shell = Shell::default();
        shell.check(&Cmd::new("as").arg("-g").arg("-o").arg(&object).arg(&source), Class::Host).unwrap();
        let ld = Cmd::new("ld").args(["-Ttext=0xffffffff81600000", "-e", "0", "-o"]).arg(image.vmlinux()).arg(&object);
        shell.check(&ld, Class::Host).unwrap();
        let inside = describe(&shell, &image, &panic_at(0xffff_ffff_8160_0002), None);
        assert!(inside.starts_with("Fatal exception\n  at      crash (") && inside.contains("crash.s:4"), "{inside}");
        let outside = describe(&shell, &image, &panic_at(0xffff_ffff_8160_1000), None);
        assert!(outside.starts_with("Fatal exception\n  at      ") && outside.ends_with(" in the kernel"), "{outside}");
        assert_eq!(describe(&shell, &image, &panic_at(0x1000), None), "Fatal exception");
    }
}
