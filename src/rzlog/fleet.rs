//! `rzlog keys fleet`: keys and configurations for a server, its hosts and a reader, a folder each.
//!
//! Whatever is there stays: keys because others trust them, configurations because somebody may have
//! edited them. So a fleet grows by running it again, and what would be written otherwise now is named.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::process::geteuid;
use rzmq_link::{
    Endpoint, Existing, Metadata, Mode, PublicKey, generate, is_hidden_or_backup, load_own,
    load_peer, parse_endpoints, write_pair, write_public,
};

use crate::error::{Error, Exit};
use crate::screen::{notice, say};

/// The folder of whoever looks at the logs.
const READER: &str = "reader";
/// The configuration in a host's folder, and the folder of keys beside it.
const SNIPPET: &str = "60-rzmq.conf";
const KEYS: &str = "rzmq";
/// The server's folders of those that it lets in, beside its key.
const HOSTS: &str = "hosts";
const READERS: &str = "readers";

#[derive(Args)]
pub(crate) struct Fleet {
    /// The host that receives
    #[arg(long)]
    server: String,
    /// A file with the name of a sending host in each line, or - for standard input. Blank lines and
    /// what follows a # do not count
    #[arg(long, value_name = "FILE")]
    clients: PathBuf,
    /// Where the folders go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The server's name or address as hosts and readers call it [default: the server]
    #[arg(long)]
    address: Option<String>,
    /// The port that it receives at
    #[arg(long, default_value_t = 5140)]
    port: u16,
    /// The port that it publishes at
    #[arg(long, default_value_t = 5141)]
    publish: u16,
    /// Where each host's folder will be copied to
    #[arg(long, value_name = "DIR", default_value = "/etc/rsyslog.d")]
    install: PathBuf,
    /// The file that the server writes lines to
    #[arg(long, value_name = "FILE", default_value = "/var/log/remote.log")]
    logfile: PathBuf,
}

/// Whether a host or an owner of a key may be called so: the name becomes a file's, and a server must not
/// take that for a back-up.
pub(crate) fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.len() <= 200
        && name.bytes().all(plain)
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && !name.ends_with("_secret")
        && !is_hidden_or_backup(name)
}

pub(crate) fn run(fleet: &Fleet) -> Result<Exit, Error> {
    let hosts = hosts(fleet)?;
    let address = fleet.address.as_deref().unwrap_or(&fleet.server);
    let mut ipv6 = "";
    for port in [fleet.port, fleet.publish] {
        let endpoints = parse_endpoints(&format!("tcp://{address}:{port}"), Mode::Connect)
            .map_err(|error| Error::Usage(error.to_string()))?;
        if endpoints.iter().any(Endpoint::needs_ipv6) {
            ipv6 = " ipv6=\"on\"";
        }
    }
    if fleet.port == fleet.publish {
        return Err(Error::Usage("--port and --publish are the same: two sockets need two".into()));
    }
    for path in [&fleet.install, &fleet.logfile] {
        let text = path.to_str().unwrap_or("\"");
        if !path.is_absolute() || text.contains(['"', '\\', '\n', '%']) {
            let text = path.display();
            return Err(Error::Usage(format!("{text}: must be an absolute path without quotes")));
        }
    }
    folder(&fleet.out, 0o700)?;
    ours_alone(&fleet.out)?;
    let mut made = 0;
    let server = &fleet.server;
    // that is what a whole run writes last
    let grows = fleet.out.join(server).join(SNIPPET).exists();
    let (server_key, new) = pair(&fleet.out.join(server).join(KEYS), server)?;
    made += usize::from(new);
    let to = |host: &str| fleet.out.join(host);
    for host in &hosts {
        made += usize::from(member(fleet, &server_key, host, HOSTS)?);
        text(&to(host).join(SNIPPET), &sender(fleet, address, ipv6, host))?;
    }
    tell_of_former(&fleet.out.join(server).join(KEYS).join(HOSTS), &hosts)?;
    made += usize::from(member(fleet, &server_key, READER, READERS)?);
    text(&to(READER).join("config.toml"), &profile(fleet, address))?;
    text(&to(server).join(SNIPPET), &receiver(fleet, ipv6))?;
    // A fleet that grows: what has been edited or replaced on the server since stays there.
    let (whose, part) = match grows {
        false => ("each host's folder", String::new()),
        true => (
            "each new host's folder, and of the server's the hosts' keys,",
            format!("{KEYS}/{HOSTS}/"),
        ),
    };
    // not -a: it would give the folder there, such as /etc/rsyslog.d, to who owns the one here
    say(&format!(
        "{made} new keys. Copy {whose} to its {install}, for example\n  \
         rsync -r {out}/{server}/{part} root@{server}:{install}/{part}\nand {out}/{READER}/ to ~/.config/rzlog/ of \
         whoever shall read: rzlog tail HOST PROGRAM\nThe folders hold secrets: remove {out} when they \
         are where they belong, or keep it as safe as them.",
        install = fleet.install.display(),
        out = fleet.out.display(),
    ))?;
    Ok(Exit::DONE)
}

