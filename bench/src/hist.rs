//! Log-linear histogram (about 3 % resolution) that lives in shared memory.
//! One process writes a histogram; any process may read it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SUB_BITS: u32 = 5;
const SUB: usize = 1 << SUB_BITS;
const BUCKETS: usize = SUB * 60;

/// One histogram.
#[repr(C)]
pub struct Hist {
    max: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

fn index(v: u64) -> usize {
    if v < SUB as u64 {
        return v as usize;
    }
    let shift = 63 - v.leading_zeros() - SUB_BITS;
    let at = (shift as usize + 1) * SUB + ((v >> shift) as usize - SUB);
    at.min(BUCKETS - 1)
}

/// The upper edge of a bucket.
fn value(i: usize) -> u64 {
    if i < SUB {
        return i as u64;
    }
    let shift = i / SUB - 1;
    ((((i % SUB) + SUB + 1) as u64) << shift) - 1
}

impl Hist {
    /// Adds one value. Not an atomic add: each histogram has one writer.
    pub fn record(&self, v: u64) {
        let b = &self.buckets[index(v)];
        b.store(b.load(Relaxed) + 1, Relaxed);
        if v > self.max.load(Relaxed) {
            self.max.store(v, Relaxed);
        }
    }

    /// Adds it to a sum.
    pub fn add_to(&self, sum: &mut Summary) {
        for (to, from) in sum.buckets.iter_mut().zip(&self.buckets) {
            *to += from.load(Relaxed);
        }
        sum.max = sum.max.max(self.max.load(Relaxed));
    }

    /// An empty one that is not in shared memory.
    pub fn new_boxed() -> Box<Hist> {
        // SAFETY: all-zero is a valid state of atomics.
        unsafe { Box::<Hist>::new_zeroed().assume_init() }
    }
}

/// Histograms added together.
pub struct Summary {
    buckets: Vec<u64>,
    pub max: u64,
}

impl Summary {
    /// An empty sum.
    pub fn new() -> Self {
        Summary { buckets: vec![0; BUCKETS], max: 0 }
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The value that a share `q` of all does not exceed; 0 if there are none.
    pub fn quantile(&self, q: f64) -> u64 {
        let total = self.count();
        if total == 0 {
            return 0;
        }
        let rank = ((total as f64 * q).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        for (i, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return value(i).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_resolution() {
        let h = Hist::new_boxed();
        for v in 1..=100_000u64 {
            h.record(v);
        }
        let mut s = Summary::new();
        h.add_to(&mut s);
        assert_eq!(s.count(), 100_000);
        for (q, want) in [(0.5, 50_000.0), (0.99, 99_000.0)] {
            let got = s.quantile(q) as f64;
            assert!((got / want - 1.0).abs() < 0.04, "{q}: {got}");
        }
        assert_eq!(s.quantile(1.0), 100_000);
    }

    #[test]
    fn every_value_is_at_most_its_bucket_edge() {
        for v in [0, 1, 31, 32, 33, 63, 64, 1000, 123_456_789, u64::MAX >> 6] {
            assert!(value(index(v)) >= v, "{v}");
        }
    }
}
