//! Laws over random histories of a small cluster: Jobs, pods and the status change behind the operator's back, its caches lag, and it dies between any two writes.
//!
//! Two attempts of a run never live at once, a recorded result is never lost, changed or run again, no end that is charged is forgotten, nothing is recorded
//! that no attempt really said, and in the end everything comes to an end.

use mixbench_crds::exit::Exit;
use mixbench_crds::result::RunResult;
use proptest::prelude::*;

use super::fixture::*;
use super::*;
use crate::decide::policy::{Budget, budget};
use crate::decide::{Action, decide};
use crate::status::record::results;
use crate::status::{Context, status};

/// Something that happens.
#[derive(Clone, Debug)]
enum Happening {
    /// The operator takes a turn and dies after so many writes, of which the status is the first.
    Turn {
        survives: usize,
    },
    /// A cache catches up.
    Jobs,
    Pods,
    Benchmark,
    /// Time passes, and the cache of pods is never that late.
    Clock {
        seconds: i64,
    },
    /// A trainer ends.
    End {
        which: usize,
        how: End,
    },
    /// The Job controller does its work.
    Controller,
    /// Somebody deletes a Job, with its pods at once or later.
    DeleteJob {
        which: usize,
        foreground: bool,
    },
    /// Somebody suspends the benchmark, or lets it go on.
    Suspend(bool),
    /// Somebody else's Job takes the next name of a run.
    Foreign {
        which: usize,
    },
    /// Somebody removes the status.
    Wipe,
}

/// How a trainer ends.
#[derive(Clone, Debug)]
enum End {
    Result,
    Garbage,
    Nothing,
    Says(Exit),
    Stopped,
    Killed,
    Evicted,
}

fn happening() -> impl Strategy<Value = Happening> {
    let end = prop_oneof![
        3 => Just(End::Result),
        1 => Just(End::Garbage),
        1 => Just(End::Nothing),
        2 => proptest::sample::select(vec![Exit::Collective, Exit::Io, Exit::Diverged, Exit::OutOfMemory]).prop_map(End::Says),
        1 => Just(End::Stopped),
        1 => Just(End::Killed),
        1 => Just(End::Evicted),
    ];
    prop_oneof![
        12 => (0_usize..6).prop_map(|survives| Happening::Turn { survives }),
        4 => Just(Happening::Jobs),
        4 => Just(Happening::Pods),
        8 => Just(Happening::Benchmark),
        4 => (2_i64..200).prop_map(|seconds| Happening::Clock { seconds }),
        6 => (any::<usize>(), end).prop_map(|(which, how)| Happening::End { which, how }),
        6 => Just(Happening::Controller),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, foreground)| Happening::DeleteJob { which, foreground }),
        1 => any::<bool>().prop_map(Happening::Suspend),
        1 => any::<usize>().prop_map(|which| Happening::Foreign { which }),
        1 => Just(Happening::Wipe),
    ]
}

/// What the API server has of one attempt.
#[derive(Clone, Debug)]
struct Child {
    run: usize,
    attempt: u32,
    job: Option<Job>,
    pod: Option<Pod>,
    ours: bool,
}

impl Child {
    /// Whether its pod runs.
    fn works(&self) -> bool {
        self.ours && self.pod.as_ref().is_some_and(|p| !pods::is_over(p))
    }

    /// Whether it works, or will as soon as the Job controller comes to it.
    fn lives(&self) -> bool {
        let whole = |job: &Job| job.metadata.deletion_timestamp.is_none() && !ended_job(job);
        self.works() || (self.ours && self.job.as_ref().is_some_and(whole))
    }
}

fn job_name(run: usize, attempt: u32) -> String {
    names::job_name("quickstart", UID, &the_plan().runs[run].run.id, attempt)
}

fn ended_job(job: &Job) -> bool {
    job.status.as_ref().is_some_and(|s| s.conditions.is_some())
}

