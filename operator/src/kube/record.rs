//! The last word of a container, which may be anything: it is believed only where every part of it is what this attempt would have said.

use mixbench_crds::event::{Body, Event, EventError, TERMINATION_LIMIT};
use mixbench_crds::result::{ResultError, RunResult};
use mixbench_crds::run::Run;

use crate::status::text::quoted;

/// Most of a message that cannot be believed that is shown, in characters.
const SHOWN: usize = 80;
/// Largest number that every reader of JSON keeps exactly.
const EXACT: u64 = 1 << 53;
/// Longest training in seconds that is believed: thirty years.
const LONGEST: f64 = 1e9;
/// Longest texts in bytes: fingerprint, device, libtorch, checkpoint.
const LENGTHS: [usize; 4] = [64, 128, 64, 256];
/// Most validations of a result whose run is not planned any more.
const MOST_SCORES: usize = 64;

/// Who must have said it.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// UID of the benchmark.
    pub owner: &'a str,
    /// Id of the run.
    pub run: &'a str,
    /// Number of the attempt.
    pub attempt: u32,
    /// The run as it is planned, if it still is.
    pub planned: Option<&'a Run>,
}

/// Why a last word is not believed.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum WordError {
    /// Too long to be ours.
    #[error("it has {0} bytes, more than {TERMINATION_LIMIT}: {1}")]
    TooLong(usize, String),
    /// No event.
    #[error("{0}: {1}")]
    NoEvent(EventError, String),
    /// An event that nobody says last.
    #[error("it is no last word: {0}")]
    NotLast(String),
    /// Another run's, attempt's or benchmark's.
    #[error("its {field} is {found} and not {wanted}")]
    Stranger {
        /// Which part.
        field: &'static str,
        /// What stands there, in quotes.
        found: String,
        /// What should.
        wanted: String,
    },
    /// A result that contradicts itself.
    #[error("{0}")]
    Impossible(#[from] ResultError),
    /// A result that this run cannot have.
    #[error("the result's {field} is {found}; {wanted}")]
    OutOfRange {
        /// Which part.
        field: &'static str,
        /// What stands there.
        found: String,
        /// What could.
        wanted: String,
    },
}

/// Reads a termination message; none where there is none.
///
/// # Errors
/// [`WordError`]; what it shows of the message is harmless.
pub fn last_word(message: &str, expected: Expected<'_>) -> Result<Option<Body>, WordError> {
    if message.trim().is_empty() {
        return Ok(None);
    }
    if message.len() > TERMINATION_LIMIT {
        return Err(WordError::TooLong(message.len(), quoted(message, SHOWN)));
    }
    let event = Event::parse(message.trim_end()).map_err(|e| WordError::NoEvent(e, quoted(message, SHOWN)))?;
    same("run", &event.run, expected.run)?;
    same("attempt", &event.attempt.to_string(), &expected.attempt.to_string())?;
    same("nonce", &event.nonce, &Run::nonce_of(expected.owner, expected.run, expected.attempt))?;
    match event.body {
        Body::Finished { result } => {
            believable(&result, expected)?;
            Ok(Some(Body::Finished { result }))
        }
        body @ (Body::Failed { .. } | Body::Stopped { .. }) => Ok(Some(body)),
        _ => Err(WordError::NotLast(quoted(message, SHOWN))),
    }
}

fn same(field: &'static str, found: &str, wanted: &str) -> Result<(), WordError> {
    if found == wanted {
        return Ok(());
    }
    Err(WordError::Stranger { field, found: quoted(found, SHOWN), wanted: quoted(wanted, SHOWN) })
}

/// Whether this run can have this result. It may be an earlier attempt's, told again.
fn believable(result: &RunResult, expected: Expected<'_>) -> Result<(), WordError> {
    same("result.run", &result.run, expected.run)?;
    result.check(expected.run)?;
    let out = |field, found: String, wanted: String| Err(WordError::OutOfRange { field, found, wanted });
    if result.attempt == 0 || result.attempt > expected.attempt {
        return out("attempt", result.attempt.to_string(), format!("this is attempt {}", expected.attempt));
    }
    same("result.nonce", &result.nonce, &Run::nonce_of(expected.owner, expected.run, result.attempt))?;
    for (field, number) in [("n", result.n), ("images", result.images), ("parameters", result.parameters)] {
        if number > EXACT {
            return out(field, number.to_string(), format!("at most {EXACT} can be kept exactly"));
        }
    }
    if result.train_seconds > LONGEST {
        return out("trainSeconds", format!("{:?}", result.train_seconds), format!("at most {LONGEST} are believed"));
    }
    let texts = [
        ("dataFingerprint", Some(&result.data_fingerprint)),
        ("device", Some(&result.device)),
        ("libtorch", Some(&result.libtorch)),
        ("checkpoint", result.checkpoint.as_ref()),
    ];
    for ((field, text), limit) in texts.into_iter().zip(LENGTHS) {
        let Some(text) = text else { continue };
        if text.len() > limit || text.chars().any(char::is_control) {
            return out(field, quoted(text, SHOWN), format!("at most {limit} printable bytes are believed"));
        }
    }
    let Some(planned) = expected.planned else {
        let scores = result.window.len();
        return if scores > MOST_SCORES {
            out("window", scores.to_string(), format!("at most {MOST_SCORES} scores are believed"))
        } else {
            Ok(())
        };
    };
    let training = &planned.spec.training;
    if result.metric != training.metric {
        return out("metric", result.metric.to_string(), format!("the run's is {}", training.metric));
    }
    if result.epochs != training.epochs {
        return out("epochs", result.epochs.to_string(), format!("the run has {}", training.epochs));
    }
    if result.window != result.metric.window(&result.window) {
        return out("window", result.window.len().to_string(), format!("of {} it holds the scores", training.metric));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
