//! What is done to the daemon in a round. A seed decides it.

use std::time::Duration;

use super::random::Random;

/// Which process passes a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// gantryd itself, plugins in it included.
    Daemon,
    /// A sandbox's supervisor.
    Supervisor,
    /// A short-lived helper.
    Helper,
}

/// One fault point.
#[derive(Clone, Debug)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// Who passes it.
    pub home: Home,
}

impl Point {
    /// Reads a line of `cargo xtask points`: the name, then the places it stands at.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let (name, place) = line.split_once(' ')?;
        let within = |folders: &[&str]| folders.iter().any(|f| place.starts_with(f));
        let home = if within(&["shim/supervisor/", "shim/oci/", "shim/logs/"]) {
            Home::Supervisor
        } else if within(&["shim/helper/", "shim/files/"]) {
            Home::Helper
        } else {
            Home::Daemon
        };
        Some(Self {
            name: name.to_owned(),
            home,
        })
    }
}

/// What happens in a round.
#[derive(Clone, Debug)]
pub enum Harm {
    /// `kill -9` of gantryd after a while.
    Kill,
    /// A point ends the process that passes it.
    Die(Point, usize),
    /// A point makes one step fail.
    Fail(Point, usize),
    /// `kill -9` of some supervisors, gantryd alive or dead.
    Supervisors(bool),
    /// Everything ends and the boot id is another.
    Reboot,
    /// Nothing but a clean end.
    Term,
}

/// One round.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What happens.
    pub harm: Harm,
    /// How long the clients work if nothing ends it sooner.
    pub work: Duration,
}

impl Plan {
    /// Decides. Points take turns in an order the seed decides, so that each has its rounds.
    #[must_use]
    pub fn of(seed: u64, round: usize, points: &[Point], only_points: bool) -> Self {
        let mut random = Random::new(&[seed, round as u64, 1]);
        let work = Duration::from_millis(200 + random.number() % 900);
        let drawn = random.below(100);
        if let Some(harm) = Self::leading_on(round, points, only_points) {
            return Self { harm, work };
        }
        let harm = match drawn {
            _ if points.is_empty() => Harm::Kill,
            _ if only_points => Self::at_point(seed, round, points, &mut random),
            0..12 => Harm::Kill,
            12..17 => Harm::Supervisors(random.chance(50)),
            17..20 => Harm::Reboot,
            20..22 => Harm::Term,
            _ => Self::at_point(seed, round, points, &mut random),
        };
        Self { harm, work }
    }

    /// Points that are on the way to others, which are passed in no other case: every run has some of these rounds.
    fn leading_on(round: usize, points: &[Point], only_points: bool) -> Option<Harm> {
        const FAIL: [&str; 6] = [
            "engine.pod.after-network",
            "engine.create.after-snapshot",
            "engine.start.after-network",
            "engine.start.before-pod-go",
            "logs.file.mid-write",
            "engine.pod.after-supervisor",
        ];
        let (turn, at) = (round / 12, round % 12);
        let name = match at {
            3 => FAIL[turn % FAIL.len()],
            9 => "logs.file.mid-write",
            _ => return None,
        };
        let point = points.iter().find(|p| p.name == name && !only_points)?;
        Some(match at {
            3 => Harm::Fail(point.clone(), 0),
            _ => Harm::Die(point.clone(), turn % 3),
        })
    }

    fn at_point(seed: u64, round: usize, points: &[Point], random: &mut Random) -> Harm {
        let turn = round / points.len();
        let mut order: Vec<&Point> = points.iter().collect();
        let mut shuffle = Random::new(&[seed, turn as u64, 2]);
        for at in (1..order.len()).rev() {
            order.swap(at, shuffle.below(at + 1));
        }
        let point = order[round % points.len()].clone();
        let most = match (point.home, random.below(10)) {
            (_, 0..5) => 1,
            (Home::Daemon, 5..8) => 6,
            (Home::Daemon, _) => 30,
            _ => 3,
        };
        let passes = random.below(most);
        match random.chance(70) {
            true => Harm::Die(point, passes),
            false => Harm::Fail(point, passes),
        }
    }

    /// The value of `GANTRY_FAULTS`.
    #[must_use]
    pub fn faults(&self) -> Option<String> {
        let off = |passes: &usize| match passes {
            0 => String::new(),
            n => format!("{n}*off->"),
        };
        match &self.harm {
            Harm::Die(point, n) => Some(format!("{}={}return(kill)", point.name, off(n))),
            Harm::Fail(point, n) => Some(format!("{}={}1*return(error)", point.name, off(n))),
            _ => None,
        }
    }

    /// Whether requests of this round may fail with what was injected.
    #[must_use]
    pub fn is_lenient(&self) -> bool {
        match &self.harm {
            Harm::Fail(..) => true,
            Harm::Die(point, _) => point.home != Home::Daemon,
            _ => false,
        }
    }

    /// Whether supervisors born in this round may die later.
    #[must_use]
    pub fn is_fragile(&self) -> bool {
        matches!(&self.harm, Harm::Die(p, _) | Harm::Fail(p, _) if p.home == Home::Supervisor)
    }

    /// Whether gantryd may end by itself.
    #[must_use]
    pub fn may_end(&self) -> bool {
        matches!(&self.harm, Harm::Die(p, _) | Harm::Fail(p, _) if p.home == Home::Daemon)
    }

    /// In a few words.
    #[must_use]
    pub fn said(&self) -> String {
        match &self.harm {
            Harm::Die(..) | Harm::Fail(..) => self.faults().unwrap_or_default(),
            other => format!("{other:?} after {:?}", self.work),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Harm, Home, Plan, Point};

    #[test]
    fn points_take_turns() {
        let points: Vec<Point> = ["a.b x/", "c.d shim/logs/src/x.rs:1", "e.f y/"]
            .iter()
            .filter_map(|line| Point::read(line))
            .collect();
        assert_eq!(points[1].home, Home::Supervisor);
        let mut seen: Vec<String> = (0..3)
            .filter_map(|round| match Plan::of(7, round, &points, true).harm {
                Harm::Die(point, _) | Harm::Fail(point, _) => Some(point.name),
                _ => None,
            })
            .collect();
        seen.sort();
        assert_eq!(seen, ["a.b", "c.d", "e.f"]);
    }

    #[test]
    fn a_plan_is_written_in_the_grammar_of_the_points() {
        let point = Point::read("a.b x/y.rs:1").unwrap();
        let plan = |harm| Plan {
            harm,
            work: std::time::Duration::ZERO,
        };
        let faults = |harm| plan(harm).faults().unwrap();
        assert_eq!(faults(Harm::Die(point.clone(), 0)), "a.b=return(kill)");
        assert_eq!(
            faults(Harm::Die(point.clone(), 3)),
            "a.b=3*off->return(kill)"
        );
        assert_eq!(faults(Harm::Fail(point, 1)), "a.b=1*off->1*return(error)");
    }
}
