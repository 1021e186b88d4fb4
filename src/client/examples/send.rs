//! Sends lines to an imrzmq and says how many it has acknowledged.
//!
//! Words: the endpoint, the server's public certificate, one's own secret one, and lines. For example
//! `send tcp://loghost:5140 loghost web1_secret '<13>1 - web1 my-program - - - hello'`

use std::error::Error;
use std::time::Duration;

use rzlog_client::{AckedSender, Credentials};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, server, own, lines @ ..] = words.as_slice() else {
        return Err("words: ENDPOINT SERVERCERT CLIENTCERT LINE...".into());
    };
    let keys = Credentials::curve(server, own);
    let mut sender = AckedSender::connect(endpoint, &keys, "my program")?;
    let lines: Vec<_> = lines.iter().map(String::as_bytes).collect();
    sender.offer(&lines);
    let all = sender.finish(Duration::from_secs(10))?;
    let refused = sender.take_refused();
    println!("{} acknowledged", sender.settled() - refused.len() as u64);
    for line in &refused {
        eprintln!("refused for good, {}: {:?}", line.reason, String::from_utf8_lossy(&line.text));
    }
    if !all {
        return Err(format!("{} not acknowledged in time", sender.unsettled()).into());
    }
    Ok(())
}
