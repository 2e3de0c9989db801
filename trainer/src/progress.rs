//! Rank 0's progress over HTTP: `/progress` (JSON) and `/metrics` (Prometheus text), GET only. Nothing here can hold a run up: one thread,
//! one connection at a time, two seconds and four kilobytes each.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use mixbench_crds::event::Body;
use serde_json::json;

use crate::report::{Latest, Reporter};

const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST_REQUEST: u64 = 4096;

/// Serves the newest of what `reporter` was told, of the run with this id, on all interfaces.
///
/// # Errors
/// The port cannot be listened on.
pub fn serve(port: u16, run: String, reporter: Reporter) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(&stream, &run, &reporter);
        }
    });
    Ok(())
}

fn answer(mut stream: &TcpStream, run: &str, reporter: &Reporter) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut part = [0; 1024];
    let mut limited = stream.take(LONGEST_REQUEST);
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match limited.read(&mut part)? {
            0 => break,
            n => request.extend_from_slice(&part[..n]),
        }
    }
    let line = request.split(|b| *b == b'\r').next().unwrap_or_default();
    stream.write_all(respond(&String::from_utf8_lossy(line), run, &reporter.latest()).as_bytes())
}

/// The whole response to a request line.
fn respond(line: &str, run: &str, latest: &Latest) -> String {
    let mut words = line.split(' ');
    let (status, kind, body) = match (words.next(), words.next()) {
        (Some("GET"), Some("/progress")) => ("200 OK", "application/json", progress(run, latest)),
        (Some("GET"), Some("/metrics")) => ("200 OK", "text/plain; version=0.0.4", metrics(run, latest)),
        (Some("GET"), Some(_)) => ("404 Not Found", "text/plain", "/progress or /metrics\n".into()),
        _ => ("405 Method Not Allowed", "text/plain", "GET only\n".into()),
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn progress(run: &str, latest: &Latest) -> String {
    json!({"run": run, "started": latest.started, "epoch": latest.epoch, "progress": latest.progress}).to_string()
}

fn metrics(run: &str, latest: &Latest) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: f64| {
        let name = format!("mixbench_run_{name}");
        // Run ids are DNS labels: nothing in them needs escaping.
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{run=\"{run}\"}} {value}").expect("a string");
    };
    let finished = latest.epoch.as_ref().map_or(0, |e| e.score.epoch);
    gauge("epochs", "Epochs finished.", f64::from(finished));
    if let Some(epoch) = &latest.epoch {
        let n = epoch.n.max(1) as f64;
        gauge("top1_ratio", "Top-1 of the last validation, 0 to 1.", epoch.score.correct1 as f64 / n);
        gauge("top5_ratio", "Top-5 of the last validation, 0 to 1.", epoch.score.correct5 as f64 / n);
        gauge("train_loss", "Mean training loss of the last epoch.", epoch.train_loss);
        gauge("learning_rate", "Learning rate of the last epoch's last step.", epoch.lr);
    }
    if let Some(started) = &latest.started {
        gauge("processes", "Processes of the run.", f64::from(started.world_size));
        gauge("steps", "Optimizer steps of an epoch.", started.steps as f64);
    }
    if let Some(Body::Progress { step, images_per_second, .. }) = &latest.progress {
        gauge("step", "Optimizer steps finished of the running epoch.", *step as f64);
        gauge("images_per_second", "Training images per second.", *images_per_second);
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn latest() -> Latest {
        let progress = Body::Progress { epoch: 2, step: 7, steps: 31, images_per_second: 612.5 };
        Latest { progress: Some(progress), ..Latest::default() }
    }

    #[test]
    fn progress_is_json_and_metrics_are_prometheus_text() {
        let response = respond("GET /progress HTTP/1.1", "r-1", &latest());
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((value["run"].as_str(), value["progress"]["step"].as_u64()), (Some("r-1"), Some(7)));
        let response = respond("GET /metrics HTTP/1.1", "r-1", &latest());
        assert!(response.contains("\nmixbench_run_images_per_second{run=\"r-1\"} 612.5\n"), "{response}");
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(respond("GET /etc/passwd HTTP/1.1", "r", &latest()).starts_with("HTTP/1.1 404"));
        assert!(respond("POST /progress HTTP/1.1", "r", &latest()).starts_with("HTTP/1.1 405"));
        assert!(respond("", "r", &latest()).starts_with("HTTP/1.1 405"));
    }

    #[test]
    fn an_endless_request_is_cut() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(&vec![b'x'; LONGEST_REQUEST as usize]).unwrap();
        answer(&listener.accept().unwrap().0, "r", &Reporter::none()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 405"));
    }
}
