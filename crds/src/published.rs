//! The numbers that the OpenMixup project published ("Mixup Classification Benchmark on ImageNet"), from `crds/published.csv`.

use std::sync::LazyLock;

/// One published cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Recipe's name.
    pub recipe: String,
    /// Backbone's name.
    pub backbone: String,
    /// Method's name.
    pub method: String,
    /// The α that was really used, where the method has one; several are separated by `;`.
    pub alpha: Option<String>,
    /// Top-1 in percent, as printed.
    pub top1: f64,
    /// Where the number comes from.
    pub source: String,
}

/// All published cells in the order of the file.
pub fn all() -> &'static [Published] {
    static ALL: LazyLock<Vec<Published>> =
        LazyLock::new(|| parse(include_str!("../published.csv")).expect("crds/published.csv is generated and tested"));
    &ALL
}

/// The cell of this recipe, backbone and method, whatever its α.
pub fn find(recipe: &str, backbone: &str, method: &str) -> Option<&'static Published> {
    all().iter().find(|p| p.recipe == recipe && p.backbone == backbone && p.method == method)
}

/// Reads the table; `None` where a line has too few columns or no number.
fn parse(csv: &str) -> Option<Vec<Published>> {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next()?.split(',').collect();
    let column = |name: &str| header.iter().position(|h| *h == name);
    let (recipe, backbone, method) = (column("recipe")?, column("backbone")?, column("method")?);
    let (alpha, top1, source) = (column("alpha")?, column("top1")?, column("source")?);
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let text = |i: usize| cells.get(i).map(|c| (*c).to_owned());
            Some(Published {
                recipe: text(recipe)?,
                backbone: text(backbone)?,
                method: text(method)?,
                alpha: text(alpha).filter(|a| !a.is_empty()),
                top1: cells.get(top1)?.parse().ok()?,
                source: text(source)?,
            })
        })
        .collect()
}
