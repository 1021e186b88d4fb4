//! Configurations, as texts. A host sees its volume at /host.

use crate::lab::{ARCHIVE, PORT};

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

/// The output module as a client of the archive.
pub fn client(module: &str, name: &str) -> String {
    format!(
        "module(load=\"{module}\" authtype=\"CURVECLIENT\" servercertpath=\"/host/keys/{ARCHIVE}\" \
         clientcertpath=\"/host/keys/{name}{}\")",
        // The C modules look for the secret file themselves.
        if module == "omczmq" { "" } else { "_secret" }
    )
}

/// The input module as the archive.
pub fn server(module: &str) -> String {
    format!(
        "module(load=\"{module}\" authtype=\"CURVESERVER\" authenticator=\"on\" \
         servercertpath=\"/host/keys/{ARCHIVE}{}\" clientcertpath=\"/host/allowed\")",
        if module == "imczmq" { "" } else { "_secret" }
    )
}

/// An acknowledged action.
pub fn acked(endpoints: &str, more: &str) -> String {
    format!(
        "action(type=\"omrzmq\" name=\"out\" socktype=\"DEALER\" delivery=\"acked\" \
         endpoints=\"{endpoints}\" action.resumeRetryCount=\"-1\" {more})"
    )
}

/// A ruleset `remote` that writes id, host and text of each line to /host/out.log. Its queue is Direct: an
/// acknowledged line is in the file.
pub fn archive(id: &str) -> String {
    format!(
        "template(name=\"kept\" type=\"string\" string=\"%{id}% %hostname% %msg%\\n\")\n\
         ruleset(name=\"remote\" queue.type=\"Direct\") {{ action(type=\"omfile\" file=\"/host/out.log\" \
         template=\"kept\" flushOnTXEnd=\"on\" asyncWriting=\"off\") }}"
    )
}

/// An input of imrzmq for acknowledged and other senders.
pub fn router(more: &str) -> String {
    format!(
        "input(type=\"imrzmq\" name=\"in\" ruleset=\"remote\" socktype=\"ROUTER\" \
         endpoints=\"tcp://*:{PORT}\" metadata=\"on\" {more})"
    )
}