fn hosts(fleet: &Fleet) -> Result<BTreeSet<String>, Error> {
    let text = if fleet.clients == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().take(64 << 20).read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(&fleet.clients)
    };
    let text = text.map_err(Error::file(&fleet.clients))?;
    let refused = |name: &str, why: &str| {
        Err(Error::Usage(format!("\"{}\" {why}", name.escape_debug().take(80).collect::<String>())))
    };
    let bad = "cannot be a host here: its name becomes a file's, of letters, digits, - _ and ., and not one \
               that a server passes over, such as x.bak";
    if !is_file_name(&fleet.server) {
        return refused(&fleet.server, bad);
    }
    if [HOSTS, READERS].contains(&fleet.server.as_str()) {
        return refused(
            &fleet.server,
            "is a folder beside the server's key; it cannot be called so",
        );
    }
    let mut hosts = BTreeSet::new();
    for line in text.lines() {
        let name = line.split('#').next().unwrap_or_default().trim();
        if name.is_empty() {
            continue;
        }
        if !is_file_name(name) {
            return refused(name, bad);
        }
        if name == READER || fleet.server == READER {
            return refused(
                READER,
                "is the folder of who reads the logs; no host can be called so",
            );
        }
        if name == fleet.server {
            return refused(name, "is the server; it does not send to itself");
        }
        if !hosts.insert(name.to_owned()) {
            return refused(name, "stands twice among the clients");
        }
    }
    if hosts.is_empty() {
        return Err(Error::Usage(format!("{}: no host in it", fleet.clients.display())));
    }
    Ok(hosts)
}

/// The folder of a host or reader: its own pair, the server's public key; and its public key among
/// those that the server lets in. Answers whether the pair is new.
fn member(fleet: &Fleet, server_key: &PublicKey, name: &str, allowed: &str) -> Result<bool, Error> {
    // a reader's keys lie beside its profile
    let keys =
        if name == READER { fleet.out.join(READER) } else { fleet.out.join(name).join(KEYS) };
    let (key, new) = pair(&keys, name)?;
    public(&keys.join(&fleet.server), server_key, &fleet.server)?;
    let list = fleet.out.join(&fleet.server).join(KEYS).join(allowed);
    folder(&list, 0o755)?;
    ours_alone(&list)?;
    public(&list.join(name), &key, name)?;
    Ok(new)
}

/// Who was taken off the list is let in until its key is gone, here and where it was copied to.
fn tell_of_former(allowed: &Path, hosts: &BTreeSet<String>) -> Result<(), Error> {
    let entries = fs::read_dir(allowed).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut names: Vec<_> =
        entries.map_err(Error::file(allowed))?.iter().map(fs::DirEntry::file_name).collect();
    names.sort();
    for name in names {
        let text = name.to_string_lossy();
        if !hosts.contains(&*text) && !is_hidden_or_backup(&text) {
            notice(&format!(
                "{text} is let in and not in the list, which is of all hosts: if it is to go, remove {} here and on \
                 the server",
                allowed.join(&name).display()
            ));
        }
    }
    Ok(())
}

/// Makes a folder, with this mode whatever the umask is: rsyslogd may be somebody else. One that is there
/// keeps its own.
fn folder(path: &Path, mode: u32) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        folder(above, mode)?;
    }
    fs::DirBuilder::new()
        .mode(mode)
        .create(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .map_err(Error::file(path))
}

/// Somebody else's key here would become the server's, or be let in.
fn ours_alone(path: &Path) -> Result<(), Error> {
    let there = fs::metadata(path).map_err(Error::file(path))?;
    let (owner, own, path) = (there.uid(), geteuid().as_raw(), path.display());
    if owner != own {
        return Err(Error::Usage(format!(
            "{path} is user {owner}'s, and you are {own}: run it as that user, or name another --out, for a key \
             there may be somebody else's"
        )));
    }
    if there.mode() & 0o022 != 0 {
        return Err(Error::Usage(format!(
            "others can write {path}, so that a key there may be theirs: look, and take the right from them \
             (chmod go-w), or name another --out"
        )));
    }
    Ok(())
}

fn named(name: &str) -> Metadata {
    vec![("name".to_owned(), name.to_owned())]
}

