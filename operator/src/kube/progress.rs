//! How far a live run is: rank 0's `/progress`, pulled. Whoever answers is not trusted: one request, one connection, two seconds, 64 KiB, no
//! redirect, and numbers within their ranges. Nothing depends on it; results come by the termination message alone.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mixbench_crds::benchmark::RunProgress;
use mixbench_crds::event::{Body, Epoch, Started};
use mixbench_crds::metric::percent;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a pull may take, from the look at the network to the last byte.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Longest answer in bytes, head included.
pub const LONGEST: u64 = 64 * 1024;

/// Most epochs, steps and images per second that are believed.
const MOST: f64 = 1e9;

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Epochs finished.
    pub epoch: u32,
    /// Part of the running epoch's steps that are done, 0 to 1.
    pub part: f64,
    /// Top-1 of the last validation in percent; it may fall again, and the run's metric rule may pick another.
    pub top1: Option<f64>,
    /// Training images per second over all processes.
    pub images_per_second: Option<f64>,
    /// Seconds of an epoch with its validation, from the last one, or from the speed where none is finished.
    pub epoch_seconds: Option<f64>,
}

impl Progress {
    /// What is left of `epochs`, where the speed is known.
    pub fn eta(&self, epochs: u32) -> Option<Duration> {
        let left = (f64::from(epochs) - f64::from(self.epoch) - self.part).max(0.0);
        Duration::try_from_secs_f64(left * self.epoch_seconds?).ok()
    }

    /// The same as a row of the status shows it, of a run of `epochs`.
    pub fn row(&self, epochs: u32) -> RunProgress {
        #[allow(clippy::cast_sign_loss, reason = "both are within 0 and 1e9")]
        let whole = |value: f64| value.round() as u32;
        RunProgress {
            epoch: self.epoch,
            top1: self.top1.map(percent),
            images_per_second: self.images_per_second.map(whole),
            eta_seconds: self.eta(epochs).map(|eta| u32::try_from(eta.as_secs()).unwrap_or(u32::MAX)),
        }
    }
}

/// Why nothing is known. The name of a variant is a metric's label and a log's field.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ProgressError {
    /// Nobody listens there, or the connection broke.
    #[error("{0}")]
    Connection(#[from] io::Error),
    /// Slower than [`PATIENCE`].
    #[error("no whole answer within {} s", PATIENCE.as_secs())]
    TimedOut,
    /// Longer than [`LONGEST`].
    #[error("the answer is longer than {LONGEST} bytes")]
    TooLong,
    /// Not 200; redirects are not followed.
    #[error("status {0} instead of 200")]
    Status(u16),
    /// Not HTTP, not JSON, not progress.
    #[error("not progress: {0}")]
    Malformed(String),
    /// Of another run.
    #[error("progress of another run than {0}")]
    WrongRun(String),
}

/// Pulls the progress of `run` from its rank 0. The caller names the address of a pod that is its own.
///
/// # Errors
/// [`ProgressError`]; all are for the log only.
pub async fn pull(address: SocketAddr, run: &str) -> Result<Progress, ProgressError> {
    let answer = tokio::time::timeout(PATIENCE, get(address)).await.map_err(|_| ProgressError::TimedOut)??;
    parse(body(&answer)?, run)
}

async fn get(address: SocketAddr) -> Result<Vec<u8>, ProgressError> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET /progress HTTP/1.1\r\nHost: {address}\r\nAccept: application/json\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST + 1).read_to_end(&mut answer).await?;
    if answer.len() as u64 > LONGEST { Err(ProgressError::TooLong) } else { Ok(answer) }
}

/// The body of a whole answer that ended with the connection, as the trainer's answers do.
fn body(answer: &[u8]) -> Result<&[u8], ProgressError> {
    let malformed = |what: &str| ProgressError::Malformed(what.to_owned());
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| malformed("no end of the head"))?;
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| malformed("a head that is no text"))?;
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    match status {
        Some(200) => {}
        Some(other) => return Err(ProgressError::Status(other)),
        None => return Err(malformed("no HTTP status")),
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let body = &answer[end + 4..];
    match length {
        Some(Ok(length)) if length <= body.len() => Ok(&body[..length]),
        Some(_) => Err(malformed("cut short")),
        None => Ok(body),
    }
}

/// What the trainer serves; fields of a newer one are ignored.
#[derive(Deserialize)]
struct Served {
    run: String,
    #[serde(default)]
    started: Option<Started>,
    #[serde(default)]
    epoch: Option<Epoch>,
    #[serde(default)]
    progress: Option<Body>,
}

fn parse(body: &[u8], run: &str) -> Result<Progress, ProgressError> {
    let served: Served = serde_json::from_slice(body).map_err(|e| ProgressError::Malformed(e.to_string()))?;
    if served.run != run {
        return Err(ProgressError::WrongRun(run.to_owned()));
    }
    let out_of_range = |what: &str| ProgressError::Malformed(format!("{what} is out of range"));
    let known = |what: &str, value: f64| {
        if (0.0..=MOST).contains(&value) { Ok(value) } else { Err(out_of_range(what)) }
    };
    let mut progress = Progress::default();
    if let Some(epoch) = &served.epoch {
        if epoch.n == 0 || epoch.score.correct1 > epoch.n {
            return Err(out_of_range("top-1"));
        }
        progress.epoch = epoch.score.epoch;
        progress.top1 = Some(100.0 * epoch.score.correct1 as f64 / epoch.n as f64);
        let seconds = known("trainSeconds", epoch.train_seconds)? + known("evalSeconds", epoch.eval_seconds)?;
        progress.epoch_seconds = Some(seconds);
        progress.images_per_second = Some(epoch.images as f64 / epoch.train_seconds).filter(|v| *v <= MOST);
    }
    if let Some(Body::Progress { epoch, step, steps, images_per_second }) = served.progress {
        let speed = known("imagesPerSecond", images_per_second)?;
        progress.images_per_second = Some(speed);
        // What was said inside an epoch that has ended since says nothing of the running one.
        if epoch >= progress.epoch && step <= steps && steps > 0 {
            progress.epoch = epoch;
            progress.part = step as f64 / steps as f64;
        }
        if progress.epoch_seconds.is_none() && speed > 0.0 {
            progress.epoch_seconds = served.started.as_ref().map(|s| s.train_images as f64 / speed);
        }
    }
    known("epoch", f64::from(progress.epoch))?;
    Ok(progress)
}

#[cfg(test)]
mod tests;
