//! Who takes part: the two that stay, and those around them that come and go.
//!
//! ```text
//! sender  ── acked, CURVE, through a proxy ──► receiver ◄── acked, CURVE ── visitor (restarted)
//!   │ └──── PUB/SUB, CURVE, through a proxy ──►
//!   └────── acked, CURVE ──► partner (restarted)
//! ```

use std::fs;
use std::path::PathBuf;

use harness::ports::free_endpoint;
use harness::{Keys, Proxy, Rsyslogd, Site};

use crate::ledger::Ledger;

/// Heartbeats, so that a stalled connection is noticed.
const HEARTBEATS: &str = "heartbeativl=\"1000\" heartbeattimeout=\"3000\" heartbeatttl=\"3000\"";
/// Lines that an action cannot hand over at once wait here, and the others are not held up.
const QUEUE: &str =
    "queue.type=\"LinkedList\" queue.size=\"400000\" queue.timeoutShutdown=\"20000\"";
const MAIN_QUEUE: &str = "main_queue(queue.workerThreads=\"1\" queue.size=\"400000\" \
                          queue.timeoutShutdown=\"20000\")";
/// A line is in its file before it is acknowledged.
const FILE: &str = "template=\"line\" flushOnTXEnd=\"on\" asyncWriting=\"off\"";
/// Longer than the longest line of the load.
const LONGEST: &str = "maxMessageSize=\"64k\"";

/// A daemon and its folder.
pub struct Host {
    /// Its folder and configuration.
    pub site: Site,
    /// The process.
    pub daemon: Rsyslogd,
}

impl Host {
    fn start(site: Site) -> Host {
        let daemon = site.start();
        Host { site, daemon }
    }

    /// An orderly stop, and another start with what is in the folder.
    pub fn restart(&mut self) {
        self.daemon.stop().clean();
        self.daemon = self.site.start();
    }
}

/// Certificates of the receiver as its clients know it: the present one, and the one that comes next.
struct Known {
    folder: PathBuf,
}

impl Known {
    fn present(&self) -> PathBuf {
        self.folder.join("receiver")
    }

    fn next(&self) -> PathBuf {
        self.folder.join("next")
    }

    fn both(&self) -> String {
        format!("{},{}", self.present().display(), self.next().display())
    }
}

/// All of them.
pub struct Place {
    /// Stays: three actions.
    pub sender: Host,
    /// Stays: an acknowledged and a subscribing input.
    pub receiver: Host,
    /// A second sender to the receiver.
    pub visitor: Host,
    /// A second receiver for the sender.
    pub partner: Host,
    /// Between sender and receiver, acknowledged.
    pub archive: Proxy,
    /// Between publisher and subscriber.
    pub news: Proxy,
    /// The sender's lines at the receiver.
    pub archived: Ledger,
    /// The sender's lines at the subscriber.
    pub published: Ledger,
    /// The sender's lines at the partner.
    pub partnered: Ledger,
    /// The visitor's lines at the receiver.
    pub visited: Ledger,
    /// Where the receiver listens for whoever comes.
    pub endpoint: String,
    /// Its key at present.
    pub server: Keys,
    /// How many deeds were done.
    pub deeds: usize,
    known: Known,
}

impl Place {
    /// Starts all.
    pub fn new() -> Place {
        let (endpoint, news_endpoint, partner_endpoint) =
            (free_endpoint(), free_endpoint(), free_endpoint());
        let (archive, news) = (Proxy::before(&endpoint), Proxy::before(&news_endpoint));
        let keys = |name: &str| Keys::new(name);
        let (server, publisher, reader) = (keys("receiver"), keys("news"), keys("reader"));
        let (sender_keys, visitor_keys, partner_keys) =
            (keys("sender"), keys("visitor"), keys("partner"));

        let site = Site::new().without_feed();
        let known = Known { folder: site.path("public") };
        server.write_public(&known.folder);
        let allowed = site.path("allowed");
        sender_keys.write_public(&allowed);
        visitor_keys.write_public(&allowed);
        let own = site.path("keys");
        let as_server = curve_server(&server.write(&own), &allowed);
        let as_reader =
            curve_client(&publisher.write_public(&own).display().to_string(), &reader.write(&own));
        let receiver = filing(site, "%$!rzmq!peer%.log").with(&router(&endpoint, &as_server));
        let file = receiver.path("news.log").display().to_string();
        let receiver = receiver
            .with(&format!(
                "ruleset(name=\"news\" queue.type=\"Direct\") {{ action(type=\"omfile\" \
                 file=\"{file}\" {FILE}) }}"
            ))
            .with(&format!(
                "input(type=\"imrzmq\" name=\"news\" ruleset=\"news\" socktype=\"SUB\" \
                 endpoints=\"{}\" {HEARTBEATS} {as_reader})",
                news.endpoint()
            ));

        let site = Site::new().without_feed();
        let allowed = site.path("allowed");
        sender_keys.write_public(&allowed);
        let as_server = curve_server(&partner_keys.write(&site.path("keys")), &allowed);
        let partner = filing(site, "sender.log").with(&router(&partner_endpoint, &as_server));

        let site = Site::new();
        let own = site.path("keys");
        let certificate = sender_keys.write(&own);
        let to_receiver = curve_client(&known.both(), &certificate);
        let to_partner =
            curve_client(&partner_keys.write_public(&own).display().to_string(), &certificate);
        let readers = site.path("readers");
        reader.write_public(&readers);
        let to_readers = curve_server(&publisher.write(&own), &readers);
        let sender = sending(site)
            .with(&acked("archive", &archive.endpoint(), &to_receiver))
            .with(&acked("partner", &partner_endpoint, &to_partner))
            .with(&format!(
                "action(type=\"omrzmq\" name=\"news\" socktype=\"PUB\" \
                 endpoints=\"{news_endpoint}\" {HEARTBEATS} {to_readers})"
            ));

        let site = Site::new();
        let certificate = visitor_keys.write(&site.path("keys"));
        let visitor = sending(site).with(&acked(
            "archive",
            &endpoint,
            &curve_client(&known.both(), &certificate),
        ));

        for site in [&receiver, &partner, &sender, &visitor] {
            site.check().accepts();
        }
        Place {
            archived: Ledger::of(receiver.path("sender.log")),
            published: Ledger::of(receiver.path("news.log")),
            visited: Ledger::of(receiver.path("visitor.log")),
            partnered: Ledger::of(partner.path("sender.log")),
            receiver: Host::start(receiver),
            partner: Host::start(partner),
            sender: Host::start(sender),
            visitor: Host::start(visitor),
            archive,
            news,
            endpoint,
            server,
            deeds: 0,
            known,
        }
    }

