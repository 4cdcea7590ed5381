//! Threads, panics that unwind through frames with destructors, collections, and a server on tokio with its clients.

use std::collections::BTreeMap;
use std::panic;
use std::sync::mpsc;
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct Noisy(&'static str);

impl Drop for Noisy {
    fn drop(&mut self) {
        println!("{} is dropped", self.0);
    }
}

fn fails(depth: u32) -> u32 {
    let _noisy = Noisy(if depth == 0 { "inner" } else { "outer" });
    if depth == 0 {
        panic!("too deep");
    }
    fails(depth - 1) + 1
}

/// What was thrown, as a text.
fn reason(thrown: Box<dyn std::any::Any + Send>) -> String {
    thrown.downcast_ref::<&str>().map_or("something else".to_owned(), |text| text.to_string())
}

fn threads() {
    let (sender, receiver) = mpsc::channel();
    let workers: Vec<_> = (0..4u64)
        .map(|number| {
            let sender = sender.clone();
            thread::spawn(move || {
                let caught = (0..250).filter(|_| panic::catch_unwind(|| panic!("again")).is_err()).count();
                sender.send((number, caught)).unwrap();
                assert!(number != 3, "the last one fails");
            })
        })
        .collect();
    drop(sender);
    let results: BTreeMap<u64, usize> = receiver.iter().collect();
    println!("{results:?}");
    let failed = workers.into_iter().map(|worker| worker.join()).filter_map(Result::err);
    println!("{} thread failed: {}", 1, failed.map(reason).collect::<Vec<_>>().join(", "));
}

/// Answers each line of a client in capitals.
async fn serve(listener: TcpListener) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut text = vec![0; 64];
            let length = client.read(&mut text).await.unwrap();
            client.write_all(text[..length].to_ascii_uppercase().as_slice()).await.unwrap();
        });
    }
}

async fn ask(port: u16, text: String) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::main(worker_threads = 2)]
async fn network() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(serve(listener));
    let clients: Vec<_> = (0..20).map(|number| tokio::spawn(ask(port, format!("client {number}")))).collect();
    for client in clients {
        println!("{}", client.await.unwrap());
    }
}

fn main() {
    panic::set_hook(Box::new(|_| ()));
    println!("caught: {}", reason(panic::catch_unwind(|| fails(1)).unwrap_err()));
    threads();
    network();
}
