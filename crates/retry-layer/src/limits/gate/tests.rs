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
        gate.passed(&mut ticket, || now);
        sent += 1;
        now += millis(1); // As fast as one who sends one after the other can.
    }
    sent
}

#[test]
fn a_paced_gate_halves_the_rate_and_raises_it_with_every_success() {
    let gate = Gate::new().paced().fresh(false, None);
    assert_eq!(send(&gate, Duration::ZERO, secs(1)), 1000);
    // 1,000 in the second before: 500 a second from now on.
    let paced = hear(&gate, &answered(429), secs(1));
    assert_eq!(paced, Some(GateState::Paced { between: millis(2) }));
    assert_eq!(hear(&gate, &answered(429), secs(1)), None, "asked before the cut could show");
    assert_eq!(send(&gate, secs(1), secs(1)), 500);
    let paced = hear(&gate, &answered(429), secs(2));
    assert_eq!(paced, Some(GateState::Paced { between: millis(4) }));
    // 0.1 a second more for each success, and lifted at twice what was too much.
    (0..2500).for_each(|_| {
        let _ = hear(&gate, &answered(200), secs(3));
    });
    assert_eq!(gate.state(secs(3)), GateState::Paced { between: millis(2) });
    (0..5000).for_each(|_| {
        let _ = hear(&gate, &answered(200), secs(3));
    });
    assert_eq!(gate.state(secs(4)), GateState::Open);
    assert_eq!(send(&gate, secs(4), secs(1)), 1000);
}

#[test]
fn a_paced_rate_never_falls_below_one_in_two_seconds() {
    let gate = Gate::new().paced().fresh(false, None);
    for second in 0..20 {
        hear(&gate, &answered(429), secs(2 * second));
    }
    assert_eq!(gate.state(secs(40)), GateState::Paced { between: secs(2) });
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

#[test]
fn those_who_wait_at_a_pace_leave_as_it_rises_and_one_by_one_when_it_is_lifted() {
    let gate = Gate::new().paced().fresh(false, None);
    hear(&gate, &answered(429), Duration::ZERO);
    let mut tickets = [Ticket::NONE; 4];
    let mut ask =
        |number: usize, now| gate.enter(&mut tickets[number], true, None, || None, || now);
    assert_eq!(ask(0, Duration::ZERO), Entry::Go);
    // One in two seconds; who waits looks each second whether that has changed.
    assert_eq!(ask(1, Duration::ZERO), Entry::Wait(secs(1)));
    assert_eq!(ask(2, Duration::ZERO), Entry::Wait(secs(1)));
    assert_eq!(ask(1, millis(1500)), Entry::Wait(millis(500)));
    // Five successes make it one a second: what was 0.5 s and 2.5 s away is half as far.
    for _ in 0..5 {
        hear(&gate, &answered(200), millis(1500));
    }
    assert_eq!(gate.state(secs(2)), GateState::Open, "twice what was too much");
    // Lifted: what was 2.5 s away at one in two seconds is as far at one in 5 ms.
    assert_eq!(ask(2, millis(1500)), Entry::Wait(Duration::from_micros(6250)));

    let gate = Gate::new().paced().fresh(false, None);
    assert_eq!(send(&gate, Duration::ZERO, secs(1)), 1000);
    hear(&gate, &answered(429), secs(1));
    let mut last = Ticket::NONE;
    for _ in 0..100 {
        last = Ticket::NONE;
        gate.enter(&mut last, true, None, || None, || secs(1));
    }
    // The hundredth waits for 99 times 2 ms; at a rate of 750 a second it is two thirds of that.
    assert_eq!(last.place, Some(millis(1198)));
    for _ in 0..2500 {
        hear(&gate, &answered(200), secs(1));
    }
    let Entry::Wait(wait) = gate.enter(&mut last, true, None, || None, || secs(1)) else {
        panic!("it still waits")
    };
    assert_eq!(wait.as_millis(), 131, "99 times 1.33 ms, by many small steps");
}
