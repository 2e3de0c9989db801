//! How attempts ended, as whoever started them saw it.

use jiff::Timestamp;
use mixbench_crds::exit::Exit;
use mixbench_crds::layout::RunDir;
use serde::{Deserialize, Serialize};

use super::{HistoryError, read_if_there};

/// The end of an attempt: a line of `attempts.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When that was seen.
    pub at: Timestamp,
    /// Its exit; none where it was killed, or ended with a code that is not ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Its last words.
    pub message: String,
}

/// The ends that were written down, in order. A torn line is as none: what it would say is found out again.
///
/// # Errors
/// [`HistoryError`], but not for a file that does not exist.
pub fn read_ends(dir: &RunDir) -> Result<Vec<Ended>, HistoryError> {
    let bytes = read_if_there(&dir.attempts())?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::at(dir.path());
        let ended = Ended { attempt: 1, at: Timestamp::UNIX_EPOCH, exit: Some(Exit::Data), message: "no".into() };
        let line = serde_json::to_string(&ended).unwrap();
        std::fs::write(run.attempts(), format!("{line}\n{{\"attempt\":")).unwrap();
        assert_eq!(read_ends(&run).unwrap(), [ended]);
    }
}