/// The cluster, the caches, and a witness of the laws.
struct World {
    now: i64,
    /// The resource as it is, and how often it was written.
    truth: (MixupBenchmark, u64),
    children: BTreeMap<String, Child>,
    cached: (MixupBenchmark, u64),
    jobs: Vec<Arc<Job>>,
    pods: Vec<Arc<Pod>>,
    said: Vec<RunResult>,
    recorded: BTreeMap<String, RunResult>,
    charged: BTreeSet<(String, u32)>,
}

impl World {
    fn new(storage: bool) -> Self {
        let benchmark = benchmark(storage);
        Self {
            now: 0,
            truth: (benchmark.clone(), 1),
            children: BTreeMap::new(),
            cached: (benchmark, 1),
            jobs: Vec::new(),
            pods: Vec::new(),
            said: Vec::new(),
            recorded: BTreeMap::new(),
            charged: BTreeSet::new(),
        }
    }

    fn look(&self) -> (Picture, Vec<Arc<Job>>) {
        let (mut jobs, mut pods) = (self.jobs.clone(), self.pods.clone());
        let (mut gone, mut listed, never) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let see = |jobs: &[_], pods: &[_], gone: &_, listed: &_| {
            let seen = Seen { benchmark: &self.cached.0, plan: the_plan(), jobs, pods, gone, listed, never: &never };
            observe(&seen, at(self.now)).expect("we wrote it")
        };
        for _ in 0..2 {
            for Doubt { job: name, missing, .. } in see(&jobs, &pods, &gone, &listed).doubts {
                let child = self.children.get(&name);
                match (missing, child.and_then(|c| c.job.clone())) {
                    (Missing::Pods, _) => {
                        pods.retain(|pod: &Arc<Pod>| label(pod, names::JOB_NAME) != Some(&name));
                        pods.extend(child.and_then(|c| c.pod.clone()).map(Arc::new));
                        listed.insert(name);
                    }
                    (Missing::Job, Some(job)) => jobs.push(Arc::new(job)),
                    (Missing::Job, None) => drop(gone.insert(name)),
                }
            }
        }
        let last = see(&jobs, &pods, &gone, &listed);
        assert!(last.doubts.is_empty(), "asked twice is enough: {:?}", last.doubts);
        let mut shuffled = jobs.clone();
        shuffled.reverse();
        assert_eq!(see(&shuffled, &pods, &gone, &listed).observed, last.observed, "the order of caches means nothing");
        (last, jobs)
    }

    fn turn(&mut self, survives: usize) {
        let (picture, _) = self.look();
        let decision = decide(the_plan(), &picture.observed, at(self.now));
        let progress = BTreeMap::new();
        let context =
            Context { benchmark: &self.cached.0, now: at(self.now), troubles: &picture.notes, progress: &progress };
        let after = status(the_plan(), &picture.observed, context);
        if survives == 0 || self.cached.1 != self.truth.1 {
            return;
        }
        if self.truth.0.status.as_ref() != Some(&after) {
            self.truth.0.status = Some(after);
            self.truth.1 += 1;
            self.check();
        }
        for action in decision.actions.iter().take(survives - 1) {
            self.act(action);
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Start { run, attempt } => {
                let index = the_plan().runs.iter().position(|r| r.run.id == *run).expect("planned");
                let name = job_name(index, *attempt);
                if self.children.get(&name).is_some_and(|c| c.job.is_some()) {
                    return;
                }
                assert!(!self.recorded.contains_key(run), "a recorded result is never run again");
                let others = self.children.values().filter(|c| c.run == index && c.lives());
                assert_eq!(others.count(), 0, "another attempt of {run} still lives");
                let job = started(&self.truth.0, index, *attempt, at(self.now));
                let child = Child { run: index, attempt: *attempt, job: Some(job), pod: None, ours: true };
                self.children.insert(name, child);
            }
            Action::Stop { run, attempt, .. } | Action::Kill { run, attempt } => {
                let name = names::job_name("quickstart", UID, run, *attempt);
                let now = at(self.now);
                if let Some(child) = self.children.get_mut(&name).filter(|c| c.ours) {
                    child.job = child
                        .job
                        .take()
                        .map(|j| if j.metadata.deletion_timestamp.is_some() { j } else { deleted(j, now) });
                }
            }
            Action::Record { .. } => {}
        }
    }

