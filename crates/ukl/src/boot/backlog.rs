//! More room for new connections at QEMU's forwarded ports.
//!
//! QEMU's user-mode network (libslirp 4.7, `tcpx_listen`) listens with a backlog of one. Of connections that are opened at
//! the same moment, those that find no room look open to their clients, and what they send first waits for TCP's
//! retransmissions: 0.2 s, and twice as long each time.

use std::fs;
use std::os::fd::AsFd;

use rustix::io::Result;
use rustix::net::{listen, sockopt, AddressFamily, SocketType};
use rustix::process::{pidfd_getfd, pidfd_open, Pid, PidfdFlags, PidfdGetfdFlags};

/// The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Gives the TCP sockets at which the process `pid`, a child of ours, listens a longer backlog; how many there were.
///
/// A second `listen` changes nothing else. None of this may fail a guest: on a Linux before 5.6, or where one process
/// may not reach into another, the ports work as they do without us.
pub(super) fn widen(pid: u32) -> usize {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(process) = number.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return 0 };
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    let number = |file: fs::DirEntry| file.file_name().to_str()?.parse().ok();
    let numbers = files.flatten().filter_map(number);
    numbers.filter(|number| widen_one(process.as_fd(), *number) == Ok(true)).count()
}

fn widen_one(process: impl AsFd, number: i32) -> Result<bool> {
    let file = pidfd_getfd(process, number, PidfdGetfdFlags::empty())?;
    // Asking what is not a socket is an error.
    let is_ours = sockopt::socket_acceptconn(&file)?
        && sockopt::socket_domain(&file)? == AddressFamily::INET
        && sockopt::socket_type(&file)? == SocketType::STREAM;
    if is_ours {
        listen(&file, BACKLOG)?;
    }
    Ok(is_ours)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_short_backlog_becomes_a_long_one() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        listen(&listener, 1).unwrap();
        assert!(widen(std::process::id()) >= 1);
        // Nobody accepts: with a backlog of one, the fourth would wait for ever.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(30)).unwrap();
        let clients: Vec<TcpStream> = (0..16).map(connect).collect();
        listener.set_nonblocking(true).unwrap();
        assert_eq!((0..16).filter(|_| listener.accept().is_ok()).count(), clients.len());
    }

    #[test]
    fn a_process_that_is_not_there_has_no_sockets() {
        assert_eq!(widen(0), 0);
        assert_eq!(widen(u32::MAX), 0);
    }
}
