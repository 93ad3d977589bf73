use retry_policy::Delivery;
use retry_policy::profile;

use super::*;

const CEILING: Duration = Duration::from_secs(60);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn answered(status: u16) -> Outcome {
    Outcome::new(Delivery::Answered(status))
}

fn asks(status: u16, after: Duration) -> Outcome {
    answered(status).hint(Hint::Wait { after, source: "retry-after" })
}

fn hear(gate: &OriginGate, outcome: &Outcome, now: Duration) -> Option<GateState> {
    gate.heard(outcome, profile::DEFAULT, CEILING, || Some(1), || now)
}

/// What a request that comes at `now` is told.
fn enter(gate: &OriginGate, now: Duration) -> Entry {
    match gate.enter(&mut { Ticket::NONE }, true, None, || Some(1), || now) {
        // There is no other credential.
        Entry::Look => gate.enter(&mut { Ticket::NONE }, true, None, || Some(1), || now),
        entry => entry,
    }
}

fn plain() -> OriginGate {
    Gate::new().fresh(false, None)
}

fn closing() -> OriginGate {
    Gate::new().fresh(false, NonZeroU32::new(3))
}

#[test]
fn an_answer_that_asks_to_wait_pauses_all_and_they_leave_one_by_one() {
    let gate = plain();
    assert_eq!(enter(&gate, secs(1)), Entry::Go);
    let paused = hear(&gate, &asks(429, secs(2)), secs(1));
    assert_eq!(paused, Some(GateState::Paused { left: secs(2) }));
    assert_eq!(gate.state(secs(2)), GateState::Paused { left: secs(1) });
    for place in 0..4 {
        assert_eq!(enter(&gate, secs(2)), Entry::Wait(secs(1) + millis(5 * place)));
    }
    // Who comes after the pause need not wait: otherwise the line might never end.
    assert_eq!(enter(&gate, secs(3)), Entry::Go);
    assert_eq!(gate.state(secs(3)), GateState::Open);
}

#[test]
fn a_place_is_kept_and_a_longer_pause_takes_it_away() {
    let gate = plain();
    hear(&gate, &asks(429, secs(1)), Duration::ZERO);
    let mut ticket = Ticket::NONE;
    let ask = |ticket: &mut Ticket, now| gate.enter(ticket, true, None, || None, || now);
    assert_eq!(ask(&mut ticket, Duration::ZERO), Entry::Wait(secs(1)));
    assert_eq!(ask(&mut ticket, millis(400)), Entry::Wait(millis(600)), "it is the same place");
    hear(&gate, &asks(429, secs(3)), millis(500));
    assert_eq!(ask(&mut ticket, secs(1)), Entry::Wait(millis(2500)));
    hear(&gate, &asks(429, secs(1)), secs(1));
    assert_eq!(ask(&mut ticket, millis(3500)), Entry::Go, "a shorter one changes nothing");
}

#[test]
fn a_hint_above_the_ceiling_or_of_a_single_request_pauses_nobody() {
    const LOUD: Profile = Profile::new("loud").with_pause_on_503();
    let gate = plain();
    for outcome in [
        asks(429, CEILING + millis(1)),
        asks(503, secs(1)),
        asks(500, secs(1)),
        asks(429, Duration::ZERO),
        answered(429),
        Outcome::new(Delivery::Unknown),
    ] {
        assert_eq!(hear(&gate, &outcome, Duration::ZERO), None, "{outcome:?}");
        assert_eq!(enter(&gate, Duration::ZERO), Entry::Go, "{outcome:?}");
    }
    let heard = gate.heard(&asks(503, secs(1)), &LOUD, CEILING, || None, || Duration::ZERO);
    assert_eq!(heard, Some(GateState::Paused { left: secs(1) }));
}

#[test]
fn fails_fast_where_that_is_asked_for() {
    let gate = Gate::new().fresh(true, None);
    hear(&gate, &asks(429, secs(2)), Duration::ZERO);
    assert_eq!(enter(&gate, secs(1)), Entry::Paused(secs(1)));
    assert_eq!(enter(&gate, secs(2)), Entry::Go);
}

