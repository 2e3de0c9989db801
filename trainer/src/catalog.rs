//! The tables of this crate as the planner reads them, and the search for the name that someone may have meant.

use std::io::{self, Write};

use mixbench_crds::catalog::{COMMITTED, Catalog};
use mixbench_crds::exit::Exit;

use crate::backbones::BACKBONES;
use crate::data::{DATASETS, SOURCES};
use crate::methods::METHODS;

/// Why there is no catalog to print.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The committed file is of other tables.
    #[error(
        "crds/catalog.json differs from the tables of this build from line {line} on; write it anew with `make generate`"
    )]
    Stale {
        /// First line that differs, from 1.
        line: usize,
    },
    /// Nobody takes it.
    #[error("cannot write the catalog: {0}")]
    Write(#[from] io::Error),
}

impl CatalogError {
    /// The exit code of the command.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Stale { .. } => Exit::Config,
            Self::Write(_) => Exit::Io,
        }
    }
}

/// All tables.
pub fn all() -> Catalog {
    Catalog {
        methods: METHODS.iter().map(|m| m.card.clone()).collect(),
        backbones: BACKBONES.iter().map(|b| b.card.clone()).collect(),
        datasets: DATASETS.to_vec(),
        sources: SOURCES.iter().map(|s| s.card.clone()).collect(),
    }
}

/// The text of `crds/catalog.json`: indented JSON, the tables in their order, a line end last.
pub fn text() -> String {
    serde_json::to_string_pretty(&all()).expect("cards have string keys and finite numbers") + "\n"
}

/// Writes the catalog to `out`; with `check`, compares it with the committed one instead.
///
/// # Errors
/// [`CatalogError`].
pub fn run(check: bool, mut out: impl Write) -> Result<(), CatalogError> {
    let text = text();
    if !check {
        out.write_all(text.as_bytes())?;
        return Ok(out.flush()?);
    }
    if text == COMMITTED {
        return Ok(());
    }
    let same = text.lines().zip(COMMITTED.lines()).take_while(|(a, b)| a == b).count();
    Err(CatalogError::Stale { line: same + 1 })
}

/// `; did you mean `x`?` for the nearest of `known`, or nothing if none is near.
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map_or_else(String::new, |(_, name)| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use mixbench_crds::catalog::ParamKind;

    use super::*;

    /// Names in manifests: lower case, as the published table has them.
    fn is_name(name: &str) -> bool {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(inner) && name.len() <= 40
    }

    #[test]
    fn the_committed_catalog_is_that_of_these_tables() {
        run(true, io::sink()).expect("make generate");
        assert_eq!(&all(), Catalog::get());
    }

    #[test]
    fn names_are_unique_and_of_one_form() {
        let catalog = all();
        let lists: [Vec<&str>; 4] = [
            catalog.methods.iter().map(|c| &*c.name).collect(),
            catalog.backbones.iter().map(|c| &*c.name).collect(),
            catalog.datasets.iter().map(|c| &*c.name).collect(),
            catalog.sources.iter().map(|c| &*c.scheme).collect(),
        ];
        for names in lists {
            assert!(names.iter().all(|name| is_name(name)), "{names:?}");
            assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{names:?}");
        }
    }

    #[test]
    fn every_card_says_what_it_is() {
        let catalog = all();
        for card in &catalog.methods {
            assert!(!card.title.is_empty() && card.summary.ends_with('.'), "{}", card.name);
            assert!(card.paper.starts_with("arXiv:") || card.name == "vanilla", "{}", card.name);
            let names: HashSet<_> = card.params.iter().map(|p| &p.name).collect();
            assert_eq!(names.len(), card.params.len(), "{}", card.name);
            assert!(card.params.iter().all(|p| is_name(&p.name) && p.summary.ends_with('.')), "{}", card.name);
        }
        for card in &catalog.backbones {
            assert!(!card.title.is_empty() && card.paper.starts_with("arXiv:"), "{}", card.name);
            assert!(!card.stems.is_empty() && card.min_input > 0 && card.input_multiple > 0, "{}", card.name);
        }
        for card in &catalog.datasets {
            assert!(
                card.train > 0 && card.val > 0 && card.classes > 1 && card.std.iter().all(|s| *s > 0.0),
                "{}",
                card.name
            );
        }
    }

    #[test]
    fn every_default_is_a_value_that_its_parameter_takes() {
        for param in all().methods.iter().flat_map(|m| m.params.iter()) {
            let default = param.kind.default_value();
            assert_eq!(param.kind.parse(&default.to_string()), Ok(default), "{}", param.name);
            if let ParamKind::Choice { of, .. } = &param.kind {
                assert!(of.len() > 1, "{}", param.name);
            }
        }
    }

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let known = ["cutmix", "mixup", "vanilla"];
        assert_eq!(did_you_mean("mixpu", known), "; did you mean `mixup`?");
        assert_eq!(did_you_mean("transformer", known), "");
    }

    #[test]
    fn a_catalog_that_cannot_be_written_is_an_error() {
        let mut short = [0u8; 10];
        assert!(matches!(run(false, &mut short[..]), Err(CatalogError::Write(_))));
    }
}
