//! The kernel's words on a machine that others make: a hypervisor of theirs, or a PC.

use crate::base::target::TARGET;
use crate::image::folder::Info;

use super::net::Connection;
use super::qemu::ALWAYS;
use super::request::{Request, What};

/// What the kernel of the image has to be told there: its console, how it ends, and its address, by DHCP unless the
/// image says otherwise.
pub fn words(info: &Info) -> Vec<String> {
    let mut words = vec![format!("console={}", TARGET.console)];
    words.extend(ALWAYS.iter().map(|(word, _)| word.to_string()));
    let connection = Connection::of(info, &Request::new(What::Program(None)));
    // Nobody watches for the port there.
    words.extend(connection.words().into_iter().filter(|word| !word.starts_with("ukl.ready=")));
    if has_card(info) && !words.iter().any(|word| word.starts_with("ukl.ip=")) {
        words.push("ukl.ip=dhcp".into());
    }
    words
}

/// Does the program talk to a network?
pub fn has_card(info: &Info) -> bool {
    let connection = Connection::of(info, &Request::new(What::Program(None)));
    connection.net != crate::manifest::Net::None
}
