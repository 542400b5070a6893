//! Rules, facts and timers over a disk that fails, tears and loses what was not
//! synced: random requests, time that passes, crashes, recovery, replayable by
//! seed.

use super::*;
use crate::app::CommitSeq;
use crate::engine::tests::durability::{Queue, dice, recover};
use crate::ids::IdSource;
use crate::storage::{Batch, Disk, Faults, Journal, Policy};

const SEEDS: u64 = 60;
const LIVES: u64 = 3;
const STEPS: u64 = 60;

/// Everything that has to survive: the rules' own state and the records that
/// they have written.
fn dump(engine: &Engine) -> Vec<String> {
    let core = engine.rule_engine().expect("rules");
    let mut all: Vec<String> = core
        .records()
        .into_iter()
        .map(|record| {
            let value = record.value.unwrap_or_default();
            format!("{} {} {:?} {value}", record.kind.as_str(), record.key, record.origin)
        })
        .collect();
    all.sort();
    for bucket in engine.store.buckets() {
        all.extend(bucket.iter().map(|(_, row)| format!("{} {}", bucket.name(), row.text())));
    }
    all
}

fn setup() -> RulesSetup {
    let options = Options { chain_facts: true, ..Options::default() };
    RulesSetup { options, ..RulesSetup::default() }
}

