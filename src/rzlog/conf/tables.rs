//! The modules, and the names of their parameters.

/// One of the four modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Module {
    Imczmq,
    Omczmq,
    Imrzmq,
    Omrzmq,
}

use Module::{Imczmq, Imrzmq, Omczmq, Omrzmq};

const TRUST: &[&str] = &["authtype", "authenticator", "servercertpath", "clientcertpath"];

/// Of `module(load="imrzmq")` and `module(load="omrzmq")`.
const GENERAL: &[&str] =
    &["iothreads", "authtype", "authenticator", "servercertpath", "clientcertpath", "allowednames"];

/// Of `input(type="imczmq")`, as 8.2302 has it.
const INPUT_CZMQ: &[&str] = &["endpoints", "socktype", "ruleset", "topics"];

/// Of `action(type="omczmq")`, as 8.2302 has it, without its numbers.
const ACTION_CZMQ: &[&str] =
    &["endpoints", "socktype", "template", "topics", "topicframe", "dynatopic"];

/// Its numbers; what is none of them means 0 to it.
pub(super) const NUMBERS_CZMQ: &[&str] = &[
    "sendhwm",
    "heartbeatttl",
    "heartbeativl",
    "heartbeattimeout",
    "connecttimeout",
    "sendtimeout",
];

/// Of both statements of ours.
const INSTANCE: &[&str] = &[
    "endpoints",
    "name",
    "topics",
    "authtype",
    "authenticator",
    "servercertpath",
    "clientcertpath",
    "allowednames",
    "ipv6",
    "tcpkeepalive",
    "tcpkeepaliveidle",
    "tcpkeepaliveintvl",
    "tcpkeepalivecnt",
    "heartbeativl",
    "heartbeattimeout",
    "heartbeatttl",
    "connecttimeout",
    "reconnectivl",
    "reconnectivlmax",
    "handshakeivl",
    "maxconnections",
    "maxconnectionsperkey",
    "maxfailuresperaddress",
    "maxmsgsize",
    "linger",
    "socktype",
];

const INPUT: &[&str] = &[
    "ruleset",
    "rcvhwm",
    "flowcontrol",
    "ratelimit.interval",
    "ratelimit.burst",
    "ratelimit.name",
    "ratelimit.perpeer.interval",
    "ratelimit.perpeer.burst",
    "minfree",
    "minfree.path",
    "maxsessions",
    "maxsessionsperkey",
    "metadata",
    "trustrelays",
    "enforcehost",
    "earlyparse",
];

const ACTION: &[&str] = &[
    "template",
    "topicframe",
    "dynatopic",
    "sndhwm",
    "sendhwm",
    "sendtimeout",
    "immediate",
    "pub.nodrop",
    "pub.numbered",
    "delivery",
    "compress",
    "ids",
    "relay",
    "refusedfile",
    "target.order",
];

/// Which statement of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// `module(load="…")`
    Module,
    /// `input(type="…")`, `action(type="…")`
    Instance,
}

impl Module {
    /// The module that `load="…"` or `$ModLoad` names: by its name, its file's, or a path.
    pub(crate) fn loaded_as(text: &str) -> Option<Module> {
        let name = text.rsplit('/').next()?;
        Module::named(name.strip_suffix(".so").unwrap_or(name))
    }

    fn named(name: &str) -> Option<Module> {
        [Imczmq, Omczmq, Imrzmq, Omrzmq].into_iter().find(|module| module.name() == name)
    }

