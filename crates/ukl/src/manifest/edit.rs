//! Changes single values of a `ukl.toml`; comments, order and spelling of everything else stay.

use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value};

use super::{fields, load};
use crate::base::error::{fail, Class, Result};
use crate::base::workdir;

/// A manifest that is being changed.
#[derive(Debug, Clone)]
pub struct Edit {
    file: PathBuf,
    before: String,
    document: DocumentMut,
}

/// A list that would be longer than this goes over several lines.
const LINE_MAX: usize = 90;

impl Edit {
    /// Opens the manifest in the folder `path`, or the manifest `path` itself.
    pub fn open(path: &Path) -> Result<Edit> {
        // What the loader refuses is better said by the loader.
        load::load(path)?;
        let file = if path.is_dir() { path.join("ukl.toml") } else { path.to_owned() };
        let before = String::from_utf8(workdir::read(&file)?)?;
        let document = before.parse().map_err(|error| fail(Class::Usage, format!("{}: {error}", file.display())))?;
        Ok(Edit { file, before, document })
    }

    /// The manifest's file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Sets a key of the file's top.
    pub fn set_top(&mut self, key: &str, value: &str) {
        put(self.document.as_table_mut(), key, value.into());
    }

    /// Sets a key of `[machine]`.
    pub fn set_machine(&mut self, key: &str, value: impl Into<Value>) -> Result<()> {
        put(self.table("machine")?, key, value.into());
        Ok(())
    }

    /// The lines of `[kernel] config`.
    pub fn config(&self) -> Vec<String> {
        let list = self.document.get("kernel").and_then(|kernel| kernel.get("config")).and_then(Item::as_array);
        list.into_iter().flatten().filter_map(|line| line.as_str().map(str::to_owned)).collect()
    }

    /// Writes `line` into `[kernel] config`, in the place of the line for the same option if there is one.
    pub fn set_config(&mut self, line: &str) -> Result<()> {
        let option = fields::config_option(line).map_err(|text| fail(Class::Usage, text))?;
        let kernel = self.table("kernel")?;
        let list = kernel.entry("config").or_insert_with(|| Item::Value(Value::Array(Array::new())));
        let Some(list) = list.as_array_mut() else { return Ok(()) };
        match position(list, option) {
            Some(at) => drop(list.replace(at, line)),
            None => append(list, line),
        }
        Ok(())
    }

    /// Takes the line for `option` out of `[kernel] config`; true when there was one.
    pub fn remove_config(&mut self, option: &str) -> Result<bool> {
        if !self.config().iter().any(|line| fields::config_option(line) == Ok(option)) {
            return Ok(false);
        }
        let kernel = self.table("kernel")?;
        let Some(list) = kernel.get_mut("config").and_then(Item::as_array_mut) else { return Ok(false) };
        if let Some(at) = position(list, option) {
            list.remove(at);
            if let Some(first) = list.iter_mut().next().filter(|_| at == 0) {
                if first.decor().prefix().and_then(|prefix| prefix.as_str()) == Some(" ") {
                    first.decor_mut().set_prefix("");
                }
            }
        }
        if list.is_empty() {
            kernel.remove("config");
        }
        Ok(true)
    }

    /// Writes the file, if something changed and it can still be read; the answer is whether it did.
    pub fn save(&self, dry_run: bool) -> Result<bool> {
        let text = self.document.to_string();
        if text == self.before {
            return Ok(false);
        }
        load::check_text(&text, &self.file)?;
        if !dry_run {
            workdir::write_atomic(&self.file, text.as_bytes())?;
        }
        Ok(true)
    }

    /// A table of the top, made at the end of the file if it is missing.
    fn table(&mut self, name: &str) -> Result<&mut dyn TableLike> {
        let item = self.document.entry(name).or_insert_with(|| Item::Table(Table::new()));
        let wrong = || fail(Class::Usage, format!("`{name}` is not a table"));
        item.as_table_like_mut().ok_or_else(|| wrong().into())
    }
}

/// Sets a key; what stands around its old value stays.
fn put(table: &mut dyn TableLike, key: &str, mut value: Value) {
    if let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) {
        *value.decor_mut() = old.decor().clone();
        *old = value;
        return;
    }
    table.insert(key, Item::Value(value));
}

fn position(list: &Array, option: &str) -> Option<usize> {
    list.iter().position(|line| line.as_str().is_some_and(|line| fields::config_option(line) == Ok(option)))
}

