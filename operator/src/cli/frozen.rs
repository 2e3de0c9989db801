//! The command line is frozen: a new flag is a decision, and this list is where it is taken.

use clap::CommandFactory;

use super::Cli;

#[test]
fn commands_and_flags_are_these() {
    let mut lines = Vec::new();
    for command in Cli::command().get_subcommands() {
        let mut words = vec![command.get_name().to_owned()];
        words.extend(command.get_arguments().filter(|a| a.get_id() != "help").map(|a| {
            match (a.get_long(), a.get_short()) {
                (Some(long), Some(short)) => format!("--{long}/-{short}"),
                (Some(long), None) => format!("--{long}"),
                _ => a.get_id().as_str().to_uppercase(),
            }
        }));
        lines.push(words.join(" "));
    }
    assert_eq!(
        lines,
        [
            "lint FILES --output/-o",
            "plan FILE --output/-o --out",
            "run FILE --out --parallelism --gpus --data --output/-o",
            "report WHAT --format --output --namespace/-n --kubeconfig --context",
            "submit FILE --wait --timeout --junit --markdown --namespace/-n --kubeconfig --context",
            "wait NAME --timeout --junit --markdown --namespace/-n --kubeconfig --context",
            "operator --namespace/-n --trainer-image --trainer-pull-policy --listen --concurrency --lease-namespace --lease-name \
             --no-lease --log-format --kubeconfig --context",
            "crd --format",
            "completions SHELL"
        ]
    );
}

#[test]
fn every_command_shows_examples() {
    Cli::command().debug_assert();
    for command in Cli::command().get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Examples:\n  mixbench "), "{}", command.get_name());
    }
}
