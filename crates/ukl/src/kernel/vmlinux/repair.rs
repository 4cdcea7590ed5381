//! What a killed build leaves: outputs that look finished and are not.
//!
//! kbuild writes `.NAME.cmd` after NAME. So an output that is newer than its `.cmd`, or has none,
//! was cut off; make would rebuild the latter but trust the former.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use walkdir::WalkDir;

use crate::base::error::Result;

/// Removes outputs of an interrupted build that make would take for finished ones.
pub(super) fn after_interruption(out: &Path) -> Result<()> {
    for entry in WalkDir::new(out).into_iter().filter_map(|entry| entry.ok()) {
        if entry.file_type().is_file() && is_cut_off(entry.path()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_cut_off(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if !(name.ends_with(".o") || name.ends_with(".a")) {
        return false;
    }
    // Archives of the build's own tools have no `.cmd`; a new objtool would have every object made anew.
    if name.ends_with(".a") && path.components().any(|part| part.as_os_str() == "tools") {
        return false;
    }
    let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let cmd = modified(&path.with_file_name(format!(".{name}.cmd")));
    cmd.is_none_or(|cmd| modified(path).unwrap_or(SystemTime::UNIX_EPOCH) > cmd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn write(path: &Path, seconds: u64) {
        fs::write(path, "x").unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        fs::File::open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn outputs_newer_than_their_cmd_or_without_one_go() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        write(&file("good.o"), 10);
        write(&file(".good.o.cmd"), 11);
        write(&file("cut.o"), 20);
        write(&file(".cut.o.cmd"), 12);
        write(&file("new.o"), 20);
        write(&file("Makefile"), 20);
        fs::create_dir(file("tools")).unwrap();
        write(&file("tools/lib.a"), 20);
        after_interruption(dir.path()).unwrap();
        let left: Vec<bool> =
            ["good.o", "cut.o", "new.o", "Makefile", "tools/lib.a"].map(|name| file(name).exists()).into();
        assert_eq!(left, [true, false, false, true, true]);
    }
}