#[test]
fn a_streak_of_refusals_closes_it_and_a_probe_opens_it() {
    let gate = closing();
    for status in [401, 403, 200, 401, 403] {
        assert_eq!(hear(&gate, &answered(status), Duration::ZERO), None);
    }
    // A failure of the server is no word on the credential: the streak goes on.
    assert_eq!(hear(&gate, &answered(500), Duration::ZERO), None);
    let why = Closing::Refused { streak: 3 };
    let closed = GateState::Closed { why, probe_after: secs(300) };
    assert_eq!(hear(&gate, &answered(403), Duration::ZERO), Some(closed));
    assert_eq!(enter(&gate, secs(299)), Entry::Closed(why));
    // One probe, then twice the time, an hour at most.
    let mut now = Duration::ZERO;
    for after in [300, 600, 1200, 2400, 3600, 3600] {
        now += secs(after);
        assert_eq!(
            enter(&gate, now.checked_sub(millis(1)).unwrap()),
            Entry::Closed(why),
            "{after}"
        );
        assert_eq!(enter(&gate, now), Entry::Go, "{after}");
        assert_eq!(enter(&gate, now), Entry::Closed(why), "one is enough");
        assert_eq!(hear(&gate, &answered(403), now), None, "it stays closed");
    }
    assert_eq!(hear(&gate, &answered(200), now), Some(GateState::Open));
    assert_eq!(enter(&gate, now), Entry::Go);
}

#[test]
fn a_probe_passes_however_often_it_asks() {
    let gate = closing();
    (0..3).for_each(|_| {
        let _ = hear(&gate, &answered(401), Duration::ZERO);
    });
    let mut ticket = Ticket::NONE;
    for _ in 0..3 {
        assert_eq!(gate.enter(&mut ticket, true, None, || Some(1), || secs(300)), Entry::Go);
    }
}

#[test]
fn another_credential_or_the_caller_opens_it() {
    let gate = closing();
    (0..3).for_each(|_| {
        let _ = hear(&gate, &answered(401), Duration::ZERO);
    });
    assert_eq!(gate.enter(&mut { Ticket::NONE }, true, None, || Some(2), || secs(1)), Entry::Go);
    assert_eq!(enter(&gate, secs(2)), Entry::Go, "it is open");
    (0..2).for_each(|_| {
        let _ = hear(&gate, &answered(401), Duration::ZERO);
    });
    assert_eq!(enter(&gate, secs(3)), Entry::Go, "the streak began anew");
    hear(&gate, &answered(401), Duration::ZERO);
    assert!(matches!(enter(&gate, secs(4)), Entry::Closed(_)));
    gate.open();
    assert_eq!(enter(&gate, secs(4)), Entry::Go);
}

#[test]
fn a_block_closes_it_at_once_but_only_where_it_may_close() {
    let blocked = profile::JUMPCLOUD.outcome(
        &profile::Answer::new(403).body(b"Your IP has been blocked due to suspected abuse"),
    );
    assert_eq!(hear(&plain(), &blocked, Duration::ZERO), None);
    let gate = closing();
    assert!(matches!(
        hear(&gate, &blocked, Duration::ZERO),
        Some(GateState::Closed { why: Closing::Blocked, .. })
    ));
    assert_eq!(enter(&gate, secs(1)), Entry::Closed(Closing::Blocked));
}

#[test]
fn ten_network_failures_in_a_row_are_chronic_and_any_answer_ends_them() {
    let gate = plain();
    let unreachable = Outcome::new(Delivery::NotSent);
    for streak in 1..=12 {
        let said = hear(&gate, &unreachable, Duration::ZERO);
        assert_eq!(said, (streak == 10).then_some(GateState::Chronic { streak: 10 }));
        assert_eq!(enter(&gate, Duration::ZERO), Entry::Go, "requests still pass");
    }
    assert_eq!(gate.state(Duration::ZERO), GateState::Chronic { streak: 12 });
    hear(&gate, &answered(500), Duration::ZERO);
    assert_eq!(gate.state(Duration::ZERO), GateState::Open);
}

/// Sends as fast as the gate lets it, from `from` on for `time`; how many requests that were.
fn send(gate: &OriginGate, from: Duration, time: Duration) -> u32 {
    let mut now = from;
    let mut sent = 0;
    let mut ticket = Ticket::NONE;
    while now < from + time {
        if let Entry::Wait(wait) = gate.enter(&mut ticket, true, None, || None, || now) {
            now += wait;
            continue;
        }
        gate.passed(&mut ticket);
        sent += 1;
        now += millis(1); // As fast as one who sends one after the other can.
    }
    sent
}

/// The time from one request to the next, if the gate has learnt a rate.
fn between(gate: &OriginGate, now: Duration) -> Option<Duration> {
    match gate.state(now) {
        GateState::Paced { between } => Some(between),
        _ => None,
    }
}

fn learning() -> OriginGate {
    Gate::new().paced().fresh(false, None)
}

