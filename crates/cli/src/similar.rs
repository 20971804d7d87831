//! Names that somebody may have meant.

/// More suggestions than this help nobody.
const MOST: usize = 3;

/// Those of `known` that are near `wanted`, nearest first.
pub(crate) fn similar<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|name| {
            let begins = !wanted.is_empty() && (name.starts_with(wanted) || wanted.starts_with(name));
            let distance = strsim::levenshtein(wanted, name);
            let allowed = (wanted.chars().count() / 3).clamp(1, 4);
            (begins || distance <= allowed).then_some((distance, name))
        })
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(MOST).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_come_first_and_far_ones_not_at_all() {
        let known = ["nightly", "nightly-2", "wordcount", "nigtly"];
        assert_eq!(similar("nightl", known), ["nightly", "nigtly", "nightly-2"]);
        assert!(similar("zebra", known).is_empty());
        assert!(similar("", known).is_empty());
    }
}
