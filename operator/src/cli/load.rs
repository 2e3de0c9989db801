//! Manifests from files, with every problem and where it stands.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use mixbench_crds::benchmark::MixupBenchmark;
use serde::Serialize;

use crate::manifest::{self, Position};
use crate::validate::{self, Problem, ValidSpec};

/// Standard input, as a file's name.
pub const STDIN: &str = "-";

/// A benchmark out of a file, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// File that it came from.
    pub file: String,
    /// As written, with the schema's defaults.
    pub benchmark: MixupBenchmark,
    /// As it will be planned.
    pub spec: ValidSpec,
    /// As written, without what a cluster says of it.
    pub document: serde_json::Value,
}

/// A problem and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Located {
    /// File, `-` for standard input.
    pub file: String,
    /// Line from 1; 0 where it is not known.
    pub line: u64,
    /// Column from 1; 0 where it is not known.
    pub column: u64,
    /// What is wrong.
    #[serde(flatten)]
    pub problem: Problem,
}

/// Reads every benchmark of a file.
///
/// # Errors
/// Everything that is wrong with any document of it.
pub fn file(name: &str) -> Result<Vec<Loaded>, Vec<Located>> {
    match read(name) {
        Ok(text) => parse(name, &text),
        Err(error) => {
            Err(vec![located(name, Position::default(), Problem::new("", format!("cannot read it: {error}")))])
        }
    }
}

/// Reads the one benchmark of a file.
///
/// # Errors
/// Everything that is wrong with it, or that there are several.
pub fn one(name: &str) -> Result<Loaded, Vec<Located>> {
    let mut all = file(name)?;
    if all.len() > 1 {
        let names: Vec<&str> = all.iter().map(|l| l.spec.name.as_str()).collect();
        let problem = Problem::new("", format!("the file holds {} benchmarks: {}", all.len(), names.join(", ")))
            .remedy("put each into a file of its own");
        return Err(vec![located(name, Position::default(), problem)]);
    }
    Ok(all.remove(0))
}

/// [`one`], or nothing after telling a person on standard error what is wrong.
pub fn one_or_say(name: &str) -> Option<Loaded> {
    one(name).inspect_err(|problems| eprint!("{}", render(problems, false))).ok()
}

/// Problems as lines for people.
pub fn render(problems: &[Located], colour: bool) -> String {
    let mut out = String::new();
    for Located { file, line, column, problem } in problems {
        let place = match line {
            0 => format!("{file}:"),
            _ => format!("{file}:{line}:{column}:"),
        };
        let place = if colour { format!("\x1b[1m{place}\x1b[0m") } else { place };
        writeln!(out, "{place} {problem}").expect("a string");
    }
    out
}

fn read(name: &str) -> std::io::Result<String> {
    if name != STDIN {
        return std::fs::read_to_string(Path::new(name));
    }
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text)?;
    Ok(text)
}

fn parse(name: &str, text: &str) -> Result<Vec<Loaded>, Vec<Located>> {
    let documents = match manifest::parse(text) {
        Ok(documents) => documents,
        Err(error) => return Err(vec![located(name, error.at, Problem::new("", error.message))]),
    };
    if documents.is_empty() {
        let problem =
            Problem::new("", "there is no benchmark in it").remedy("write one; see crds/benchmarks/quickstart.yaml");
        return Err(vec![located(name, Position::default(), problem)]);
    }
    let (mut good, mut bad) = (Vec::<Loaded>::new(), Vec::new());
    for document in &documents {
        match validate::check(document) {
            Ok((benchmark, spec)) => {
                let twin = |l: &Loaded| {
                    l.spec.name == spec.name && l.benchmark.metadata.namespace == benchmark.metadata.namespace
                };
                if benchmark.metadata.name.is_some() && good.iter().any(twin) {
                    let problem = Problem::new("metadata.name", format!("`{}` stands in this file already", spec.name));
                    let at = document.locate("metadata.name");
                    bad.push(located(name, at, problem.remedy("give it another name")));
                }
                let mut json = document.to_json();
                json.as_object_mut().and_then(|top| top.remove("status"));
                good.push(Loaded { file: name.to_owned(), benchmark, spec, document: json });
            }
            Err(problems) => bad.extend(problems.into_iter().map(|p| located(name, document.locate(&p.path), p))),
        }
    }
    bad.sort_by_key(|b| (b.line, b.column));
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}

fn located(file: &str, at: Position, problem: Problem) -> Located {
    Located { file: file.to_owned(), line: at.line, column: at.column, problem }
}