    /// The module that a statement is of.
    pub(crate) fn of_type(word: &str, text: &str) -> Option<Module> {
        // rsyslog compares without regard to capitals
        let module = Module::named(&text.to_ascii_lowercase())?;
        (module.word() == word).then_some(module)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Imczmq => "imczmq",
            Omczmq => "omczmq",
            Imrzmq => "imrzmq",
            Omrzmq => "omrzmq",
        }
    }

    /// The word of its statements.
    pub(crate) fn word(self) -> &'static str {
        if self.is_output() { "action" } else { "input" }
    }

    pub(crate) fn is_output(self) -> bool {
        matches!(self, Omczmq | Omrzmq)
    }

    /// One of rsyslog's C modules.
    pub(crate) fn is_czmq(self) -> bool {
        matches!(self, Imczmq | Omczmq)
    }

    /// The one of ours in its place.
    pub(crate) fn successor(self) -> Module {
        match self {
            Imczmq | Imrzmq => Imrzmq,
            Omczmq | Omrzmq => Omrzmq,
        }
    }

    /// The names of its parameters, in small letters.
    fn own(self, level: Level) -> [&'static [&'static str]; 2] {
        match (self, level) {
            (Imczmq | Omczmq, Level::Module) => [TRUST, &[]],
            (Imrzmq | Omrzmq, Level::Module) => [GENERAL, &[]],
            (Imczmq, Level::Instance) => [INPUT_CZMQ, &[]],
            (Omczmq, Level::Instance) => [ACTION_CZMQ, NUMBERS_CZMQ],
            (Imrzmq, Level::Instance) => [INSTANCE, INPUT],
            (Omrzmq, Level::Instance) => [INSTANCE, ACTION],
        }
    }

    /// Whether a parameter is the module's, not rsyslog's.
    pub(crate) fn has_of_its_own(self, level: Level, name: &str) -> bool {
        self.own(level).iter().any(|names| names.contains(&name))
    }

    /// Whether the module, or rsyslog, knows a parameter of its statements.
    pub(crate) fn knows(self, level: Level, name: &str) -> bool {
        let of_rsyslog = match level {
            _ if name == "config.enabled" => true,
            Level::Module => name == "load",
            Level::Instance if self.is_output() => {
                matches!(name, "type" | "name")
                    || name.starts_with("action.")
                    || name.starts_with("queue.")
            }
            Level::Instance => name == "type",
        };
        of_rsyslog || self.has_of_its_own(level, name)
    }

    /// The parameter that was probably meant.
    pub(crate) fn meant(self, level: Level, name: &str) -> Option<&'static str> {
        let known = self.own(level).into_iter().flatten().copied();
        closest(
            name,
            known.chain(
                ["type", "load", "name"].into_iter().filter(|known| self.knows(level, known)),
            ),
        )
    }
}

/// The word that is written nearly so.
pub(crate) fn closest(
    written: &str,
    known: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    // a hostile name is not compared
    let written = Some(written.to_ascii_lowercase()).filter(|it| (3..=40).contains(&it.len()))?;
    let scored = known
        .map(|known| (strsim::damerau_levenshtein(&written, &known.to_ascii_lowercase()), known));
    let (distance, known) = scored.min()?;
    (distance <= written.len() / 3).then_some(known)
}

/// `on` and `off`, as rsyslog and our modules understand them.
pub(crate) fn switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" | "1" => Some(true),
        "off" | "no" | "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The names on a page of docs/reference, of the module and of its statements.
    fn reference(page: &str) -> [BTreeSet<&str>; 2] {
        let mut parts = page.split("\n## ").skip(1).map(|part| {
            part.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect()
        });
        [parts.next().unwrap(), parts.next().unwrap()]
    }

    #[test]
    fn our_modules_have_the_parameters_of_their_reference_pages() {
        for (module, page) in [
            (Imrzmq, include_str!("../../../docs/reference/imrzmq.md")),
            (Omrzmq, include_str!("../../../docs/reference/omrzmq.md")),
        ] {
            for (level, named) in [Level::Module, Level::Instance].into_iter().zip(reference(page))
            {
                let known: BTreeSet<_> = module.own(level).into_iter().flatten().copied().collect();
                assert_eq!(known, named, "{}", module.name());
            }
        }
    }

    /// What the C modules know, ours know.
    #[test]
    fn no_parameter_is_lost() {
        for module in [Imczmq, Omczmq] {
            for level in [Level::Module, Level::Instance] {
                for name in module.own(level).into_iter().flatten() {
                    assert!(module.successor().knows(level, name), "{name}");
                }
            }
        }
    }

    #[test]
    fn nearly_right_names_are_guessed() {
        for (written, meant) in [
            ("endpoint", Some("endpoints")),
            ("sockettype", Some("socktype")),
            ("severcertpath", Some("servercertpath")),
            ("topic", Some("topics")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(
                Omczmq.meant(Level::Instance, written).or(Omczmq.meant(Level::Module, written)),
                meant
            );
        }
        assert_eq!(closest(&"a".repeat(1 << 20), ["aaa"].into_iter()), None);
    }

    #[test]
    fn modules_are_known_by_name_file_and_path() {
        for text in ["omczmq", "omczmq.so", "/usr/lib/rsyslog/omczmq.so"] {
            assert_eq!(Module::loaded_as(text), Some(Omczmq), "{text}");
        }
        assert_eq!(Module::loaded_as("OMCZMQ"), None);
        assert_eq!(Module::of_type("action", "OmCzmq"), Some(Omczmq));
        assert_eq!(Module::of_type("input", "omczmq"), None);
    }
}
