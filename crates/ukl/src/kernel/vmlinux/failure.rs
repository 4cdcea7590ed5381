//! Why a kernel build failed: the compiler's or the linker's own words, whose fault, what to do.

use std::fs;
use std::path::Path;

use formats::makelog;

use crate::base::error::{fail, Class, Failure};
use crate::base::run::Cmd;

/// The failure of building the kernel's own objects.
pub(super) fn of_objects(cmd: &Cmd, log: &Path, tree: &Path) -> Failure {
    let (class, message) = message(&read(log), tree, Class::Kernel);
    fail(class, format!("the kernel does not build: {message}")).command(cmd.display()).log(log)
}

/// The root cause that `log` tells.
pub(super) fn in_log(log: &Path, tree: &Path) -> String {
    message(&read(log), tree, Class::App).1
}

/// The failure of linking a program into finished objects: most often the program's.
pub(super) fn of_link(cmd: &Cmd, log: &Path, tree: &Path) -> Failure {
    link_failure(&read(log), tree).command(cmd.display()).log(log)
}

fn link_failure(log: &str, tree: &Path) -> Failure {
    // The objects' part of the log is no news.
    let log = log.rfind("\n$ ").map_or(log, |at| &log[at..]);
    let undefined = undefined(log);
    if !undefined.is_empty() {
        let text = format!("undefined when linking the program into the kernel: {}", undefined.join(", "));
        let hint = "add the library or source that defines it to `libs` or `sources` in the manifest";
        return fail(Class::App, text).hint(hint);
    }
    if let Some(line) = log.lines().find(|line| line.contains("relocation truncated to fit")) {
        let text = format!("the program's data does not fit below the kernel's text: {}", line.trim());
        let hint = "code in the kernel reaches about 24 MB of data, bss included: \
                    make large arrays smaller, or allocate them with malloc or mmap";
        return fail(Class::App, text).hint(hint);
    }
    let (class, message) = message(log, tree, Class::Kernel);
    fail(class, format!("the program could not be linked into the kernel: {message}"))
}

/// `symbol (object)` of every undefined reference, each once.
fn undefined(log: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut object = "";
    for line in log.lines() {
        // `ld: UKL.a(main.o): in function `ukl_main':`
        if let Some(member) = line.split_once("): in function").and_then(|(before, _)| before.rsplit_once('(')) {
            object = member.1;
        }
        let Some((before, symbol)) = line.split_once("undefined reference to `") else { continue };
        let symbol = symbol.split('\'').next().unwrap_or(symbol);
        let member = before.rsplit_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(name, _)| name);
        let member = member.filter(|name| name.ends_with(".o")).unwrap_or(object);
        let own = symbol.strip_prefix("ukl_").unwrap_or(symbol);
        let item = if member.is_empty() { format!("`{own}`") } else { format!("`{own}` (in {member})") };
        if !found.contains(&item) {
            found.push(item);
        }
    }
    found
}

/// The log's root cause in a few lines, and whether the machine is to blame.
fn message(log: &str, tree: &Path, class: Class) -> (Class, String) {
    let tree = tree.display().to_string();
    let Some(cause) = makelog::root_cause_in(log, &[&tree]) else {
        return (class, "make failed without saying why".into());
    };
    let mut text = cause.lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n    ");
    if let Some(file) = cause.file.as_ref().filter(|file| !text.contains(file.as_str())) {
        text.push_str(&format!("\n    (in {file})"));
    }
    (if cause.host { Class::Host } else { class }, text)
}

fn read(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undefined_symbol_is_named_with_its_object_and_is_the_programs_fault() {
        let log = "  CC      a.o\n$ make ukl-image\n  LD      vmlinux\n\
            ld: UKL.a(hello.o): in function `ukl_main':\n\
            hello.c:(.ukl.text+0x10): undefined reference to `ukl_missing'\n\
            ld: hello.c:(.ukl.text+0x20): undefined reference to `ukl_missing'\nmake: *** [x] Error 1\n";
        let failure = link_failure(log, Path::new("/tree"));
        assert_eq!(failure.class, Class::App);
        assert!(failure.message.ends_with(": `missing` (in hello.o)"), "{}", failure.message);
    }

    #[test]
    fn too_much_data_has_its_own_hint() {
        let log = "\n$ make\nld: UKL.a(big.o): in function `ukl_main':\n(.ukl.text+0x7): relocation truncated to fit: \
            R_X86_64_PC32 against symbol `ukl_array' defined in .ukl.bss section in UKL.a(big.o)\n";
        let failure = link_failure(log, Path::new("/tree"));
        assert_eq!(failure.class, Class::App);
        assert!(failure.hint.unwrap().contains("24 MB"));
    }

    #[test]
    fn anything_else_is_told_in_the_tools_words() {
        let log = "\n$ make\nfs/exec.c:12:9: error: unknown type name 'foo'\nmake[2]: *** [fs/exec.o] Error 1\n";
        let (class, text) = message(log, Path::new("/tree"), Class::Kernel);
        assert_eq!(class, Class::Kernel);
        assert!(text.contains("unknown type name 'foo'"), "{text}");
    }
}
