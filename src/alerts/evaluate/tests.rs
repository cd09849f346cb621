use super::super::bounds::Watch;
use super::super::play::{Fired, Play};
use super::super::references::{self, Seen};
use super::super::rule::tests::condition;
use super::super::rule::{Basis, Margin};
use super::*;
use proptest::prelude::*;

const DAY: Millis = 86_400_000;

/// What fired: when in seconds, at which value, and why.
type Found = Vec<(i64, i64, Cause)>;

fn told(fired: impl IntoIterator<Item = Fired>) -> Found {
    let one = |it: Fired| (it.at / 1000, it.value.map_or(-1, |it| it.fen), it.cause);
    fired.into_iter().map(one).collect()
}

fn tick(at: Millis, value: Option<i64>) -> Tick {
    Tick { seq: at, at, value: value.map(Amount::plain), prev: None, correction: false }
}

/// Begins at 0 with `start` and sees each value at its second; then nothing
/// for `rest` seconds.
fn run_at(
    condition: &Condition,
    start: Option<i64>,
    ticks: &[(i64, Option<i64>)],
    rest: i64,
) -> Found {
    let past = Past::default();
    let (mut play, first) = Play::begin(condition, start.map(Amount::plain), 0, &past);
    let mut fired: Vec<Fired> = first.into_iter().collect();
    let mut now = 0;
    for (second, value) in ticks {
        now = second * 1000;
        fired.extend(play.until(now, &past));
        fired.extend(play.tick(tick(now, *value), &past));
    }
    fired.extend(play.until(now + rest * 1000, &past));
    told(fired)
}

/// The places (from 1) of the values that fired; 0 for the start.
fn run(condition: &Condition, start: Option<i64>, values: &[i64]) -> Vec<i64> {
    let ticks: Vec<_> = (1..).zip(values.iter().map(|it| Some(*it))).collect();
    run_at(condition, start, &ticks, 0).into_iter().map(|(at, ..)| at).collect()
}

fn line(op: Op, threshold: i64) -> Condition {
    Condition { threshold: Some(threshold), margin: Margin::Fen(100), ..condition(op) }
}

#[test]
fn vector_1_a_level_fires_again_after_it_came_back_by_the_margin() {
    let values = [10_500, 10_000, 9_900, 10_050, 9_990, 10_100, 9_999];
    assert_eq!(run(&line(Op::Lte, 10_000), None, &values), [2, 7]);
}

#[test]
fn vector_2_a_level_that_is_true_at_the_start() {
    let values = [9_700, 10_100, 9_990];
    let rule = line(Op::Lte, 10_000);
    assert_eq!(run(&rule, Some(9_800), &values), [0, 3]);
    assert_eq!(run_at(&rule, Some(9_800), &[], 0), [(0, 9_800, Cause::AlreadyTrue)]);
    let rule = Condition { fire_if_true_now: false, ..rule };
    assert_eq!(run(&rule, Some(9_800), &values), [3]);
}

#[test]
fn vectors_3_to_5_lines_that_are_crossed() {
    assert_eq!(run(&line(Op::CrossDown, 10_000), Some(9_800), &[9_700, 10_100, 10_000]), [3]);
    assert_eq!(run(&line(Op::CrossDown, 10_000), None, &[12_000, 8_000]), [2]);
    let range = Condition { lo: Some(9_000), hi: Some(10_000), ..condition(Op::EnterRange) };
    assert_eq!(run(&range, None, &[12_000, 8_000]), [0; 0]);
    assert_eq!(run(&range, None, &[12_000, 10_000, 9_000, 8_999, 9_500]), [2, 5]);
    let up = line(Op::CrossUp, 10_000);
    assert_eq!(run(&up, None, &[9_900, 10_000, 10_050, 9_950, 10_000]), [2, 5]);
    let either = line(Op::Cross, 10_000);
    assert_eq!(run(&either, None, &[9_900, 10_000, 10_100, 9_900, 10_000, 9_900]), [2, 4, 5]);
    let out = Condition { lo: Some(9_000), hi: Some(10_000), ..condition(Op::ExitRange) };
    assert_eq!(run(&out, None, &[12_000, 8_000, 9_000, 8_999, 10_000, 10_001]), [4, 6]);
}

