//! Whose turn it is, and what watchers see. The tests say what time it is.

use std::sync::Arc;
use std::time::Duration;

use gantry_model::ContainerId;
use gantry_model::supervisor::Stats;
use tokio::time::Instant;

use super::{Sample, Sampler, StatsUpdate, UNWATCHED, WATCHED, system_cpu};

fn id(number: u8) -> ContainerId {
    ContainerId::from_random([number; 32])
}

fn sample(cpu: u64) -> Option<Sample> {
    Some(Sample {
        stats: Stats {
            cpu_total: cpu,
            ..Stats::default()
        },
        system_cpu: 10 * cpu,
    })
}

fn watch(sampler: &Sampler, id: &ContainerId) -> tokio::sync::watch::Receiver<Option<StatsUpdate>> {
    let mut entries = super::lock(&sampler.entries);
    let entry = entries.entry(id.clone()).or_default();
    entry.watchers += 1;
    entry.updates.subscribe()
}

#[test]
fn the_hosts_time_is_the_sum_of_eight_columns() {
    let text = b"cpu  1 2 3 4 5 6 7 8 100 100\ncpu0 9 9 9 9 9 9 9 9 9 9\n";
    assert_eq!(system_cpu(text), 36 * 10_000_000);
    assert_eq!(system_cpu(b""), 0);
}

#[test]
fn watched_ones_are_asked_every_second_and_others_every_ten() {
    let sampler = Sampler::default();
    let (watched, other) = (id(1), id(2));
    let _watch = watch(&sampler, &watched);
    let mut asked = [0, 0];
    let mut now = Instant::now();
    for _ in 0..100 {
        for (index, id) in [&watched, &other].into_iter().enumerate() {
            if sampler.take(id, 1, now).is_some() {
                asked[index] += 1;
                sampler.answer(id, 1, sample(1));
            }
        }
        now += WATCHED;
    }
    assert_eq!(
        asked,
        [100, 100 / (UNWATCHED.as_secs() / WATCHED.as_secs())]
    );
}

#[test]
fn who_does_not_answer_is_asked_once_and_then_in_the_slow_lane() {
    let sampler = Sampler::default();
    let mut now = Instant::now();
    let lane = sampler.take(&id(1), 1, now).unwrap();
    assert!(Arc::ptr_eq(&lane, &sampler.lane));
    now += Duration::from_secs(60);
    assert!(sampler.take(&id(1), 1, now).is_none());
    let seen = watch(&sampler, &id(1));
    sampler.answer(&id(1), 1, None);
    assert_eq!(*seen.borrow(), Some(StatsUpdate::Silent(None)));
    let lane = sampler.take(&id(1), 1, now).unwrap();
    assert!(Arc::ptr_eq(&lane, &sampler.slow_lane));
    sampler.answer(&id(1), 1, sample(1));
    now += Duration::from_secs(60);
    let lane = sampler.take(&id(1), 1, now).unwrap();
    assert!(Arc::ptr_eq(&lane, &sampler.lane), "it answers again");
}

#[test]
fn keeps_two_samples_of_one_run() {
    let sampler = Sampler::default();
    let mut seen = watch(&sampler, &id(1));
    let mut now = Instant::now();
    let mut next = |run: u32, cpu: u64| {
        now += WATCHED;
        assert!(sampler.take(&id(1), run, now).is_some());
        sampler.answer(&id(1), run, sample(cpu));
        let update = seen.borrow_and_update().clone();
        match update {
            Some(StatsUpdate::Sampled(samples)) => {
                let cpu = |sample: &Sample| sample.stats.cpu_total;
                (cpu(&samples.last), samples.before.as_deref().map(cpu))
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(next(1, 5), (5, None));
    assert_eq!(next(1, 7), (7, Some(5)));
    assert_eq!(next(1, 9), (9, Some(7)));
    assert_eq!(next(2, 1), (1, None), "another run begins anew");
    sampler.idle(&id(1));
    assert_eq!(*seen.borrow_and_update(), Some(StatsUpdate::NotRunning));
    sampler.forget(&id(1));
    assert!(seen.has_changed().is_err(), "it is gone");
}

#[test]
fn an_answer_of_an_earlier_run_is_not_shown() {
    let sampler = Sampler::default();
    let mut seen = watch(&sampler, &id(1));
    assert!(sampler.take(&id(1), 1, Instant::now()).is_some());
    assert!(
        sampler.take(&id(1), 2, Instant::now()).is_none(),
        "asked already"
    );
    sampler.answer(&id(1), 1, sample(5));
    assert_eq!(*seen.borrow_and_update(), None);
}

#[test]
fn what_does_not_run_and_nobody_watches_costs_nothing() {
    let sampler = Sampler::default();
    sampler.begin(&id(1));
    sampler.idle(&id(1));
    assert!(super::lock(&sampler.entries).is_empty());
}
