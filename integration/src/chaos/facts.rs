//! What must be true of one container: one fact, or several as long as a request that was cut off is not resolved.

/// Why a client does not go on in this round.
#[derive(Debug)]
pub enum Stop {
    /// The daemon went away in the middle of a request.
    Cut,
    /// Something is as it must not be.
    Contradiction(String),
}

/// What a step of a client comes to.
pub type Step<T = ()> = Result<T, Stop>;

/// Says that something is as it must not be.
///
/// # Errors
/// Always.
pub fn contradiction<T>(text: impl Into<String>) -> Step<T> {
    Err(Stop::Contradiction(text.into()))
}

/// One way a container may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// There is none of that name and id.
    Absent,
    /// Made, not running, and it never ran to an end.
    Created,
    /// It runs.
    Running,
    /// Frozen.
    Paused,
    /// It has ended with one of these codes; with any if there are none.
    Exited(Vec<i64>),
}

impl Fact {
    /// Whether what was seen is this.
    #[must_use]
    pub fn fits(&self, seen: &Seen) -> bool {
        match (self, seen) {
            (Fact::Exited(codes), Seen::Exited(code)) => codes.is_empty() || codes.contains(code),
            (Fact::Absent, Seen::Absent)
            | (Fact::Created, Seen::Created)
            | (Fact::Running, Seen::Running)
            | (Fact::Paused, Seen::Paused) => true,
            _ => false,
        }
    }
}

/// How a container was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Not there.
    Absent,
    /// `created`.
    Created,
    /// `running`.
    Running,
    /// `paused`.
    Paused,
    /// `exited` with a code.
    Exited(i64),
    /// On the way: `removing`, `restarting`.
    Between(String),
}

impl Seen {
    /// The one fact that says this.
    #[must_use]
    pub fn fact(&self) -> Fact {
        match self {
            Seen::Absent | Seen::Between(_) => Fact::Absent,
            Seen::Created => Fact::Created,
            Seen::Running => Fact::Running,
            Seen::Paused => Fact::Paused,
            Seen::Exited(code) => Fact::Exited(vec![*code]),
        }
    }
}

/// How often something happened: exact, or between two numbers until it is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// At least.
    pub min: usize,
    /// At most.
    pub max: usize,
}

impl Count {
    /// It may have happened once more.
    pub fn maybe(&mut self) {
        self.max += 1;
    }

    /// It has happened once more.
    pub fn surely(&mut self) {
        self.min += 1;
        self.max += 1;
    }

    /// Looks: it is exact from now on.
    ///
    /// # Errors
    /// If that cannot be.
    pub fn settle(&mut self, what: &str, seen: usize) -> Step {
        if seen < self.min || seen > self.max {
            return contradiction(format!(
                "{what}: {seen} times, and {}..={} is what can be",
                self.min, self.max
            ));
        }
        (self.min, self.max) = (seen, seen);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, Fact, Seen};

    #[test]
    fn a_code_is_one_of_those_allowed() {
        assert!(Fact::Exited(vec![7, 137]).fits(&Seen::Exited(137)));
        assert!(!Fact::Exited(vec![7]).fits(&Seen::Exited(0)));
        assert!(Fact::Exited(vec![]).fits(&Seen::Exited(3)));
        assert!(!Fact::Running.fits(&Seen::Paused));
    }

    #[test]
    fn a_count_is_exact_once_it_was_seen() {
        let mut count = Count::default();
        count.surely();
        count.maybe();
        assert!(count.settle("x", 3).is_err());
        assert!(count.settle("x", 2).is_ok());
        assert!(count.settle("x", 1).is_err());
    }
}
