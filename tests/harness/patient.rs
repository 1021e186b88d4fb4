//! Reading from a stream with a deadline. A machine that is frozen and thawed interrupts such a read
//! even where no signal is handled (signal(7), "Interruption of system calls … by stop signals").

use std::io::{ErrorKind, Read, Result};

/// Reads once; begins anew where the read was interrupted.
pub fn read(stream: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