#[test]
fn vectors_6_and_7_a_fall_by_five_percent() {
    let mut fall = Condition { pct_bp: Some(500), ..condition(Op::DropPct) };
    fall.reference = Some(Reference::Created);
    assert_eq!(run(&fall, Some(20_000), &[19_001, 19_000]), [2]);
    fall.reference = Some(Reference::LastFired);
    assert_eq!(run(&fall, Some(20_000), &[19_000, 18_100, 18_050]), [1, 3]);
}

#[test]
fn vector_8_it_has_to_hold_without_a_break() {
    let rule = Condition { hold_s: 600, ..line(Op::Lte, 10_000) };
    let ticks = [(0, Some(9_900)), (300, Some(10_001)), (400, Some(9_900))];
    assert_eq!(run_at(&rule, None, &ticks, 10_000), [(1_000, 9_900, Cause::Held)]);
}

#[test]
fn vectors_9_and_10_stock() {
    let back = condition(Op::BackInStock);
    let stock = [None, Some(5), Some(0), Some(0), Some(3), Some(0), Some(1)];
    let ticks: Vec<_> = (1..).zip(stock).collect();
    let fired: Vec<i64> = run_at(&back, None, &ticks, 0).iter().map(|it| it.0).collect();
    assert_eq!(fired, [5, 7]);
    let gone = condition(Op::OutOfStock);
    let fired: Vec<i64> = run_at(&gone, None, &ticks, 0).iter().map(|it| it.0).collect();
    assert_eq!(fired, [3, 6]);
    let low = Condition { margin: Margin::Fen(2), ..line(Op::StockLte, 10) };
    assert_eq!(run(&low, Some(20), &[15, 10, 9, 11, 12, 8]), [2, 6]);
}

#[test]
fn vector_11_what_comes_true_in_a_cooldown_waits_for_its_end() {
    let rule = Condition { cooldown_s: 3_600, margin: Margin::Fen(0), ..line(Op::Lte, 10_000) };
    let ticks = [(0, Some(9_900)), (60, Some(10_001)), (120, Some(9_900))];
    let first = (0, 9_900, Cause::Tick);
    let found = run_at(&rule, Some(20_000), &ticks, 10_000);
    assert_eq!(found, [first, (3_600, 9_900, Cause::AfterCooldown)]);
    let ticks = [&ticks[..], &[(1_800, Some(10_001))]].concat();
    assert_eq!(run_at(&rule, Some(20_000), &ticks, 10_000), [first]);
}

#[test]
fn vector_12_a_new_low_is_strictly_lower() {
    let low = Condition { days: Some(7), ..condition(Op::NewLow) };
    let past = Past { reference: Some(Amount::plain(9_500)), ..Past::default() };
    let (mut play, _) = Play::begin(&low, Some(Amount::plain(9_600)), 0, &past);
    assert!(play.tick(tick(1, Some(9_500)), &past).is_none());
    assert!(play.tick(tick(2, Some(9_499)), &past).is_some());
}

#[test]
fn the_mirrors_of_the_vectors() {
    let values = [9_500, 10_000, 10_100, 9_950, 10_010, 9_900, 10_001];
    assert_eq!(run(&line(Op::Gte, 10_000), None, &values), [2, 7]);
    let mut rise = Condition { pct_bp: Some(500), ..condition(Op::RisePct) };
    rise.reference = Some(Reference::Fixed(20_000));
    assert_eq!(run(&rise, Some(20_000), &[20_999, 21_000]), [2]);
    let mut more = line(Op::RiseAbs, 300);
    more.reference = Some(Reference::Created);
    assert_eq!(run(&more, Some(20_000), &[20_299, 20_300]), [2]);
    let mut less = line(Op::DropAbs, 300);
    less.reference = Some(Reference::LastFired);
    assert_eq!(run(&less, Some(20_000), &[19_700, 19_401, 19_400]), [1, 3]);
    let high = Condition { margin: Margin::Tenth, ..line(Op::StockGte, 10) };
    assert_eq!(run(&high, Some(0), &[10, 9, 10, 8, 10]), [1, 3, 5]);
}

