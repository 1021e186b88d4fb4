//! Prints the lines of publishers, each with its host and program, and on standard error what happened to the
//! connections: where lines are missing is known.
//!
//! Words: endpoints with commas between them, the server's public certificate, one's own secret one, and what
//! topics begin with; without any, all lines. For example
//! `read tcp://loghost:5141 loghost reader_secret web1.nginx.`

use std::error::Error;

use rzlog_client::{Credentials, Event, Incoming, Line, Subscriber};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [endpoints, server, own, topics @ ..] = words.as_slice() else {
        return Err("words: ENDPOINTS SERVERCERT CLIENTCERT [TOPIC...]".into());
    };
    let keys = Credentials::curve(server, own);
    let mut subscriber = Subscriber::connect(endpoints, &keys, topics)?;
    for incoming in subscriber.iter() {
        match incoming? {
            Incoming::Line(message) => {
                let line = Line::parse(message.topic.as_deref(), &message.text);
                let [host, program] = [line.host, line.program].map(|it| shown(it.unwrap_or(b"-")));
                println!("{host} {program}: {}", shown(line.message));
            }
            Incoming::Event(Event::Lost { endpoint }) => eprintln!("gap: {endpoint} is gone"),
            Incoming::Event(Event::Missed { endpoint, missed }) => {
                eprintln!("gap: {} lines of {endpoint} did not come", missed.lines);
            }
            Incoming::Event(event) => eprintln!("{event:?}"),
        }
    }
    Ok(())
}

/// A line may have anything in it: not as it is onto a terminal.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_debug().to_string()
}
