//! The proxy as a library. What each behaviour does is shown in `e2e/instruments.test.mjs`.

use std::io::ErrorKind;
use std::net::SocketAddr;

use sessile_instruments::fault_proxy::{Behaviour, DropReply, FaultProxy, Script, Step, Then, Until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers each byte by the next one.
async fn start_counter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(byte) = client.read_u8().await {
                    client.write_u8(byte + 1).await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    address
}

async fn ask(client: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
    client.write_u8(byte).await?;
    client.read_u8().await
}

/// When `set` returns, the very next connection meets the behaviour: the port is closed, or open again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_behaviour_is_in_force_when_it_is_set() {
    let proxy = FaultProxy::start(start_counter().await).await.unwrap();
    for round in 0..100 {
        proxy.set(Behaviour::Closed).await;
        let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "round {round}");
        proxy.set(Behaviour::Pass).await;
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut client, 1).await.unwrap(), 2, "round {round}");
    }
    let counters = proxy.counters();
    assert_eq!((counters.connections, counters.request_bytes, counters.reply_bytes), (100, 100, 100));
}

/// A script goes on by itself, with no connection lost between its steps. A dropped proxy leaves nothing that listens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_runs_to_its_last_step() {
    let proxy = FaultProxy::start(start_counter().await).await.unwrap();
    let drop_reply = Behaviour::DropReply(DropReply { then: Then::Close, ..DropReply::default() });
    let steps = vec![
        Step { behaviour: drop_reply, until: Some(Until::DroppedReplies(1)) },
        Step { behaviour: Behaviour::Corrupt { after: 0, bytes: 1 }, until: Some(Until::ReplyBytes(1)) },
        Step { behaviour: Behaviour::Pass, until: None },
    ];
    proxy.run(Script::new(steps).unwrap()).await;
    assert_eq!(proxy.steps_left(), 2);
    let connect = async || TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut connect().await, 1).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    let mut client = connect().await;
    assert_eq!((ask(&mut client, 1).await.unwrap(), ask(&mut client, 1).await.unwrap()), (!2, 2));
    assert_eq!((proxy.steps_left(), proxy.behaviour()), (0, Behaviour::Pass));
    let address = proxy.address();
    drop(proxy);
    client.read_u8().await.unwrap_err();
    assert!(TcpStream::connect(address).await.is_err());
}
