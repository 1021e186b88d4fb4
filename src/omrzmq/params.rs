//! The parameters of `action(type="omrzmq")`.

use rzmq_host::{Kind, Param, join};
use rzmq_module::{INSTANCE, socket_type};

const fn param(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Param {
    Param { name, kind, default, required: false, help }
}

/// A parameter of the core that is only read, to know what the statement asks of the engine.
const fn core(name: &'static str) -> Param {
    Param { name, kind: Kind::Text, default: "", required: false, help: "" }
}

const OWN: [Param; 25] = [
    socket_type(
        &["PUSH", "PUB", "DEALER", "SCATTER", "RADIO", "CLIENT"],
        "The ZeroMQ socket type. SCATTER, RADIO and CLIENT need a libzmq built with its draft API.",
    ),
    param("template", Kind::Text, "RSYSLOG_ForwardFormat", "The template that makes the line."),
    param(
        "topicframe",
        Kind::Switch,
        "off",
        "The topic travels in a frame of its own before the line; off: in front of the line, in the \
         same frame.",
    ),
    param(
        "dynatopic",
        Kind::Switch,
        "off",
        "Each of `topics` (four at most) is the name of a template that makes the topic.",
    ),
    param(
        "sndhwm",
        Kind::Number(0, i32::MAX as i64),
        "1000",
        "Messages that libzmq holds for one peer; 0 = without limit.",
    ),
    param(
        "sendhwm",
        Kind::Number(0, i32::MAX as i64),
        "",
        "The C module's name for `sndhwm`; here it is applied.",
    ),
    param(
        "sendtimeout",
        Kind::Number(-1, 86_400_000),
        "-1",
        "Milliseconds to wait for an absent or full peer before the action is suspended, so that \
         another action can take over. -1, here or as a written `action.resumeRetryCount`: wait as long as \
         it takes. Not written: the same, unless `action.resumeRetryCount` is written with 0 or more, which means 5000.",
    ),
    param(
        "immediate",
        Kind::Switch,
        "on",
        "Nothing is accepted for a peer that is not connected (yet); off: libzmq holds up to \
         `sndhwm` messages for it, which are lost with the process, and where the peer is called anew \
         because its key does not fit or it has refused for good.",
    ),
    param(
        "pub.nodrop",
        Kind::Switch,
        "off",
        "A PUB socket waits for a subscriber that is slow instead of dropping its messages.",
    ),
    param(
        "pub.numbered",
        Kind::Switch,
        "off",
        "A PUB socket with `topicframe=\"on\"` numbers the messages of each topic, in a frame between topic \
         and line: rzlog and an imrzmq SUB then say how many lines were dropped before they came to them. \
         Readers that take the first frame and the last need not know of it.",
    ),
    param(
        "delivery",
        Kind::Choice(&["besteffort", "acked"]),
        "besteffort",
        "`acked` (DEALER to an imrzmq ROUTER): a line is off rsyslog's queue when the receiver has \
         acknowledged it; sent again only after a reconnect, under the same number. `besteffort`: when \
         libzmq took it; on the wire what omczmq sends.",
    ),
    param(
        "compress",
        Kind::Choice(&["none", "zstd"]),
        "none",
        "zstd packs the blocks of acknowledged delivery (for slow links).",
    ),
    param(
        "ids",
        Kind::Choice(&["none", "uuid"]),
        "none",
        "`uuid` carries rsyslog's own uuid of each line along (acknowledged delivery), seen at the receiver \
         as `$!rzmq!uuid`. Behind a disk queue it is stable only if the ruleset touches `$uuid` before \
         the queue: `set $.u = $uuid;`.",
    ),
    param(
        "relay",
        Kind::Switch,
        "off",
        "Lines that came from an imrzmq input with `metadata=\"on\"` keep the id, name and address of \
         their first sender (acknowledged delivery): with `trustrelays=\"on\"` there, the receiver's `$!rzmq!id` is the first sender's, \
         `$!rzmq!origin_peer` and `$!rzmq!origin_address` are its name and address.",
    ),
    param(
        "refusedfile",
        Kind::Text,
        "",
        "Lines that the receiver never takes (too long for it, or of another host than it lets us speak \
         for) are appended to this file, with their id, the reason and their size in front (`SESSION:-` in place of the id where the \
         line never got a number: a present receiver's limits had ruled it out, or with none there it was longer than 128 MiB); \
         they are counted in any case.",
    ),
    param(
        "target.order",
        Kind::Choice(&["failover", "balance"]),
        "failover",
        "Several endpoints with `delivery=\"acked\"`: `failover` uses the first that answers, in the \
         order given; `balance` gives each worker another one to begin with.",
    ),
    core("action.resumeretrycount"),
    core("queue.type"),
    core("queue.filename"),
    core("queue.size"),
    core("queue.saveonshutdown"),
    core("queue.timeoutshutdown"),
    core("queue.timeoutenqueue"),
    core("queue.checkpointinterval"),
    core("queue.highwatermark"),
];

/// All of them.
pub(crate) const ACTION: [Param; INSTANCE.len() + OWN.len()] = join(&INSTANCE, &OWN);

#[cfg(test)]
mod tests {
    use super::*;
    use rzmq_module::manual::Manual;
    use rzmq_module::reference::{is_up_to_date, page};

    #[test]
    fn reference_page_says_what_the_table_says() {
        let page = page("omrzmq", "action", &rzmq_module::MODULE, &ACTION);
        assert!(is_up_to_date("docs/reference/omrzmq.md", &page).unwrap(), "run `make reference`");
    }

    #[test]
    fn man_page_says_what_the_table_says() {
        let manual = Manual {
            module: "omrzmq",
            statement: "action",
            summary: "rsyslog output: log lines over ZeroMQ, encrypted with CURVE",
            description: "Sends log lines to `imrzmq`, to the C module imczmq and to any ZeroMQ program. With \
                          `delivery=\"acked\"` each line is acknowledged by the receiver, and what is in doubt after a \
                          crash or a cut is sent again under the same id. `rsyslogd -N1` names every mistake in a \
                          parameter or certificate.",
            other: "imrzmq",
        };
        let page = manual.page(&rzmq_module::MODULE, &ACTION);
        assert!(is_up_to_date("packaging/man/omrzmq.5", &page).unwrap(), "run `make reference`");
    }

    #[test]
    fn no_parameter_is_declared_twice() {
        for (index, param) in ACTION.iter().enumerate() {
            let same = |other: &Param| other.name == param.name;
            assert_eq!(ACTION.iter().position(same), Some(index), "{}", param.name);
        }
    }
}
