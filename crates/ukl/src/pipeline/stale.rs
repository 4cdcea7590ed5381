//! Whether an image is still what its sources and its manifest say.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::base::env::Env;
use crate::base::error::Result;
use crate::base::plan::{Made, INPUTS_ANEW, NOT_CACHED};
use crate::base::workdir;
use crate::image::folder::{self, Image};
use crate::image::initrd::{self, Startup};
use crate::kernel::exports;
use crate::manifest::Manifest;

use super::{Clock, Walk};

/// What has changed since `image` was built, in words; nothing when it is what a build would make.
///
/// The stages that depend on the project's files are asked as in a dry run, and nothing is written. What only the
/// command line of the build could have said (another compiler, another kernel) is taken as it is in the image.
pub fn changes(env: &Env, manifest: &Manifest, image: &Image) -> Result<Vec<String>> {
    let mut changes = folder::differences(manifest, &image.info);
    // A kernel's own functions are compiled in the kernel: that is not looked at.
    if exports::wanted(manifest) {
        return Ok(changes);
    }
    let env = &Env { shell: env.shell.looking(), cache: env.cache.clone() };
    let next = &image.dir.next();
    let mut clock = Clock::silent();
    let half = Walk { env, manifest, dir: next, clock: &mut clock, progress: &mut |_| () }.linked()?;
    if half.userland.toolchain.version != image.info.compiler {
        return Ok(changes);
    }
    let Manifest { name, trigger, args, env: variables, storage, .. } = manifest;
    let startup = Startup::of_image(name, trigger, args, variables, storage);
    let trigger_file = Made::found(next.trigger());
    let initrd = initrd::build(env, &half.userland, &trigger_file, manifest, next, &startup)?;
    let found = clock.stages.into_iter().flat_map(|stage| stage.why).chain(initrd.why);
    // What was never made was made elsewhere, by another version of ukl.
    let says_more = |why: &String| !why.ends_with("not made yet") && ![NOT_CACHED, INPUTS_ANEW].contains(&why.as_str());
    changes.extend(found.filter(says_more));
    changes.extend(unfinished(image));
    Ok(changes)
}

/// What a build left that ended early: parts of an image that is not there.
fn unfinished(image: &Image) -> Option<String> {
    let next = image.dir.next();
    let pairs = [
        (next.twin(), image.dir.twin()),
        (next.archive(), image.dir.archive()),
        (next.bzimage(), image.dir.bzimage()),
        (next.trigger(), image.dir.trigger()),
        (next.initrd(), image.dir.initrd()),
    ];
    let differs = |(new, old): &(PathBuf, PathBuf)| {
        let facts = |path: &Path| path.metadata().ok().map(|facts| (facts.dev(), facts.ino()));
        let hash = |path: &Path| workdir::hash_file(path).ok();
        // One file under two names, as a rule.
        new.exists() && facts(new) != facts(old) && hash(new) != hash(old)
    };
    pairs.iter().any(differs).then(|| "a build after it ended early".to_owned())
}
