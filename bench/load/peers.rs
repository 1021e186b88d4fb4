//! Sockets with CURVE keys.

use std::error::Error;
use std::fs;
use std::path::Path;

/// A socket that connects with the key of peer `number`.
pub(crate) fn connect(
    context: &zmq::Context,
    kind: zmq::SocketType,
    keys: &Path,
    number: usize,
    port: u16,
) -> Result<zmq::Socket, Box<dyn Error>> {
    let server = fs::read_to_string(keys.join("server"))?;
    let own = fs::read_to_string(keys.join(format!("{number}_secret")))?;
    let socket = context.socket(kind)?;
    socket.set_curve_serverkey(&key(&server, "public-key")?)?;
    socket.set_curve_publickey(&key(&own, "public-key")?)?;
    socket.set_curve_secretkey(&key(&own, "secret-key")?)?;
    socket.set_linger(0)?;
    // Without a mark: a SUB drops the subscriptions beyond it without a word.
    socket.set_sndhwm(0)?;
    socket.set_rcvhwm(0)?;
    socket.connect(&format!("tcp://127.0.0.1:{port}"))?;
    Ok(socket)
}

/// A socket that publishes as the server, to whoever knows its key.
pub(crate) fn publish(
    context: &zmq::Context,
    keys: &Path,
    port: u16,
) -> Result<zmq::Socket, Box<dyn Error>> {
    let own = fs::read_to_string(keys.join("server_secret"))?;
    let socket = context.socket(zmq::PUB)?;
    socket.set_curve_server(true)?;
    socket.set_curve_secretkey(&key(&own, "secret-key")?)?;
    socket.bind(&format!("tcp://127.0.0.1:{port}"))?;
    Ok(socket)
}

/// The value of a certificate's field.
fn key(certificate: &str, name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let line = certificate.lines().find(|line| line.trim_start().starts_with(name));
    let text = line.and_then(|line| line.split('"').nth(1)).ok_or(format!("no {name}"))?;
    Ok(zmq::z85_decode(text)?)
}
