//! The parameters of `input(type="imrzmq")`.

use rzmq_host::{Kind, Param, join};
use rzmq_module::{INSTANCE, socket_type};

/// As many sessions as a file of marks ever holds.
pub(crate) const MOST_SESSIONS: i64 = 1_000_000;

const fn param(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Param {
    Param { name, kind, default, required: false, help }
}

const OWN: [Param; 17] = [
    socket_type(
        &["PULL", "SUB", "ROUTER", "GATHER", "DISH", "SERVER"],
        "The ZeroMQ socket type. GATHER, DISH and SERVER need a libzmq built with its draft API.",
    ),
    param(
        "ruleset",
        Kind::Text,
        "",
        "The ruleset that the lines go to; not written: the default one.",
    ),
    param(
        "rcvhwm",
        Kind::Number(0, i32::MAX as i64),
        "1000",
        "Messages that libzmq holds for one peer; 0 = without limit.",
    ),
    param(
        "flowcontrol",
        Kind::Choice(&["full", "light", "no"]),
        "full",
        "What happens while rsyslog's queue is full. `full`: wait, so that the senders wait too and \
         nothing is lost; `light`: wait a second a line; `no`: lines are lost after the queue's own \
         time-out.",
    ),
    param(
        "ratelimit.interval",
        Kind::Number(0, 86_400),
        "0",
        "Seconds over which the lines of this input are counted; 0 = no limit.",
    ),
    param(
        "ratelimit.burst",
        Kind::Number(1, u32::MAX as i64),
        "10000",
        "Lines let through in an interval; the rest is discarded and counted.",
    ),
    param(
        "ratelimit.name",
        Kind::Text,
        "",
        "Instead of these two: the name of a `ratelimit()` object, where the release has them (8.2608).",
    ),
    param(
        "ratelimit.perpeer.interval",
        Kind::Number(0, 86_400),
        "0",
        "Seconds over which the lines of each sender are counted; 0 = no limit. A sender is its key; \
         without CURVE, its address.",
    ),
    param(
        "ratelimit.perpeer.burst",
        Kind::Number(1, u32::MAX as i64),
        "10000",
        "Lines of one sender let through in an interval. Best-effort lines beyond that are discarded and \
         counted; an acknowledged sender keeps them and waits.",
    ),
    param(
        "maxsessions",
        Kind::Number(1, MOST_SESSIONS),
        "65536",
        "Sessions of acknowledged delivery that a ROUTER remembers, 96 bytes each in its file of marks.",
    ),
    param(
        "maxsessionsperkey",
        Kind::Number(1, MOST_SESSIONS),
        "1024",
        "Of these, sessions of one key. One more takes the place of the one that its key has not spoken in \
         for longest, if that is a minute; else it is refused.",
    ),
    param(
        "minfree",
        Kind::Number(0, 1 << 40),
        "0",
        "MiB that must be free for acknowledged lines to be taken; below that their senders are told to wait, \
         and keep them. 0 = whatever is free. No queue of rsyslog and no omfile gets over a full disk without a \
         loss. [More](../guarantees.md#the-disk-of-the-receivers-queue).",
    ),
    param(
        "minfree.path",
        Kind::Text,
        "",
        "A folder on the file system that `minfree` is about: the queue's, or that of the files that are \
         written; not written: rsyslogd's work directory.",
    ),
    param(
        "metadata",
        Kind::Switch,
        "off",
        "Each line gets `$!rzmq!peer` (the name in the sender's certificate), `$!rzmq!key` (its \
         public key), `$!rzmq!address` and `$!rzmq!topic`, as far as they are known; lines of \
         acknowledged delivery also `$!rzmq!id`, `$!rzmq!resend`, and `$!rzmq!uuid` where it is carried.",
    ),
    param(
        "trustrelays",
        Kind::Switch,
        "off",
        "Senders may pass on lines of others (`relay=\"on\"` there): `$!rzmq!id` is then the first \
         sender's, and `$!rzmq!origin_peer` and `$!rzmq!origin_address` name it. Only for senders that \
         are trusted with it: they can put any id on a line.",
    ),
    param(
        "enforcehost",
        Kind::Switch,
        "off",
        "Only lines whose HOSTNAME is the name in their sender's certificate are taken, in any case of \
         letters. Others are discarded, and so are lines whose HOSTNAME cannot be determined; \
         acknowledged senders are told that they are refused. Needs `authtype=\"CURVESERVER\"` and a \
         folder in `clientcertpath`, and goes with rsyslog's default parsers. \
         [More](../operations.md#who-sent-it).",
    ),
    param(
        "earlyparse",
        Kind::Switch,
        "on",
        "Lines as RSYSLOG_ForwardFormat makes them, in printable ASCII, are parsed as they come in, which \
         costs the receiver less; what rsyslog makes of them is the same. Other lines are parsed by \
         rsyslog's parsers, and so are all where the input has a rate limit, where the ruleset names parsers \
         of its own, or where the input finds at its start that this rsyslogd would parse otherwise. [More](../operations.md#parsing).",
    ),
];

/// All of them.
pub(crate) const INPUT: [Param; INSTANCE.len() + OWN.len()] = join(&INSTANCE, &OWN);

#[cfg(test)]
mod tests {
    use super::*;
    use rzmq_module::manual::Manual;
    use rzmq_module::reference::{is_up_to_date, page};

    #[test]
    fn reference_page_says_what_the_table_says() {
        let page = page("imrzmq", "input", &rzmq_module::MODULE, &INPUT);
        assert!(is_up_to_date("docs/reference/imrzmq.md", &page).unwrap(), "run `make reference`");
    }

    #[test]
    fn man_page_says_what_the_table_says() {
        let manual = Manual {
            module: "imrzmq",
            statement: "input",
            summary: "rsyslog input: log lines over ZeroMQ, encrypted with CURVE",
            description: "Receives log lines from `omrzmq`, from the C module omczmq and from any ZeroMQ program. \
                          A ROUTER takes lines of acknowledged delivery (`delivery=\"acked\"` of `omrzmq`) and others \
                          side by side. `rsyslogd -N1` names every mistake in a parameter or certificate.",
            other: "omrzmq",
        };
        let page = manual.page(&rzmq_module::MODULE, &INPUT);
        assert!(is_up_to_date("packaging/man/imrzmq.5", &page).unwrap(), "run `make reference`");
    }

    #[test]
    fn no_parameter_is_declared_twice() {
        for (index, param) in INPUT.iter().enumerate() {
            let same = |other: &Param| other.name == param.name;
            assert_eq!(INPUT.iter().position(same), Some(index), "{}", param.name);
        }
    }
}
