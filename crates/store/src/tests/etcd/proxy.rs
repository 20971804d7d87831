//! A proxy of an etcd that can hold back answers: requests arrive, but their answers do not return.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(super) struct Proxy {
    pub(super) endpoint: String,
    muted: watch::Sender<bool>,
    held: Arc<AtomicU64>,
}

impl Proxy {
    /// Starts a proxy in front of an endpoint.
    pub(super) async fn to(endpoint: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let (muted, hears) = watch::channel(false);
        let held = Arc::new(AtomicU64::new(0));
        let counter = held.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, endpoint.clone(), hears.clone(), counter.clone()));
            }
        });
        Proxy { endpoint: own, muted, held }
    }

    /// Holds answers back from now on, or releases them.
    pub(super) fn mute(&self, muted: bool) {
        self.muted.send_replace(muted);
    }

    /// Bytes of answers that were held back.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::SeqCst)
    }
}

async fn forward(client: TcpStream, endpoint: String, mut muted: watch::Receiver<bool>, held: Arc<AtomicU64>) {
    let Ok(server) = TcpStream::connect(endpoint).await else { return };
    let (mut asks, mut hears) = client.into_split();
    let (mut answers, mut asked) = server.into_split();
    let up = tokio::spawn(async move { tokio::io::copy(&mut asks, &mut asked).await });
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = answers.read(&mut bytes).await {
        if *muted.borrow() {
            held.fetch_add(count as u64, Ordering::SeqCst);
        }
        if muted.wait_for(|muted| !muted).await.is_err() || hears.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
    up.abort();
}