#[test]
fn a_move_from_one_tick_to_the_next() {
    let any = Condition { pct_bp: Some(200), ..condition(Op::AnyChange) };
    assert_eq!(run(&any, Some(10_000), &[10_199, 10_403, 10_194, 9_990]), [2, 3, 4]);
    assert_eq!(run(&any, Some(10_000), &[10_200, 9_996]), [1, 2]);
}

#[test]
fn events_in_a_cooldown_are_dropped_and_counted() {
    let rule = Condition { cooldown_s: 3_600, ..line(Op::CrossDown, 10_000) };
    let past = Past::default();
    let (mut play, _) = Play::begin(&rule, Some(Amount::plain(11_000)), 0, &past);
    let mut fired = Vec::new();
    for (second, fen) in [(1, 9_900), (2, 10_100), (3, 9_900), (4_000, 10_100), (4_001, 9_900)] {
        fired.extend(play.until(second * 1000, &past));
        fired.extend(play.tick(tick(second * 1000, Some(fen)), &past));
    }
    assert_eq!(told(fired).iter().map(|it| it.0).collect::<Vec<_>>(), [1, 4_001]);
    assert_eq!(play.instance.memory.suppressed, 1);
}

#[test]
fn once_is_once_and_daily_is_once_a_day() {
    let values = [9_900, 11_000, 9_900];
    let once = Condition { mode: Mode::Once, ..line(Op::Lte, 10_000) };
    assert_eq!(run(&once, Some(12_000), &values), [1]);
    let daily = Condition { mode: Mode::Daily, ..line(Op::Lte, 10_000) };
    assert_eq!(run(&daily, Some(12_000), &values), [1]);
    // Midnight in Shanghai is 16:00 UTC.
    let ticks = [(57_500, Some(9_900)), (57_550, Some(11_000)), (57_600, Some(9_900))];
    let fired = run_at(&daily, Some(12_000), &ticks, 0);
    assert_eq!(fired.iter().map(|it| it.0).collect::<Vec<_>>(), [57_500, 57_600]);
}

#[test]
fn a_correction_moves_the_value_and_never_fires() {
    let past = Past::default();
    for (op, fires) in [(Op::Lte, false), (Op::CrossDown, false)] {
        let rule = line(op, 10_000);
        let (mut play, _) = Play::begin(&rule, Some(Amount::plain(11_000)), 0, &past);
        let corrected = Tick { correction: true, ..tick(1, Some(9_000)) };
        assert_eq!(play.tick(corrected, &past).is_some(), fires, "{op:?}");
        assert!(play.tick(tick(2, Some(8_900)), &past).is_none(), "{op:?} is disarmed");
        let back = Tick { correction: true, ..tick(3, Some(11_000)) };
        assert!(play.tick(back, &past).is_none());
        assert!(play.tick(tick(4, Some(9_000)), &past).is_some(), "{op:?} is armed again");
    }
}

#[test]
fn a_new_arrival_was_not_true_before() {
    let rule = line(Op::Lte, 10_000);
    let input = Input::Arrival(tick(5, Some(9_000)));
    let verdict = evaluate(&rule, &Instance::new(), &Past::default(), &input);
    assert_eq!(verdict.fired, Some(Cause::NewArrival));
    let nothing = Input::Arrival(tick(5, None));
    let verdict = evaluate(&rule, &Instance::new(), &Past::default(), &nothing);
    assert_eq!(verdict.fired, None);
    let first = Input::Tick(tick(6, Some(9_000)));
    let verdict = evaluate(&rule, &verdict.instance, &Past::default(), &first);
    assert_eq!(verdict.fired, Some(Cause::NewArrival));
    let event = evaluate(&line(Op::CrossDown, 10_000), &Instance::new(), &Past::default(), &input);
    assert_eq!(event.fired, None);
}

