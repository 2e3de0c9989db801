//! Recipes are data: one file each in `crds/recipes/`, found by the build script, so that a new file is a new recipe.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::training::Training;

include!(concat!(env!("OUT_DIR"), "/recipes.rs"));

/// A training recipe as published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recipe {
    /// Name in manifests; the file's name without `.yaml`.
    pub name: String,
    /// Name in tables.
    pub title: String,
    /// Where it comes from.
    pub source: String,
    /// Data set that its published numbers were measured on, if it has any.
    #[serde(default)]
    pub dataset: Option<String>,
    /// Everything about training.
    pub training: Training,
    /// Parameters of methods where the recipe does not use the catalog's default: method → parameter → value as in a manifest.
    #[serde(default)]
    pub methods: BTreeMap<String, BTreeMap<String, String>>,
    /// What differs for some backbones: backbone → what.
    #[serde(default)]
    pub backbones: BTreeMap<String, Variant>,
}

/// What a recipe does differently for one backbone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variant {
    /// As [`Recipe::methods`], and wins over it.
    #[serde(default)]
    pub methods: BTreeMap<String, BTreeMap<String, String>>,
}

impl Recipe {
    /// All recipes in order of name.
    pub fn all() -> &'static [Self] {
        static ALL: LazyLock<Vec<Recipe>> = LazyLock::new(|| {
            RECIPE_FILES
                .iter()
                .map(|(file, text)| {
                    serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("crds/recipes/{file}.yaml: {e}"))
                })
                .collect()
        });
        &ALL
    }

    /// The recipe of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::all().iter().find(|r| r.name == name)
    }

    /// The value that this recipe gives a parameter of a method on a backbone, as a manifest would write it.
    pub fn param(&self, backbone: &str, method: &str, param: &str) -> Option<&str> {
        let variant = self.backbones.get(backbone).map(|v| &v.methods);
        [variant, Some(&self.methods)].into_iter().flatten().find_map(|m| m.get(method)?.get(param)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_named_after_its_recipe() {
        let names: Vec<_> = Recipe::all().iter().map(|r| r.name.as_str()).collect();
        let files: Vec<_> = RECIPE_FILES.iter().map(|(file, _)| *file).collect();
        assert_eq!(names, files);
    }

    #[test]
    fn resnet18_cuts_with_the_alpha_that_was_published_for_it() {
        let recipe = Recipe::find("pytorch-100ep").expect("a recipe");
        assert_eq!(recipe.param("resnet18", "cutmix", "alpha"), Some("0.2"));
        assert_eq!(recipe.param("resnet50", "cutmix", "alpha"), Some("1.0"));
        assert_eq!(recipe.param("resnet50", "vanilla", "alpha"), None);
    }
}