fn actions(ids: &mut IdSource) -> String {
    let mut below = |bound: u64| ids.next_u64() % bound;
    let actions: Vec<String> = (0..below(3) + 1)
        .map(|_| {
            let (key, ms) = (below(4), below(300));
            match below(6) {
                0 => format!(r#"{{"type":"set_fact","key":"f:{key}","value":{{"ref":"trigger"}}}}"#),
                1 => format!(r#"{{"type":"delete_fact","key":"f:{key}"}}"#),
                2 => format!(
                    r#"{{"type":"set_timer","timer":{{"name":"t:{key}","duration":{ms},"repeat":{{"interval":{},"maxCount":{}}},"onExpire":{{"topic":"e{key}","data":{{"k":{key}}}}}}}}}"#,
                    ms + 20,
                    below(5) + 1
                ),
                3 => format!(
                    r#"{{"type":"set_timer","timer":{{"name":"t:{key}","duration":{ms},"onExpire":{{"topic":"e{key}","data":{{}}}}}}}}"#
                ),
                4 => format!(r#"{{"type":"cancel_timer","name":"t:{key}"}}"#),
                _ => r#"{"type":"call_service","service":"store","method":"insert","args":["log",{"ref":"trigger"}]}"#.into(),
            }
        })
        .collect();
    actions.join(",")
}

fn request(ids: &mut IdSource) -> String {
    let mut below = |bound: u64| ids.next_u64() % bound;
    let (rule, key, roll) = (below(6), below(4), below(20));
    let trigger = match below(3) {
        0 => format!(r#"{{"type":"event","topic":"e{key}"}}"#),
        1 => format!(r#"{{"type":"fact","pattern":"f:{key}"}}"#),
        _ => format!(r#"{{"type":"timer","name":"t:{key}"}}"#),
    };
    match roll {
        0..5 => format!(
            r#""rules.registerRule","rule":{{"id":"r{rule}","name":"r","trigger":{trigger},"actions":[{}]}}"#,
            actions(ids)
        ),
        5 => format!(
            r#""rules.updateRule","ruleId":"r{rule}","updates":{{"actions":[{}],"priority":{key}}}"#,
            actions(ids)
        ),
        6 => format!(r#""rules.unregisterRule","ruleId":"r{rule}""#),
        7 => format!(r#""rules.enableRule","ruleId":"r{rule}""#),
        8 => format!(r#""rules.disableRule","ruleId":"r{rule}""#),
        9..12 => format!(r#""rules.setFact","key":"f:{key}","value":{{"n":[{roll},null,"é"]}}"#),
        12 => format!(r#""rules.deleteFact","key":"f:{key}""#),
        13 => r#""store.defineBucket","name":"log","config":{"key":"id","maxSize":20,"schema":{"id":{"type":"number","generated":"autoincrement"}}}"#.into(),
        _ => format!(r#""rules.emit","topic":"e{key}","data":{{"n":{roll}}},"correlationId":"c""#),
    }
}

/// One run of the server until it crashes.
struct Life {
    engine: Engine,
    journal: Journal,
    queue: Queue,
    conn: ConnId,
    now: Now,
    /// The state after every step, with the newest commit in it.
    states: Vec<(CommitSeq, Vec<String>)>,
    /// What each message waits for.
    needs: Vec<CommitSeq>,
}

fn start(disk: &Disk, policy: Policy, queue: &Queue, now: Now) -> (Engine, Journal) {
    let (mut engine, journal, documents) = recover(disk, policy, queue, now);
    engine.recovered(documents);
    // Subscribers hear of what fires at the start at once.
    engine.options.first_push_delay_ms = 0;
    engine.set_rules(setup()).expect("what is stored can be read");
    (engine, journal)
}

impl Life {
    fn begin(disk: &Disk, policy: Policy, now: Now) -> Life {
        let queue = Queue::default();
        let (mut engine, journal) = start(disk, policy, &queue, now);
        let conn = ConnId { slot: 0, generation: 0 };
        let peer = crate::app::Peer::of([127, 0, 0, 1].into());
        engine.connected(conn, &peer, now);
        engine.message(conn, r#"{"id":1,"type":"rules.subscribe","pattern":"*"}"#, now);
        engine.effects().clear();
        let states = vec![(engine.log.last(), dump(&engine))];
        Life { engine, journal, queue, conn, now, states, needs: Vec::new() }
    }

    fn step(&mut self, ids: &mut IdSource) {
        let gap = ids.next_u64() % 90;
        self.now.mono += gap;
        self.now.wall += gap;
        self.engine.timers(self.now, &crate::app::NobodyWaits);
        self.look(false);
        let text = format!(r#"{{"id":7,"type":{}}}"#, request(ids));
        self.engine.message(self.conn, &text, self.now);
        self.look(text.contains("\"rules."));
        if ids.next_u64().is_multiple_of(3) {
            self.engine.turn_ended(self.now);
        }
    }

    fn look(&mut self, is_rules: bool) {
        self.engine.check_invariants();
        let last = self.engine.log.last();
        let effects = std::mem::take(self.engine.effects());
        for effect in effects.list {
            let Effect::Send { head, needs, .. } = effect else { continue };
            assert!(needs <= last);
            // A response about rules waits for everything that they did.
            if is_rules && effects.bytes[head].starts_with(br#"{"id":7,"type":"result""#) {
                assert_eq!(needs, last);
            }
            self.needs.push(needs);
        }
        self.states.push((last, dump(&self.engine)));
    }

    /// The storage thread does some of its work; false when the disk failed.
    fn write(&mut self, ids: &mut IdSource) -> bool {
        let take = ids.next_u64() % 4;
        let unit: Vec<Batch> = self.queue.take(take);
        if self.journal.write(&unit, self.now.mono).is_err() {
            return false;
        }
        let is_due = self.journal.sync_due().is_some_and(|due| due <= self.now.mono);
        !is_due || self.journal.sync().is_ok()
    }
}

#[test]
fn rules_facts_and_timers_survive_whatever_happens_to_the_disk() {
    let (mut commits, mut timers) = (0, 0);
    for seed in 0..SEEDS {
        let mut ids = dice(seed);
        let disk = Disk::new();
        let policy = match seed % 3 {
            0 => Policy::Always,
            1 => Policy::Interval(200),
            _ => Policy::Never,
        };
        let mut now = Now { mono: 1000, wall: 1_800_000_001_000 };
        for life in 0..LIVES {
            let mut run = Life::begin(&disk, policy, now);
            let number = Some(ids.next_u64() % 20 + 1);
            match ids.next_u64() % 4 {
                0 => disk.set_faults(Faults { fail_write: number, ..Faults::default() }),
                1 => disk.set_faults(Faults { fail_sync: number, ..Faults::default() }),
                _ => {}
            }
            let mut alive = true;
            for _ in 0..ids.next_u64() % STEPS {
                run.step(&mut ids);
                alive = run.write(&mut ids);
                if !alive {
                    break;
                }
            }
            // A failed disk is no better than a loss of power.
            let killed = alive && ids.next_u64().is_multiple_of(2);
            if killed {
                disk.kill();
            } else {
                disk.cut_power(seed * 16 + life);
            }
            let acknowledged = match policy {
                Policy::Always => run.journal.acknowledged(),
                _ if killed => run.journal.acknowledged(),
                _ => run.journal.synced(),
            };
            let (engine, _) = start(&disk, policy, &Queue::default(), run.now);
            let (last, found) = (engine.log.last(), dump(&engine));
            assert!(last >= acknowledged, "seed {seed}: {acknowledged} is gone");
            let released = run.needs.iter().filter(|needs| **needs <= acknowledged);
            assert!(released.max() <= Some(&last), "seed {seed}: released and gone");
            let before = run.states.iter().rfind(|(seq, _)| *seq <= last);
            assert_eq!(before.map(|(_, state)| state), Some(&found), "seed {seed}, commit {last}");
            commits += last;
            timers += engine.rule_engine().map_or(0, |core| core.stats().timers);
            // Some time passes before the next start.
            let later = ids.next_u64() % 500;
            now = Now { mono: 1000 + life, wall: run.now.wall + later };
        }
    }
    assert!(commits > SEEDS * 20 && timers > 20, "{commits} commits, {timers} timers");
}

/// Overdue timers fire once after the start, in the order in which they were
/// due; repeating ones keep their grid and what is left of their count.
#[test]
fn timers_go_on_after_a_restart() {
    let disk = Disk::new();
    let queue = Queue::default();
    let mut now = Now { mono: 1000, wall: 1_800_000_000_000 };
    let (engine, mut journal) = start(&disk, Policy::Always, &queue, now);
    let mut rig = Rig::with_engine(engine, now);
    let conn = rig.connect();
    let timer = |name: &str, schedule: &str| {
        format!(
            r#"{{"type":"set_timer","timer":{{"name":"{name}",{schedule},"onExpire":{{"topic":"{name}","data":{{}}}}}}}}"#
        )
    };
    let timers = [
        timer("late", r#""duration":"2s""#),
        timer("first", r#""duration":"1s""#),
        timer("grid", r#""duration":"1s","repeat":{"interval":"1s","maxCount":4}"#),
        timer("cron", r#""cron":"0 0 0 1 1 *","maxCount":1"#),
        timer("far", r#""duration":"30d""#),
    ];
    on(&mut rig, conn, "r", "go", &format!("[{}]", timers.join(",")));
    ok(&mut rig, conn, r#""type":"rules.emit","topic":"go""#);
    rig.engine.turn_ended(rig.now);
    journal.write(&queue.take(u64::MAX), 0).expect("written");
    disk.cut_power(1);
    // Two and a half seconds later.
    now = Now { mono: 50, wall: now.wall + 2500 };
    let (engine, _) = start(&disk, Policy::Always, &Queue::default(), now);
    let mut rig = Rig::with_engine(engine, now);
    let conn = rig.connect();
    subscribe(&mut rig, conn, "*");
    rig.received(conn);
    rig.advance(0);
    let topics = |rig: &mut Rig| -> Vec<String> {
        let lines = seen(rig, conn).into_iter();
        lines.filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect()
    };
    let mut overdue = topics(&mut rig);
    assert_eq!(overdue.pop().as_deref(), Some("late"));
    overdue.sort();
    assert_eq!(overdue, ["first", "grid"]);
    rig.advance(499);
    assert!(topics(&mut rig).is_empty());
    rig.advance(1);
    assert_eq!(topics(&mut rig), ["grid"]);
    rig.advance(60_000);
    assert_eq!(topics(&mut rig), ["grid", "grid"], "four in all, one of them for the one missed");
    // Two are far away, one of them beyond 31 bits of milliseconds.
    let left = |rig: &Rig| rig.engine.rule_engine().map(|core| core.stats().timers);
    assert_eq!(left(&rig), Some(2));
    // `rules.getTimers`: soonest first, with the rule as long as it is there.
    // The first connection has answered no ping.
    let conn = rig.connect();
    let list = |rig: &mut Rig, pattern: &str| {
        let timers = ok(rig, conn, &format!(r#""type":"rules.getTimers"{pattern}"#));
        let timers: Vec<serde_json::Value> = serde_json::from_str(&timers).expect("a list");
        let members = |timer: &serde_json::Value| {
            ["name", "cron", "maxCount", "ruleId", "repeat"]
                .map(|member| timer.get(member).map_or("-".into(), |value| value.to_string()))
                .join(" ")
        };
        timers.iter().map(members).collect::<Vec<String>>()
    };
    let far = r#""far" - - "r" -"#;
    let cron = r#""cron" "0 0 0 1 1 *" 1 "r" -"#;
    let mut all = list(&mut rig, "");
    all.sort();
    assert_eq!(all, [cron, far]);
    assert_eq!(list(&mut rig, r#","pattern":"f*""#), [far]);
    assert_eq!(list(&mut rig, r#","pattern":"f""#), [] as [&str; 0]);
    ok(&mut rig, conn, r#""type":"rules.unregisterRule","ruleId":"r""#);
    assert_eq!(list(&mut rig, r#","pattern":"far""#), [r#""far" - - - -"#]);
    // In one step: what looks at the clock every second would do so for a month.
    let month = 30 * 86_400_000 - 63_001;
    rig.now = Now { mono: rig.now.mono + month, wall: rig.now.wall + month };
    rig.advance(0);
    assert_eq!(left(&rig), Some(2));
    rig.advance(1);
    assert_eq!(left(&rig), Some(1));
}
