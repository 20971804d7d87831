//! Names that somebody may have meant.

/// More suggestions than this help nobody.
const MOST: usize = 3;

/// Those of `known` that are near `wanted`, nearest first.
pub(crate) fn similar<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|name| {
            let begins = !wanted.is_empty() && (name.starts_with(wanted) || wanted.starts_with(name));
            let distance = distance(wanted, name);
            let allowed = (wanted.chars().count() / 3).clamp(1, 4);
            (begins || distance <= allowed).then_some((distance, name))
        })
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(MOST).map(|(_, name)| name.to_owned()).collect()
}

/// Changes of one letter that turn one text into the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }

    #[test]
    fn near_names_come_first_and_far_ones_not_at_all() {
        let known = ["nightly", "nightly-2", "wordcount", "nigtly"];
        assert_eq!(similar("nightl", known), ["nightly", "nigtly", "nightly-2"]);
        assert!(similar("zebra", known).is_empty());
        assert!(similar("", known).is_empty());
    }
}
