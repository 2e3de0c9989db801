//! Amounts of resources as Kubernetes writes them.

/// Thousandths of the unit that a quantity such as `500m`, `1.5` or `8Gi` stands for, rounded up as Kubernetes rounds; none where it is no quantity.
pub(super) fn thousandths(text: &str) -> Option<u128> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let factor: u128 = match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1000 * 1000,
        "M" => 1000 * 1000_u128.pow(2),
        "G" => 1000 * 1000_u128.pow(3),
        "T" => 1000 * 1000_u128.pow(4),
        "P" => 1000 * 1000_u128.pow(5),
        "E" => 1000 * 1000_u128.pow(6),
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        "Pi" => 1000 << 50,
        "Ei" => 1000 << 60,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let places = u32::try_from(fraction.len()).ok().filter(|places| *places <= 9)?;
    let scale = 10_u128.pow(places);
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    Some(digits.checked_mul(factor)?.div_ceil(scale))
}

#[cfg(test)]
mod tests {
    use super::thousandths;

    #[test]
    fn a_quantity_is_read_as_kubernetes_reads_it() {
        let cases = [
            ("0", 0),
            ("2", 2000),
            ("500m", 500),
            ("1.5", 1500),
            ("0.0001", 1),
            ("1k", 1_000_000),
            ("1Ki", 1_024_000),
            ("1.5Gi", 1_610_612_736_000),
            ("999999999999999Ei", 999_999_999_999_999 * (1000 << 60)),
        ];
        for (text, expected) in cases {
            assert_eq!(thousandths(text), Some(expected), "{text}");
        }
        for text in ["", "m", "1x", "1e3", "1.0000000001", "1.2.3", "-1", " 1"] {
            assert_eq!(thousandths(text), None, "{text}");
        }
    }
}
