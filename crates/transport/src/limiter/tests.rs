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
    let limiter = Arc::new(Limiter::new(LimiterConfig::default()));
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
    let limiter = Arc::new(Limiter::new(LimiterConfig::default()));
    let mut server = FixedWindow::new(600);
    drive(&limiter, &mut server, 1_500).await;
    server.limit = 120;
    drive(&limiter, &mut server, 600).await;
    assert_eq!(drive(&limiter, &mut server, 600).await, 0);
}

#[tokio::test(start_paused = true)]
async fn in_flight_grows_a_clean_minute_and_halves_once_an_event() {
    let limiter = Arc::new(Limiter::new(LimiterConfig::default()));
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
async fn never_more_in_flight_than_the_window() {
    let limiter = Arc::new(Limiter::new(LimiterConfig { start: 3, ..LimiterConfig::default() }));
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
    let limiter = Arc::new(Limiter::new(LimiterConfig::default()));
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
    let limiter = Arc::new(Limiter::new(LimiterConfig::default()));
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
    let limiter = Arc::new(Limiter::new(LimiterConfig::default()));
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
    let limiter = Arc::new(Limiter::new(LimiterConfig::default()));
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
    let limiter = Arc::new(Limiter::new(LimiterConfig::default()));
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
