//! What the modes do once the connections are open.

use crate::hist::Summary;
use crate::proc;
use crate::publisher::{self, Outcome, Pace, Plan};
use crate::run::{Run, since_s, sleep};
use crate::shared::{PHASE_DROP, PHASE_RECONNECT, now_ns};
use std::sync::atomic::Ordering::Relaxed;

fn check(o: &Outcome) -> Result<(), String> {
    if o.acked == 0 {
        return Err(format!("nothing could be published: {}", o.first_error));
    }
    Ok(())
}

/// Publishes what is counted and not timed.
pub fn warm_up(run: &mut Run, plan: &Plan) -> Result<(), String> {
    let o = publisher::run(plan, run.sh);
    check(&o)?;
    run.wait_delivered(o.expected_deliveries);
    run.sh.timed_from_ns.store(now_ns(), Relaxed);
    sleep(0.1);
    Ok(())
}

/// Publishes, waits until everything is delivered, and says what it took.
pub fn load(run: &mut Run, plan: &Plan) -> Result<(), String> {
    let before = run.server(false);
    let soft = proc::softirq_s();
    let own = run.generator_cpu();
    let done = run.sh.sum(|w| &w.delivered);
    let polls = run.sh.sum(|w| &w.polls);
    let o = publisher::run(plan, run.sh);
    check(&o)?;
    run.wait_delivered(done + o.expected_deliveries);
    let after = run.server(false);
    let soft = proc::softirq_s() - soft;
    let own = run.generator_cpu() - own;
    let delivered = run.sh.sum(|w| &w.delivered) - done;
    let polls = run.sh.sum(|w| &w.polls) - polls;
    let end = run.sh.max(|w| &w.last_delivery_ns).max(o.end_ns);
    let wall = (end - o.start_ns) as f64 / 1e9;
    let publishing = (o.end_ns - o.start_ns) as f64 / 1e9;
    let cpu = after.cpu_s() - before.cpu_s();

    let mut ack = Summary::new();
    o.ack.add_to(&mut ack);
    let r = &mut run.report;
    r.put_rounded("wall_s", wall, 4);
    r.put_rounded("publish_s", publishing, 4);
    r.put("requests", o.requests);
    r.put("acked", o.acked);
    r.put("messages", o.messages);
    r.put("publish_errors", o.errors);
    if !o.first_error.is_empty() {
        r.put("first_publish_error", o.first_error);
    }
    r.put("stalls", o.stalls);
    r.put_rounded("requests_per_s", o.acked as f64 / publishing, 1);
    let answered = o.acked * plan.batch as u64;
    r.put_rounded("messages_per_s", answered as f64 / publishing, 1);
    r.quantiles("ack", &ack);
    r.put("expected", o.expected_deliveries);
    r.put("delivered", delivered);
    r.put_rounded("deliveries_per_s", delivered as f64 / wall, 0);
    r.put_rounded("server_cpu_s", cpu, 4);
    r.put_rounded("server_user_s", after.user_s - before.user_s, 2);
    r.put_rounded("server_sys_s", after.sys_s - before.sys_s, 2);
    r.put_rounded("server_cpu_share", cpu / wall, 3);
    r.put_rounded("generator_cpu_share", own / wall, 3);
    r.put_rounded("softirq_s", soft, 2);
    r.put_rounded("cpu_us_per_message", cpu * 1e6 / o.messages as f64, 2);
    if delivered > 0 {
        r.put_rounded("cpu_us_per_delivery", cpu * 1e6 / delivered as f64, 3);
    }
    if polls > 0 {
        r.put("polls", polls);
    }
    sleep(0.3);
    let loaded = run.server(true).rss_kib;
    run.report.put("rss_load_kib", loaded);
    if run.options.conns > 0 {
        run.report.put_rounded("rss_per_conn_load_b", run.a_conn(loaded), 0);
    }
    Ok(())
}

/// Does nothing for a while, and says what that took.
pub fn hold(run: &mut Run) {
    let before = run.server(false);
    let start = now_ns();
    sleep(run.options.hold);
    let after = run.server(true);
    let wall = since_s(start);
    run.report.put_rounded("hold_s", wall, 2);
    let share = (after.cpu_s() - before.cpu_s()) / wall;
    run.report.put_rounded("idle_cpu_percent", share * 100.0, 3);
    run.report.put("still_connected", run.sh.sum(|w| &w.ready));
    run.report.put("rss_held_kib", after.rss_kib);
    run.report.put_rounded("rss_per_conn_held_b", run.a_conn(after.rss_kib), 0);
}

/// Drops every connection, publishes, and lets all come back.
pub fn storm(run: &mut Run, plan: &Plan) -> Result<(), String> {
    let (options, sh) = (run.options, run.sh);
    let every = options.topics as u64;
    // Every reader gets something first, so that it has an id to come back with.
    let first = Plan { messages: options.warmup.max(every), pace: Pace::Window(1), ..plan.clone() };
    let o = publisher::run(&first, sh);
    check(&o)?;
    let mut expected = o.expected_deliveries;
    run.wait_delivered(expected);

    let before = run.server(false);
    sh.phase.store(PHASE_DROP, Relaxed);
    let start = now_ns();
    while sh.sum(|w| &w.dropped) < run.workers.len() as u64 && since_s(start) < 10.0 {
        sleep(0.001);
    }
    run.report.put_rounded("drop_s", since_s(start), 4);
    let missed = Plan { messages: options.gap, pace: Pace::Acked, ..plan.clone() };
    let o = publisher::run(&missed, sh);
    check(&o)?;
    expected += o.expected_deliveries;
    run.report.put("gap_messages", o.messages);
    let mut errors = o.errors;
    for (target, published) in sh.target.iter().zip(&sh.published).take(options.topics) {
        target.store(published.load(Relaxed), Relaxed);
    }

    let start = now_ns();
    sh.storm_start_ns.store(start, Relaxed);
    sh.phase.store(PHASE_RECONNECT, Relaxed);
    let mut live_messages = 0;
    while sh.sum(|w| &w.caught_up) < options.conns as u64 && since_s(start) < options.timeout {
        if options.live_rate > 0.0 {
            let live = Plan {
                messages: (options.live_rate / 5.0).ceil() as u64,
                pace: Pace::Rate(options.live_rate),
                ..plan.clone()
            };
            let o = publisher::run(&live, sh);
            errors += o.errors;
            live_messages += o.messages;
            expected += o.expected_deliveries;
        } else {
            sleep(0.002);
        }
    }
    let end = sh.max(|w| &w.last_caught_up_ns);
    let complete = run.wait_delivered(expected);
    let cpu = run.server(false).cpu_s() - before.cpu_s();
    let mut each = Summary::new();
    sh.workers.iter().for_each(|w| w.catch_up.add_to(&mut each));
    let r = &mut run.report;
    r.put("caught_up", sh.sum(|w| &w.caught_up));
    r.put_rounded("catch_up_s", end.saturating_sub(start) as f64 / 1e9, 4);
    r.put("catch_up_complete", complete);
    r.quantiles("catch_up", &each);
    r.put("live_messages", live_messages);
    r.put("publish_errors", errors);
    r.put("expected", expected);
    r.put("delivered", sh.sum(|w| &w.delivered));
    r.put_rounded("storm_cpu_s", cpu, 4);
    r.put_rounded("storm_cpu_us_per_conn", cpu * 1e6 / options.conns as f64, 1);
    Ok(())
}
