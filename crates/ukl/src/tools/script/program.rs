//! The program's part of the script: compiled, linked twice, prefixed, archived.

use crate::base::error::{fail, Class, Result};
use crate::program::compile::{self, Job};
use crate::program::link;
use crate::program::prefix::PREFIX;

use super::text::Text;
use super::Shared;

/// Writes the commands that lead to `$OUT/UKL.a`.
pub(super) fn write(text: &mut Text, shared: &Shared) -> Result<()> {
    let Shared { manifest, userland, dir, .. } = shared;
    text.part("The program, compiled");
    text.say("The same flags, and the same hook by -B; no header of this machine's own C library is in reach.");
    let compiler = compile::compiler(userland, manifest);
    text.function("compile", &compiler);
    text.line("step 'the program'");
    let jobs = compile::jobs(manifest, dir)?;
    let mut folders: Vec<String> = vec![word(text, dir.stage("link")), word(text, dir.stage("prefix"))];
    for job in &jobs {
        if let Job::Compile { object, .. } = job {
            let folder = word(text, object.parent().unwrap_or(object).to_owned());
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
    }
    text.line(&format!("mkdir -p {}", folders.join(" ")));
    for job in &jobs {
        if let Job::Compile { source, object } = job {
            text.cmd(&compile::command(compiler.clone(), source, object));
        }
    }
    linked(text, shared, jobs.iter().map(|job| job.output().to_owned()).collect())?;
    match shared.objcopy {
        true => objcopy(text, shared)?,
        false => prefixed(text, shared),
    }
    text.part("The archive");
    text.say("`D`: no times, no owners. The symbol index is how the kernel's linker finds the program's entry.");
    let folder = word(text, dir.stage("prefix"));
    let archive = word(text, dir.archive());
    text.line(&format!("rm -f {archive}\n(cd {folder} && \"$AR\" rcsD {archive} program.o)"));
    // The archiver is called by nobody else: musl's build may be there already.
    text.word(&userland.toolchain.ar.to_string_lossy());
    Ok(())
}

fn word(text: &Text, path: std::path::PathBuf) -> String {
    text.word(&path.to_string_lossy())
}

fn linked(text: &mut Text, shared: &Shared, objects: Vec<std::path::PathBuf>) -> Result<()> {
    let Shared { manifest, userland, dir, .. } = shared;
    let [twin, whole, partial] = link::commands(userland, manifest, &objects, dir)?;
    text.part("One object of program and library");
    text.say(
        "First an ordinary link, to the program's twin for ring 3: it reports what is missing or there twice,\n\
         which a partial link lets pass.",
    );
    text.cmd(&twin);
    text.say("Then program and library as one relocatable object.");
    text.cmd(&whole);
    text.say(
        "Its sections get four names that the kernel's linker script places: .ukl.text goes to the kernel's text, the\n\
         others to low addresses. Sections with names of the program's own are added to the linker script first.",
    );
    text.file("partial.lds", link::TEMPLATE);
    text.file("sections.awk", &sections());
    let at = |name: &str| text.at(&dir.stage("link"), name);
    let (template, awk, whole, script) = (at("partial.lds.in"), at("sections.awk"), at("whole.o"), at("partial.lds"));
    text.line(&format!(
        "payload partial.lds > {template}\npayload sections.awk > {awk}\n\
         objdump -h -w {whole} |\n    awk -v template={template} -f {awk} > {script}"
    ));
    text.cmd(&partial);
    Ok(())
}

/// An awk program: what `objdump -h -w` prints → the linker script, completed.
fn sections() -> String {
    let known: Vec<&str> = link::KNOWN.iter().map(|name| name.trim_start_matches('.')).collect();
    let known = format!("/^\\.({})(\\.|$)/", known.join("|"));
    format!(
        "$1 ~ /^[0-9]+$/ && / ALLOC/ && !/ THREAD_LOCAL/ && $2 !~ {known} && $2 != \".comment\" && !seen[$2]++ {{\n\
         \tkind = / CODE/ ? \"TEXT\" : / READONLY/ ? \"RODATA\" : / LOAD/ ? \"DATA\" : \"BSS\"\n\
         \t# A section whose name is a C identifier also gets its bounds.\n\
         \tif ($2 ~ /^[A-Za-z_][A-Za-z0-9_]*$/)\n\
         \t\tlines[kind] = lines[kind] \"\\t\\t. = ALIGN(16);\\n\\t\\tPROVIDE_HIDDEN(__start_\" $2 \" = .);\\n\" \\\n\
         \t\t\t\"\\t\\tKEEP(*(\\\"\" $2 \"\\\"))\\n\\t\\tPROVIDE_HIDDEN(__stop_\" $2 \" = .);\\n\"\n\
         \telse\n\
         \t\tlines[kind] = lines[kind] \"\\t\\t*(\\\"\" $2 \"\\\")\\n\"\n\
         }}\n\
         END {{\n\
         \twhile ((getline line < template) > 0) {{\n\
         \t\tif (line ~ /^@[A-Z]+@$/)\n\
         \t\t\tprintf \"%s\", lines[substr(line, 2, length(line) - 2)]\n\
         \t\telse\n\
         \t\t\tprint line\n\
         \t}}\n\
         }}\n"
    )
}

fn prefixed(text: &mut Text, shared: &Shared) {
    text.part("Own names, and jumps for system calls");
    text.say(
        "The kernel has its own memcpy, open and main. So every symbol gets a prefix; a few names stay that linker and\n\
         kernel know (--exempt). Each marked system call becomes `lea 5(%rip),%rcx; jmp __ukl_syscall` in its 12 bytes (--sites).",
    );
    let (from, to) = (shared.dir.stage("link").join("program.o"), shared.dir.stage("prefix").join("program.o"));
    let (from, to) = (word(text, from), word(text, to));
    text.line(&format!("\"$UKL\" prefix --prefix-symbols={PREFIX} --exempt --sites \\\n    {from} {to}"));
}

/// GNU objcopy renames everything; what must keep its name is named back.
fn objcopy(text: &mut Text, shared: &Shared) -> Result<()> {
    if crate::program::toolchain::which("objcopy").is_none() {
        let failure = fail(Class::Host, "`objcopy` is not installed");
        return Err(failure.hint("apt-get install --yes binutils").into());
    }
    text.part("Jumps for system calls, and own names");
    text.say(
        "Each marked system call becomes `lea 5(%rip),%rcx; jmp __ukl_syscall` in its 12 bytes. objcopy cannot do that:\n\
         `ukl prefix` does, with an empty prefix, so that no name changes.",
    );
    let (from, to) = (shared.dir.stage("link").join("program.o"), shared.dir.stage("prefix").join("program.o"));
    let (from, to) = (word(text, from), word(text, to));
    text.line(&format!("\"$UKL\" prefix --prefix-symbols= --exempt --sites \\\n    {from} {to}"));
    text.say(
        "The kernel has its own memcpy, open and main. So every symbol gets a prefix. A few names are known to linker\n\
         and kernel as they are: they get them back, in a second call, because objcopy prefixes last.",
    );
    text.line(&format!("objcopy --prefix-symbols={PREFIX} {to}"));
    let exempt = formats::prefix::default_exempt();
    let back: Vec<String> = exempt.iter().map(|name| format!("--redefine-sym {PREFIX}{name}={name}")).collect();
    text.line(&format!("objcopy \\\n    {} \\\n    {to}", back.join(" \\\n    ")));
    Ok(())
}
