//! What the link has to say of an instance, as lines in rsyslogd's log.

use rzmq_host::Log;
use rzmq_link::{Notice, Notices};

/// Writes notices with the instance's prefix. The link limits their rate per cause.
#[derive(Debug)]
pub(crate) struct LogNotices {
    log: Log,
}

impl LogNotices {
    /// For the instance of this log.
    pub(crate) fn new(log: Log) -> Self {
        Self { log }
    }
}

impl Notices for LogNotices {
    fn notice(&self, notice: &Notice) {
        match notice {
            Notice::Connected { .. } => self.log.info(notice.to_string()),
            // With `-n` a stock rsyslogd shows errors alone; who was refused and who is gone is what
            // an administrator looks for.
            _ => self.log.error(notice.to_string()),
        }
    }
}
