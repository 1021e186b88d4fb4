//! What frames say by a number: why a line is refused, why it is not taken now, what a peer did wrong.
//! docs/protocol.md has the numbers. The words are what people read in the log; docs/operations.md has them.

use std::fmt;

/// Makes the type of a table: a number, its meaning, and the word for it. What is not in the table is kept
/// as its number.
macro_rules! codes {
    (
        $(#[$about:meta])*
        $name:ident($number:ty), else $other:literal;
        $($(#[$meaning:meta])* $value:literal $code:ident $word:literal;)*
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$meaning])* $code,)*
            /// One that this version does not know.
            Other($number),
        }

        impl $name {
            pub(crate) fn of(number: $number) -> Self {
                match number {
                    $($value => Self::$code,)*
                    other => Self::Other(other),
                }
            }

            /// As it travels.
            pub fn number(self) -> $number {
                match self {
                    $(Self::$code => $value,)*
                    Self::Other(number) => number,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$code => f.write_str($word),)*
                    Self::Other(number) => write!(f, $other, number),
                }
            }
        }
    };
}

codes! {
    /// Why a line is never taken.
    RefusedReason(u16), else "reason {}";
    /// Longer than the receiver takes.
    1 TooLong "too long";
    /// Of another host than the sender's certificate names.
    2 Host "not this host's";
}

codes! {
    /// Why a receiver does not take lines now.
    LaterReason(u32), else "Other({})";
    /// Its queue answered an error.
    1 QueueError "QueueError";
    /// It stops.
    2 Stopping "Stopping";
    /// The sender hands over more than it may in this time.
    3 Rate "Rate";
}

codes! {
    /// What a peer did wrong.
    ErrorCode(u16), else "Other({})";
    /// No session on this connection.
    1 NoSession "NoSession";
    /// No common version.
    2 Version "Version";
    /// The session belongs to another key.
    3 Key "Key";
    /// The session speaks from another connection now.
    4 Fenced "Fenced";
    /// A malformed frame.
    5 Malformed "Malformed";
    /// Same number, other content.
    6 Content "Content";
    /// A gap in the numbers.
    7 Gap "Gap";
    /// Over a limit.
    8 Limit "Limit";
    /// Too many sessions.
    9 Sessions "Sessions";
}
