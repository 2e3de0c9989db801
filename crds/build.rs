//! Lists `recipes/*.yaml`, so that a new file is a new recipe.
use std::fmt::Write as _;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=recipes");
    let dir = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("recipes");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .expect("crds/recipes")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|x| x == "yaml"))
        .collect();
    files.sort();
    let mut out = String::from(
        "/// File name without extension, and text, of every recipe.\npub(crate) static RECIPE_FILES: &[(&str, &str)] = &[\n",
    );
    for file in files {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let path = file.to_string_lossy();
        writeln!(out, "    ({name:?}, include_str!({path:?})),").expect("a string");
    }
    out.push_str("];\n");
    let target = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it")).join("recipes.rs");
    std::fs::write(target, out).expect("OUT_DIR is writable");
}
