//! How many order lines a second the feed reader takes in, on one core: `cargo run --release --example feed_speed`.

use std::io::{BufReader, Cursor};
use std::time::Instant;
use trueup_sources::{FeedFormat, FeedOptions, incoming, read_feed};

fn main() {
    let mut text = String::new();
    let orders = 200_000;
    for n in 0..orders {
        text.push_str(&format!(
            "{{\"type\":\"order\",\"id\":\"SO-{n}\",\"kind\":\"sales\",\"subscription\":\"{}\",\"completed_at\":\"2023-03-01T09:00:00Z\",\
             \"period\":{{\"start\":\"2023-03-01\",\"end\":\"2023-04-01\"}},\"currency\":\"USD\",\"lines\":[{{\"id\":\"1\",\
             \"charge\":\"recurring\",\"product\":\"exo-p1\",\"quantity\":\"5\",\"unit_price\":\"22.00\",\"unit_cost\":\"17.60\"}}]}}\n",
            1_000_000 + n
        ));
    }
    for hashed in [false, true] {
        let options =
            FeedOptions { file_name: "-".into(), kind: None, format: FeedFormat::Ndjson, path: None };
        let reader = read_feed(BufReader::with_capacity(64 * 1024, Cursor::new(&text)), options);
        let begun = Instant::now();
        let mut taken = 0_u64;
        for record in reader.filter_map(Result::ok) {
            taken += u64::from(!hashed || incoming(record).hash.len() == 32);
        }
        let micros = begun.elapsed().as_micros().max(1);
        let pace = u128::from(taken) * 1_000_000 / micros;
        let what = if hashed { "read and hashed" } else { "read" };
        println!("{taken} orders of one line {what}: {pace} a second, {} MB", text.len() / 1_000_000);
    }
}