    /// The laws about what stands in the status.
    fn check(&mut self) {
        let status = self.truth.0.status.as_ref().expect("just written");
        let now = results(status);
        for (run, result) in &self.recorded {
            assert_eq!(now.get(run), Some(result), "a recorded result is never lost or changed");
        }
        for (run, result) in &now {
            let said = self.said.iter().any(|s| RunResult { nonce: String::new(), ..s.clone() } == *result);
            assert!(said, "nobody said what is recorded of {run}");
        }
        let ids: BTreeSet<&str> = status.runs.iter().map(|r| r.id.as_str()).collect();
        assert_eq!((ids.len(), status.runs.len()), (the_plan().runs.len(), the_plan().runs.len()));
        let paid = |row: &RunStatus| {
            let all = row.ends.iter().filter(|e| budget(e.reason) != Budget::Free);
            all.map(|e| (row.id.clone(), e.attempt)).collect::<Vec<_>>()
        };
        let charged: BTreeSet<(String, u32)> = status.runs.iter().flat_map(paid).collect();
        let forgotten = self.charged.difference(&charged).find(|(run, _)| !now.contains_key(run));
        assert_eq!(forgotten, None, "an end that is charged is never forgotten");
        (self.recorded, self.charged) = (now, charged);
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Turn { survives } => self.turn(*survives),
            Happening::Jobs => self.jobs = self.children.values().filter_map(|c| c.job.clone().map(Arc::new)).collect(),
            Happening::Pods => self.pods = self.children.values().filter_map(|c| c.pod.clone().map(Arc::new)).collect(),
            Happening::Benchmark => self.cached = self.truth.clone(),
            Happening::Clock { seconds } => self.now += seconds,
            Happening::End { which, how } => {
                let live: Vec<String> =
                    self.children.iter().filter(|(_, c)| c.works()).map(|(n, _)| n.clone()).collect();
                if let Some(name) = live.get(which % live.len().max(1)) {
                    self.end(name, how);
                }
            }
            Happening::Controller => self.control(),
            Happening::DeleteJob { which, foreground } => {
                let now = at(self.now);
                let mut jobs: Vec<&mut Child> = self.children.values_mut().filter(|c| c.job.is_some()).collect();
                let count = jobs.len().max(1);
                if let Some(child) = jobs.get_mut(which % count) {
                    child.job = child.job.take().filter(|_| *foreground).map(|j| deleted(j, now));
                }
            }
            Happening::Suspend(on) => {
                self.truth.0.spec.suspend = *on;
                self.truth.1 += 1;
            }
            Happening::Foreign { which } => {
                let run = which % the_plan().runs.len();
                let last = self.children.values().filter(|c| c.run == run).map(|c| c.attempt).max().unwrap_or(0);
                let mut job = started(&self.truth.0, run, last + 1, at(self.now));
                job.metadata.owner_references = None;
                if let Some(labels) = job.spec.as_mut().and_then(|s| s.template.metadata.as_mut()?.labels.as_mut()) {
                    labels.remove(names::OWNER);
                }
                let child = Child { run, attempt: last + 1, pod: Some(pod(&job, 0)), job: Some(job), ours: false };
                self.children.entry(job_name(run, last + 1)).or_insert(child);
            }
            Happening::Wipe => {
                self.truth.0.status = None;
                self.truth.1 += 1;
                self.recorded.clear();
                self.charged.clear();
                // The caches lag by less than it takes somebody to do that.
                self.happen(&Happening::Jobs);
                self.happen(&Happening::Pods);
            }
        }
    }

    fn end(&mut self, name: &str, how: &End) {
        let child = self.children.get_mut(name).expect("it is live");
        let (run, attempt) = (child.run, child.attempt);
        let (result, word) = finished(&self.truth.0, run, attempt);
        let pod = child.pod.take().expect("it is live");
        child.pod = Some(match how {
            End::Result => {
                self.said.push(result);
                ended(pod, 0, "Completed", &word)
            }
            End::Garbage => ended(pod, 0, "Completed", &word.replace("\"correct1\":7", "\"correct1\":9")[1..]),
            End::Nothing => ended(pod, 0, "Completed", ""),
            End::Says(exit) => {
                let word = failed(&self.truth.0, run, attempt, *exit, "no");
                ended(pod, exit.code().into(), "Error", &word)
            }
            End::Stopped => ended(pod, 75, "Error", &stopped(&self.truth.0, run, attempt)),
            End::Killed => ended(pod, 137, "Error", ""),
            End::Evicted => with_condition(ended(pod, 143, "Error", ""), "DisruptionTarget", "True", "Evicted", "m"),
        });
    }

    /// Jobs whose pods have ended end; those that are to go, go.
    fn control(&mut self) {
        let now = at(self.now);
        for child in self.children.values_mut().filter(|c| c.ours) {
            let working = child.works();
            let Some(job) = child.job.take() else {
                // The collector of garbage takes pods without a Job, once they have ended.
                child.pod = child.pod.take().filter(|_| working);
                continue;
            };
            let leaving = job.metadata.deletion_timestamp.is_some();
            let done = ended_job(&job);
            if !leaving && !done && child.pod.is_none() {
                child.pod = Some(pod(&job, 0));
                child.job = Some(job);
                continue;
            }
            let well =
                child.pod.as_ref().map(|p| p.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Succeeded"));
            child.job = match well {
                _ if leaving && !working => None,
                Some(well) if !leaving && !working && !done => {
                    Some(over(job, if well { "Complete" } else { "Failed" }, "BackoffLimitExceeded", now))
                }
                _ => Some(job),
            };
            child.pod = child.pod.take().filter(|_| child.job.is_some());
        }
    }

    /// From now on everything goes well.
    fn goes_well(&mut self) {
        if self.truth.0.spec.suspend {
            self.happen(&Happening::Suspend(false));
        }
        for _ in 0..200 {
            let clock = Happening::Clock { seconds: 31 };
            for step in [Happening::Controller, Happening::Jobs, Happening::Pods, clock, Happening::Benchmark] {
                self.happen(&step);
            }
            self.turn(usize::MAX);
            let status = self.truth.0.status.as_ref().expect("written");
            if status.conditions.iter().any(|c| c.type_ == "Finished" && c.status == "True") {
                for row in &status.runs {
                    let recorded = self.recorded.contains_key(&row.id);
                    assert_eq!(row.state, if recorded { RunPhase::Succeeded } else { RunPhase::Failed });
                    assert!(recorded || self.charged.iter().any(|(run, _)| *run == row.id), "{row:?}");
                }
                assert!(self.children.values().all(|c| !c.lives()), "nothing lives on");
                return;
            }
            let live: Vec<String> = self.children.iter().filter(|(_, c)| c.works()).map(|(n, _)| n.clone()).collect();
            for name in live {
                self.end(&name, &End::Result);
            }
        }
        panic!("it never came to an end: {:?}", self.truth.0.status.as_ref().map(|s| (&s.summary, &s.runs)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_over_every_history(storage in any::<bool>(), script in proptest::collection::vec(happening(), 0..120)) {
        let mut world = World::new(storage);
        for happening in &script {
            world.happen(happening);
        }
        world.goes_well();
    }
}
