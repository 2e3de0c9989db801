//! Watches that pass through the proxy, line by line.

use std::collections::BTreeSet;

use axum::body::{Body, BodyDataStream, Bytes};
use futures::StreamExt;
use tokio::sync::{broadcast, mpsc, watch};

use super::Order;
use crate::support::said::status_json;

/// A watch's body, which obeys orders and stands still while its resource is frozen.
pub(super) fn relay(
    resource: String,
    upstream: BodyDataStream,
    orders: broadcast::Receiver<Order>,
    frozen: watch::Receiver<BTreeSet<String>>,
) -> Body {
    let (send, receive) = mpsc::channel(1024);
    tokio::spawn(pump(resource, upstream, orders, frozen, send));
    let lines = futures::stream::unfold(receive, |mut receive| async {
        let line: Bytes = receive.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(line), receive))
    });
    Body::from_stream(lines)
}

async fn pump(
    resource: String,
    mut upstream: BodyDataStream,
    mut orders: broadcast::Receiver<Order>,
    mut frozen: watch::Receiver<BTreeSet<String>>,
    out: mpsc::Sender<Bytes>,
) {
    let mut rest = Vec::new();
    let mut past: Vec<Bytes> = Vec::new();
    loop {
        let held = frozen.borrow_and_update().contains(&resource);
        let mut say = Vec::new();
        tokio::select! {
            chunk = upstream.next(), if !held => {
                let Some(Ok(chunk)) = chunk else { return };
                rest.extend_from_slice(&chunk);
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    say.push(Bytes::from(rest.drain(..=end).collect::<Vec<u8>>()));
                }
                past.extend_from_slice(&say);
            }
            order = orders.recv() => match order {
                Ok(Order::Replay) => say.clone_from(&past),
                Ok(Order::Expire) => {
                    let gone = format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", status_json(410));
                    out.send(gone.into()).await.ok();
                    return;
                }
                Ok(Order::Cut) | Err(_) => return,
            },
            thawed = frozen.changed() => if thawed.is_err() { return },
            () = out.closed() => return,
        }
        for line in say {
            if out.send(line).await.is_err() {
                return;
            }
        }
    }
}