/// A gate that has learnt 100 requests a second: two refusals of those who leave every 5 ms.
fn paced() -> OriginGate {
    let gate = learning();
    hear(&gate, &answered(429), Duration::ZERO);
    hear(&gate, &answered(429), secs(1));
    gate
}

#[test]
fn the_second_refusal_of_a_minute_is_a_rate_limit() {
    let gate = learning();
    assert_eq!(send(&gate, Duration::ZERO, secs(1)), 1000);
    assert_eq!(hear(&gate, &answered(429), secs(1)), None, "one refusal says nothing of a rate");
    assert_eq!(send(&gate, secs(1), secs(1)), 1000);
    let known = hear(&gate, &answered(429), secs(2));
    assert_eq!(
        known,
        Some(GateState::Paced { between: millis(2) }),
        "1,000 a second were too much"
    );
    assert_eq!(hear(&gate, &answered(429), millis(2999)), None, "asked before the cut could show");
    assert_eq!(send(&gate, secs(2), secs(1)), 500);
    // After a minute without another, there is none, whatever was heard meanwhile.
    for heard in [None, Some(200), Some(404)] {
        let gate = learning();
        hear(&gate, &answered(429), Duration::ZERO);
        if let Some(status) = heard {
            hear(&gate, &answered(status), secs(30));
        }
        assert_eq!(hear(&gate, &answered(429), secs(60)), None);
        assert_eq!(between(&gate, secs(61)), None, "{heard:?}");
    }
}

#[test]
fn a_gate_that_is_not_paced_and_a_hint_that_is_too_long_learn_nothing() {
    let far = asks(429, secs(3601));
    for (gate, outcome) in [(plain(), &answered(429)), (learning(), &far)] {
        for second in 0..5 {
            hear(&gate, outcome, secs(second));
        }
        assert_eq!(gate.state(secs(5)), GateState::Open);
    }
    let gate = learning();
    for second in 0..5 {
        hear(&gate, &answered(503), secs(second));
    }
    assert_eq!(gate.state(secs(5)), GateState::Open, "a fault is no refusal");
}

#[test]
fn a_refusal_of_those_who_left_one_by_one_is_of_their_rate() {
    assert_eq!(between(&paced(), secs(1)), Some(millis(10)), "half of 200 a second");
    let gate = Gate::new().between(Duration::ZERO).paced().fresh(false, None);
    assert_eq!(send(&gate, Duration::ZERO, millis(1)), 1);
    hear(&gate, &answered(429), Duration::ZERO);
    hear(&gate, &answered(429), secs(1));
    assert_eq!(between(&gate, secs(1)), Some(secs(2)), "the least");
}

#[test]
fn refusals_in_a_pause_are_of_what_was_sent_before() {
    let gate = learning();
    hear(&gate, &asks(429, secs(10)), Duration::ZERO);
    for second in 2..10 {
        hear(&gate, &answered(429), secs(second));
    }
    assert_eq!(between(&gate, secs(10)), None);
    hear(&gate, &answered(429), secs(10));
    assert_eq!(between(&gate, secs(10)), Some(millis(10)));
}

#[test]
fn a_refusal_that_comes_soon_cuts_twice_as_deep_and_one_that_comes_late_3_percent() {
    let gate = paced();
    let rate = |now| 1.0 / between(&gate, now).unwrap().as_secs_f64();
    let mut now = secs(1);
    // The rate rises a little between two refusals.
    for (later, expected) in [(secs(1), 50.0), (secs(10), 48.7), (secs(2), 45.8), (secs(9), 40.3)] {
        now += later;
        hear(&gate, &answered(200), now);
        hear(&gate, &answered(429), now);
        let learnt = rate(now);
        assert!((learnt - expected).abs() < 0.1, "{now:?}: {learnt}, not {expected}");
    }
}

#[test]
fn a_rate_is_as_before_after_a_minute_and_lifted_at_twice_that() {
    let gate = paced();
    // From 100 a second: it was 200 that were too much. It rises whether something is heard or not.
    for (after, micros) in [(0, 10_000), (30, 8_888), (60, 5_000), (70, 3_868)] {
        let step = between(&gate, secs(1 + after)).map(|it| it.as_micros());
        assert_eq!(step, Some(micros), "{after} s");
    }
    assert_eq!(gate.state(secs(1 + 87)), GateState::Open);
    assert_eq!(send(&gate, secs(88), secs(1)), 1000);
    // A pause is no time in which anything was learnt.
    let gate = paced();
    hear(&gate, &asks(429, secs(60)), secs(2));
    assert_eq!(between(&gate, secs(62)), Some(millis(20)));
    // A rate that was hardly cut is lifted as well: by 3 % a minute at first.
    let gate = paced();
    (0..1000).for_each(|_| {
        let _ = hear(&gate, &answered(200), secs(1));
    });
    hear(&gate, &answered(429), secs(2));
    assert_eq!(between(&gate, secs(2)).map(|it| it.as_micros()), Some(10_309), "97 a second");
    assert_eq!(between(&gate, secs(62)).map(|it| it.as_micros()), Some(10_000));
    assert_eq!(gate.state(secs(2 + 196)), GateState::Open);
}