#[test]
fn stock_that_was_unknown_fires_nothing() {
    let low = line(Op::StockLte, 10);
    let ticks =
        [(1, Some(15)), (2, None), (3, Some(5)), (4, Some(3)), (5, Some(200)), (6, Some(4))];
    let fired: Vec<i64> = run_at(&low, Some(20), &ticks, 0).iter().map(|it| it.0).collect();
    assert_eq!(fired, [6]);
    let back = condition(Op::BackInStock);
    assert_eq!(run_at(&back, Some(0), &[(1, None), (2, Some(3))], 0), []);
}

#[test]
fn after_a_pause_the_first_tick_is_only_seen() {
    let rule = line(Op::CrossDown, 10_000);
    let start =
        |value| Input::Start { value: Some(Amount::plain(value)), at: 0, seq: 0, blind: true };
    let past = Past::default();
    let resumed = evaluate(&rule, &Instance::new(), &past, &start(11_000)).instance;
    let first = evaluate(&rule, &resumed, &past, &Input::Tick(tick(1, Some(9_000))));
    assert_eq!(first.fired, None);
    let level = evaluate(&line(Op::Lte, 10_000), &Instance::new(), &past, &start(9_000));
    assert_eq!(level.fired, Some(Cause::AlreadyTrue));
}

#[test]
fn too_little_history_never_fires_and_is_seen() {
    let mut rule = Condition { pct_bp: Some(500), ..condition(Op::DropPct) };
    rule.reference = Some(Reference::Avg(7));
    let none = Past::default();
    let verdict = evaluate(&rule, &Instance::new(), &none, &Input::Tick(tick(1, Some(1))));
    assert_eq!((verdict.fired, verdict.instance.state), (None, State::NoData));
    let some = Past { reference: Some(Amount::plain(10_000)), ..none };
    let verdict = evaluate(&rule, &verdict.instance, &some, &Input::Tick(tick(2, Some(9_500))));
    assert_eq!(verdict.fired, Some(Cause::Tick));
}

#[test]
fn cover_is_what_is_left_over_what_goes_out() {
    let mut cover = condition(Op::CoverDaysLte);
    (cover.days, cover.window_days, cover.margin) = (Some(5), Some(10), Margin::Tenth);
    let fires = |available, outflow| {
        let past = Past { outflow: Some(outflow), ..Past::default() };
        let before = Tick { prev: Some(Amount::plain(1_000)), ..tick(1, Some(available)) };
        evaluate(&cover, &Instance::new(), &past, &Input::Tick(before)).fired.is_some()
    };
    // 100 in 10 days is 10 a day: 50 last for 5 days.
    assert!(fires(50, 100) && !fires(51, 100) && !fires(0, 0));
}

#[test]
fn silence_fires_by_the_clock() {
    let stale = Condition { hours: Some(2), ..condition(Op::Stale) };
    let hour = 3_600_000;
    let quiet = Past { last_tick: Some(0), ..Past::default() };
    let start = Input::Start { value: Some(Amount::plain(5)), at: hour, seq: 0, blind: false };
    let verdict = evaluate(&stale, &Instance::new(), &quiet, &start);
    assert_eq!((verdict.fired, verdict.instance.due), (None, Some(2 * hour)));
    let heard = Past { last_tick: Some(hour), ..Past::default() };
    let timer = |at| Input::Timer { at, value: Some(Amount::plain(5)) };
    let later = evaluate(&stale, &verdict.instance, &heard, &timer(2 * hour));
    assert_eq!((later.fired, later.instance.due), (None, Some(3 * hour)));
    let fired = evaluate(&stale, &later.instance, &heard, &timer(3 * hour));
    assert_eq!(fired.fired, Some(Cause::Silence));
    let tick = Tick { at: 4 * hour, ..tick(4 * hour, Some(6)) };
    let now = Past { last_tick: Some(4 * hour), ..Past::default() };
    let again = evaluate(&stale, &fired.instance, &now, &Input::Tick(tick));
    assert_eq!((again.fired, again.instance.due), (None, Some(6 * hour)));
}

