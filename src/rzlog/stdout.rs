//! Standard output that waits. A process that shares it, such as ssh or one that runs on node, may have made it
//! non-blocking for all, and a reader that is slow would end a command.
//!
//! It waits as a write does that blocks: a reader that is gone ends it, and a second signal (signals.rs).

use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

pub(crate) struct Patient<W>(pub(crate) W);

impl<W: Write + AsFd> Patient<W> {
    fn insist<T>(&mut self, act: impl Fn(&mut W) -> io::Result<T>) -> io::Result<T> {
        loop {
            match act(&mut self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            match poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(why) => return Err(why.into()),
            }
        }
    }
}

impl<W: Write + AsFd> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.insist(|out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.insist(W::flush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::thread;

    #[test]
    fn a_slow_reader_is_waited_for_and_one_that_is_gone_is_not() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let text = vec![b'x'; 4 << 20];
        let length = text.len();
        let reader = thread::spawn(move || {
            let mut read = vec![0; length];
            theirs.read_exact(&mut read).map(|()| read)
        });
        let mut out = Patient(ours);
        out.write_all(&text).unwrap();
        assert!(reader.join().unwrap().unwrap() == text);
        let gone = out.write_all(&text).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
    }
}
