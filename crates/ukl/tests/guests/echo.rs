//! The small server of these tests, and clients for it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::OnceLock;

use ukl::image::folder::Image;
use ukl::manifest::Manifest;

use crate::world::{built, manifest_of, Done, World, PATIENCE};

/// Guests in the background leave their files in folders of their own: all tests boot it where it lies.
fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let manifest = Manifest { ready: Some(5555), ..manifest_of("echo.c") };
        built(&manifest).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// `ukl run` of the server, with these options in front.
pub fn run(world: &World, words: &[&str]) -> Done {
    let folder = image().dir.root().to_str().unwrap();
    world.ukl(&[&["run", "--accel", "tcg", "--out", folder], words].concat())
}

/// A port of this machine that nobody uses.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A connection that does not wait for ever.
pub fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address.parse().unwrap(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// What the server at `address` answers to the datagram `text`. One that gets lost is sent again.
pub fn echo_datagram(address: &str, text: &[u8]) -> std::io::Result<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE / 10))?;
    let mut answer = vec![0; text.len() + 1];
    let mut ask = || socket.send(text).and_then(|_| socket.recv(&mut answer));
    let size = (0..9).find_map(|_| ask().ok()).map_or_else(&mut ask, Ok)?;
    answer.truncate(size);
    Ok(answer)
}

/// What the server at `address` answers to `text`.
pub fn echo(address: &str, text: &str) -> std::io::Result<String> {
    let mut stream = connect(address)?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
