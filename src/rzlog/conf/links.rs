//! Where a statement's socket can be reached, and whether those that meet within one configuration agree
//! on encryption.

use rzmq_link::{Endpoint, Mode};

use super::files::Configuration;
use super::finding::{Findings, Kind, Place, Report};

/// More are not compared with each other.
const LINKS_MAX: usize = 1000;

/// A statement's socket.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) place: Place,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) encrypted: bool,
}

/// Whether others than this host can reach an endpoint, or are reached by it.
pub(crate) fn leaves_the_host(endpoint: &Endpoint) -> bool {
    match endpoint.address.split_once("://") {
        Some(("tcp", address)) => {
            let (host, _) = host_and_port(address);
            let host = host.split('%').next().unwrap_or_default();
            let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
            !loopback && host != "localhost" && host != "lo"
        }
        Some(("ipc", _)) => false,
        _ => true,
    }
}

/// Of `HOST:PORT`, or of `SOURCE:PORT;HOST:PORT`.
fn host_and_port(address: &str) -> (&str, &str) {
    let target = address.rsplit(';').next().unwrap_or_default();
    let (host, port) = target.rsplit_once(':').unwrap_or((target, ""));
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// Whether one connects to what the other binds, as far as one host can tell.
fn meet(connects: &Endpoint, binds: &Endpoint) -> bool {
    if connects.mode != Mode::Connect || binds.mode != Mode::Bind {
        return false;
    }
    if connects.address == binds.address {
        return true;
    }
    let (Some(ours), Some(theirs)) =
        (connects.address.strip_prefix("tcp://"), binds.address.strip_prefix("tcp://"))
    else {
        return false;
    };
    let ((_, port), (host, other)) = (host_and_port(ours), host_and_port(theirs));
    let here = !leaves_the_host(connects);
    here && port == other && (host == "*" || host == "0.0.0.0" || !leaves_the_host(binds))
}

/// Tells of links with CURVE on one side only.
pub(crate) fn disagreements(
    links: &[Link],
    configuration: &Configuration,
    findings: &mut Findings,
) {
    let links = links.get(..LINKS_MAX).unwrap_or(links);
    let binding = links.iter().filter(|link| link.endpoints.iter().any(|it| it.mode == Mode::Bind));
    let binding: Vec<_> = binding.collect();
    for link in links {
        for endpoint in link.endpoints.iter().filter(|endpoint| !leaves_the_host(endpoint)) {
            let other = binding.iter().find(|other| {
                other.encrypted != link.encrypted
                    && other.endpoints.iter().any(|binds| meet(endpoint, binds))
            });
            let Some(other) = other else { continue };
            let (ours, theirs) =
                if link.encrypted { ("CURVE", "plaintext") } else { ("plaintext", "CURVE") };
            let sentence = format!(
                "speaks {ours} to {}, where {}:{} speaks {theirs}: no line gets through",
                endpoint.address,
                configuration.path(&other.place).display(),
                other.place.line
            );
            let mut report = Report { source: link.place.source, findings };
            report.tell(link.place.line, Kind::Broken, sentence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rzmq_link::parse_endpoints;

    fn endpoint(text: &str) -> Endpoint {
        parse_endpoints(text, Mode::Bind).unwrap().remove(0)
    }

    #[test]
    fn what_stays_on_the_host_is_known() {
        for (text, leaves) in [
            ("tcp://127.0.0.1:1", false),
            ("tcp://127.3.2.1:1", false),
            ("tcp://localhost:1", false),
            ("tcp://[::1]:1", false),
            ("tcp://::1:1", false),
            ("ipc:///run/x", false),
            (">tcp://eth0:0;127.0.0.1:1", false),
            ("tcp://*:1", true),
            ("tcp://0.0.0.0:1", true),
            ("tcp://10.0.0.1:1", true),
            ("tcp://eth0:1", true),
            (">tcp://loghost:1", true),
            ("tcp://[::]:1", true),
        ] {
            assert_eq!(leaves_the_host(&endpoint(text)), leaves, "{text}");
        }
    }

    #[test]
    fn who_meets_whom() {
        for (connects, binds, expected) in [
            (">tcp://127.0.0.1:1", "@tcp://*:1", true),
            (">tcp://localhost:1", "@tcp://127.0.0.1:1", true),
            (">tcp://localhost:1", "@tcp://127.0.0.1:2", false),
            (">tcp://localhost:1", "@tcp://10.0.0.1:1", false),
            (">tcp://loghost:1", "@tcp://*:1", false),
            (">ipc:///a", "@ipc:///a", true),
            (">ipc:///a", "@ipc:///b", false),
            ("@ipc:///a", "@ipc:///a", false),
        ] {
            assert_eq!(meet(&endpoint(connects), &endpoint(binds)), expected, "{connects} {binds}");
        }
    }
}
