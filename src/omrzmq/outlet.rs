//! How one log line becomes messages on the socket: byte for byte what omczmq sends, but for numbers.
//!
//! | socket | topics | message |
//! |---|---|---|
//! | PUSH, DEALER, SCATTER, CLIENT | ignored | line |
//! | PUB, RADIO | none | line |
//! | PUB | `topicframe="off"` | topic and line in one frame, for each topic |
//! | PUB | `topicframe="on"` | topic, line in two frames, for each topic |
//! | PUB | `pub.numbered="on"` | topic, number, line in three frames, for each topic (docs/protocol.md) |
//! | RADIO | | line in the topic's group, for each topic |

use rzmq_link::{LinkError, Sent, Socket, SocketType};

/// The form of an action's messages.
#[derive(Debug)]
pub(crate) struct Outlet {
    form: Form,
    topics: Vec<String>,
    dynamic: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Line,
    TopicInFront,
    TopicFrame,
    Numbered,
    Group,
}

impl Outlet {
    pub(crate) fn new(
        socket_type: SocketType,
        topics: Vec<String>,
        topic_frame: bool,
        numbered: bool,
        dynamic: bool,
    ) -> Self {
        let form = match socket_type {
            _ if topics.is_empty() => Form::Line,
            SocketType::Pub if topic_frame && numbered => Form::Numbered,
            SocketType::Pub if topic_frame => Form::TopicFrame,
            SocketType::Pub => Form::TopicInFront,
            SocketType::Radio => Form::Group,
            _ => Form::Line,
        };
        Self { form, topics, dynamic }
    }

    /// The templates the action asks for beside the line's: one a dynamic topic.
    pub(crate) fn topic_templates(&self) -> &[String] {
        if self.dynamic && self.form != Form::Line { &self.topics } else { &[] }
    }

    /// Sends one line under every topic. `done` counts the topics that are sent; a call after
    /// [`Sent::Full`] goes on there, so that no topic is sent twice. `dynamic` answers the text of a
    /// dynamic topic. One that cannot be a group, and so was joined by nobody, is passed over with
    /// [`LinkError::Group`].
    pub(crate) fn send<'a>(
        &self,
        socket: &Socket,
        line: &[u8],
        dynamic: impl Fn(usize) -> &'a [u8],
        done: &mut usize,
    ) -> Result<Sent, LinkError> {
        if self.form == Form::Line {
            return socket.send(&[line]);
        }
        for index in *done..self.topics.len() {
            let topic = if self.dynamic { dynamic(index) } else { self.topics[index].as_bytes() };
            let sent = match self.form {
                Form::TopicFrame => socket.send(&[topic, line]),
                Form::Numbered => socket.send_numbered(topic, line),
                Form::Group => socket.send_group(&String::from_utf8_lossy(topic), line),
                Form::TopicInFront | Form::Line => socket.send_joined(&[topic, line]),
            };
            match sent {
                Ok(Sent::Taken) => *done += 1,
                Err(LinkError::Group(_)) => {
                    *done += 1;
                    return sent;
                }
                Ok(Sent::Full) | Err(_) => return sent,
            }
        }
        *done = 0;
        Ok(Sent::Taken)
    }
}
