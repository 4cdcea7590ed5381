//! Which functions there are: in the program's own kernel objects, and in the kernel.

use std::collections::BTreeMap;

use anyhow::Context;
use object::read::elf::ElfFile64;
use object::{Object, ObjectSymbol, SymbolKind};

use crate::base::error::{fail, Class, Result};

/// The global functions that `object` defines, sorted.
pub fn defined(object: &[u8]) -> Result<Vec<String>> {
    let file = ElfFile64::<object::Endianness>::parse(object).context("the kernel's compiler made no ELF object")?;
    let functions = file.symbols().filter(|s| s.is_global() && !s.is_undefined() && s.kind() == SymbolKind::Text);
    let mut names: Vec<String> = functions.filter_map(|s| s.name().ok()).map(str::to_owned).collect();
    names.retain(|name| !name.starts_with("__pfx_"));
    names.sort();
    Ok(names)
}

/// Every import must be a global function in the kernel's symbol table, `map`: lines of `address kind name`.
pub fn check(imports: &[String], map: &str) -> Result<()> {
    let symbols: BTreeMap<&str, &str> = map.lines().filter_map(symbol).collect();
    for name in imports {
        let (text, hint) = match symbols.get(name.as_str()) {
            Some(&("T" | "W")) => continue,
            Some(&"t") => (format!("`{name}` is private to one file of the kernel"), other(name, &symbols)),
            Some(_) => (format!("`{name}` is not a function of the kernel, but data"), other(name, &symbols)),
            None => (format!("the kernel has no function `{name}`"), other(name, &symbols)),
        };
        return Err(fail(Class::App, format!("`imports`: {text}")).hint(hint).into());
    }
    Ok(())
}

fn symbol(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace().skip(1);
    let (kind, name) = (words.next()?, words.next()?);
    // What an earlier link of a program left is not the kernel's.
    (!name.starts_with("ukl_")).then_some((name, kind))
}

/// The global functions whose names come nearest.
fn other(wanted: &str, symbols: &BTreeMap<&str, &str>) -> String {
    let functions = symbols.iter().filter(|(name, kind)| matches!(**kind, "T" | "W") && **name != wanted);
    let mut near: Vec<(f64, &str)> =
        functions.map(|(name, _)| (strsim::jaro_winkler(wanted, name.trim_start_matches('_')), *name)).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let near: Vec<String> =
        near.iter().take(3).filter(|(score, _)| *score > 0.8).map(|n| format!("`{}`", n.1)).collect();
    match near.is_empty() {
        true => "macros and inline functions have no symbol: call them from a file in `kernel-sources`".into(),
        false => format!("near it: {}; macros and inline functions have no symbol", near.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "ffffffff81000000 T _printk\nffffffff81000010 t local_thing\nffffffff81000020 D jiffies\n\
        ffffffff81000030 T get_random_u32\nffffffff81000040 T ukl_main\n";

    fn refused(name: &str) -> String {
        crate::base::error::render(&check(&[name.to_owned()], MAP).unwrap_err()).0
    }

    #[test]
    fn an_import_is_a_global_function() {
        check(&["_printk".into(), "get_random_u32".into()], MAP).unwrap();
        assert!(refused("local_thing").contains("private to one file"));
        assert!(refused("jiffies").contains("but data"));
        assert!(refused("ukl_main").contains("no function `ukl_main`"));
    }

    #[test]
    fn near_names_are_told() {
        assert!(refused("printk").contains("`_printk`"));
        assert!(refused("get_random_u23").contains("`get_random_u32`"));
        assert!(refused("xyzzy").contains("macros and inline functions"));
    }
}
