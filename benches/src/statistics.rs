//! What is made of the samples of several rounds.

/// The middle one, or the mean of the middle two; none of none.
#[must_use]
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The mean; none of none.
#[must_use]
pub fn mean(samples: &[f64]) -> Option<f64> {
    (!samples.is_empty()).then(|| samples.iter().sum::<f64>() / samples.len() as f64)
}

/// The median over the rounds of how many times as long `these` took as `those` did in the same
/// round. A machine that was slow for a round was slow for both.
///
/// # Panics
/// If they are not of the same rounds.
#[must_use]
pub fn ratio(these: &[f64], those: &[f64]) -> Option<f64> {
    assert_eq!(these.len(), those.len(), "a sample a round");
    let ratios: Vec<_> = these.iter().zip(those).map(|(this, that)| this / that).collect();
    median(&ratios)
}

/// The least of these numbers as a share of the greatest: 1 is fair.
#[must_use]
pub fn evenness(counts: &[u64]) -> Option<f64> {
    let (least, most) = (counts.iter().min()?, counts.iter().max()?);
    (*most > 0).then(|| *least as f64 / *most as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }

    #[test]
    fn the_mean_is_of_all() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[9.0, 1.0, 2.0]), Some(4.0));
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        // In the second round everything took ten times as long. The ratio of the medians
        // would be 2 / 10.
        let (these, those) = ([2.0, 20.0, 2.0], [1.0, 10.0, 10.0]);
        assert_eq!(ratio(&these, &those), Some(2.0));
        assert_eq!(ratio(&[], &[]), None);
    }

    #[test]
    #[should_panic(expected = "a sample a round")]
    fn a_ratio_is_of_the_same_rounds() {
        let _ = ratio(&[1.0], &[1.0, 2.0]);
    }

    #[test]
    fn evenness_is_between_0_and_1() {
        assert_eq!(evenness(&[5, 5]), Some(1.0));
        assert_eq!(evenness(&[1, 4, 2]), Some(0.25));
        assert_eq!(evenness(&[0, 4]), Some(0.0));
        assert_eq!(evenness(&[0, 0]), None);
        assert_eq!(evenness(&[]), None);
    }
}