    /// All of them must still run.
    pub fn alive(&mut self) {
        for host in [&mut self.sender, &mut self.receiver, &mut self.visitor, &mut self.partner] {
            host.daemon.assert_alive();
        }
    }

    /// Reads what has arrived, everywhere.
    pub fn read(&mut self) {
        for ledger in
            [&mut self.archived, &mut self.published, &mut self.partnered, &mut self.visited]
        {
            ledger.read();
        }
    }

    /// HUP to the receiver as logrotate sends it: its files are gone, and it makes new ones.
    pub fn rotate_files(&mut self) {
        for file in ["sender.log", "visitor.log", "news.log", "stats.json"] {
            let _ = fs::remove_file(self.receiver.site.path(file));
        }
        self.receiver.daemon.hup();
    }

    /// HUP to the sender; its counters begin a new file.
    pub fn hup_sender(&self) {
        let _ = fs::remove_file(self.sender.site.path("stats.json"));
        self.sender.daemon.hup();
    }

    /// The receiver gets another key, as docs/operations.md describes it; half of it.
    pub fn replace_key(&mut self) {
        let new = Keys::new("receiver");
        let coming = new.write(&self.receiver.site.path("coming"));
        fs::copy(&coming, self.known.folder.join("coming")).expect("the next certificate");
        fs::rename(self.known.folder.join("coming"), self.known.next())
            .expect("the next certificate");
        let own = self.receiver.site.path("keys/receiver");
        for end in ["_secret", ""] {
            fs::rename(format!("{}{end}", coming.display()), format!("{}{end}", own.display()))
                .expect("the new key");
        }
        self.server = new;
    }

    /// Gives each folder another name, under which nobody removes it, and says which, and what the daemon logged at
    /// the last.
    pub fn keep(&self) {
        for (name, host) in [
            ("sender", &self.sender),
            ("receiver", &self.receiver),
            ("visitor", &self.visitor),
            ("partner", &self.partner),
        ] {
            eprintln!("{}", host.daemon);
            let folder = host.site.path("");
            let kept = format!("{}.{name}", folder.display().to_string().trim_end_matches('/'));
            match fs::rename(&folder, &kept) {
                Ok(()) => eprintln!("soak: {name}: {kept}"),
                Err(error) => eprintln!("soak: {name}: its folder is lost: {error}"),
            }
        }
    }

    /// The other half: at the clients the next certificate is the present one.
    pub fn settle_key(&self) {
        fs::rename(self.known.next(), self.known.present()).expect("the present certificate");
    }

    /// Somebody else's certificate comes and goes.
    pub fn change_list(&self) {
        let file = Keys::new("guest").write_public(&self.receiver.site.path("allowed"));
        fs::remove_file(file).expect("the guest's certificate");
    }
}

fn curve_server(own: &std::path::Path, allowed: &std::path::Path) -> String {
    format!(
        "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
        own.display(),
        allowed.display()
    )
}

fn curve_client(servers: &str, own: &std::path::Path) -> String {
    format!(
        "authtype=\"CURVECLIENT\" servercertpath=\"{servers}\" clientcertpath=\"{}\"",
        own.display()
    )
}

/// A site with the input module, and a ruleset that writes each line to a file of this name.
fn filing(site: Site, file: &str) -> Site {
    let path = site.path(file).display().to_string();
    site.global(LONGEST)
        .with("module(load=\"imrzmq\")")
        .with(&format!("template(name=\"file\" type=\"string\" string=\"{path}\")"))
        .with("template(name=\"line\" type=\"string\" string=\"%msg%\\n\")")
        .with(&format!(
            "ruleset(name=\"remote\" queue.type=\"Direct\") {{ action(type=\"omfile\" \
             dynaFile=\"file\" {FILE}) }}"
        ))
}

fn router(endpoint: &str, trust: &str) -> String {
    format!(
        "input(type=\"imrzmq\" name=\"in\" ruleset=\"remote\" socktype=\"ROUTER\" \
         endpoints=\"{endpoint}\" metadata=\"on\" {HEARTBEATS} {trust})"
    )
}

/// A site with the output module.
fn sending(site: Site) -> Site {
    site.global(LONGEST).with(MAIN_QUEUE).with("module(load=\"omrzmq\")")
}

fn acked(name: &str, endpoint: &str, trust: &str) -> String {
    format!(
        "action(type=\"omrzmq\" name=\"{name}\" endpoints=\"{endpoint}\" socktype=\"DEALER\" \
         delivery=\"acked\" compress=\"zstd\" action.resumeRetryCount=\"-1\" {QUEUE} {HEARTBEATS} {trust})"
    )
}
