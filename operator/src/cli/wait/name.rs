//! How a person names a benchmark on a cluster.

use mixbench_crds::benchmark::GROUP;

/// Kinds that kubectl takes and prints before a slash.
const KINDS: [&str; 3] = ["mixb", "mixupbenchmark", "mixupbenchmarks"];

/// The name of `NAME`, `mixb/NAME` or `mixupbenchmark.mixbench.dev/NAME`.
///
/// # Errors
/// Why no benchmark can have such a name.
pub(crate) fn name_of(text: &str) -> Result<&str, String> {
    let name = match text.split_once('/') {
        None => text,
        Some((kind, name)) if is_kind(kind) => name,
        Some((kind, _)) => return Err(format!("`{kind}` is no kind of it; write NAME or mixb/NAME")),
    };
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if name.len() <= 63 && name.chars().all(good) && edge(name.chars().next()) && edge(name.chars().last()) {
        Ok(name)
    } else {
        Err("a name has 1 to 63 lower-case letters, digits and hyphens, and begins and ends with a letter or a digit"
            .to_owned())
    }
}

/// Whether a text says by its kind that it is a name on a cluster.
pub(crate) fn has_kind(text: &str) -> bool {
    text.split_once('/').is_some_and(|(kind, _)| is_kind(kind))
}

fn is_kind(text: &str) -> bool {
    let short = text.split_once('.').map_or(Some(text), |(kind, group)| {
        let group =
            group.split_once('.').filter(|(version, _)| version.starts_with('v')).map_or(group, |(_, group)| group);
        (group == GROUP).then_some(kind)
    });
    short.is_some_and(|kind| KINDS.contains(&kind.to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benchmark_is_named_as_kubectl_does() {
        for text in [
            "quickstart",
            "mixb/quickstart",
            "mixupbenchmarks/quickstart",
            "mixupbenchmark.mixbench.dev/quickstart",
            "mixupbenchmarks.v1alpha1.mixbench.dev/quickstart",
            "MixupBenchmark/quickstart",
        ] {
            assert_eq!(name_of(text), Ok("quickstart"), "{text}");
        }
        assert!(has_kind("mixb/a") && !has_kind("a") && !has_kind("runs/a"));
    }

    #[test]
    fn what_no_object_can_be_called_is_refused() {
        for text in [
            "",
            "pods/a",
            "mixbench-out/quickstart",
            "mixb/",
            "mixb/a/b",
            "Quick",
            "-a",
            "a_b",
            "a.yaml",
            "mixb.apps/a",
        ] {
            assert!(name_of(text).is_err(), "{text}");
        }
        assert!(name_of(&"a".repeat(64)).is_err());
    }
}
