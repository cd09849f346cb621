use super::Problem;
use crate::telemetry::Metrics;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota as Rate, RateLimiter as Governor};
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

type Buckets<K> = Governor<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// So many a second, and so many at once.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Allowed a second, in the long run.
    pub per_second: u32,
    /// Allowed at once after a rest.
    pub burst: u32,
}

/// How often each of many may do something.
#[derive(Clone)]
pub struct RateLimiter<K: Hash + Eq + Clone + Send + Sync + 'static> {
    name: &'static str,
    buckets: Option<Arc<Buckets<K>>>,
    quota: Quota,
    metrics: Metrics,
}

/// What is left of somebody's quota.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    quota: Quota,
    remaining: u32,
}

impl Standing {
    /// The `RateLimit-*` headers (draft-ietf-httpapi-ratelimit-headers-07 and the older three).
    pub fn headers(&self) -> [(&'static str, String); 3] {
        let Quota { per_second, burst } = self.quota;
        let reset = (burst - self.remaining.min(burst)).div_ceil(per_second.max(1));
        [
            ("RateLimit-Limit", burst.to_string()),
            ("RateLimit-Remaining", self.remaining.to_string()),
            ("RateLimit-Reset", reset.to_string()),
        ]
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> RateLimiter<K> {
    /// A limiter called `name` in problems and metrics; one that is not
    /// `enabled` lets everything pass.
    pub fn new(
        name: &'static str,
        quota: Quota,
        enabled: bool,
        metrics: &Metrics,
    ) -> RateLimiter<K> {
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let rate =
            Rate::per_second(at_least_one(quota.per_second)).allow_burst(at_least_one(quota.burst));
        let buckets: Buckets<K> = Governor::dashmap(rate).with_middleware();
        let buckets = enabled.then(|| Arc::new(buckets));
        RateLimiter { name, buckets, quota, metrics: metrics.clone() }
    }

    /// Counts `cost` for `key`.
    ///
    /// # Errors
    /// 429 with `Retry-After` if that is too much now. A cost beyond the burst
    /// is counted as the burst: it has to wait for a full bucket, not for ever.
    pub fn check(&self, key: K, cost: u32) -> Result<Option<Standing>, Problem> {
        let Some(buckets) = &self.buckets else { return Ok(None) };
        let cost = NonZeroU32::new(cost.min(self.quota.burst)).unwrap_or(NonZeroU32::MIN);
        match buckets.check_key_n(&key, cost) {
            Ok(Ok(left)) => {
                let remaining = left.remaining_burst_capacity();
                Ok(Some(Standing { quota: self.quota, remaining }))
            }
            Ok(Err(not_until)) => {
                Err(self.too_many(not_until.wait_time_from(DefaultClock::default().now())))
            }
            Err(_) => Err(self.too_many(Duration::from_secs(1))),
        }
    }

    fn too_many(&self, wait: Duration) -> Problem {
        self.metrics.limited.with_label_values(&[self.name]).inc();
        let wait = wait.max(Duration::from_millis(10));
        let ms = wait.as_millis();
        let mut problem = Problem::new(
            429,
            "rate_limited",
            format!("too many {}; try again in {ms} ms", self.name),
            format!("请求过于频繁，请在 {ms} 毫秒后重试"),
        )
        .retry_after(wait);
        for (name, value) in (Standing { quota: self.quota, remaining: 0 }).headers() {
            problem = problem.header(name, value);
        }
        problem
    }

    /// Forgets those whose buckets are full again. Returns how many are left.
    pub fn tidy(&self) -> usize {
        let Some(buckets) = &self.buckets else { return 0 };
        buckets.retain_recent();
        buckets.shrink_to_fit();
        buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_the_wait_is_told() {
        let quota = Quota { per_second: 1, burst: 3 };
        let limiter = RateLimiter::new("writes", quota, true, &Metrics::default());
        for left in [2, 1, 0] {
            let standing = limiter.check("a", 1).expect("allowed").expect("counted");
            assert_eq!(standing.remaining, left);
        }
        let problem = limiter.check("a", 1).expect_err("refused");
        assert!(problem.wait().is_some_and(|wait| wait <= Duration::from_secs(1)));
        assert!(limiter.check("b", 100).is_ok(), "somebody else, and as much as there is");
    }
}
