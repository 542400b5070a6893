//! Timers on simulated time.

use super::*;

/// A rule that sets a timer.
fn sets(world: &mut World, id: &str, topic: &str, timer: &str) {
    world.on(id, topic, &format!(r#"[{{"type":"set_timer","timer":{timer}}}]"#));
}

#[test]
fn a_timer_expires_once() {
    let mut world = World::new();
    sets(
        &mut world,
        "r",
        "go",
        r#"{"name":"tm:${event.id}","duration":"90s","onExpire":{"topic":"late.${event.id}","data":{"id":{"ref":"event.id"},"gone":{"ref":"event.gone"}}}}"#,
    );
    world.emit("go", r#"{"id":7}"#);
    assert_eq!(world.engine.stats().timers, 1);
    world.wait(89_999);
    assert_eq!(world.topics(), ["go"]);
    world.wait(1);
    assert_eq!(world.events(), [r#"late.7 {"id":7}"#]);
    assert_eq!(world.engine.stats().timers, 0);
    world.wait(1_000_000);
    assert!(world.topics().is_empty());
    assert_eq!(world.engine.next_deadline(), None);
}

#[test]
fn setting_a_name_again_replaces_the_timer() {
    let mut world = World::new();
    for (id, topic, duration) in [("a", "one", 100), ("b", "two", 200)] {
        sets(
            &mut world,
            id,
            topic,
            &format!(
                r#"{{"name":"n","duration":{duration},"onExpire":{{"topic":"{topic}.end","data":{{}}}}}}"#
            ),
        );
    }
    world.emit("one", "{}");
    world.emit("two", "{}");
    assert_eq!(world.engine.stats().timers, 1);
    world.wait(1000);
    assert_eq!(world.topics(), ["one", "two", "two.end"]);
}

#[test]
fn rules_of_a_timer_run_before_its_event() {
    let mut world = World::new();
    sets(
        &mut world,
        "r",
        "go",
        r#"{"name":"tt:A","duration":100,"onExpire":{"topic":"end","data":{"z":1}}}"#,
    );
    world.rule("t", 0, r#"{"type":"timer","name":"tt:*"}"#, r#"[{"type":"emit_event","topic":"rule","data":{"t":{"ref":"trigger"},"m":{"ref":"matched.0"},"x":{"ref":"meta.id"}}}]"#);
    let root = NewEvent { correlation_id: Some("K".into()), ..NewEvent::new("go", Object::new()) };
    world.call(|engine, cx| engine.emit(root, cx));
    world.wait(100);
    let [_, rule, end] = world.host.events.as_slice() else { panic!("three events") };
    let id = end.causation_id.clone().expect("the timer's id");
    let expected = format!(
        r#"{{"t":{{"timerId":"{id}","timerName":"tt:A","expiresAt":{},"correlationId":"K","z":1}}}}"#,
        WALL + 100
    );
    assert_eq!((&*rule.topic, rule.data.to_text()), ("rule", expected));
    assert_eq!((rule.correlation_id.as_deref(), rule.causation_id.clone()), (Some("K"), Some(id)));
    assert_eq!((&*end.topic, end.data.to_text().as_str()), ("end", r#"{"z":1}"#));
    assert_eq!((end.correlation_id.as_deref(), end.source), (Some("K"), Source::Timer));
}

#[test]
fn members_of_the_timers_data_win() {
    let mut world = World::new();
    sets(
        &mut world,
        "r",
        "go",
        r#"{"name":"n","duration":1,"onExpire":{"topic":"end","data":{"timerName":"mine"}}}"#,
    );
    world.rule(
        "t",
        0,
        r#"{"type":"timer","name":"n"}"#,
        r#"[{"type":"set_fact","key":"n","value":{"ref":"event.timerName"}}]"#,
    );
    world.emit("go", "{}");
    world.wait(1);
    assert_eq!(world.fact("n").as_deref(), Some("\"mine\""));
}

#[test]
fn intervals_do_not_drift_and_skip_what_was_missed() {
    let mut world = World::new();
    sets(
        &mut world,
        "r",
        "go",
        r#"{"name":"n","duration":"1s","repeat":{"interval":"10s"},"onExpire":{"topic":"tick","data":{}}}"#,
    );
    world.emit("go", "{}");
    // The loop is late by three seconds.
    world.now.mono += 4_000;
    world.now.wall += 4_000;
    world.call(|engine, cx| engine.advance(usize::MAX, cx));
    assert_eq!(world.topics(), ["go", "tick"]);
    world.wait(6_999);
    assert!(world.topics().is_empty());
    world.wait(1);
    assert_eq!(world.topics(), ["tick"]);
    // Late by two and a half intervals: one expiry, then the old grid.
    world.now.mono += 25_000;
    world.now.wall += 25_000;
    world.call(|engine, cx| engine.advance(usize::MAX, cx));
    assert_eq!(world.topics(), ["tick"]);
    world.wait(4_999);
    assert!(world.topics().is_empty());
    world.wait(1);
    assert_eq!(world.topics(), ["tick"]);
    assert_eq!(world.engine.stats().timers, 1);
}

#[test]
fn a_wall_clock_that_is_set_does_not_touch_intervals() {
    let mut world = World::new();
    sets(
        &mut world,
        "r",
        "go",
        r#"{"name":"n","duration":100,"repeat":{"interval":100},"onExpire":{"topic":"tick","data":{}}}"#,
    );
    world.emit("go", "{}");
    world.now.wall -= 3_600_000;
    world.wait(1000);
    assert_eq!(world.topics().len(), 11);
    world.now.wall += 7_200_000;
    world.wait(1000);
    assert_eq!(world.topics().len(), 10);
}

#[test]
fn repeats_are_counted() {
    let mut world = World::new();
    sets(
        &mut world,
        "r",
        "go",
        r#"{"name":"n","duration":"60ms","repeat":{"interval":"60ms","maxCount":2},"onExpire":{"topic":"hit","data":{}}}"#,
    );
    world.emit("go", "{}");
    world.wait(10_000);
    assert_eq!(world.topics(), ["go", "hit", "hit"]);
    assert_eq!(world.engine.stats().timers, 0);
}

#[test]
fn an_expiry_can_set_and_cancel_its_own_timer() {
    let mut world = World::new();
    sets(
        &mut world,
        "go",
        "go",
        r#"{"name":"n","duration":10,"onExpire":{"topic":"again","data":{}}}"#,
    );
    sets(
        &mut world,
        "again",
        "again",
        r#"{"name":"n","duration":20,"onExpire":{"topic":"end","data":{}}}"#,
    );
    world.emit("go", "{}");
    world.wait(30);
    assert_eq!(world.topics(), ["go", "again", "end"]);

    let mut world = World::new();
    sets(
        &mut world,
        "go",
        "go",
        r#"{"name":"n","duration":10,"repeat":{"interval":10},"onExpire":{"topic":"tick","data":{}}}"#,
    );
    world.on(
        "stop",
        "tick",
        r#"[{"type":"cancel_timer","name":"n"},{"type":"cancel_timer","name":"none"}]"#,
    );
    world.emit("go", "{}");
    world.wait(1000);
    assert_eq!(world.topics(), ["go", "tick"]);
    assert!(world.host.log.is_empty());
}

#[test]
fn a_timer_cancelled_by_one_that_is_due_at_the_same_time_does_not_fire() {
    let mut world = World::new();
    sets(
        &mut world,
        "a",
        "go",
        r#"{"name":"a","duration":10,"onExpire":{"topic":"a.end","data":{}}}"#,
    );
    sets(
        &mut world,
        "b",
        "go",
        r#"{"name":"b","duration":10,"onExpire":{"topic":"b.end","data":{}}}"#,
    );
    world.on("stop", "a.end", r#"[{"type":"cancel_timer","name":"b"}]"#);
    world.emit("go", "{}");
    world.wait(100);
    assert_eq!(world.topics(), ["go", "a.end"]);
}

#[test]
fn the_work_of_one_turn_is_bounded() {
    let mut world = World::new();
    sets(
        &mut world,
        "r",
        "go",
        r#"{"name":"t:${event.n}","duration":5,"onExpire":{"topic":"end","data":{}}}"#,
    );
    for number in 0..10 {
        world.emit("go", &format!(r#"{{"n":{number}}}"#));
    }
    world.now.mono += 5;
    world.call(|engine, cx| engine.advance(4, cx));
    assert_eq!(world.topics().len(), 14);
    assert_eq!(world.engine.next_deadline(), Some(0));
    world.call(|engine, cx| engine.advance(10, cx));
    assert_eq!(world.topics().len(), 6);
    assert_eq!(world.engine.next_deadline(), None);
}

#[test]
fn a_timer_of_no_time_waits_for_the_next_turn() {
    let mut world = World::new();
    sets(
        &mut world,
        "r",
        "go",
        r#"{"name":"n","duration":"0ms","onExpire":{"topic":"go","data":{}}}"#,
    );
    world.emit("go", "{}");
    assert_eq!(world.topics(), ["go"]);
    for _ in 0..3 {
        world.call(|engine, cx| engine.advance(usize::MAX, cx));
        assert_eq!(world.topics(), ["go"]);
    }
}

#[test]
fn long_durations_are_long() {
    let mut world = World::new();
    sets(
        &mut world,
        "r",
        "go",
        r#"{"name":"n","duration":"60d","onExpire":{"topic":"end","data":{}}}"#,
    );
    world.emit("go", "{}");
    world.wait(60 * 86_400_000 - 1);
    assert_eq!(world.topics(), ["go"]);
    world.wait(1);
    assert_eq!(world.topics(), ["end"]);
}

#[test]
fn cron_timers() {
    let mut world = World::new();
    // 2027-01-15 08:00:00 UTC.
    assert_eq!(WALL, 1_800_000_000_000);
    sets(
        &mut world,
        "r",
        "go",
        r#"{"name":"n","cron":"30 9 * * *","maxCount":2,"onExpire":{"topic":"tick","data":{}}}"#,
    );
    world.emit("go", "{}");
    world.wait(90 * 60_000 - 1);
    assert_eq!(world.topics(), ["go"]);
    world.wait(1);
    assert_eq!(world.topics(), ["tick"]);
    world.wait(86_400_000);
    assert_eq!(world.topics(), ["tick"]);
    world.wait(10 * 86_400_000);
    assert!(world.topics().is_empty());

    sets(
        &mut world,
        "never",
        "never",
        r#"{"name":"x","cron":"0 0 30 2 *","onExpire":{"topic":"tick","data":{}}}"#,
    );
    world.emit("never", "{}");
    assert!(world.log_text().contains("Cron expression \"0 0 30 2 *\" has no next run"));
}

#[test]
fn cron_follows_a_wall_clock_that_is_set_back() {
    let mut world = World::new();
    sets(
        &mut world,
        "r",
        "go",
        r#"{"name":"n","cron":"@hourly","onExpire":{"topic":"tick","data":{}}}"#,
    );
    world.now.wall += 30 * 60_000;
    world.emit("go", "{}");
    world.now.wall -= 10 * 60_000;
    world.wait(30 * 60_000);
    assert_eq!(world.topics(), ["go"]);
    world.wait(10 * 60_000);
    assert_eq!(world.topics(), ["tick"]);
}

#[test]
fn times_of_day_follow_a_wall_clock_that_is_set_forward() {
    let mut world = World::new();
    sets(
        &mut world,
        "r",
        "go",
        r#"{"name":"n","cron":"0 30 * * * *","onExpire":{"topic":"tick","data":{}}}"#,
    );
    world.emit("go", "{}");
    assert_eq!(world.topics(), ["go"]);
    // It is noticed without being told, by looking once a second.
    let to_half_past = 1_800_000 - world.now.wall % 3_600_000;
    world.now.wall += to_half_past - 3_000;
    world.wait(2_999);
    assert!(world.topics().is_empty());
    world.wait(1);
    assert_eq!(world.topics(), ["tick"]);
    world.now.wall += 3_600_000;
    world.wait(1_000);
    assert_eq!(world.topics(), ["tick"]);
}

#[test]
fn a_time_of_day_that_was_far_ahead_is_computed_anew_when_the_clock_is_set_right() {
    let mut world = World::new();
    let right = world.now.wall;
    world.now.wall += 365 * 86_400_000;
    sets(
        &mut world,
        "r",
        "go",
        r#"{"name":"n","cron":"@hourly","onExpire":{"topic":"tick","data":{}}}"#,
    );
    world.emit("go", "{}");
    world.now.wall = right;
    world.call(|engine, cx| engine.clock_was_set(true, cx));
    world.wait(3_600_000);
    assert_eq!(world.topics(), ["go", "tick"]);
}

#[test]
fn what_cannot_expire_fails_when_it_is_set() {
    let mut world = World::new();
    sets(&mut world, "r", "go", r#"{"name":"n","duration":5,"onExpire":{"topic":7,"data":{}}}"#);
    world.emit("go", "{}");
    assert!(world.log_text().contains("set_timer: onExpire.topic must be a string"));
    assert_eq!(world.engine.stats().timers, 0);
}