#[test]
fn by_weight_nothing_is_rounded() {
    let rule = Condition { basis: Basis::Weight, ..line(Op::Lte, 140_056) };
    let at = |fen| {
        let value = Some(Amount { fen, grams: 357 });
        evaluate(
            &rule,
            &Instance::new(),
            &Past::default(),
            &Input::Tick(Tick { value, ..tick(1, None) }),
        )
    };
    assert!(at(100_000).fired.is_none(), "1400.5602… for 500 g");
    assert!(at(99_999).fired.is_some());
}

/// The same rules said again in the plainest way: looks at every second, and
/// keeps in mind nothing but whether it looks out, since when it is true, and
/// when it last fired.
fn plainly(rule: &Condition, start: i64, ticks: &[(i64, Option<i64>)], rest: i64) -> Vec<i64> {
    let line = i128::from(rule.threshold.unwrap());
    let margin = match rule.margin {
        Margin::Fen(fen) => i128::from(fen),
        _ => unreachable!("not made here"),
    };
    let down = rule.op == Op::Lte;
    let mut value = i128::from(start);
    let (mut armed, mut since, mut last) = (true, None, None::<i64>);
    let mut fired = Vec::new();
    let mut look = |now: i64, value: i128| {
        let holds = if down { value <= line } else { value >= line };
        let back = if down {
            value > line && value >= line + margin
        } else {
            value < line && value <= line - margin
        };
        armed |= back;
        if !holds || !armed {
            since = None;
            return;
        }
        let began = *since.get_or_insert(now);
        if now - began >= rule.hold_s && last.is_none_or(|last| now - last >= rule.cooldown_s) {
            fired.push(now);
            (last, since, armed) = (Some(now), None, false);
        }
    };
    let end = ticks.last().map_or(0, |it| it.0) + rest;
    look(0, value);
    for now in 0..=end {
        look(now, value);
        if let Some((_, new)) = ticks.iter().find(|it| it.0 == now) {
            value = i128::from(new.unwrap());
            look(now, value);
        }
    }
    fired
}

