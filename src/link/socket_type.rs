//! The socket types of the modules, by the names the C modules gave them.

use crate::endpoint::Mode;
use crate::raw;

/// A ZeroMQ socket type that one of the modules uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketType {
    /// Sends each message to all that subscribed to its topic.
    Pub,
    /// Sends each message to one of the peers, in turn.
    Push,
    /// As PUSH; the peer could answer.
    Dealer,
    /// As PUB, with groups for topics (draft).
    Radio,
    /// As PUSH, single frames (draft).
    Scatter,
    /// As DEALER, single frames (draft).
    Client,
    /// Receives what it subscribed to.
    Sub,
    /// Receives from all peers in turn.
    Pull,
    /// As PULL; each message begins with the peer's identity.
    Router,
    /// Receives the groups it joined (draft).
    Dish,
    /// As PULL, single frames (draft).
    Gather,
    /// As ROUTER, single frames (draft).
    Server,
}

/// A socket type that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SocketTypeError {
    /// No such type, or not on this side.
    #[error("socktype \"{text}\" is not known here; possible: {allowed}")]
    Unknown {
        /// What was written.
        text: String,
        /// What can be written.
        allowed: String,
    },
    /// A draft type without a draft libzmq.
    #[error(
        "socktype {name} needs libzmq's draft API, which the libzmq loaded here ({version}) was built without; possible: {allowed}"
    )]
    Draft {
        /// The type.
        name: &'static str,
        /// Which libzmq is loaded.
        version: String,
        /// What can be written.
        allowed: String,
    },
}

impl SocketType {
    /// What the output module sends with.
    pub const OUTPUTS: &[SocketType] = &[
        SocketType::Pub,
        SocketType::Push,
        SocketType::Dealer,
        SocketType::Radio,
        SocketType::Scatter,
        SocketType::Client,
    ];

    /// What the input module receives with.
    pub const INPUTS: &[SocketType] = &[
        SocketType::Sub,
        SocketType::Pull,
        SocketType::Router,
        SocketType::Dish,
        SocketType::Gather,
        SocketType::Server,
    ];

    /// The type of this name, in any case of letters, if it is allowed and the loaded libzmq
    /// can make it.
    pub fn parse(text: &str, allowed: &[SocketType]) -> Result<SocketType, SocketTypeError> {
        let found = allowed.iter().find(|kind| kind.name().eq_ignore_ascii_case(text));
        let names = || {
            let usable = allowed.iter().filter(|kind| !kind.is_draft() || raw::has_drafts());
            usable.map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
        };
        match found {
            None => Err(SocketTypeError::Unknown {
                text: text.escape_debug().take(60).collect(),
                allowed: names(),
            }),
            Some(kind) if kind.is_draft() && !raw::has_drafts() => Err(SocketTypeError::Draft {
                name: kind.name(),
                version: crate::version_text(),
                allowed: names(),
            }),
            Some(kind) => Ok(*kind),
        }
    }

    /// The name in capitals, as ZeroMQ writes it.
    pub fn name(self) -> &'static str {
        match self {
            SocketType::Pub => "PUB",
            SocketType::Push => "PUSH",
            SocketType::Dealer => "DEALER",
            SocketType::Radio => "RADIO",
            SocketType::Scatter => "SCATTER",
            SocketType::Client => "CLIENT",
            SocketType::Sub => "SUB",
            SocketType::Pull => "PULL",
            SocketType::Router => "ROUTER",
            SocketType::Dish => "DISH",
            SocketType::Gather => "GATHER",
            SocketType::Server => "SERVER",
        }
    }

    /// What an endpoint without a sign does: czmq's habits, which users' configurations
    /// rely on.
    pub fn habit(self) -> Mode {
        match self {
            SocketType::Pub
            | SocketType::Radio
            | SocketType::Pull
            | SocketType::Router
            | SocketType::Gather
            | SocketType::Server => Mode::Bind,
            SocketType::Push
            | SocketType::Dealer
            | SocketType::Scatter
            | SocketType::Client
            | SocketType::Sub
            | SocketType::Dish => Mode::Connect,
        }
    }

    /// Exists only in a libzmq with the draft API. Such types carry one frame a message.
    pub fn is_draft(self) -> bool {
        matches!(
            self,
            SocketType::Radio
                | SocketType::Scatter
                | SocketType::Client
                | SocketType::Dish
                | SocketType::Gather
                | SocketType::Server
        )
    }

    /// Sends to whoever listens, and drops for those who don't (PUB, RADIO).
    pub fn publishes(self) -> bool {
        matches!(self, SocketType::Pub | SocketType::Radio)
    }

    /// The number in zmq.h.
    pub(crate) fn number(self) -> u32 {
        match self {
            SocketType::Pub => zmq_sys::ZMQ_PUB,
            SocketType::Push => zmq_sys::ZMQ_PUSH,
            SocketType::Dealer => zmq_sys::ZMQ_DEALER,
            SocketType::Sub => zmq_sys::ZMQ_SUB,
            SocketType::Pull => zmq_sys::ZMQ_PULL,
            SocketType::Router => zmq_sys::ZMQ_ROUTER,
            // zmq.h's draft section
            SocketType::Server => 12,
            SocketType::Client => 13,
            SocketType::Radio => 14,
            SocketType::Dish => 15,
            SocketType::Gather => 16,
            SocketType::Scatter => 17,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case() {
        assert_eq!(SocketType::parse("push", SocketType::OUTPUTS), Ok(SocketType::Push));
        assert_eq!(SocketType::parse("Pull", SocketType::INPUTS), Ok(SocketType::Pull));
    }

    #[test]
    fn mistakes_name_what_is_possible() {
        let error = SocketType::parse("PUHS", SocketType::OUTPUTS).unwrap_err().to_string();
        assert!(error.contains("\"PUHS\"") && error.contains("PUB, PUSH, DEALER"), "{error}");
        let error = SocketType::parse("PULL", SocketType::OUTPUTS).unwrap_err().to_string();
        assert!(error.contains("not known here"), "{error}");
    }

    #[test]
    fn drafts_need_a_draft_libzmq() {
        match SocketType::parse("radio", SocketType::OUTPUTS) {
            Ok(kind) => assert!(kind == SocketType::Radio && raw::has_drafts()),
            Err(error) => {
                assert!(!raw::has_drafts());
                let text = error.to_string();
                assert!(text.contains("draft API") && text.contains("possible: PUB, PUSH, DEALER"));
            }
        }
    }

    #[test]
    fn every_type_is_on_one_side() {
        let all: Vec<_> = SocketType::OUTPUTS.iter().chain(SocketType::INPUTS).collect();
        assert_eq!(all.len(), 12);
        for (index, kind) in all.iter().enumerate() {
            assert!(all[index + 1..].iter().all(|other| other.number() != kind.number()));
        }
    }
}
