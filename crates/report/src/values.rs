//! Samples, and what a table or a plot shows of them.

use serde::{Deserialize, Serialize};

/// What was recorded of one quantity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// Every sample, in the order taken.
    Samples(Vec<f64>),
    /// Only these, because the samples were not kept.
    Summary(Summary),
}

/// Median and range of samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// The middle sample, or the mean of the two middle ones.
    pub median: f64,
    /// The smallest sample; absent where it was not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    /// The largest sample; absent where it was not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<f64>,
    /// How many samples there were.
    pub count: usize,
}

impl Values {
    /// Median and range; of no samples, NaN.
    pub fn summary(&self) -> Summary {
        match self {
            Values::Summary(summary) => *summary,
            Values::Samples(samples) => summary(samples),
        }
    }

    /// Every sample, where they were kept.
    pub fn samples(&self) -> &[f64] {
        match self {
            Values::Samples(samples) => samples,
            Values::Summary(_) => &[],
        }
    }
}

fn summary(samples: &[f64]) -> Summary {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    };
    Summary { median, least: sorted.first().copied(), most: sorted.last().copied(), count: sorted.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_range_is_the_ends() {
        let odd = Values::Samples(vec![3.0, 1.0, 2.0]).summary();
        assert_eq!((odd.median, odd.least, odd.most, odd.count), (2.0, Some(1.0), Some(3.0), 3));
        assert_eq!(Values::Samples(vec![4.0, 1.0]).summary().median, 2.5);
        assert!(Values::Samples(Vec::new()).summary().median.is_nan());
    }

    #[test]
    fn a_list_is_samples_and_an_object_is_a_summary() {
        let samples: Values = serde_json::from_str("[1, 2.5]").unwrap();
        assert_eq!(samples.samples(), [1.0, 2.5]);
        let summary: Values = serde_json::from_str(r#"{"median": 2, "count": 5}"#).unwrap();
        assert_eq!((summary.summary().median, summary.summary().least), (2.0, None));
        assert!(serde_json::from_str::<Values>(r#"{"median": 2, "count": 5, "mean": 3}"#).is_err());
    }
}