#[test]
fn a_rate_never_falls_below_what_was_served_or_one_in_two_seconds() {
    let gate = learning();
    for second in 0..20 {
        hear(&gate, &answered(429), secs(2 * second));
    }
    assert_eq!(between(&gate, secs(38)), Some(secs(2)));
    let gate = paced();
    (0..80).for_each(|_| {
        let _ = hear(&gate, &answered(404), secs(1));
    });
    hear(&gate, &answered(429), secs(2));
    assert_eq!(between(&gate, secs(2)), Some(Duration::from_micros(12_500)), "80 in a second");
}

#[test]
fn a_server_that_served_nothing_for_a_while_is_asked_as_before_a_minute_later() {
    let gate = paced();
    for second in 2..12 {
        hear(&gate, &answered(429), secs(second));
    }
    assert_eq!(between(&gate, secs(11)), Some(secs(2)));
    assert_eq!(between(&gate, secs(11 + 60)), Some(millis(5)), "200 a second were too much before");
}

#[test]
fn whatever_is_heard_a_rate_is_no_more_than_was_too_much_and_no_less_than_the_least() {
    let far = Duration::MAX;
    for times in
        [[Duration::ZERO; 3], [Duration::ZERO, secs(1), far], [far; 3], [secs(1), far, far]]
    {
        let gate = learning();
        for now in times {
            hear(&gate, &answered(429), now);
            hear(&gate, &asks(429, secs(1)), now);
            let _ = enter(&gate, now);
            hear(&gate, &answered(200), now);
        }
        let between = between(&gate, far).unwrap_or(millis(10));
        assert!((millis(1)..=secs(2)).contains(&between), "{times:?}: {between:?}");
    }
    let gate = paced();
    hear(&gate, &answered(200), far);
    assert_eq!(gate.state(far), GateState::Open);
}

#[test]
fn a_place_that_is_given_up_goes_to_the_next() {
    let gate = plain();
    hear(&gate, &asks(429, secs(1)), Duration::ZERO);
    let mut tickets = [Ticket::NONE; 3];
    for (ticket, place) in tickets.iter_mut().zip([0, 5, 10]) {
        let entry = gate.enter(ticket, true, None, || None, || Duration::ZERO);
        assert_eq!(entry, Entry::Wait(secs(1) + millis(place)));
    }
    gate.leave(&mut tickets[1]);
    assert_eq!(enter(&gate, Duration::ZERO), Entry::Wait(secs(1) + millis(5)));
    assert_eq!(enter(&gate, Duration::ZERO), Entry::Wait(secs(1) + millis(15)));
    // A request that cannot wait so long takes no place.
    let late = gate.enter(&mut { Ticket::NONE }, true, Some(secs(1)), || None, || Duration::ZERO);
    assert_eq!(late, Entry::Late(secs(1) + millis(20)));
    assert_eq!(enter(&gate, Duration::ZERO), Entry::Wait(secs(1) + millis(20)));
}

#[test]
fn a_probe_that_is_given_up_is_anothers() {
    let gate = closing();
    for _ in 0..3 {
        hear(&gate, &answered(401), Duration::ZERO);
    }
    let mut probe = Ticket::NONE;
    assert_eq!(gate.enter(&mut probe, true, None, || Some(1), || secs(300)), Entry::Go);
    assert_eq!(enter(&gate, secs(300)), Entry::Closed(Closing::Refused { streak: 3 }));
    gate.leave(&mut probe);
    assert_eq!(enter(&gate, secs(300)), Entry::Go);
    assert!(matches!(enter(&gate, secs(899)), Entry::Closed(_)), "as long as after the first");
    assert_eq!(enter(&gate, secs(900)), Entry::Go);
}

#[test]
fn a_closed_gate_lets_one_look_for_another_credential_now_and_then() {
    let gate = closing();
    for _ in 0..3 {
        hear(&gate, &answered(401), Duration::ZERO);
    }
    let ask = |now| gate.enter(&mut { Ticket::NONE }, true, None, || Some(1), || now);
    let closed = Entry::Closed(Closing::Refused { streak: 3 });
    for (now, entry) in
        [(9, closed), (10, Entry::Look), (10, closed), (19, closed), (25, Entry::Look)]
    {
        assert_eq!(ask(secs(now)), entry, "{now}");
    }
}