/// Appends as the list is written: on its line, or on a line of its own.
fn append(list: &mut Array, line: &str) {
    let has_lines = list.to_string().contains('\n');
    if !has_lines && list.to_string().len() + line.len() < LINE_MAX {
        list.push(line);
        return;
    }
    if !has_lines {
        for value in list.iter_mut() {
            value.decor_mut().set_prefix("\n    ");
            value.decor_mut().set_suffix("");
        }
    }
    let mut value = Value::from(line);
    value.decor_mut().set_prefix("\n    ");
    if !has_lines || !list.trailing_comma() {
        list.set_trailing_comma(true);
    }
    // A comment behind the last line belongs to that line, and stands before the bracket.
    let trailing = list.trailing().as_str().unwrap_or_default().trim_end().to_owned();
    if !trailing.is_empty() {
        value.decor_mut().set_prefix(format!("{trailing}\n    "));
    }
    list.set_trailing("\n");
    list.push_formatted(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, change: &dyn Fn(&mut Edit)) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ukl.toml");
        workdir::write_atomic(&dir.path().join("a.c"), b"").unwrap();
        let text = format!("name = \"a\" # the name\nsources = [\"a.c\"]\n{text}");
        workdir::write_atomic(&file, text.as_bytes()).unwrap();
        let mut edit = Edit::open(dir.path()).unwrap();
        change(&mut edit);
        edit.save(false).unwrap();
        let after = std::fs::read_to_string(file).unwrap();
        after.strip_prefix("name = \"a\" # the name\nsources = [\"a.c\"]\n").unwrap().to_owned()
    }

    #[test]
    fn comments_and_order_stay() {
        let text =
            "\n# Why.\n[kernel] # here\nconfig = [\n    # first\n    \"CONFIG_A=y\", # a\n    \"CONFIG_B=1\", # b\n]\n\
            \n[machine]\ncpus = 1 # one\n";
        let after = edited(text, &|edit| {
            edit.set_config("CONFIG_B=2").unwrap();
            edit.set_config("# CONFIG_C is not set").unwrap();
            edit.set_machine("cpus", 2).unwrap();
        });
        let want = text.replace("B=1", "B=2").replace("cpus = 1", "cpus = 2");
        assert_eq!(after, want.replace("# b\n", "# b\n    \"# CONFIG_C is not set\",\n"));
    }

    #[test]
    fn tables_and_lists_are_made_where_there_are_none() {
        let after = edited("", &|edit| {
            edit.set_config("CONFIG_A=y").unwrap();
            edit.set_top("platform", "linuxu");
            edit.set_machine("memory", "64M").unwrap();
        });
        assert_eq!(
            after,
            "platform = \"linuxu\"\n\n[kernel]\nconfig = [\"CONFIG_A=y\"]\n\n[machine]\nmemory = \"64M\"\n"
        );
    }

    #[test]
    fn a_long_list_goes_over_several_lines() {
        let long = |edit: &mut Edit| {
            for n in 0..4 {
                edit.set_config(&format!("CONFIG_A_LONG_NAME_FOR_NUMBER_{n}=y")).unwrap();
            }
        };
        let after = edited("[kernel]\ndebug = true\n", &long);
        let lines: Vec<&str> = after.lines().collect();
        assert_eq!(lines[2..4], ["config = [", "    \"CONFIG_A_LONG_NAME_FOR_NUMBER_0=y\","], "{after}");
        assert_eq!((lines.len(), lines[7]), (8, "]"), "{after}");
    }

    #[test]
    fn a_removed_line_leaves_no_empty_list() {
        let text = "kernel = { config = [\"CONFIG_A=y\", \"CONFIG_B=y\"] }\n";
        let after = edited(text, &|edit| assert!(edit.remove_config("CONFIG_A").unwrap()));
        assert_eq!(after, "kernel = { config = [\"CONFIG_B=y\"] }\n");
        let none = edited(text, &|edit| {
            for option in ["CONFIG_A", "CONFIG_B"] {
                edit.remove_config(option).unwrap();
            }
            assert!(!edit.remove_config("CONFIG_A").unwrap());
        });
        assert!(!none.contains("config"), "{none}");
    }

    #[test]
    fn what_cannot_be_read_again_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let text = "name = \"a\"\nsources = [\"a.c\"]\n";
        workdir::write_atomic(&dir.path().join("a.c"), b"").unwrap();
        workdir::write_atomic(&dir.path().join("ukl.toml"), text.as_bytes()).unwrap();
        let mut edit = Edit::open(dir.path()).unwrap();
        edit.set_machine("memory", "1M").unwrap();
        assert!(edit.save(false).is_err());
        assert_eq!(std::fs::read_to_string(dir.path().join("ukl.toml")).unwrap(), text);
    }
}
