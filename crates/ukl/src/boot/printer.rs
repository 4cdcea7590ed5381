//! What the program wrote → our standard output, however slow its reader is: nobody else waits for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::base::error::Result;
use crate::base::run::interrupted;
use crate::base::term;

/// With so many bytes waiting for the reader, the guest has to wait as well.
const FULL: usize = 4 << 20;
const TICK: Duration = Duration::from_millis(5);

/// Prints in the background.
pub(super) struct Printer {
    to: Option<Sender<Vec<u8>>>,
    waiting: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Printer {
    /// On our standard output.
    pub(super) fn start() -> Self {
        Printer::with(term::out_bytes)
    }

    fn with(mut print: impl FnMut(&[u8]) -> Result<()> + Send + 'static) -> Self {
        let (to, from) = channel::<Vec<u8>>();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = waiting.clone();
        let thread = std::thread::spawn(move || {
            for bytes in from {
                print(&bytes)?;
                left.fetch_sub(bytes.len(), Ordering::SeqCst);
            }
            Ok(())
        });
        Printer { to: Some(to), waiting, thread: Some(thread) }
    }

    /// Prints `bytes` after all that came before. Error: the reader is gone.
    pub(super) fn print(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.waiting.fetch_add(bytes.len(), Ordering::SeqCst);
        match self.to.as_ref().map(|to| to.send(bytes.to_vec())) {
            Some(Err(_)) => self.join(),
            _ => Ok(()),
        }
    }

    /// The reader is so far behind that nothing more should be read for it.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > FULL
    }

    /// Error: the reader is gone, or what it is does not take what is written.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            true => self.join(),
            false => Ok(()),
        }
    }

    /// Waits until the reader has everything, for `limit` if there is one; Ctrl-C ends the wait.
    pub(super) fn finish(mut self, limit: Option<Duration>) -> Result<()> {
        self.to = None;
        let begun = Instant::now();
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            if interrupted() || limit.is_some_and(|limit| begun.elapsed() >= limit) {
                return Ok(());
            }
            std::thread::sleep(TICK);
        }
        self.join()
    }

    fn join(&mut self) -> Result<()> {
        self.to = None;
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap_or(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_slow_reader_gets_everything_and_holds_nobody() {
        let got = Arc::new(Mutex::new(Vec::new()));
        let to = got.clone();
        let (go, stopped) = channel::<()>();
        let mut printer = Printer::with(move |bytes| {
            let () = stopped.recv().unwrap_or_default();
            to.lock().unwrap().extend_from_slice(bytes);
            Ok(())
        });
        // Nothing is read before everything was written.
        (0..10).for_each(|i| printer.print(&[i]).unwrap());
        assert!(got.lock().unwrap().is_empty());
        drop(go);
        printer.finish(None).unwrap();
        assert_eq!(*got.lock().unwrap(), (0..10).collect::<Vec<u8>>());
    }

    #[test]
    fn a_reader_that_stopped_is_not_waited_for_longer_than_the_limit() {
        let (_stop, stopped) = channel::<()>();
        let mut printer = Printer::with(move |_| {
            let () = stopped.recv().unwrap_or_default();
            Ok(())
        });
        printer.print(&vec![0; FULL + 1]).unwrap();
        assert!(printer.is_full());
        printer.finish(Some(Duration::from_millis(20))).unwrap();
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error() {
        let mut printer = Printer::with(|_| Err(anyhow::anyhow!("gone")));
        printer.print(b"x").unwrap();
        assert_eq!(printer.finish(None).unwrap_err().to_string(), "gone");
    }
}