/// The pair in this folder, and whether it is new.
fn pair(keys: &Path, name: &str) -> Result<(PublicKey, bool), Error> {
    folder(keys, 0o755)?;
    ours_alone(keys)?;
    let (path, secret) = (keys.join(name), keys.join(format!("{name}_secret")));
    if let Some(there) = [&secret, &path].into_iter().find(|it| it.exists()) {
        ours_alone(there)?;
        return Ok((load_own(&path)?.public, false));
    }
    let pair = generate()?;
    write_pair(&path, &pair, &named(name), Existing::Keep)?;
    Ok((pair.public, true))
}

/// Somebody's public key in a file; one that is there must be the same.
fn public(path: &Path, key: &PublicKey, name: &str) -> Result<(), Error> {
    if !path.exists() {
        return Ok(write_public(path, key, &named(name), Existing::Keep)?);
    }
    if load_peer(path)?.public == *key {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{} holds another key than the one that {name} has: these folders do not belong together",
        path.display()
    )))
}

/// A file that stays if it is there; one that would be another now is named.
fn text(path: &Path, text: &str) -> Result<(), Error> {
    match fs::read(path) {
        Ok(there) if there == text.as_bytes() => Ok(()),
        Ok(_) => {
            notice(&format!(
                "{} stays as it is, and is not what would be written now; remove it to have it made anew",
                path.display()
            ));
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_whole(path, text).map_err(Error::file(path))
        }
        Err(error) => Err(Error::file(path)(error)),
    }
}

/// Never half of it: that would be there, and stay. What is beside it is no `.conf` to rsyslogd.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = fs::File::create(&beside)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

fn sender(fleet: &Fleet, address: &str, ipv6: &str, host: &str) -> String {
    let (keys, server, port) = (fleet.install.join(KEYS), &fleet.server, fleet.port);
    format!(
        r#"# {host} sends every line to {server}, encrypted; a line leaves the queue when {server} has it.
# Made by rzlog keys fleet.
module(load="omrzmq" authtype="CURVECLIENT"
       servercertpath="{keys}/{server}" clientcertpath="{keys}/{host}_secret")
action(type="omrzmq" name="to-{server}" socktype="DEALER" delivery="acked"
       endpoints="tcp://{address}:{port}"{ipv6}
       queue.type="Disk" queue.filename="to-{server}" queue.size="500000"
       queue.checkpointInterval="1" queue.timeoutShutdown="10000" queue.timeoutEnqueue="2000000")
"#,
        keys = keys.display()
    )
}

fn receiver(fleet: &Fleet, ipv6: &str) -> String {
    let (keys, server) = (fleet.install.join(KEYS), &fleet.server);
    let (port, publish) = (fleet.port, fleet.publish);
    format!(
        r#"# {server} receives the lines of the hosts whose certificates are in {keys}/hosts, writes them to
# a file, and publishes them, topic HOST.PROGRAM., to who has a certificate in {keys}/readers.
# Made by rzlog keys fleet.
module(load="imrzmq" authtype="CURVESERVER"
       servercertpath="{keys}/{server}_secret" clientcertpath="{keys}/hosts")
module(load="omrzmq" authtype="CURVESERVER"
       servercertpath="{keys}/{server}_secret" clientcertpath="{keys}/readers")
template(name="rzmq-topic" type="string" string="%hostname%.%programname%.")
input(type="imrzmq" name="from-hosts" socktype="ROUTER" endpoints="tcp://*:{port}"{ipv6} ruleset="rzmq-hosts")
ruleset(name="rzmq-readers") {{
    action(type="omrzmq" name="to-readers" socktype="PUB" endpoints="tcp://*:{publish}"{ipv6}
           topics="rzmq-topic" dynatopic="on" topicframe="on" pub.numbered="on"
           queue.type="LinkedList" queue.size="50000" queue.timeoutShutdown="10000")
}}
ruleset(name="rzmq-hosts" queue.type="Direct") {{
    action(type="omfile" file="{log}")
    call rzmq-readers
}}
# what rsyslogd here says of itself, such as whose key it refuses; it hears that with imuxsock, or with
# global(processInternalMessages="on")
if $syslogfacility-text == "syslog" then call rzmq-readers
"#,
        keys = keys.display(),
        log = fleet.logfile.display()
    )
}

fn profile(fleet: &Fleet, address: &str) -> String {
    let (server, publish) = (&fleet.server, fleet.publish);
    format!(
        r#"# Profiles of rzlog tail: this one is used where none is named. Made by rzlog keys fleet.
[profiles.default]
endpoints = ["tcp://{address}:{publish}"]
servercertpath = "{server}"
clientcertpath = "{READER}_secret"
"#
    )
}
