//! "Did you mean": the known name nearest to a misspelt one.

/// The candidate that differs from `given` least, if the difference looks like a slip.
pub(super) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_ascii_lowercase();
    let slip = (given.len() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (distance(&given, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= slip)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits between two names, an exchange of neighbours counted as one (optimal string alignment). Compares
/// bytes: the candidates are ASCII.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 4 || a.len() > 80 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (row[j] + usize::from(x != y)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_named_and_a_stranger_is_not() {
        let names = ["session.access", "session.idle", "session.absolute", "server.listen"];
        assert_eq!(nearest("session.acess", names), Some("session.access"));
        assert_eq!(nearest("session.idel", names), Some("session.idle"));
        assert_eq!(nearest("SESSION.IDLE", names), Some("session.idle"));
        assert_eq!(nearest("server.listne", names), Some("server.listen"));
        assert_eq!(nearest("completely.different", names), None);
        assert_eq!(nearest("", names), None);
    }
}
