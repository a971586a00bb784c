use super::*;

/// A server that takes `limit` calls in any fixed window of a minute.
struct FixedWindow {
    limit: u32,
    opened: Instant,
    used: u32,
}

impl FixedWindow {
    fn new(limit: u32) -> Self {
        Self { limit, opened: Instant::now(), used: 0 }
    }

    fn call(&mut self) -> Feedback {
        let now = Instant::now();
        while now.duration_since(self.opened) >= MINUTE {
            self.opened += MINUTE;
            self.used = 0;
        }
        if self.used < self.limit {
            self.used += 1;
            return Feedback::Accepted;
        }
        let left = MINUTE - now.duration_since(self.opened);
        Feedback::Throttled(Some(Duration::from_secs(left.as_secs() + 1)))
    }
}

async fn drive(limiter: &Arc<Limiter>, server: &mut FixedWindow, calls: u32) -> u32 {
    let far = Instant::now() + Duration::from_secs(100_000);
    let mut refused = 0;
    for _ in 0..calls {
        let permit = limiter.acquire(far).await.unwrap();
        tokio::time::sleep(Duration::from_millis(15)).await;
        let feedback = server.call();
        refused += u32::from(feedback != Feedback::Accepted);
        permit.report(feedback);
    }
    refused
}

#[tokio::test(start_paused = true)]
async fn a_learnt_limit_is_not_met_again() {
    let limiter = Arc::new(Limiter::new(LimiterConfig::default(), None));
    let mut server = FixedWindow::new(600);
    let learning = drive(&limiter, &mut server, 1_000).await;
    assert!((1..=2).contains(&learning), "{learning}");
    assert_eq!(drive(&limiter, &mut server, 3_000).await, 0);
    let pace = limiter.view().1.unwrap();
    let per_minute = MINUTE.as_millis() / pace.interval().as_millis();
    assert!((570..=600).contains(&per_minute), "{pace:?}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_drops_is_learnt_again() {
    let limiter = Arc::new(Limiter::new(LimiterConfig::default(), None));
    let mut server = FixedWindow::new(600);
    drive(&limiter, &mut server, 1_500).await;
    server.limit = 120;
    drive(&limiter, &mut server, 600).await;
    assert_eq!(drive(&limiter, &mut server, 600).await, 0);
}

#[tokio::test(start_paused = true)]
async fn in_flight_grows_a_clean_minute_and_halves_once_an_event() {
    let limiter = Arc::new(Limiter::new(LimiterConfig::default(), None));
    let far = Instant::now() + Duration::from_secs(100_000);
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(61)).await;
        limiter.acquire(far).await.unwrap().report(Feedback::Accepted);
    }
    assert_eq!(limiter.view().0, 10);
    let mut permits = Vec::new();
    for _ in 0..10 {
        permits.push(limiter.acquire(far).await.unwrap());
    }
    for permit in &permits {
        permit.report(Feedback::Overloaded(None));
    }
    assert_eq!(limiter.view().0, 5);
    assert_eq!(limiter.view().1, None, "a 503 teaches no pace");
}

#[tokio::test(start_paused = true)]
async fn so_many_in_flight_as_were_chosen_and_fewer_once_asked_for() {
    let budget = Budget::new(LimiterConfig::default(), None);
    let far = Instant::now() + Duration::from_secs(100_000);
    assert_eq!(budget.0.view().0, 4);
    budget.fly(Some(16));
    assert_eq!(budget.0.view().0, 16);
    budget.0.acquire(far).await.unwrap().report(Feedback::Overloaded(None));
    assert_eq!(budget.0.view().0, 8);
    budget.fly(Some(16));
    budget.fly(None);
    assert_eq!(budget.0.view().0, 8, "another choice gives nothing back of what was asked for");
    budget.fly(Some(2));
    assert_eq!(budget.0.view().0, 2);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(61)).await;
        budget.0.acquire(far).await.unwrap().report(Feedback::Accepted);
    }
    assert_eq!(budget.0.view().0, 2, "never more than were chosen");
}

