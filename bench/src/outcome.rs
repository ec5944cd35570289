//! What one run of a workload tells.

use serde::Serialize;

use crate::attempts::Stolen;

/// One run of one workload.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// In the workload's unit: more is better.
    pub value: f64,
    /// What else it tells, by name with its unit.
    pub others: Vec<(&'static str, f64)>,
    /// Of each kind of call that is measured by itself.
    pub latencies: Vec<Latency>,
    /// What the host took away meanwhile.
    pub stolen: Stolen,
}

/// Latencies of one kind of call, in microseconds; `None` where the program does not tell.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Latency {
    /// What was waited for.
    pub calls: &'static str,
    /// Half of them took no longer.
    pub p50_us: Option<f64>,
    /// 99 % of them took no longer.
    pub p99_us: Option<f64>,
    /// 99.9 % of them took no longer.
    pub p999_us: Option<f64>,
    /// The longest.
    pub max_us: Option<f64>,
}

impl From<f64> for Outcome {
    fn from(value: f64) -> Outcome {
        Outcome {
            value,
            ..Outcome::default()
        }
    }
}

impl Latency {
    /// Of calls that took so many microseconds each.
    pub fn of(calls: &'static str, mut us: Vec<f64>) -> Latency {
        us.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let rank = (part * us.len() as f64).ceil() as usize;
            us.get(rank.saturating_sub(1)).copied()
        };
        Latency {
            calls,
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: us.last().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A percentile is one of the values: the least that so many do not exceed.
    #[test]
    fn percentiles_are_values() {
        let latency = Latency::of("commit", (1..=1000).rev().map(f64::from).collect());
        let expected = [Some(500.0), Some(990.0), Some(999.0), Some(1000.0)];
        let found = [
            latency.p50_us,
            latency.p99_us,
            latency.p999_us,
            latency.max_us,
        ];
        assert_eq!(found, expected);
        assert_eq!(Latency::of("commit", Vec::new()).p50_us, None);
    }
}
