//! Where `kluster up` listens, and under which name it is reached.

use super::kluster::{Running, free_port, start, up};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

/// All of 127.0.0.0/8 is this machine, so another address of it stands for another network.
const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn reached(address: Ipv4Addr, port: u16) -> bool {
    TcpStream::connect(SocketAddr::from((address, port))).is_ok()
}

async fn answers(running: &Running) {
    let one: i64 = running.client().await.query("select 1").strong().fetch_one().await.unwrap();
    assert_eq!(one, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_listens_on_this_machine_only_unless_told() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let running = up(dir.path(), port, &["--nodes", "1"]).await;
    assert_eq!(running.bootstrap, format!("127.0.0.1:{port}"));
    assert!(reached(HERE, port) && !reached(ELSEWHERE, port));
    assert!(!running.words().contains("whoever reaches that"), "{}", running.words());
    running.drained().await;

    let running = up(dir.path(), port, &["--listen", "127.0.0.2"]).await;
    assert_eq!(running.bootstrap, format!("127.0.0.2:{port}"));
    assert!(reached(ELSEWHERE, port) && !reached(HERE, port));
    answers(&running).await;
    running.drained().await;

    let running = up(dir.path(), port, &["--listen", "0.0.0.0"]).await;
    assert_eq!(running.bootstrap, format!("127.0.0.1:{port}"));
    assert!(reached(ELSEWHERE, port) && reached(HERE, port));
    assert!(running.words().contains("It listens on 0.0.0.0: whoever reaches that"), "{}", running.words());
    running.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_the_advertised_name() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let running = up(dir.path(), port, &["--nodes", "1", "--listen", "0.0.0.0", "--advertise", "127.0.0.3"]).await;
    assert_eq!(running.bootstrap, format!("127.0.0.3:{port}"), "the port is the one listened on");
    answers(&running).await;
    running.drained().await;
    let running = up(dir.path(), port, &["--advertise", &format!("localhost:{port}")]).await;
    assert_eq!(running.bootstrap, format!("localhost:{port}"));
    answers(&running).await;
    running.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_had_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (flags, code, words) in [
        // TEST-NET-3: nobody's address.
        (["--listen", "203.0.113.1"], 8, "203.0.113.1"),
        (["--advertise", "http://here"], 2, "is no HOST or HOST:PORT"),
        (["--advertise", "here"], 2, "nobody can know the port"),
    ] {
        let (ended, said) = start(dir.path(), 0, &flags).fails().await;
        assert_eq!(ended, code, "{flags:?}: {said}");
        assert!(said.contains(words), "{flags:?}: {said}");
    }
}