/// Ticks at least a second apart, around 100.
fn series() -> impl Strategy<Value = Vec<(i64, Option<i64>)>> {
    prop::collection::vec((1..40_i64, 90..112_i64), 1..30).prop_map(|steps| {
        let mut now = 0;
        let tick = |(pause, value)| {
            now += pause;
            (now, Some(value))
        };
        steps.into_iter().map(tick).collect()
    })
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let op = prop::sample::select(Op::ALL.to_vec());
    let numbers = (85..115_i64, 1..6_i64, 1..900_i64, 0..4_i64);
    let times =
        (prop::sample::select(vec![0_i64, 30, 90]), prop::sample::select(vec![0_i64, 45, 120]));
    let reference =
        prop::sample::select(vec![Reference::Created, Reference::LastFired, Reference::Fixed(100)]);
    let mode = prop::sample::select(vec![Mode::Rearm, Mode::Once, Mode::Daily]);
    (op, numbers, times, reference, mode, any::<bool>(), any::<bool>()).prop_map(
        |(op, (line, width, bp, margin), (hold_s, cooldown_s), reference, mode, weight, now)| {
            let mut rule = condition(op);
            let moves = matches!(op, Op::DropAbs | Op::RiseAbs);
            rule.threshold = Some(if moves { width } else { line });
            (rule.lo, rule.hi, rule.pct_bp) = (Some(line), Some(line + width), Some(bp));
            rule.reference = Some(reference);
            (rule.days, rule.window_days, rule.hours) = (Some(3), Some(3), Some(1));
            rule.margin = Margin::Fen(margin);
            rule.basis = if weight && op.kind() == super::super::Kind::Price {
                Basis::Weight
            } else {
                Basis::Listed
            };
            (rule.hold_s, rule.cooldown_s, rule.mode, rule.fire_if_true_now) =
                (if op.can_hold() { hold_s } else { 0 }, cooldown_s, mode, now);
            rule
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn levels_are_as_the_plainest_implementation_says(
        ticks in series(),
        (line, margin) in (92..108_i64, 0..5_i64),
        (down, start) in (any::<bool>(), 90..112_i64),
        (hold_s, cooldown_s) in (prop::sample::select(vec![0_i64, 1, 20, 70]), prop::sample::select(vec![0_i64, 1, 30, 200])),
    ) {
        let op = if down { Op::Lte } else { Op::Gte };
        let rule = Condition {
            threshold: Some(line), margin: Margin::Fen(margin), hold_s, cooldown_s, ..condition(op)
        };
        let found: Vec<i64> = run_at(&rule, Some(start), &ticks, 500).iter().map(|it| it.0).collect();
        prop_assert_eq!(found, plainly(&rule, start, &ticks, 500));
    }

    #[test]
    fn moments_are_as_their_definition_says(ticks in series(), (line, width) in (90..108_i64, 1..6_i64), bp in 1..900_i64) {
        let (t, lo, hi) = (i128::from(line), i128::from(line), i128::from(line + width));
        let pairs: Vec<(i128, i128)> = std::iter::once((0, Some(100)))
            .chain(ticks.iter().copied())
            .zip(ticks.iter().copied())
            .map(|(prev, cur)| (i128::from(prev.1.unwrap()), i128::from(cur.1.unwrap())))
            .collect();
        let inside = |value: i128| lo <= value && value <= hi;
        type Says<'a> = Box<dyn Fn(i128, i128) -> bool + 'a>;
        let definitions: Vec<(Op, Says<'_>)> = vec![
            (Op::CrossDown, Box::new(|prev, cur| prev > t && cur <= t)),
            (Op::CrossUp, Box::new(|prev, cur| prev < t && cur >= t)),
            (Op::Cross, Box::new(|prev, cur| (prev > t && cur <= t) || (prev < t && cur >= t))),
            (Op::EnterRange, Box::new(|prev, cur| !inside(prev) && inside(cur))),
            (Op::ExitRange, Box::new(|prev, cur| inside(prev) && !inside(cur))),
            (Op::AnyChange, Box::new(|prev, cur| prev != cur && (cur - prev).abs() * 10_000 >= i128::from(bp) * prev)),
        ];
        for (op, says) in definitions {
            let rule = Condition {
                threshold: Some(line), lo: Some(line), hi: Some(line + width), pct_bp: Some(bp), ..condition(op)
            };
            let found: Vec<i64> = run_at(&rule, Some(100), &ticks, 0).iter().map(|it| it.0).collect();
            let wanted: Vec<i64> = ticks.iter().zip(&pairs)
                .filter(|(_, (prev, cur))| says(*prev, *cur)).map(|(tick, _)| tick.0).collect();
            prop_assert_eq!(found, wanted, "{:?}", op);
        }
    }

    #[test]
    fn percentages_are_exact(from in 1..2_000_000_i64, to in 1..2_000_000_i64, bp in 1..=20_000_i64) {
        let (f, t, b) = (i128::from(from), i128::from(to), i128::from(bp));
        for (op, says) in [(Op::DropPct, (f - t) * 10_000 >= b * f), (Op::RisePct, (t - f) * 10_000 >= b * f)] {
            let mut rule = Condition { pct_bp: Some(bp), ..condition(op) };
            for reference in [Reference::Created, Reference::PrevTick] {
                rule.reference = Some(reference);
                let past = Past { reference: Some(Amount::plain(from)), ..Past::default() };
                let begun = Instance {
                    memory: super::super::instance::Memory { created: Some(Amount::plain(from)), ..Default::default() },
                    ..Instance::new()
                };
                let verdict = evaluate(&rule, &begun, &past, &Input::Tick(tick(1, Some(to))));
                prop_assert_eq!(verdict.fired.is_some(), says, "{:?}", op);
            }
        }
    }

    /// What the index does not find would not have changed.
    #[test]
    fn a_tick_that_nobody_watches_for_changes_nothing(
        rule in any_condition(),
        ticks in series(),
        start in prop::option::of(90..112_i64),
        grams in prop::sample::select(vec![500_i64, 357, 100, 1000, 499]),
    ) {
        let past = Past { last_tick: Some(0), outflow: Some(7), reference: Some(Amount::plain(100)) };
        let amount = |fen: i64| references::priced(rule.basis, fen, grams);
        let (mut play, _) = Play::begin(&rule, start.map(amount), 0, &past);
        for (second, value) in ticks {
            let now = second * 1000;
            let _ = play.until(now, &past);
            let before = play.instance.clone();
            let watch = Watch::of(&rule, &before, grams);
            let fen = value.unwrap();
            let seen = watch.always
                || watch.below.is_some_and(|below| fen <= below)
                || watch.above.is_some_and(|above| fen >= above);
            let fired = play.tick(Tick { value: Some(amount(fen)), ..tick(now, None) }, &past);
            if !seen && !before.state.is_over() {
                let mut after = play.instance.clone();
                after.memory.trace = before.memory.trace.clone();
                after.memory.created = before.memory.created;
                prop_assert!(fired.is_none());
                prop_assert_eq!(after, before, "{:?} {}", watch, fen);
                // It was not looked at at all.
                play.instance.memory.trace.clear();
            }
        }
    }

    #[test]
    fn the_past_of_a_window_is_as_its_definition_says(
        steps in prop::collection::vec((1..30_i64, 50..200_i64), 1..40), days in 1..9_i64,
    ) {
        let mut at = 0;
        let mut seen = Vec::new();
        for (seq, (hours, fen)) in steps.into_iter().enumerate() {
            at += hours * 3_600_000;
            seen.push(Seen { seq: seq as i64, at, value: Amount::plain(fen) });
        }
        let now = at + 3_600_000;
        let from = now - days * DAY;
        let within: Vec<i64> = seen.iter().filter(|it| it.at >= from).map(|it| it.value.fen).collect();
        let enough = within.len() >= 3 && (now - seen[0].at.max(from)) * 2 >= now - from;
        let wanted = |value: Option<i64>| if enough { value } else { None };
        let mut rule = Condition { days: Some(days), ..condition(Op::NewLow) };
        let found = |rule: &Condition| references::reference(rule, &seen, now).map(|it| it.fen);
        prop_assert_eq!(found(&rule), wanted(within.iter().copied().min()));
        rule.op = Op::NewHigh;
        prop_assert_eq!(found(&rule), wanted(within.iter().copied().max()));
        // By the minute, which every step is a multiple of.
        (rule.op, rule.reference) = (Op::DropPct, Some(Reference::Avg(days)));
        let (mut sum, mut minutes) = (0_i128, 0_i128);
        let mut minute = from;
        while minute < now {
            if let Some(last) = seen.iter().rev().find(|it| it.at <= minute) {
                sum += i128::from(last.value.fen);
                minutes += 1;
            }
            minute += 3_600_000;
        }
        if enough {
            let mean = found(&rule).unwrap();
            prop_assert!((i128::from(mean) * minutes - sum).abs() * 2 <= minutes);
        }
    }
}
