//! What the results of probes make of a container's health. Pure: the caller hands time and results in.

use std::time::Duration;

use gantry_model::Timestamp;
use gantry_model::policy::{Health, HealthStatus, Probe};

use super::spec::Plan;

/// Results kept.
const KEPT: usize = 5;

/// Health of one run.
pub(super) struct Machine {
    plan: Plan,
    started: Timestamp,
    health: Health,
}

impl Machine {
    pub(super) fn new(plan: Plan, started: Timestamp, health: Health) -> Self {
        Self {
            plan,
            started,
            health,
        }
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// How long to wait before the next probe, from the end of the last one.
    pub(super) fn pause(&self, now: Timestamp) -> Duration {
        if self.health.status == HealthStatus::Starting && self.in_start_period(now) {
            self.plan.start_interval
        } else {
            self.plan.interval
        }
    }

    /// Nobody probes it for a while; Docker calls that unhealthy, and says so to nobody.
    pub(super) fn suspend(&mut self) {
        self.health.status = HealthStatus::Unhealthy;
    }

    /// Takes a result in; answers the status if that has changed.
    pub(super) fn judge(&mut self, probe: Probe) -> Option<HealthStatus> {
        let before = self.health.status;
        if probe.exit_code == 0 {
            self.health.failing_streak = 0;
            self.health.status = HealthStatus::Healthy;
        } else if before != HealthStatus::Starting || !self.in_start_period(probe.start) {
            self.health.failing_streak = self.health.failing_streak.saturating_add(1);
            if self.health.failing_streak >= self.plan.retries {
                self.health.status = HealthStatus::Unhealthy;
            }
        }
        self.health.log.push(probe);
        let over = self.health.log.len().saturating_sub(KEPT);
        self.health.log.drain(..over);
        (self.health.status != before).then_some(self.health.status)
    }

    /// A clock that was set back counts as no time at all.
    fn in_start_period(&self, now: Timestamp) -> bool {
        let nanos = now.0.saturating_sub(self.started.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)) < self.plan.start_period
    }
}

#[cfg(test)]
mod tests {
    use super::{Machine, Plan};
    use gantry_model::Timestamp;
    use gantry_model::policy::{Health, HealthStatus, Probe};
    use std::time::Duration;

    const SECOND: i64 = 1_000_000_000;

    fn plan(start_period: u64, retries: u32) -> Plan {
        Plan {
            command: vec!["true".to_owned()],
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            start_period: Duration::from_secs(start_period),
            start_interval: Duration::from_secs(5),
            retries,
        }
    }

    fn machine(start_period: u64, retries: u32) -> Machine {
        let health = Health {
            status: HealthStatus::Starting,
            ..Health::default()
        };
        Machine::new(plan(start_period, retries), Timestamp(100 * SECOND), health)
    }

    fn probe(after: i64, exit_code: i32) -> Probe {
        Probe {
            start: Timestamp((100 + after) * SECOND),
            end: Timestamp((100 + after) * SECOND + 1),
            exit_code,
            output: String::new(),
        }
    }

    /// One row: seconds after the start, exit code, then the status told (if any) and the streak.
    type Row = (i64, i32, Option<HealthStatus>, u32);

    fn run(mut machine: Machine, rows: &[Row]) {
        for (index, (after, code, told, streak)) in rows.iter().enumerate() {
            assert_eq!(machine.judge(probe(*after, *code)), *told, "row {index}");
            assert_eq!(machine.health().failing_streak, *streak, "row {index}");
        }
    }

    const HEALTHY: Option<HealthStatus> = Some(HealthStatus::Healthy);
    const UNHEALTHY: Option<HealthStatus> = Some(HealthStatus::Unhealthy);

    #[test]
    fn without_a_start_period() {
        run(
            machine(0, 3),
            &[
                (1, 1, None, 1),
                (2, 1, None, 2),
                (3, 0, HEALTHY, 0),
                (4, 0, None, 0),
                (5, 137, None, 1),
                (6, -1, None, 2),
                (7, 1, UNHEALTHY, 3),
                (8, 1, None, 4),
                (9, 0, HEALTHY, 0),
            ],
        );
        run(machine(0, 1), &[(1, 2, UNHEALTHY, 1), (2, 0, HEALTHY, 0)]);
    }

    #[test]
    fn failures_in_the_start_period_do_not_count() {
        run(
            machine(10, 2),
            &[
                (1, 1, None, 0),
                (5, 1, None, 0),
                (9, 1, None, 0),
                (10, 1, None, 1),
                (11, 1, UNHEALTHY, 2),
            ],
        );
    }

    #[test]
    fn a_success_ends_the_start_period() {
        run(
            machine(100, 2),
            &[
                (1, 1, None, 0),
                (2, 0, HEALTHY, 0),
                (3, 1, None, 1),
                (4, 1, UNHEALTHY, 2),
                (5, 0, HEALTHY, 0),
            ],
        );
    }

    #[test]
    fn probes_come_faster_while_it_starts() {
        let mut machine = machine(10, 3);
        let pause = |machine: &Machine, after: i64| {
            machine.pause(Timestamp((100 + after) * SECOND)).as_secs()
        };
        assert_eq!(pause(&machine, 0), 5);
        assert_eq!(pause(&machine, 9), 5);
        assert_eq!(pause(&machine, 10), 30, "the period is over");
        assert_eq!(pause(&machine, -5), 5, "the clock was set back");
        machine.judge(probe(1, 0));
        assert_eq!(pause(&machine, 2), 30, "it is healthy");
    }

    #[test]
    fn keeps_five_results_and_comes_back_from_a_pause() {
        let mut machine = machine(0, 3);
        for after in 1..=7 {
            machine.judge(probe(after, 0));
        }
        let starts: Vec<i64> = machine
            .health()
            .log
            .iter()
            .map(|probe| probe.start.0 / SECOND - 100)
            .collect();
        assert_eq!(starts, [3, 4, 5, 6, 7]);
        machine.suspend();
        assert_eq!(machine.health().status, HealthStatus::Unhealthy);
        assert_eq!(machine.judge(probe(8, 0)), HEALTHY);
    }
}
