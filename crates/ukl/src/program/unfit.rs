//! What linkers let pass and no program of ours can have: resolvers with musl, code on the stack, old constructors.

use std::path::PathBuf;

use object::read::archive::ArchiveFile;
use object::read::elf::{ElfFile64, ElfSection64};
use object::{elf, Object, ObjectSection, SectionFlags};

use crate::base::error::{fail, Class, Failure, Result};
use crate::base::workdir;
use crate::manifest::Libc;
use crate::program::symbols;

/// Why the object `whole`, linked of `files`, cannot become a program; whose part it is, and what to do.
pub fn check<'a>(
    whole: &[u8],
    libc: Libc,
    files: impl Iterator<Item = &'a PathBuf> + Clone,
) -> Result<Option<Failure>> {
    if let (Libc::Musl, Some(name)) = (libc, symbols::resolver(whole)?) {
        return resolver(&name, files).map(Some);
    }
    // An object without a note makes the linker's answer yes; only those that ask for it count.
    let asking = if has(whole, stack_code)? { owners(files.clone(), stack_code)? } else { Vec::new() };
    if !asking.is_empty() {
        let text = format!("{} needs an executable stack", symbols::list(&asking));
        let hint = "the processor executes no stack at level 0: do without the address of a nested function, or mark \
            the assembler file with `.section .note.GNU-stack,\"\",@progbits`";
        return Ok(Some(fail(Class::App, text).hint(hint)));
    }
    if has(whole, old_array)? {
        let owners = symbols::list(&owners(files, old_array)?);
        let text = format!("{owners} has constructors in `.ctors` or `.dtors`, which are not run");
        let hint = "`__attribute__((constructor))` and today's compilers write `.init_array` and `.fini_array`";
        return Ok(Some(fail(Class::App, text).hint(hint)));
    }
    Ok(None)
}

/// A function that a resolver chooses when the program starts.
fn resolver<'a>(name: &str, files: impl Iterator<Item = &'a PathBuf>) -> Result<Failure> {
    let places = symbols::places(files, name)?;
    let text =
        format!("`{name}` is chosen by a resolver (IFUNC), in {}, and musl runs none", symbols::list(&places.defined));
    Ok(fail(Class::App, text)
        .hint("`libc = \"glibc\"` does; or compile without `target_clones` and other multiversioned functions"))
}

/// The assembler's note that the stack has to be executable.
fn stack_code(section: &ElfSection64<object::Endianness>) -> bool {
    let SectionFlags::Elf { sh_flags, .. } = section.flags() else { return false };
    section.name() == Ok(".note.GNU-stack") && sh_flags.contains(elf::SHF_EXECINSTR)
}

/// Arrays of functions as compilers wrote them long ago; linkers turn them over in a final link only.
fn old_array(section: &ElfSection64<object::Endianness>) -> bool {
    let is_old =
        |name: &str| [".ctors", ".dtors"].iter().any(|old| name == *old || name.starts_with(&format!("{old}.")));
    section.size() > 0 && section.name().is_ok_and(is_old)
}

type Trait = fn(&ElfSection64<object::Endianness>) -> bool;

fn has(bytes: &[u8], is_so: Trait) -> Result<bool> {
    let file = ElfFile64::<object::Endianness>::parse(bytes)?;
    let found = file.sections().any(|section| is_so(&section));
    Ok(found)
}

/// The objects that have it; archives only when no object has, since most of their members are not in the program.
fn owners<'a>(files: impl Iterator<Item = &'a PathBuf>, is_so: Trait) -> Result<Vec<String>> {
    let (mut objects, mut members) = (Vec::new(), Vec::new());
    for file in files {
        let bytes = workdir::read(file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(archive) = ArchiveFile::parse(bytes.as_slice()) else {
            objects.extend(has(&bytes, is_so).unwrap_or(false).then_some(name));
            continue;
        };
        for member in archive.members().filter_map(|member| member.ok()) {
            let data = member.data(bytes.as_slice()).unwrap_or_default();
            if has(data, is_so).unwrap_or(false) {
                members.push(format!("{name}({})", String::from_utf8_lossy(member.name())));
            }
        }
    }
    Ok(if objects.is_empty() { members } else { objects })
}
