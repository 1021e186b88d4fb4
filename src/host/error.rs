//! What a module's method answers when it cannot do what was asked.

/// A sentence for the log of rsyslogd that names what is wrong and what to do.
///
/// The entry point that receives it writes it with the instance's prefix and turns it into
/// rsyslog's return code; a method may answer several, so that an administrator sees every
/// mistake of a statement at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    sentences: Vec<String>,
}

impl Error {
    /// One sentence.
    pub fn new(sentence: impl ToString) -> Self {
        Self { sentences: vec![sentence.to_string()] }
    }

    /// Several sentences.
    pub fn from_list(sentences: Vec<String>) -> Self {
        Self { sentences }
    }

    /// The sentences, in the order in which the mistakes were found.
    pub fn sentences(&self) -> &[String] {
        &self.sentences
    }
}
