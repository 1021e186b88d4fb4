//! Proof, at load, that messages look in this rsyslogd as our headers say.
//!
//! One field has no exported setter: `msgFlags`, which an input must write. Its place differs
//! between machines and between builds with and without NDEBUG, and the interface versions do not
//! tell. So a fresh message is changed through exported setters and looked at in the places where
//! the header expects the change: a number that is not there means that the place is wrong, and the
//! module refuses to load instead of writing into something else.

use crate::fault;
use crate::message::Property;
use crate::registration::LoadError;
use crate::rsyslogd::{Clock, Rsyslogd};
use crate::sys;
use std::ptr::{addr_of, addr_of_mut};

/// Whether the layout is the one of rsyslog-headers/message.h.
pub(crate) fn prove(rsyslogd: &Rsyslogd) -> Result<(), LoadError> {
    let property = Property::new(rsyslogd, "127.0.0.1").ok_or(LoadError::Memory)?;
    let mut message = std::ptr::null_mut();
    // SAFETY: exported by rsyslogd; fills `message` when it answers OK.
    if unsafe { sys::msgConstruct(&mut message) } != sys::RS_RET_OK || message.is_null() {
        return Err(LoadError::Memory);
    }
    // SAFETY: the message was made just now, belongs to us, and is larger (624 bytes and more) than
    // the part described; so reading at these places is reading inside it. msgFlags is written only
    // after the fields around it were found where they belong, and only to a message of our own.
    let proven = unsafe { fields_are_in_place(message) && flags_are_in_place(message, &property) };
    // SAFETY: made above and not handed to anybody.
    unsafe { sys::msgDestruct(&mut message) };
    if proven { Ok(()) } else { Err(LoadError::MessageLayout) }
}

/// # Safety
/// `message` is a fresh message of ours.
unsafe fn fields_are_in_place(message: *mut sys::smsg_t) -> bool {
    const PRI: u16 = 21 * 8 + 5;
    const OFFSET: i32 = 17;
    let text = b"a message of thirty-three letters";
    // SAFETY: exported setters, called as their headers say.
    unsafe {
        sys::msgSetPRI(message, PRI);
        sys::MsgSetRawMsg(message, text.as_ptr().cast(), text.len());
        sys::MsgSetMSGoffs(message, OFFSET);
    }
    // SAFETY: inside the message, by the caller's contract.
    let in_place = unsafe {
        addr_of!((*message).iSeverity).read() == PRI % 8
            && addr_of!((*message).iFacility).read() == PRI / 8
            && addr_of!((*message).iLenRawMsg).read() == text.len() as i32
            && addr_of!((*message).offMSG).read() == OFFSET
            && addr_of!((*message).iRefCount).read() == 1
    };
    // SAFETY: as above; 0 is what a message without an offset has.
    unsafe { sys::MsgSetMSGoffs(message, 0) };
    in_place
        && [sys::eFLOWCTL_LIGHT_DELAY, sys::eFLOWCTL_FULL_DELAY].iter().all(|&flow| {
            // SAFETY: as above.
            unsafe {
                sys::MsgSetFlowControlType(message, flow);
                addr_of!((*message).flowCtlType).read() == flow
            }
        })
}

/// MsgSetRcvFrom clears NEEDS_DNSRESOL in msgFlags and leaves the other bits.
///
/// # Safety
/// As for [`fields_are_in_place`], which has answered yes.
unsafe fn flags_are_in_place(message: *mut sys::smsg_t, property: &Property) -> bool {
    let kept = (sys::NEEDS_PARSING | sys::PARSE_HOSTNAME) as i32;
    // SAFETY: the place, and the number in front of it, lie between two fields that were found in place.
    unsafe {
        let elsewhere = usize::from(fault::future(c"msgFlags") != 0);
        let flags = addr_of_mut!((*message).msgFlags).wrapping_sub(elsewhere);
        flags.write(kept | sys::NEEDS_DNSRESOL as i32);
        // MsgSetRcvFrom would free an address to be resolved if that bit were set before on purpose
        // (runtime/msg.c); there is none, the member is null in a fresh message.
        sys::MsgSetRcvFrom(message, property.as_ptr(0));
        flags.read() == kept
    }
}

/// Whether a time is as long as our place for it: a longer one would be written past its end, and read
/// past it by msgConstructWithTime.
pub(crate) fn time_fits(clock: Clock) -> bool {
    const BEHIND: usize = 104;
    #[repr(C)]
    struct Room {
        time: sys::syslogTime,
        behind: [u8; BEHIND],
    }
    // Twice, as a byte that is written may be the one that was there.
    [0x00, 0xff].iter().all(|&filling| {
        let mut room = Room { time: sys::syslogTime { parts: [0; 6] }, behind: [filling; BEHIND] };
        let mut seconds = 0;
        // SAFETY: datetime.getCurrTime of the granted interface; it fills in both, and finds more
        // room for the time than any release needs.
        unsafe {
            clock((&raw mut room).cast(), &mut seconds, sys::TIME_IN_LOCALTIME as i32);
        }
        room.time.parts != [0; 6] && room.behind == [filling; BEHIND]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a time of so many bytes.
    unsafe extern "C" fn clock<const BYTES: usize>(
        time: *mut sys::syslogTime,
        _seconds: *mut sys::time_t,
        _utc: i32,
    ) {
        // SAFETY: `time_fits` passes a place of 128 bytes.
        unsafe { time.cast::<u8>().write_bytes(7, BYTES) };
    }

    #[test]
    fn a_time_that_is_longer_than_ours_is_not_asked_for() {
        assert!(time_fits(clock::<24>));
        assert!(!time_fits(clock::<25>));
        assert!(!time_fits(clock::<32>));
        assert!(!time_fits(clock::<0>), "a clock that says nothing");
    }
}
