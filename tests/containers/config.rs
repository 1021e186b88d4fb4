//! Configurations, as texts. A host sees its volume at /host.

use crate::lab::PORT;

/// What stands behind the modules' part on every host.
const BASE: &str = r#"global(workDirectory="/host/work")
main_queue(queue.workerThreads="1" queue.size="1000000" queue.timeoutShutdown="20000")
module(load="impstats" interval="1" format="json" log.syslog="off" log.file="/host/stats.json")
module(load="imptcp")
input(type="imptcp" path="/host/feed.sock")
"#;

/// A queue that survives a kill.
pub const DISK: &str = "queue.type=\"Disk\" queue.filename=\"q\" queue.checkpointInterval=\"1\" \
                        queue.size=\"1000000\" queue.timeoutEnqueue=\"60000\" queue.timeoutShutdown=\"10000\"";

/// A whole configuration.
pub fn whole(parts: &[&str]) -> String {
    format!("{BASE}{}\n", parts.join("\n"))
}

/// A connection that is dead is found out soon.
pub const HEARTBEATS: &str = "heartbeativl=\"500\" heartbeattimeout=\"2000\"";

/// A module, ours or a C module, as a client of the host whose certificate has this name.
pub fn client(module: &str, name: &str, server: &str) -> String {
    format!(
        "module(load=\"{module}\" authtype=\"CURVECLIENT\" servercertpath=\"/host/keys/{server}\" \
         clientcertpath=\"/host/keys/{name}\")"
    )
}

/// A module, ours or a C module, as a server with the certificate of this name.
pub fn server(module: &str, name: &str) -> String {
    format!(
        "module(load=\"{module}\" authtype=\"CURVESERVER\" authenticator=\"on\" \
         servercertpath=\"/host/keys/{name}\" clientcertpath=\"/host/allowed\")"
    )
}

/// An acknowledged action.
pub fn acked(endpoints: &str, more: &str) -> String {
    format!(
        "action(type=\"omrzmq\" name=\"out\" socktype=\"DEALER\" delivery=\"acked\" {HEARTBEATS} \
         endpoints=\"{endpoints}\" action.resumeRetryCount=\"-1\" {more})"
    )
}

/// A ruleset `remote` that writes id, host and text of each line to /host/out.log. Its queue is Direct: an
/// acknowledged line is in the file. imczmq makes lines of the identities of a ROUTER's peers, too.
pub fn archive(id: &str) -> String {
    format!(
        "template(name=\"kept\" type=\"string\" string=\"%{id}% %hostname% %msg%\\n\")\n\
         ruleset(name=\"remote\" queue.type=\"Direct\") {{ if $msg contains \"n=\" then \
         action(type=\"omfile\" file=\"/host/out.log\" template=\"kept\" flushOnTXEnd=\"on\" asyncWriting=\"off\") }}"
    )
}

/// An input of imrzmq for acknowledged and other senders.
pub fn router(more: &str) -> String {
    format!(
        "input(type=\"imrzmq\" name=\"in\" ruleset=\"remote\" socktype=\"ROUTER\" \
         endpoints=\"tcp://*:{PORT}\" metadata=\"on\" {HEARTBEATS} {more})"
    )
}