#[test]
fn a_retry_takes_its_place_at_once_if_it_is_due_within_the_pause() {
    let gate = plain();
    hear(&gate, &asks(429, secs(2)), Duration::ZERO);
    let outlook =
        |due, left| gate.outlook(&mut { Ticket::NONE }, due, left, || None, Duration::ZERO);
    assert_eq!(outlook(secs(2), None), Entry::Wait(secs(2)));
    assert_eq!(enter(&gate, Duration::ZERO), Entry::Wait(secs(2) + millis(5)), "behind it");
    assert_eq!(outlook(secs(1), Some(secs(2))), Entry::Late(secs(2)));
    assert_eq!(outlook(secs(1), Some(millis(2005))), Entry::Late(millis(2010)));
    assert_eq!(outlook(secs(3), None), Entry::Go, "its own wait is longer");
    assert_eq!(enter(&gate, Duration::ZERO), Entry::Wait(secs(2) + millis(10)));
}

/// A gate that lets one pass in two seconds, since 38 s, and so many who wait there.
fn slow(waiting: usize) -> (OriginGate, Vec<Ticket>) {
    let gate = learning();
    for second in 0..20 {
        hear(&gate, &answered(429), secs(2 * second));
    }
    let mut tickets = vec![Ticket::NONE; waiting];
    for ticket in &mut tickets {
        gate.enter(ticket, true, None, || None, || secs(38));
    }
    (gate, tickets)
}

fn ask(gate: &OriginGate, ticket: &mut Ticket, now: Duration) -> Entry {
    gate.enter(ticket, true, None, || None, || now)
}

#[test]
fn those_who_wait_at_a_rate_leave_as_it_rises_and_who_missed_its_place_takes_another() {
    let (gate, mut tickets) = slow(50);
    assert_eq!(ask(&gate, &mut tickets[49], secs(38)), Entry::Wait(secs(1)), "it looks again");
    assert_eq!(ask(&gate, &mut tickets[1], secs(39)), Entry::Wait(secs(1)));
    // A minute later it is 200 a second, and what was 38 s away is 95 ms away.
    let now = secs(38 + 60);
    assert_eq!(ask(&gate, &mut tickets[49], now), Entry::Wait(millis(95)));
    assert_eq!(ask(&gate, &mut tickets[29], now), Entry::Go, "it was due");
    // Who waited for a token meanwhile has no right to a place that was long ago.
    let (gate, mut tickets) = slow(50);
    assert_eq!(ask(&gate, &mut tickets[1], secs(43)), Entry::Wait(secs(1)), "behind the last");
    assert_eq!(ask(&gate, &mut tickets[2], secs(42)), Entry::Go);
}

#[test]
fn a_pause_moves_all_who_wait_back_together_and_nobody_to_the_end() {
    let gate = paced();
    let mut tickets = [Ticket::NONE; 5];
    for ticket in &mut tickets {
        ask(&gate, ticket, secs(1));
    }
    // Their places are 10 ms apart, and the first was taken.
    hear(&gate, &asks(429, secs(2)), millis(1001));
    let over = millis(3001);
    let waits = [1, 2, 3, 4].map(|at| ask(&gate, &mut tickets[at], over));
    let at = |place: u64| Entry::Wait(millis(place));
    assert_eq!(waits, [Entry::Go, at(10), at(20), at(30)]);
    assert_eq!(ask(&gate, &mut { Ticket::NONE }, over), at(40), "and the next behind them");
    // A place that was given up moves with the others.
    gate.leave(&mut tickets[2]);
    hear(&gate, &asks(429, secs(3)), millis(3002));
    assert_eq!(ask(&gate, &mut tickets[3], millis(6002)), at(20), "at half the rate");
    assert_eq!(ask(&gate, &mut { Ticket::NONE }, millis(6002)), Entry::Go, "the free one");
}

#[test]
fn who_fails_fast_waits_no_second_at_a_rate() {
    let gate = Gate::new().paced().fresh(true, None);
    for second in 0..20 {
        hear(&gate, &answered(429), secs(2 * second));
    }
    let mut ticket = Ticket::NONE;
    assert_eq!(ask(&gate, &mut ticket, secs(38)), Entry::Go);
    assert_eq!(ask(&gate, &mut { Ticket::NONE }, secs(38)), Entry::Paused(secs(1)));
}
