//! How long a call may take, what is asked again, and after which pause. Pure.

use std::time::Duration;

use http::{Response, StatusCode, header};

use super::Call;

/// Time-outs and repeats of calls to the API server.
///
/// A read is repeated after a failure of the server or of the way to it. A write is repeated only where the server says that it did not
/// take it (429, or 503 with `Retry-After`): anything else may have happened, and the next turn looks before it writes again. A watch is
/// left to the watcher, which has its own back-off, unless the server says when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A request for one object, answer included. Kubernetes promises 99 of 100 within 1 s; it must end well below the Lease's renew
    /// deadline of 10 s, so that no write of an old leader is under way when a new one begins.
    pub request: Duration,
    /// A list, or the beginning of a watch. Kubernetes promises 99 of 100 within 30 s.
    pub list: Duration,
    /// All repeats of a call and the pauses between them; what the server asks for beyond it is left to the caller.
    pub total: Duration,
    /// Repeats of a read that failed, besides those that the server asks for.
    pub repeats: u32,
    /// The first pause; it doubles with every repeat, up to [`Self::longest_pause`].
    pub pause: Duration,
    /// The longest pause of our own choice.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(5),
            list: Duration::from_secs(30),
            total: Duration::from_secs(30),
            repeats: 3,
            pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(4),
        }
    }
}

impl Patience {
    /// How long one request of this call may take.
    pub fn limit(&self, call: &Call) -> Duration {
        match call.verb {
            "list" | "watch" | "deletecollection" => self.list,
            _ => self.request,
        }
    }

    /// The pause before the request is repeated; none where it is not. `elapsed` counts from the call's first request; `dice` is from
    /// [0, 1) and spreads callers that fail together.
    pub fn wait<B>(
        &self,
        call: &Call,
        answer: &Result<Response<B>, kube::Error>,
        repeats: u32,
        elapsed: Duration,
        dice: f64,
    ) -> Option<Duration> {
        let pause = self.pause.saturating_mul(1 << repeats.min(16)).min(self.longest_pause);
        // Between half and all of the pause: spread, and never at once.
        let own = pause.mul_f64(dice.mul_add(0.5, 0.5));
        let asked = answer.as_ref().ok().and_then(retry_after);
        let wait = match answer.as_ref().map(Response::status) {
            Ok(StatusCode::TOO_MANY_REQUESTS) => asked.map_or(own, |asked| asked + own),
            Ok(StatusCode::SERVICE_UNAVAILABLE) if asked.is_some() => asked? + own,
            Ok(status) if status.is_server_error() && call.reads() && repeats < self.repeats => own,
            Err(_) if call.reads() && repeats < self.repeats => own,
            _ => return None,
        };
        (elapsed + wait < self.total).then_some(wait)
    }
}

/// Seconds of `Retry-After`. The other form, a date, is nothing that an API server sends.
fn retry_after<B>(response: &Response<B>) -> Option<Duration> {
    let seconds: u32 = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const READ: Call = Call { verb: "get", resource: "jobs" };
    const WRITE: Call = Call { verb: "create", resource: "jobs" };
    const WATCH: Call = Call { verb: "watch", resource: "jobs" };

    type Answer = Result<Response<()>, kube::Error>;

    #[allow(clippy::unnecessary_wraps, reason = "it stands beside answers that never came")]
    fn status(code: u16, retry_after: Option<&str>) -> Answer {
        let builder = Response::builder().status(code);
        let builder = retry_after.into_iter().fold(builder, |b, after| b.header("Retry-After", after));
        Ok(builder.body(()).unwrap())
    }

    fn lost() -> Answer {
        Err(kube::Error::Service("connection refused".into()))
    }

    fn wait(call: &Call, answer: &Answer, repeats: u32) -> Option<Duration> {
        Patience::default().wait(call, answer, repeats, Duration::ZERO, 0.0)
    }

    #[test]
    fn a_read_is_repeated_a_few_times_and_a_write_is_not() {
        for answer in [status(500, None), status(503, None), status(504, None), lost()] {
            assert!(wait(&READ, &answer, 0).is_some() && wait(&READ, &answer, 2).is_some());
            assert_eq!(wait(&READ, &answer, 3), None, "three repeats are enough");
            assert_eq!(wait(&WRITE, &answer, 0), None, "it may have happened");
            assert_eq!(wait(&WATCH, &answer, 0), None, "the watcher does that");
        }
    }

    #[test]
    fn what_the_server_did_not_take_is_repeated_when_it_says() {
        for call in [READ, WRITE, WATCH] {
            for answer in [status(429, Some("2")), status(503, Some("2"))] {
                let wait = wait(&call, &answer, 7).unwrap();
                assert!(wait >= Duration::from_secs(2), "{wait:?} is sooner than the server asked for");
            }
            assert!(wait(&call, &status(429, None), 0).is_some());
        }
    }

    #[test]
    fn an_answer_is_an_answer() {
        for code in [200, 201, 400, 403, 404, 409, 410, 422] {
            assert_eq!(wait(&READ, &status(code, None), 0), None, "{code}");
        }
    }

    #[test]
    fn a_call_ends_although_the_server_asks_for_ever() {
        let patience = Patience::default();
        assert_eq!(wait(&READ, &status(429, Some("3600")), 0), None);
        assert_eq!(wait(&READ, &status(429, Some("4294967295")), 0), None);
        assert_eq!(patience.wait(&READ, &status(429, Some("1")), 0, patience.total, 0.0), None);
        for nonsense in ["-1", "soon", "99999999999999999999", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            let wait = wait(&READ, &status(429, Some(nonsense)), 0).unwrap();
            assert!(wait <= patience.pause, "{nonsense}");
        }
    }

    #[test]
    fn pauses_grow_to_a_bound_and_are_spread() {
        let patience = Patience::default();
        let all = |dice: f64| -> Vec<Duration> {
            (0..40).map(|n| patience.wait(&READ, &status(429, None), n, Duration::ZERO, dice).unwrap()).collect()
        };
        assert!(all(0.0).is_sorted() && all(0.999).iter().all(|wait| *wait <= patience.longest_pause));
        assert_eq!(all(0.0)[0], patience.pause / 2);
        assert!(all(0.999)[0] > all(0.0)[0]);
    }

    #[test]
    fn an_old_leaders_write_ends_before_a_new_leader_begins() {
        let patience = Patience::default();
        assert!(patience.limit(&WRITE) * 2 <= Duration::from_secs(10), "the Lease's renew deadline");
        assert_eq!(patience.limit(&WATCH), patience.list);
    }
}