#[tokio::test(start_paused = true)]
async fn never_more_in_flight_than_the_window() {
    let limiter = Arc::new(Limiter::new(LimiterConfig { start: 3, ..LimiterConfig::default() }, None));
    let soon = Instant::now() + Duration::from_secs(1);
    let held: Vec<_> = [
        limiter.acquire(soon).await.unwrap(),
        limiter.acquire(soon).await.unwrap(),
        limiter.acquire(soon).await.unwrap(),
    ]
    .into();
    assert!(limiter.acquire(soon).await.is_err());
    drop(held);
    assert!(limiter.acquire(Instant::now() + MINUTE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_pause_longer_than_the_deadline_is_told() {
    let limiter = Arc::new(Limiter::new(LimiterConfig::default(), None));
    limiter
        .acquire(Instant::now() + MINUTE)
        .await
        .unwrap()
        .report(Feedback::Throttled(Some(Duration::from_secs(300))));
    let wait = limiter.acquire(Instant::now() + MINUTE).await.unwrap_err();
    assert_eq!(wait, Some(Duration::from_secs(300)));
}

#[tokio::test(start_paused = true)]
async fn random_refusals_without_a_wait_do_not_strangle_the_pace() {
    let limiter = Arc::new(Limiter::new(LimiterConfig::default(), None));
    let far = Instant::now() + Duration::from_secs(100_000);
    for n in 0..30_u32 {
        let permit = limiter.acquire(far).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        permit.report(if n % 4 == 3 { Feedback::Throttled(None) } else { Feedback::Accepted });
    }
    assert_eq!(limiter.view().1, None);
}

#[tokio::test(start_paused = true)]
async fn two_refusals_in_the_first_seconds_do_not_teach_a_minute() {
    let limiter = Arc::new(Limiter::new(LimiterConfig::default(), None));
    let far = Instant::now() + Duration::from_secs(100_000);
    for n in 0..22 {
        let permit = limiter.acquire(far).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        permit.report(if n < 20 { Feedback::Accepted } else { Feedback::Throttled(None) });
    }
    let began = Instant::now();
    for _ in 0..100 {
        let permit = limiter.acquire(far).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        permit.report(Feedback::Accepted);
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?} {:?}", began.elapsed(), limiter.view());
}

/// A server that takes `limit` calls in a fixed minute and never says how long to wait.
#[tokio::test(start_paused = true)]
async fn a_limit_that_is_never_explained_is_learnt() {
    let limiter = Arc::new(Limiter::new(LimiterConfig::default(), None));
    let mut server = FixedWindow::new(600);
    let far = Instant::now() + Duration::from_secs(100_000);
    let mut refused = Vec::new();
    for n in 0..6_000 {
        let permit = limiter.acquire(far).await.unwrap();
        tokio::time::sleep(Duration::from_millis(15)).await;
        let feedback = match server.call() {
            Feedback::Throttled(_) => Feedback::Throttled(None),
            taken => taken,
        };
        if feedback != Feedback::Accepted {
            refused.push(n);
        }
        permit.report(feedback);
    }
    assert!(refused.len() < 20, "{refused:?}");
    assert!(refused.iter().all(|n| *n < 1_500), "met again once it is learnt: {refused:?}");
    let pace = limiter.view().1.unwrap();
    let per_minute = MINUTE.as_millis() / pace.interval().as_millis();
    assert!((480..=600).contains(&per_minute), "{pace:?}");
}

/// A server that takes so many calls in any window of a few seconds and says how long until the oldest leaves it.
struct Sliding {
    limit: usize,
    window: Duration,
    taken: VecDeque<Instant>,
}

impl Sliding {
    fn call(&mut self) -> Feedback {
        let now = Instant::now();
        while self.taken.front().is_some_and(|t| now.duration_since(*t) >= self.window) {
            self.taken.pop_front();
        }
        if self.taken.len() < self.limit {
            self.taken.push_back(now);
            return Feedback::Accepted;
        }
        let left = self.window - now.duration_since(*self.taken.front().unwrap());
        Feedback::Throttled(Some(Duration::from_secs(left.as_secs() + 1)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_window_is_not_taken_for_a_minute() {
    let limiter = Arc::new(Limiter::new(LimiterConfig::default(), None));
    let server = Sliding { limit: 30, window: Duration::from_secs(3), taken: VecDeque::new() };
    let server = Arc::new(Mutex::new(server));
    let began = Instant::now();
    let far = began + Duration::from_secs(100_000);
    let tasks: Vec<_> = (0..400)
        .map(|_| {
            let (limiter, server) = (Arc::clone(&limiter), Arc::clone(&server));
            tokio::spawn(async move {
                let mut refused = 0;
                loop {
                    let permit = limiter.acquire(far).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    let feedback = server.lock().unwrap().call();
                    permit.report(feedback);
                    if feedback == Feedback::Accepted {
                        return refused;
                    }
                    refused += 1;
                }
            })
        })
        .collect();
    let mut refused = 0;
    for task in tasks {
        refused += task.await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(60), "{:?} {:?}", began.elapsed(), limiter.view());
    assert!(refused <= 8, "{refused}");
}

/// One place for several limiters, as a database is for several processes.
#[derive(Debug)]
struct Place {
    began: Instant,
    kept: Mutex<Option<String>>,
    broken: std::sync::atomic::AtomicBool,
    asked: AtomicU32,
}

impl Place {
    fn new() -> Arc<Self> {
        let began = Instant::now();
        Arc::new(Self { began, kept: Mutex::new(None), broken: false.into(), asked: AtomicU32::new(0) })
    }
}

impl Ledger for Place {
    fn exchange<'a>(&'a self, report: &'a Report) -> crate::shared::Exchanging<'a> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            self.asked.fetch_add(1, Ordering::Relaxed);
            if self.broken.load(Ordering::Relaxed) {
                return Err("away".to_owned());
            }
            let mut kept = self.kept.lock().unwrap();
            let now = micros(self.began.elapsed());
            let (text, grant) = crate::shared::exchange(kept.as_deref(), now, report);
            *kept = Some(text);
            Ok(grant)
        })
    }
}

/// As many processes, each of which has `calls` calls to send, ten at once, and repeats those that are refused.
async fn together(
    limiters: &[Arc<Limiter>],
    server: &Arc<Mutex<Sliding>>,
    calls: u32,
    takes: Duration,
) -> (u32, Vec<Duration>) {
    let far = Instant::now() + Duration::from_secs(100_000);
    let began = Instant::now();
    let processes: Vec<_> = limiters
        .iter()
        .map(|limiter| {
            let left = Arc::new(AtomicU32::new(calls));
            let callers: Vec<_> = (0..10)
                .map(|_| {
                    let (limiter, server, left) = (Arc::clone(limiter), Arc::clone(server), left.clone());
                    tokio::spawn(async move {
                        let mut refused = 0;
                        while left
                            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                            .is_ok()
                        {
                            loop {
                                let permit = limiter.acquire(far).await.unwrap();
                                tokio::time::sleep(takes).await;
                                let feedback = server.lock().unwrap().call();
                                permit.report(feedback);
                                if feedback == Feedback::Accepted {
                                    break;
                                }
                                refused += 1;
                            }
                        }
                        refused
                    })
                })
                .collect();
            tokio::spawn(async move {
                let mut refused = 0;
                for caller in callers {
                    refused += caller.await.unwrap();
                }
                (refused, began.elapsed())
            })
        })
        .collect();
    let (mut refused, mut took) = (0, Vec::new());
    for process in processes {
        let (more, time) = process.await.unwrap();
        refused += more;
        took.push(time);
    }
    (refused, took)
}

fn sharing(processes: usize, place: &Arc<Place>) -> Vec<Arc<Limiter>> {
    let ledger: Arc<dyn Ledger> = place.clone();
    (0..processes).map(|_| Arc::new(Limiter::new(LimiterConfig::default(), Some(ledger.clone())))).collect()
}

fn a_minute_of(limit: usize) -> Arc<Mutex<Sliding>> {
    Arc::new(Mutex::new(Sliding { limit, window: MINUTE, taken: VecDeque::new() }))
}

#[tokio::test(start_paused = true)]
async fn four_who_share_a_limit_learn_it_once_and_use_it_together() {
    let place = Place::new();
    let limiters = sharing(4, &place);
    let server = a_minute_of(600);
    let takes = Duration::from_millis(50);
    let (learning, _) = together(&limiters, &server, 400, takes).await;
    // What was in flight when the limit was met, and nothing after it.
    assert!((1..=20).contains(&learning), "{learning}");
    let (refused, took) = together(&limiters, &server, 1_500, takes).await;
    assert_eq!(refused, 0, "{took:?}");
    let pace = limiters[0].view().1.unwrap();
    let per_minute = MINUTE.as_millis() / pace.interval().as_millis();
    assert!((540..=600).contains(&per_minute), "{pace:?}");
    // 6,000 calls at 600 a minute are ten minutes; nobody waits for the others' end.
    let longest = *took.iter().max().unwrap();
    assert!(longest < Duration::from_secs(11 * 60 + 20), "{took:?}");
    assert!(*took.iter().min().unwrap() > longest.mul_f64(0.8), "somebody was kept waiting: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn one_who_comes_later_knows_the_limit() {
    let place = Place::new();
    let server = a_minute_of(120);
    let takes = Duration::from_millis(50);
    together(&sharing(2, &place), &server, 200, takes).await;
    let (refused, _) = together(&sharing(1, &place), &server, 200, takes).await;
    assert_eq!(refused, 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_nobody_waits_and_the_place_is_asked_a_few_times_a_second() {
    let place = Place::new();
    let limiters = sharing(2, &place);
    let server = a_minute_of(1_000_000);
    let (_, took) = together(&limiters, &server, 4_000, Duration::from_millis(50)).await;
    let seconds = took.iter().max().unwrap().as_secs();
    let asked = place.asked.load(Ordering::Relaxed);
    assert!(u64::from(asked) <= (seconds + 1) * 2 * 4, "{asked} in {seconds} s");
    // Four in flight at the start: 80 a second each.
    assert!(seconds <= 55, "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_away_leaves_everybody_what_was_known() {
    let place = Place::new();
    let limiters = sharing(1, &place);
    let server = a_minute_of(600);
    let takes = Duration::from_millis(50);
    together(&limiters, &server, 1_300, takes).await;
    place.broken.store(true, Ordering::Relaxed);
    let (refused, _) = together(&limiters, &server, 1_300, takes).await;
    assert_eq!(refused, 0);
    // A limit that drops meanwhile is learnt by oneself.
    server.lock().unwrap().limit = 120;
    together(&limiters, &server, 500, takes).await;
    assert_eq!(together(&limiters, &server, 300, takes).await.0, 0);
    place.broken.store(false, Ordering::Relaxed);
    // What was seen meanwhile is told.
    together(&limiters, &server, 300, takes).await;
    let (refused, _) = together(&sharing(1, &place), &server, 300, takes).await;
    assert!(refused <= 10, "{refused}");
}

#[test]
fn what_lies_ahead_of_a_clock_that_was_set_back_is_forgotten_but_the_pace() {
    let day = 86_400_000_000;
    let refused = RefusedAgo {
        started: Duration::ZERO,
        answered: Duration::ZERO,
        wait: Some(Duration::from_secs(30)),
        of_limit: true,
    };
    let accepted = vec![(Duration::from_secs(20), 300), (Duration::from_secs(10), 300)];
    let report = Report { accepted, refused: vec![refused], ..Report::default() };
    let (kept, grant) = crate::shared::exchange(None, 2 * day, &report);
    assert_eq!(grant.paused_for, Duration::from_secs(30));
    assert!(grant.pace.is_some());
    let asking = Report { want: 1, ..Report::default() };
    let (_, later) = crate::shared::exchange(Some(&kept), day, &asking);
    assert_eq!((later.pace, later.paused_for, later.first_in), (grant.pace, Duration::ZERO, Duration::ZERO));
    assert_eq!(crate::shared::exchange(Some("no document"), day, &asking).1.pace, None);
}

#[test]
fn a_pace_that_is_known_beforehand_holds_for_all_until_something_is_learnt() {
    let first_pace = Some(Pace { calls: 600, per: Duration::from_secs(60) });
    let asking = Report { want: 3, first_pace, ..Report::default() };
    let (kept, grant) = crate::shared::exchange(None, 1_000_000, &asking);
    assert_eq!((grant.pace, grant.places, grant.first_in), (first_pace, 3, Duration::ZERO));
    // The next places come after those; what is kept stands over what somebody begins with.
    let other = Report { want: 1, ..Report::default() };
    let (_, later) = crate::shared::exchange(Some(&kept), 1_000_000, &other);
    assert_eq!((later.pace, later.first_in), (first_pace, Duration::from_millis(300)));
}

/// A server that takes so many calls in any minute, and of those refuses three in ten whatever the caller does: every other
/// one of these says how long to wait.
struct Stormy {
    sliding: Sliding,
    dice: u64,
    refused_of_ten: u64,
    sent: Vec<Instant>,
}

impl Stormy {
    fn new(limit: usize) -> Arc<Mutex<Self>> {
        let sliding = Sliding { limit, window: MINUTE, taken: VecDeque::new() };
        Arc::new(Mutex::new(Self { sliding, dice: 7, refused_of_ten: 0, sent: Vec::new() }))
    }

    fn call(&mut self) -> Feedback {
        self.sent.push(Instant::now());
        let answer = self.sliding.call();
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (roll, bits) = ((self.dice >> 33) % 10, self.dice >> 60);
        if answer != Feedback::Accepted || roll >= self.refused_of_ten {
            return answer;
        }
        let wait = (bits & 1 == 0).then_some(Duration::from_secs(1));
        if bits & 2 == 0 { Feedback::Throttled(wait) } else { Feedback::Overloaded(wait) }
    }

    /// The most calls that came in within any minute.
    fn most_a_minute(&self) -> usize {
        let within =
            |first: &Instant| self.sent.iter().filter(|at| *at >= first && **at < *first + MINUTE).count();
        self.sent.iter().map(within).max().unwrap_or(0)
    }
}

/// So many calls that are taken in the end, ten at once; how long that took.
async fn carried(limiter: &Arc<Limiter>, server: &Arc<Mutex<Stormy>>, calls: u32) -> Duration {
    let began = Instant::now();
    let far = began + Duration::from_secs(100_000);
    let left = Arc::new(AtomicU32::new(calls));
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let (limiter, server, left) = (Arc::clone(limiter), Arc::clone(server), left.clone());
            tokio::spawn(async move {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                    loop {
                        let permit = limiter.acquire(far).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(150)).await;
                        let feedback = server.lock().unwrap().call();
                        permit.report(feedback);
                        if feedback == Feedback::Accepted {
                            break;
                        }
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_learnt_limit_is_used_up_to_its_margin() {
    for start in [4, 10] {
        let config = LimiterConfig { start, ..LimiterConfig::default() };
        let limiter = Arc::new(Limiter::new(config, None));
        let server = Stormy::new(600);
        carried(&limiter, &server, 700).await;
        let before = server.lock().unwrap().sent.len();
        let took = carried(&limiter, &server, 700).await;
        assert_eq!(server.lock().unwrap().sent.len() - before, 700);
        assert!(took < Duration::from_millis(71_400), "{took:?} {:?}", limiter.view());
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_costs_little_more_than_it_must() {
    let (mut all, mut floors) = (Duration::ZERO, Duration::ZERO);
    for seed in 1..=10 {
        let limiter = Arc::new(Limiter::new(LimiterConfig { start: 10, ..LimiterConfig::default() }, None));
        let server = Stormy::new(600);
        carried(&limiter, &server, 700).await;
        {
            let mut server = server.lock().unwrap();
            (server.sliding.limit, server.refused_of_ten, server.dice) = (120, 3, seed);
            server.sent.clear();
        }
        let took = carried(&limiter, &server, 700).await;
        let (sent, most) = {
            let server = server.lock().unwrap();
            (server.sent.len(), server.most_a_minute())
        };
        // 700 calls are taken of 1,000, of which the weather refuses 300; the former limit's minute comes before.
        let floor = MINUTE * u32::try_from(sent).unwrap() / 120 + MINUTE;
        let told = format!(
            "seed {seed}: {took:?} of {floor:?}, {sent} calls, {most} a minute, {:?}",
            limiter.view()
        );
        println!("{told}");
        assert!(took <= floor * 125 / 100 && sent <= 1_150 && most <= 135, "{told}");
        (all, floors) = (all + took, floors + floor);
    }
    // One by one luck has its part in it.
    assert!(all <= floors * 115 / 100, "{all:?} of {floors:?}");
}
