//! Which topics there are in a run, and who follows which.

/// The topics of a run. Their names differ from run to run, so that no run
/// meets another's history.
pub struct Topics {
    prefix: String,
    names: Vec<String>,
    a_stream: usize,
}

impl Topics {
    /// `count` topics, of which each stream follows `a_stream`.
    pub fn new(tag: u64, count: usize, a_stream: usize) -> Topics {
        let prefix = format!("b{tag}-");
        let names = (0..count).map(|t| format!("{prefix}{t}")).collect();
        Topics { prefix, names, a_stream }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// The name of a topic.
    pub fn name(&self, topic: usize) -> &str {
        &self.names[topic]
    }

    /// Every name, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The topic of that name, if it is one of this run.
    pub fn find(&self, name: &[u8]) -> Option<u32> {
        let number = name.strip_prefix(self.prefix.as_bytes())?;
        let topic: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
        ((topic as usize) < self.names.len()).then_some(topic)
    }

    /// How many topics a stream follows.
    pub fn a_stream(&self) -> usize {
        self.a_stream
    }

    /// The first of the topics that a stream follows; the others come after it.
    pub fn first_of(&self, stream: usize) -> usize {
        stream % (self.names.len() / self.a_stream) * self.a_stream
    }

    /// How many of `streams` follow each topic.
    pub fn readers(&self, streams: usize) -> Vec<u64> {
        let mut readers = vec![0; self.names.len()];
        for stream in 0..streams {
            let first = self.first_of(stream);
            readers[first..first + self.a_stream].iter_mut().for_each(|n| *n += 1);
        }
        readers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_spread_over_the_topics() {
        let topics = Topics::new(7, 3, 1);
        assert_eq!(topics.readers(7), [3, 2, 2]);
        let topics = Topics::new(7, 6, 3);
        assert_eq!(topics.readers(3), [2, 2, 2, 1, 1, 1]);
        assert_eq!(topics.first_of(1), 3);
    }

    #[test]
    fn a_name_of_another_run_is_not_found() {
        let topics = Topics::new(7, 12, 1);
        assert_eq!(topics.name(11), "b7-11");
        assert_eq!(topics.find(b"b7-11"), Some(11));
        assert_eq!(topics.find(b"b7-12"), None);
        assert_eq!(topics.find(b"b8-1"), None);
    }
}
